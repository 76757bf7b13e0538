"""A law of a vector given its features: a small network that denoises it (MAR, arXiv:2406.11838).

  loss    E over levels and noise of the process's loss of mlp(x_t, t, h), h the trunk's features
  bound   the process's bound with the same network: nats of the token
  law     x at level 1 is noise; `steps` steps of a solver down to level 0, each one call of the mlp

The trunk is called once and the mlp `steps` times: what a walk with the whole network at every
small step would be, were the mlp its last layers. A token's noise is a function of its key alone.

With `together` the law is one of a whole block, such as a scale (FlowAR, arXiv:2412.15205): its
tokens have one level and attend to each other in the mlp, each with features of its own.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import attention, embed, network, norm
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import head as head_lib
from adiff.sequence import plan as plan_lib
from adiff.sequence import turns, values

CHUNKS = 16  # of a row's tokens, of which those without a wanted one are not sampled
_PRIOR, _STEP = 0, 2  # what a token's key is folded with, as in a walk of its own


@dataclasses.dataclass(frozen=True)
class Diffusion(head_lib.Head):
  """width, depth: of the mlp. multiply: samples of noise a token and training step, at levels that
  are stratified among them (MAR's diffusion_batch_mul).

  together: heads of the attention among the tokens of a block; 0: each token by itself.
  steps: small steps of a sample, even in the level, by the solver of that name.
  process: gaussian noise of the small steps; stepper: the solver itself.
  """

  params: Any = None
  dtype: Any = jnp.float32
  process: Any = None
  stepper: Any = None
  width: values.Count = 128
  depth: values.Count = 3
  together: values.Whole = 0
  multiply: values.Count = 4
  steps: values.Count = 32
  solver: str = 'first_order'

  is_law = True

  def __post_init__(self):
    for name in ('width', 'depth', 'multiply', 'steps'):
      values.check(f'head.{name}', getattr(self, name), values.Count)
    values.check('head.together', self.together, values.Whole)
    if self.together and self.width % self.together:
      raise ValueError(
        f'head.width={self.width} must be a multiple of head.together={self.together}, its heads'
      )

  def needs(self, parts):
    super().needs(parts)
    if parts.model.num_hints:
      raise ValueError(
        'model.self_condition shows an estimate, and head diffusion makes samples alone; set it to '
        'False'
      )
    if self.together and parts.spec.by_kind:
      raise ValueError(
        f'head.together={self.together} is for tokens of one kind, and this run has '
        f'{", ".join(parts.spec.by_kind)}; write head.together=0'
      )
    if self.together and max(parts.plan.budgets) > 1:
      raise ValueError(
        f'head.together={self.together} makes a block at once, and plan.steps reveals it in '
        f'{max(parts.plan.budgets)} calls; write plan.steps=1 and draw.name=ones, or together=0'
      )

  def init(self, key, width, num_outputs):
    x, t, h = (jnp.zeros((1, 1, size)) for size in (num_outputs, 1, width))
    return self._mlp(num_outputs).init(key, x, t[..., 0], h, self._seen(t[..., 0]))['params']

  def read(self, h, ask):
    """The features; of whole blocks also which one a token is of, the last float."""
    h = h.astype(self.dtype)
    if not self.together:
      return h
    block = jnp.broadcast_to(self._blocks(ask, h.shape[1]), h.shape[:2])[..., None]
    return jnp.concatenate([h, block.astype(self.dtype)], axis=-1)

  def loss(self, h, key, ask, objective, weight, *tokens):
    key_level, key_noise = jax.random.split(key)
    x0, out = (jnp.repeat(leaf, self.multiply, axis=1) for leaf in (tokens[0], self.read(h, ask)))
    t = self._strata(key_level, weight.shape, ask)
    xt = self.process.add_noise(key_noise, x0, t)
    cost = self.process.loss(self._out(xt, t, out, self.multiply), x0, xt, t)
    value = objective(jnp.mean(cost.reshape(*weight.shape, self.multiply), axis=-1), *tokens)
    return jnp.sum(weight * value), value

  def bound(self, h, key, ask, x0):
    key_level, key_noise = jax.random.split(key)
    u = self._strata(key_level, x0.shape[:2], ask)
    many, out = (jnp.repeat(leaf, self.multiply, axis=1) for leaf in (x0, self.read(h, ask)))
    alone = blocks_lib.tokens(u.shape[1])
    xt, t = self.process.bound_noise(key_noise, many, u, alone, jnp.ones(u.shape, bool))
    nats = self.process.bound(self._out(xt, t, out, self.multiply), many, xt, t)
    return jnp.mean(nats.reshape(*x0.shape[:2], self.multiply), axis=-1)

  def combined(self, out, weights):
    """Features of all branches beside each other, and their weights: [B, T, (1 + n) W + n]."""
    branches = jnp.split(out, len(weights) + 1)
    return jnp.concatenate([*branches, *(weight[..., None] for weight in weights)], axis=-1)

  def law(self, out):
    def law(key, wanted):
      return self.sample(out, key, wanted)

    return law

  def sample(self, out, key, wanted) -> jax.Array:
    """x0 [B, n, D] of the law of outputs [B, n, F], as `read` or `combined` make them; key [B, n],
    one a token. Rows begin with the tokens that are wanted [B, n], a chunk at a time, and end when
    all of these are sampled; the others are 0, or sampled along, as all of whole blocks are."""
    num = wanted.shape[1]
    size = -(-num // CHUNKS)
    if size == num or self.together:
      return self._sample(out, key)
    order, rows = jnp.argsort(~wanted, axis=1, stable=True), jnp.arange(len(wanted))[:, None]
    most = jnp.max(jnp.sum(wanted, axis=1))

    def unfinished(carry):
      return carry[0] < most

    def advance(carry):
      first, x = carry
      index = order[:, jnp.minimum(first + jnp.arange(size), num - 1)]
      made = self._sample(out[rows, index], key[rows, index])
      return first + size, x.at[rows, index].set(made)

    start = jnp.zeros_like(most), jnp.zeros((*wanted.shape, self._dim), out.dtype)
    with turns.loop('vectors', -(-num // size)):
      return jax.lax.while_loop(unfinished, advance, start)[1]

  @property
  def often(self):
    asks = self.stepper.asks(self._levels[1:])
    return {'second': float(np.mean(asks - 1)) / max(self.stepper.calls - 1, 1)}

  def turns(self, wanted, num):
    size = -(-num // CHUNKS)
    return 1 if size == num or self.together else -(-wanted // size)

  def _sample(self, out, key):
    """`sample` of tokens that are all wanted."""
    levels = jnp.asarray(self._levels, out.dtype)

    def call(x, t, s):
      return self._branches(out, x, t)

    def step(carry, now):
      x, memory = carry
      index, t, s = now
      t, s = (jnp.broadcast_to(level, key.shape) for level in (t, s))
      own = _fold(key, _STEP + index)
      return self.stepper.step(call, call(x, t, s), self.process, own, x, t, s, memory), None

    x = self.process.prior(_fold(key, _PRIOR), key.shape)
    rows = jnp.arange(self.steps), levels[:-1], levels[1:]
    return jax.lax.scan(step, (x, self.stepper.init(x)), rows)[0][0]

  def _branches(self, out, x, t):
    """The mlp's output, of several branches combined as guidance says."""
    width = self.params['features']['kernel'].shape[0] + (self.together > 0)
    num = (out.shape[-1] + 1) // (width + 1)
    h = [out[..., i * width:(i + 1) * width] for i in range(num)]
    x, t, h = jnp.concatenate([x] * num), jnp.concatenate([t] * num), jnp.concatenate(h)
    weights = tuple(out[..., num * width + i] for i in range(num - 1))
    return super().combined(self._out(x, t, h), weights)

  def _strata(self, key, shape, ask):
    """[B, T * multiply] in [0, 1): of every token's samples one in each of as many equal parts;
    the tokens of a block share them where they attend to each other."""
    u = jax.random.uniform(key, (*shape, self.multiply))
    if self.together:
      block = self._blocks(ask, shape[1])
      first = jnp.argmax(block[:, :, None] == block[:, None, :], axis=-1)
      u = jnp.take_along_axis(u, jnp.broadcast_to(first, shape)[..., None], axis=1)
    part = jnp.arange(self.multiply, dtype=u.dtype).reshape(1, 1, -1)
    return ((part + u) / self.multiply).reshape(shape[0], -1)

  def _blocks(self, ask, num):
    """int [1 or B, num]: the blocks of the tokens that there are features of."""
    first, _ = network.wanted(ask.slots, ask.keep)
    return jnp.atleast_2d(ask.slots.block[..., first:first + num])

  def _out(self, x, t, out, samples=1):
    """The mlp's output [B, T * samples, D], of samples of a token beside each other; out: as of
    `read`."""
    mlp = self._mlp(self._dim)
    if not self.together:
      return mlp.apply({'params': self.params}, x, t, out)
    x, t, out = (_apart(leaf, samples) for leaf in (x, t, out))
    h, block = out[..., :-1], out[..., -1]
    made = mlp.apply({'params': self.params}, x, t, h, self._seen(block))  # [B * samples, T, D]
    beside = jnp.swapaxes(made.reshape(-1, samples, *made.shape[1:]), 1, 2)
    return beside.reshape(len(beside), -1, made.shape[2])

  def _seen(self, block):
    """What tokens of blocks [B, T] see in the mlp: those of their own block."""
    if not self.together:
      return None
    none = jnp.zeros(block.shape, jnp.int32)
    slots = blocks_lib.Slots(block.astype(jnp.int32), none, none > 0, none, None, none)
    return attention.visible(slots, (slots,))

  @property
  def _levels(self) -> np.ndarray:
    """[steps + 1] of a sample."""
    return plan_lib.Plan(1, self.steps).matrix[:, 0]

  @property
  def _dim(self) -> int:
    return self.params['out']['bias'].shape[0]

  def _mlp(self, dim):
    return Mlp(self.width, self.depth, dim, self.dtype, self.together)


class Mlp(nn.Module):
  """x [.., T, D] at levels t [.., T], features h [.., T, F] -> [.., T, D]; blocks with adaLN-zero
  (MAR, section 3.3), behind attention of so many heads to what is `seen`, if any."""

  width: int
  depth: int
  dim: int
  dtype: jnp.dtype
  heads: int = 0

  @nn.compact
  def __call__(self, x, t, h, seen=None):
    def dense(size, name, **how):
      return nn.Dense(size, dtype=self.dtype, name=name, **how)

    def attended(z, name):
      q, k, v = jnp.split(dense(3 * self.width, f'{name}_in')(z), 3, axis=-1)
      q, k, v = (leaf.reshape(*z.shape[:2], self.heads, -1) for leaf in (q, k, v))
      q = norm.Norm(self.dtype, name=f'{name}_q')(q)
      k = norm.Norm(self.dtype, name=f'{name}_k')(k)
      made = attention.attention(q, [(k, v)], seen)
      return dense(self.width, f'{name}_out')(made.reshape(z.shape))

    zero = dict(kernel_init=nn.initializers.zeros)
    signal = embed.Level(self.width, self.dtype, name='level')(t)
    signal = nn.silu(signal + dense(self.width, 'features')(h))
    y = dense(self.width, 'in')(x)
    for i in range(self.depth):
      if self.heads:
        scale, gate = jnp.split(dense(2 * self.width, f'attend_{i}', **zero)(signal), 2, axis=-1)
        z = norm.Norm(self.dtype, name=f'norm_attend_{i}')(y) * (1 + scale)
        y = y + gate * attended(z, f'attention_{i}')
      modulation = dense(3 * self.width, f'modulation_{i}', **zero)(signal)
      shift, scale, gate = jnp.split(modulation, 3, axis=-1)
      z = norm.Norm(self.dtype, name=f'norm_{i}')(y) * (1 + scale) + shift
      z = dense(self.width, f'mlp_out_{i}')(nn.silu(dense(self.width, f'mlp_in_{i}')(z)))
      y = y + gate * z
    shift, scale = jnp.split(dense(2 * self.width, 'modulation_out', **zero)(signal), 2, axis=-1)
    y = norm.Norm(self.dtype, name='norm_out')(y) * (1 + scale) + shift
    return dense(self.dim, 'out', **zero)(y)


def _apart(leaf, samples):
  """[B, T * samples, ..], a token's samples beside each other -> [B * samples, T, ..]."""
  parts = leaf.reshape(len(leaf), -1, samples, *leaf.shape[2:])
  return jnp.swapaxes(parts, 1, 2).reshape(-1, *parts.shape[1:2], *parts.shape[3:])


def _fold(key, data):
  """fold_in of every token's key [B, n]."""
  of_row = jax.vmap(jax.random.fold_in, in_axes=(0, None))
  return jax.vmap(of_row, in_axes=(0, None))(key, data)
