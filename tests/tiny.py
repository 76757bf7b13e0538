"""Tiny models of every regime, and the exact denoisers of the toy data.

Parameters are random and non-zero everywhere: adaLN-zero hides a network at its initial values.
What is compiled is cached, so that tests of a regime share one program.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn import network
from adiff.run import build
from adiff.sample import cached as cached_lib
from adiff.sample import capacity, guidance, walk
from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions, copies, tokens
from configs import toy

BATCH = 4
NUM_CLASSES = 3
LABELS = np.array([0, 1, 2, -1], np.int32)


def config(name):
  """The row's config, made tiny."""
  c = toy.get_config(name)
  c.plan.steps = min(c.plan.steps, 4)
  if c.history is None:
    c.plan.delay = 2  # a pyramid
  c.model.width, c.model.depth, c.model.heads = 16, 2, 2
  c.data.size = 64
  if c.blocks.name == 'scales':
    c.blocks.sides, c.data.num_tokens = (1, 2), 5
    if c.name == 'toy scales masked':
      c.data.sides = c.blocks.sides
  return c


def random_params(model, process, blocks, coords, *, seed=0):
  """Parameters of the model with every leaf perturbed."""
  shape = (1, blocks.num_tokens)
  x = process.prior(jax.random.key(seed), blocks.shape(1))

  def init(key, x, t):
    return model.init(key, ask_lib.Ask(x, t, blocks.token_slots(coords)))

  abstract = jax.eval_shape(init, jax.random.key(seed), x, jnp.ones(shape))
  leaves, tree = jax.tree.flatten(abstract)
  rng = np.random.default_rng(seed)

  def fill(leaf):
    """Kernels keep the scale of what they map; vectors scatter around one half."""
    if leaf.ndim > 1:
      return 0.6 * rng.normal(size=leaf.shape) * model.width**-0.5
    return 0.5 + 0.3 * rng.normal(size=leaf.shape)

  return jax.tree.unflatten(tree, [jnp.asarray(fill(leaf), jnp.float32) for leaf in leaves])


@dataclasses.dataclass(frozen=True, eq=False)
class Regime:
  """A row of the table with a tiny random model of NUM_CLASSES classes."""

  name: str
  parts: build.Parts
  model: network.Network
  params: Any

  @property
  def blocks(self):
    return self.parts.blocks

  @property
  def process(self):
    return self.parts.process

  @property
  def coords(self):
    return self.parts.spec.coords

  def data(self, num=BATCH, *, seed=5):
    """Examples [num, N, ..]."""
    sampled = self.parts.source.sample(num, seed=seed)
    if isinstance(sampled, dict):
      sampled = self.blocks.from_raster(self.parts.coded.codec.encode((), sampled))
    return jax.tree.map(jnp.asarray, sampled[0] if isinstance(sampled, tuple) else sampled)

  def symbols(self, x):
    """[(kind, array)] of those of the tokens x that are symbols."""
    kinds = self.parts.spec.by_kind
    own = [(kinds[name], x.parts[name]) for name in kinds] or [(self.parts.spec.kind, x)]
    return [(kind, array) for kind, array in own if kind.discrete]

  def denoise(self, params, label) -> ask_lib.Denoise:
    """The model under labels [B] or [B, K]."""
    return network.condition(
      self.model.denoise(params), {'label': label}, history_cond=self.parts.history_cond
    )

  @functools.cached_property
  def call(self):
    """(params, x, t, slots, label [B]) -> out, jitted: one network call, compiled once a shape."""
    return jax.jit(
      lambda params, x, t, slots, label: self.denoise(params, label)(ask_lib.Ask(x, t, slots)).out
    )

  @functools.cached_property
  def sampler(self):
    """(cached, solver=, guided=, plan=) -> (keys, label, given, given_mask) -> x0, jitted once."""
    return functools.cache(self._sampler)

  def _sampler(self, cached, *, solver=None, guided=True, plan=None):
    plan, solver = plan or self.parts.plan, solver or self.parts.solver
    apart = self.parts.history_cond
    common = dict(blocks=self.blocks, process=self.process, solver=solver, coords=self.coords)

    def run(params, keys, label, given, given_mask):
      denoise = self.model.denoise(params)
      if guided:
        scale = np.linspace(1.5, 2.5, self.blocks.num_blocks, dtype=np.float32)
        denoise = guidance.guide(denoise, scale=scale)
      denoise = network.condition(denoise, {'label': label}, history_cond=apart)
      tokens = dict(given=given, given_mask=given_mask)
      if not cached:
        return walk.sample(denoise, keys, plan, **common, **tokens)
      copies = 2 if guided and apart else 1
      places = capacity.places(plan, self.blocks)
      cache = self.model.empty_cache(copies * len(label), places, self.coords.shape[1])
      return cached_lib.sample(denoise, keys, plan, cache, **common, **tokens)

    return functools.partial(jax.jit(run), self.params)

  def arguments(self, *, seed=1):
    """Arguments of `sampler` with nothing given."""
    keys = jax.random.split(jax.random.key(seed), BATCH)
    none = jnp.zeros((BATCH, self.blocks.num_tokens), bool)
    return keys, jnp.asarray(LABELS), self.data(), none


@functools.cache
def regime(name) -> Regime:
  """The row of that name."""
  parts = build.build(config(name))
  model = dataclasses.replace(parts.model, conds={'label': conditions.Label(NUM_CLASSES)})
  params = random_params(model, parts.process, parts.blocks, parts.spec.coords)
  return Regime(name, parts, model, params)


# Exact denoisers: what a perfect network returns, on the packed slots of training and likelihood.


