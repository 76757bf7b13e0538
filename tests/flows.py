"""Flow maps that are known, networks that say them, and recipes that may learn them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adiff.learn import plain, student
from adiff.process import gaussian
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies
from adiff.sequence import draw as draw_lib
from adiff.sequence import plan as plan_lib

MEAN, DEVIATION = 0.3, 0.5  # of the normal data
BLOCKS = blocks_lib.whole(1)
# One step asks for t = 1 and s = 0, the corner of all pairs, which uniform levels never meet.
CORNER = draw_lib.uniform().with_atoms(zero=0.15, one=0.15)


def gaussian_of(schedule='cosine', prediction='v'):
  return gaussian.Gaussian(1, schedule, prediction, clip=0.0)


def out_of(process, x0, x, t):
  """The output that stands for an estimate x0."""
  zero, one = jnp.zeros_like(x0), jnp.ones_like(x0)
  skip, scale = process.x0_hat(zero, one, t), process.x0_hat(one, zero, t)
  return (x0 - skip * x) / jnp.where(scale == 0, 1, scale)


@dataclasses.dataclass(frozen=True, eq=False)
class Exact:
  """As a nn.network.Network: the flow map of normal data, and for s = t their mean given x."""

  process: gaussian.Gaussian
  maps: bool = True
  num_hints = 0
  hears_guidance = False
  conds = {}

  def init(self, key, ask):
    return {'unused': jnp.zeros(())}

  def denoise(self, params, *, key=None, loops=False):
    def out(ask):
      t = copies.levels(ask.t, ask.slots)
      s = t if ask.s is None or not self.maps else copies.levels(ask.s, ask.slots)
      return out_of(self.process, self.estimate(ask.x, t, s), ask.x, t) + 0 * params['unused']

    return ask_lib.from_outputs(out)

  def estimate(self, x, t, s):
    """The x0 with which `move` ends where the flow does."""
    alpha, sigma = self.process.scales(t)
    width = jnp.sqrt(alpha**2 * DEVIATION**2 + sigma**2)
    mean = MEAN + alpha * DEVIATION**2 / width**2 * (x - alpha * MEAN)
    per_x0 = self.process.move(jnp.zeros_like(x), jnp.ones_like(x), t, s)
    rest = self.end(x, t, s) - self.process.move(x, jnp.zeros_like(x), t, s)
    ahead = (s < t)[..., None]
    return jnp.where(ahead, rest / jnp.where(ahead, per_x0, 1), mean)

  def end(self, x, t, s):
    """Where the flow takes x from t to s."""
    (a_t, s_t), (a_s, s_s) = self.process.scales(t), self.process.scales(s)
    width = jnp.sqrt((a_s**2 * DEVIATION**2 + s_s**2) / (a_t**2 * DEVIATION**2 + s_t**2))
    return a_s * MEAN + width * (x - a_t * MEAN)


@dataclasses.dataclass(frozen=True, eq=False)
class Small:
  """As a nn.network.Network: two layers on (x, t, s)."""

  process: gaussian.Gaussian
  width: int = 48
  maps: bool = True
  num_hints = 0
  hears_guidance = False
  conds = {}
  inputs = 5

  def read(self, ask):
    """What it reads besides (x, t, s): [[B, S, C], ..]."""
    return []

  def init(self, key, ask):
    keys = jax.random.split(key, 3)
    sizes = (self.inputs, self.width, self.width, 1)
    return {
      f'layer{i}': {
        'kernel': jax.random.normal(keys[i], sizes[i:i + 2]) * (1.5 if i < 2 else 0.2)
        / sizes[i] ** 0.5, 'bias': jnp.zeros(sizes[i + 1]),
      } for i in range(3)
    }

  def denoise(self, params, *, key=None, loops=False):
    def out(ask):
      t = copies.levels(ask.t, ask.slots)[..., None]
      s = t if ask.s is None else copies.levels(ask.s, ask.slots)[..., None]
      own = [ask.x, 2 * t - 1, t - s, jnp.cos(3 * t), s, *self.read(ask)]
      h = jnp.concatenate(own, axis=-1)
      for i in range(3):
        own = params[f'layer{i}']
        h = h @ own['kernel'] + own['bias'][None, None]
        h = jnp.tanh(h) if i < 2 else h
      return h

    return ask_lib.from_outputs(out)


def mixture_quantiles(u):
  """Those of the mixture 0.4 N(-1, 0.3^2) + 0.6 N(0.8, 0.4^2), at u, by bisection."""
  from scipy import special

  low, high = np.full_like(u, -5.0), np.full_like(u, 5.0)
  for _ in range(60):
    middle = (low + high) / 2
    below = sum(w * special.ndtr((middle - m) / d) for w, m, d in MIXTURE) < u
    low, high = np.where(below, middle, low), np.where(below, high, middle)
  return low


MIXTURE = ((0.4, -1.0, 0.3), (0.6, 0.8, 0.4))


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture(Exact):
  """The mean of the mixture given x; it is no map."""

  maps: bool = False

  def estimate(self, x, t, s):
    alpha, sigma = self.process.scales(t)
    logs, means = [], []
    for weight, mean, deviation in MIXTURE:
      width2 = alpha**2 * deviation**2 + sigma**2
      logs.append(jnp.log(weight) - (x - alpha * mean) ** 2 / (2 * width2) - jnp.log(width2) / 2)
      means.append(mean + alpha * deviation**2 / width2 * (x - alpha * mean))
    p = jax.nn.softmax(jnp.stack(logs), axis=0)
    return jnp.sum(p * jnp.stack(means), axis=0)


def teacher(model):
  """A Teacher that is not read from anywhere."""
  return student.Teacher(
    'exact', model, (BLOCKS,), model.process, history_cond=False, scale=1.0, interval=(0.0, 1.0),
    hides=None, branches=1,
  )


def recipe(kind, model, taught=None, *, tx=None, draw=None, **own):
  """A recipe of one token; taught: the network of its teacher."""
  of = plain.Plain(
    model=model, tx=tx or optax.adam(3e-3), blocks=(BLOCKS,), process=model.process,
    draw=(draw or draw_lib.uniform(),), coords=np.zeros((1, 1), int), ema=0.99, cond_dropout=0.0,
    microbatches=1, history_cond=False,
  )
  if kind is plain.Plain:
    return of
  how = {} if taught is None else {'teacher': 'exact'}
  return kind(
    plain=of, read=lambda _: teacher(taught), spacing=plan_lib.linear(), **how, **own,
  )


def batch(key, num, law='normal'):
  """Examples of either law."""
  z = jax.random.normal(key, (num, 1, 1))
  if law == 'normal':
    x0 = MEAN + DEVIATION * z
  else:
    which = jax.random.uniform(jax.random.fold_in(key, 1), (num, 1, 1)) < MIXTURE[0][0]
    x0 = jnp.where(which, *(m + d * z for _, m, d in MIXTURE))
  return {'tokens': x0, 'label': jnp.full(num, -1, jnp.int32)}


def trained(of, steps, *, num=256, law='normal', seed=0, rows=None):
  """The state after so many steps, in one program; rows: (key, num) -> batch, of another law."""
  rows = functools.partial(batch, law=law) if rows is None else rows
  state = of.init(jax.random.key(seed))

  @jax.jit
  def run(state):
    def step(state, index):
      key = jax.random.fold_in(jax.random.key(seed + 1), index)
      examples = rows(jax.random.fold_in(key, 0), num)
      state, scalars = of.update(state, examples, jax.random.fold_in(key, 1))
      return state, scalars['loss']

    return jax.lax.scan(step, state, jnp.arange(steps))

  with jax.numpy_dtype_promotion('standard'):  # optax counts in int32
    return run(state)


def missed(of, state, solver, *, law='normal', steps=1, end=None, bind=None):
  """How far samples of `steps` steps are from the flow's end at their noise: root mean square over
  quantiles, as a share of the data's deviation. end: noise -> where the flow ends, and bind:
  parameters -> Denoise, if not as usual."""
  u = np.linspace(0.01, 0.99, 99)
  x = jax.scipy.special.ndtri(jnp.asarray(u, jnp.float32))[:, None, None]
  if end is not None:
    end = end(np.asarray(x[:, 0, 0], float))
  else:
    end = MEAN + DEVIATION * x[:, 0, 0] if law == 'normal' else mixture_quantiles(u)
  denoise, process = (bind or of.network)(of.served(state)), of.plain.process
  grid = np.linspace(1, 0, steps + 1)
  slots = BLOCKS.token_slots(np.zeros((1, 1), int))
  for before, after in zip(grid[:-1], grid[1:], strict=True):
    t, s = (jnp.full((len(u), 1), level, jnp.float32) for level in (before, after))

    def call(x, t, s):
      return denoise(ask_lib.Ask(x, t, slots, s)).out

    key = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(5)))(jnp.arange(len(u)))
    out = call(x, t, solver.ahead(x, t, s))
    x, _ = solver.step(call, out, process, key[:, None], x, t, s, ())
  return float(np.sqrt(np.mean((np.asarray(x)[:, 0, 0] - end) ** 2)) / np.std(end))
