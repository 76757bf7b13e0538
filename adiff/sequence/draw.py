"""Draws: how noisy each block is in training.

Levels are stratified over the whole batch x blocks and then
permuted: each level is visited equally often, and no example or block is always the easy one (ARDM,
arXiv:2110.02037, permutes for the same reason).
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from adiff.sequence import tokens as tokens_lib
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class Draw:
  """(key, (B, K)) -> levels [B, K]."""

  levels: Callable[[jax.Array, tuple[int, int]], jax.Array]
  pure_noise: bool = False  # is every level 1?
  pure_kinds: tuple[str, ...] = ()  # of several kinds: whose levels are all 1

  def __call__(self, key, shape) -> jax.Array:
    return self.levels(key, shape)

  def needs(self, parts: Any) -> None:
    """Raises ValueError where a network could not learn from these levels alone."""
    self.check(parts.process)

  def check(self, process) -> None:
    """As `needs`, of a process."""
    if self.pure_noise and not process.absorbing:
      raise ValueError(
        'draw ones trains on pure noise alone, which only process masked can learn from; set '
        'draw.name=uniform'
      )

  @staticmethod
  def within(low, high, *, shared=False) -> 'Draw':
    """Uniform in [low, high], levels that may be traced."""
    return _stratified(lambda u: low + (high - low) * u, shared)

  @staticmethod
  def joint(draws: 'dict[str, Draw]', runs: tokens_lib.Runs) -> 'Draw':
    """The levels of several kinds, {kind: its draw}; runs: as Blocks.runs_of_blocks."""

    def levels(key, shape):
      own = {kind: (shape[0], len(blocks)) for kind, blocks in tokens_lib.places(runs).items()}
      made = {kind: draws[kind](tokens_lib.fold(key, kind), own[kind]) for kind in own}
      return tokens_lib.gather(made, runs)

    pure = tuple(kind for kind, own in draws.items() if own.pure_noise)
    return Draw(levels, pure_noise=len(pure) == len(draws), pure_kinds=pure)

  def with_atoms(self, *, zero=0.0, one=0.0) -> 'Draw':
    """These levels, but 0 with probability `zero` and 1 with probability `one`.

    With history None the past is met at level 0 in sampling, so training must show level 0 to the
    network.
    """
    if not (zero >= 0 and one >= 0 and zero + one <= 1):
      raise ValueError(
        f'atoms need zero >= 0, one >= 0 and zero + one <= 1, not zero={zero}, one={one}'
      )

    def with_atoms(key, shape):
      key_level, key_atom = jax.random.split(key)
      which = uniform()(key_atom, shape)
      level = self.levels(key_level, shape)
      return jnp.where(which < zero, 0.0, jnp.where(which > 1 - one, 1.0, level))

    return dataclasses.replace(self, levels=with_atoms)


def _stratified(quantile, shared=False) -> Draw:
  """The draw whose levels are quantile(u), u stratified over batch x blocks, then permuted; shared:
  one u an example."""

  def draw(key, shape):
    key_jitter, key_order = jax.random.split(key)
    count = shape[0] if shared else shape[0] * shape[1]
    u = (jnp.arange(count, dtype=jnp.float32) + jax.random.uniform(key_jitter, (count,))) / count
    u = jax.random.permutation(key_order, u)
    u = jnp.broadcast_to(u[:, None], shape) if shared else u.reshape(shape)
    return quantile(u)

  return Draw(draw)


def _check_window(name, low, high):
  """Raises ValueError for a window of levels that is none."""
  if not 0 <= low < high <= 1:
    raise ValueError(f'draw {name} needs 0 <= low < high <= 1, not low={low}, high={high}')


def uniform(low: values.Share = 0.0, high: values.Share = 1.0, *, shared: bool = False) -> Draw:
  """Uniform in [low, high]."""
  _check_window('uniform', low, high)
  return Draw.within(low, high, shared=shared)


def clipped(low: values.Share = 0.3, high: values.Share = 0.8, *, shared: bool = False) -> Draw:
  """Uniform in a window inside (0, 1): lower gradient variance in training (BD3-LM, section 5).
  Never for likelihoods."""
  _check_window('clipped', low, high)
  return uniform(low, high, shared=shared)


def logit_normal(
  mean: Annotated[float, values.between(-10, 10)] = 0.0, std: values.Positive = 1.0, *,
  shared: bool = False,
) -> Draw:
  """sigmoid(normal(mean, std)) (Esser et al. 2024, arXiv:2403.03206, section 3.1)."""
  tiny = jnp.finfo(jnp.float32).eps
  return _stratified(
    lambda u: jax.nn.sigmoid(mean + std * jax.scipy.special.ndtri(jnp.clip(u, tiny, 1 - tiny))),
    shared,
  )


def ones() -> Draw:
  """All noise, always: with masked tokens, the chain rule of an autoregressive model."""
  return Draw(lambda key, shape: jnp.ones(shape, jnp.float32), pure_noise=True)