def _block_by_block(blocks, posterior) -> ask_lib.Denoise:
  """The Denoise of posterior(x [B, N, ..], place [N] in -1, 0, 1, t [B, N]) -> out.

  place says per token whether it is history (-1), of the block asked for (0), or later (1).
  """

  def out_of(ask):
    work, past = ask.x[:, :blocks.num_tokens], ask.x[:, blocks.num_tokens:]
    past = jnp.concatenate([past, work[:, past.shape[1]:]], axis=1)
    t = copies.levels(ask.t, ask.slots)[:, :blocks.num_tokens]
    out = 0.0
    for k in range(blocks.num_blocks):
      place = np.sign(blocks.block_of_token - k)
      history = jnp.asarray(place < 0).reshape(1, -1, *(1,) * (work.ndim - 2))
      own = posterior(jnp.where(history, past, work), place, t)
      out = out + jnp.where(jnp.asarray(place == 0)[None, :, None], own, 0)
    return out

  return ask_lib.from_outputs(out_of)


def exact_masked(chain, blocks, process) -> ask_lib.Denoise:
  """The exact denoiser of a chain under masking."""

  def posterior(x, place, t):
    x = jnp.where(jnp.asarray(place > 0)[None], process.mask_id, x)
    return jnp.log(jnp.maximum(chain.posterior(x, process.mask_id), 1e-30))

  return _block_by_block(blocks, posterior)


def exact_uniform(chain, blocks) -> ask_lib.Denoise:
  """The exact denoiser of a chain under uniform noise: given the *other* tokens."""

  def posterior(x, place, t):
    t = jnp.where(jnp.asarray(place > 0)[None], 1.0, jnp.where(jnp.asarray(place < 0)[None], 0, t))
    return jnp.log(chain.posterior_uniform(x, t))

  return _block_by_block(blocks, posterior)


def exact_gaussian(mixture, blocks, process) -> ask_lib.Denoise:
  """The exact denoiser of a mixture: out through the inverse of x0_hat."""

  def posterior(x, place, t):
    t_all = jnp.where(
      jnp.asarray(place > 0)[None], 1.0, jnp.where(jnp.asarray(place < 0)[None], 0, t)
    )
    alpha, sigma = (scale[..., 0] for scale in process.scales(t_all))
    # Later tokens carry no information: pure noise of any value at alpha = 0.
    x = jnp.where(jnp.asarray(place > 0)[None, :, None], 0.0, x)
    alpha = jnp.where(jnp.asarray(place > 0)[None], 0.0, alpha)
    x0 = mixture.denoise(x, alpha, sigma)
    zero, one = jnp.zeros_like(x0), jnp.ones_like(x0)
    skip = process.x0_hat(zero, one, t)
    scale = process.x0_hat(one, zero, t)
    return (x0 - skip * x) / jnp.where(scale == 0, 1, scale)

  return _block_by_block(blocks, posterior)


def exact_coupled(coupled, blocks, process) -> ask_lib.Denoise:
  """The exact denoiser of symbols and floats that depend on each other, on the slots of training
  and likelihood and on those of the plain walk."""
  symbols, floats = (process.of(kind) for kind in ('symbols', 'floats'))

  def of_block(k, x, t):
    """Outputs for the tokens of block k, all tokens x [B, N] at levels t [B, N]."""
    later = jnp.asarray(blocks.block_of_token > k)[None]
    t = blocks.to_raster(jnp.where(later, 1.0, t))
    raster = blocks.to_raster(x)
    dealt = tokens.deal(t, raster.runs)
    hidden = jnp.where(dealt['symbols'] == 1, symbols.mask_id, raster.parts['symbols'])
    alpha, sigma = (scale[..., 0] for scale in floats.scales(dealt['floats']))
    alpha = jnp.where(dealt['floats'] == 1, 0.0, alpha)  # rounding aside, noise says nothing
    p, x0 = coupled.posterior(hidden, symbols.mask_id, raster.parts['floats'], alpha, sigma)
    out = {'symbols': jnp.log(jnp.maximum(p, 1e-30)), 'floats': x0}
    return blocks.from_raster(tokens.Tokens(out, raster.runs))

  def out_of(ask):
    t, own = copies.levels(ask.t, ask.slots), (0, blocks.runs)
    work, level = tokens.cut(ask.x, *own), t[:, :blocks.num_tokens]
    whole, past = work, ask.x.shape[1] - blocks.num_tokens
    if past:  # two streams: a block's past is its history copy
      runs = tokens.between(ask.x.runs, blocks.num_tokens, ask.x.shape[1])
      behind = blocks.num_tokens - past
      rest = tokens.cut(work, past, tokens.between(blocks.runs, past, past + behind))
      whole = tokens.join(tokens.cut(ask.x, blocks.num_tokens, runs), rest)
    out = None
    for k in range(blocks.num_blocks):
      block = blocks.block_of_token
      seen, here = jnp.asarray(block < k)[None], jnp.asarray(block == k)[None]
      levels = jnp.where(seen & bool(past), 0.0, level)
      made = of_block(k, tokens.pick(seen, whole, work), levels)
      out = made if out is None else tokens.pick(here, made, out)
    return out

  return ask_lib.from_outputs(out_of)


@functools.cache
def told(of: Regime, name) -> Regime:
  """The regime with a network that is told s besides t, else with the same parameters."""
  model = dataclasses.replace(of.model, told=name)
  params = random_params(model, of.process, of.blocks, of.coords)
  level = {'ahead': params['level']['ahead'], **of.params['level']}
  return dataclasses.replace(of, model=model, params={**of.params, 'level': level})
