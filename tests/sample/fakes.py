"""Networks that are functions, and short ways to walk with them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from adiff.process import masked
from adiff.sample import cached, windows
from adiff.sample.solvers import base
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies

COORDS = np.arange(6)[:, None]
MASKED = masked.Masked(3)
BLOCKS = blocks_lib.equal(6, 2)

ZERO_LOGITS = ask_lib.from_outputs(lambda ask: jnp.zeros((*ask.x.shape[:2], 3)))


def sure_of(symbol, vocab=3) -> ask_lib.Denoise:
  """A network that expects this symbol everywhere."""
  logits = 90.0 * jax.nn.one_hot(symbol, vocab)
  return ask_lib.from_outputs(
    lambda ask: jnp.broadcast_to(logits[None, None], (*ask.x.shape, vocab)))


@dataclasses.dataclass(eq=False)
class Counter:
  """Counts traces of a network and the calls that are made of it; `denoise` is what to ask."""

  of: ask_lib.Denoise
  traces: int = 0
  made: list = dataclasses.field(default_factory=list)

  @property
  def denoise(self) -> ask_lib.Denoise:

    def trunk(ask):
      self.traces += 1
      jax.debug.callback(lambda t: self.made.append(len(t)), ask.t)
      return self.of.trunk(ask)

    return ask_lib.Denoise(trunk, self.of.head)

  @property
  def calls(self) -> int:
    jax.effects_barrier()
    return len(self.made)


def _mixed_logits(ask):
  """Logits that depend on every token in sight, on place and on level."""
  place = ask.slots.coords[:, 0]
  mix = jnp.sum(jnp.where(ask.x == 3, 0, ask.x + 1), axis=1).astype(float)[:, None, None]
  angle = (place[:, None] * jnp.arange(1, 4)[None]).astype(float)[None]
  return 2 * jnp.sin(mix + angle) * copies.levels(ask.t, ask.slots)[..., None]


MIXED_LOGITS = ask_lib.from_outputs(_mixed_logits)


def keys(num=4):
  return jax.random.split(jax.random.key(0), num)


def prompt(lengths, num_tokens=6):
  """The first tokens of each row are given."""
  mask = jnp.arange(num_tokens)[None] < jnp.asarray(lengths)[:, None]
  return dict(given=jnp.ones(mask.shape, jnp.int32), given_mask=mask)


def walk(
  denoise, plan, blocks, solver, *, keys_of=None, process=MASKED, stop=None, narrow=base.uncut,
  **given
) -> cached.State:
  """The state at the end of a cached walk of a network that needs no cache."""
  how = dict(blocks=blocks, process=process, solver=solver, stop=stop)
  coords, stretches = np.arange(blocks.num_tokens)[:, None], windows.stretches(plan, blocks)

  @jax.jit
  def run(keys, given):
    state = cached.start(keys, None, plan=plan, **how, **given)
    return cached.walk(denoise, state, stretches, coords=coords, narrow=narrow, **how)

  return jax.block_until_ready(run(keys() if keys_of is None else keys_of, given))
