"""Levels: how noisy each block is, in training (draws) and in sampling (a plan).

A *draw* maps (key, (B, K)) to levels [B, K]. It is stratified over the whole batch x blocks and
then permuted: each level is visited equally often, and no example or block is always the easy one
(ARDM, arXiv:2110.02037, permutes for the same reason). A *plan* is a walk through a matrix
[R + 1, K] of levels from all ones to all zeros, one row a step (the scheduling matrix of Diffusion
Forcing, arXiv:2407.01392):

    delay = steps                delay = 2, a pyramid         delay = 0
    1   1                        1   1                        1   1
    .5  1                        .75 1                        .5  .5
    0   1                        .5  1                        0   0
    0   .5                       .25 .75
    0   0                        0   .5   ...

With delay < steps a block starts from a past that is still noisy. That is fast and, where the past
is read as noisy as it is, well defined, but its law is approximate even for a perfect causal
network: an earlier block's step takes no notice of what later blocks already say about it. At
delay = steps the law is that of the data.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Draw = Callable[[jax.Array, tuple[int, int]], jax.Array]


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

  return draw


def uniform(low=0.0, high=1.0, *, shared=False) -> Draw:
  """Uniform in [low, high]."""
  return _stratified(lambda u: low + (high - low) * u, shared)


def clipped(low, high, *, shared=False) -> Draw:
  """Uniform in a window inside (0, 1): lower gradient variance in training (BD3-LM, section 5).
  Never for likelihoods."""
  if not 0 <= low < high <= 1:
    raise ValueError(f'a clipped window needs 0 <= low < high <= 1, not low={low}, high={high}')
  return uniform(low, high, shared=shared)


def logit_normal(mean=0.0, std=1.0, *, shared=False) -> Draw:
  """sigmoid(normal(mean, std)) (Esser et al. 2024, arXiv:2403.03206, section 3.1)."""
  tiny = jnp.finfo(jnp.float32).eps
  return _stratified(
    lambda u: jax.nn.sigmoid(mean + std * jax.scipy.special.ndtri(jnp.clip(u, tiny, 1 - tiny))),
    shared,
  )


def ones() -> Draw:
  """All noise, always: with masked tokens, the chain rule of an autoregressive model."""
  return lambda key, shape: jnp.ones(shape, jnp.float32)


def atoms(draw: Draw, *, zero=0.0, one=0.0) -> Draw:
  """`draw`, but level 0 with probability `zero` and level 1 with probability `one`.

  With history None the past is met at level 0 in sampling, so training must show level 0 to the
  network.
  """
  if zero < 0 or one < 0 or zero + one > 1:
    raise ValueError(
      f'atoms need zero >= 0, one >= 0 and zero + one <= 1, not zero={zero}, one={one}'
    )

  def with_atoms(key, shape):
    key_level, key_atom = jax.random.split(key)
    which = uniform()(key_atom, shape)
    level = draw(key_level, shape)
    return jnp.where(which < zero, 0.0, jnp.where(which > 1 - one, 1.0, level))

  return with_atoms


# Spacings: progress u in [0, 1] -> level, from 1 to 0.


def linear() -> Callable:
  """Equal steps in the level."""
  return lambda u: 1 - u


def cosine() -> Callable:
  """cos(pi u / 2): small steps first (the unmasking schedule of MaskGIT, arXiv:2202.04200, is its
  complement's square)."""
  return lambda u: np.cos(np.pi / 2 * u)


def power(exponent=2.0) -> Callable:
  """(1 - u) ** exponent: more steps at low levels where exponent > 1."""
  return lambda u: (1 - u) ** exponent


def reveals(counts) -> Callable:
  """A table: counts[j] of sum(counts) tokens are revealed in step j + 1 of len(counts)."""
  if not counts or min(counts) < 1:
    raise ValueError(f'reveals{tuple(counts)} must name positive numbers of tokens, one a step')
  left = 1 - np.cumsum([0, *counts]) / sum(counts)
  grid = np.linspace(0, 1, len(left))

  def spacing(u):
    hit = np.isclose(np.asarray(u)[..., None], grid)
    if not hit.any(-1).all() or not hit.any(0).all():
      raise ValueError(f'reveals{tuple(counts)} names every step; write plan.steps={len(counts)}')
    return left[hit.argmax(-1)]

  return spacing


class Window(NamedTuple):
  """A stretch of the walk during which the same blocks are in flight; arrays, so that equal shapes
  can be scanned.

  pending: first of the tokens that finished since the last window. start: first token of this
  window.
  t, s, index [R, n]: level now, level next, and number of steps its block has made, per row and
  token of the window.
  """

  pending: np.ndarray
  start: np.ndarray
  t: np.ndarray
  s: np.ndarray
  index: np.ndarray


@dataclasses.dataclass(frozen=True)
class Plan:
  """The walk from noise to data: which block is at which level after each step.

  steps: steps per block, one number or one a block (the first block may get more).
  delay: how many steps after its predecessor a block starts; None: when its predecessor is
  finished.
  spacing: progress in [0, 1] -> level.
  given: this many leading blocks are data (a prompt) and take no step.
  """

  num_blocks: int
  steps: int | tuple[int, ...] = 8
  delay: int | None = None
  spacing: Callable = dataclasses.field(default_factory=linear)
  given: int = 0

  def __post_init__(self):
    if len(self.budgets) != self.num_blocks:
      raise ValueError(
        f'plan.steps names {len(self.budgets)} blocks but there are {self.num_blocks}'
      )
    if min(self.budgets) < 1 or (self.delay is not None and self.delay < 0):
      raise ValueError(
        f'plan needs steps >= 1 and delay >= 0, not steps={self.steps}, delay={self.delay}'
      )
    if not 0 <= self.given < self.num_blocks:
      raise ValueError(
        f'plan.given={self.given} must leave one of {self.num_blocks} blocks to make'
      )

  @property
  def budgets(self) -> tuple[int, ...]:
    """Steps of each block."""
    return self.steps if isinstance(self.steps, tuple) else (self.steps,) * self.num_blocks

  @property
  def starts(self) -> np.ndarray:
    """[K] row at which each block starts; no block finishes before its predecessor."""
    rows = np.zeros(self.num_blocks, int)
    for k in range(self.given + 1, self.num_blocks):
      before, own = self.budgets[k - 1], self.budgets[k]
      wait = before if self.delay is None else min(self.delay, before)
      rows[k] = rows[k - 1] + max(wait, before - own)
    return rows

  @property
  def ends(self) -> np.ndarray:
    """[K] row at which each block is data."""
    return np.where(
      np.arange(self.num_blocks) < self.given, 0, self.starts + np.asarray(self.budgets)
    )

  @property
  def num_rows(self) -> int:
    """R: network steps of the walk (sequential evaluations, where a step is one call)."""
    return int(self.ends[-1])

  @property
  def sequential(self) -> bool:
    """Does every block start only when its predecessor is finished?"""
    return bool(np.all(self.starts[self.given + 1:] >= self.ends[self.given:-1]))

  @property
  def index(self) -> np.ndarray:
    """[R, K] how many steps each block has made before each row; negative while it waits."""
    return np.arange(self.num_rows)[:, None] - self.starts

  @property
  def matrix(self) -> np.ndarray:
    """[R + 1, K] level of each block before each row, and after the last."""
    steps = np.asarray(self.budgets)
    made = np.clip(np.arange(self.num_rows + 1)[:, None] - self.starts, 0, steps)
    levels = np.where(made == steps, 0.0, np.where(made == 0, 1.0, self.spacing(made / steps)))
    return np.where(np.arange(self.num_blocks) < self.given, 0.0, levels).astype(np.float32)

  @property
  def spans(self) -> list[tuple[int, int, int, int]]:
    """Windows as (first row, end row, first block, end block): a new one opens where a block
    starts."""
    starts, ends = self.starts, self.ends
    rows = sorted({int(row) for row in starts[self.given:]}) + [self.num_rows]
    return [
      (row, until, int(np.sum(ends <= row)), int(np.sum(starts <= row)))
      for row, until in zip(rows[:-1], rows[1:], strict=True)
    ]

  @property
  def window(self) -> int:
    """Blocks in flight at once, at most (K: nothing can be cached)."""
    return max(end - first for _, _, first, end in self.spans)

  def windows(self, sizes) -> list[tuple[int, int, Window]]:
    """The walk for blocks of `sizes` tokens: runs of (m, n, windows stacked on a leading axis) of
    equal shape.

    Each window has m tokens that finished since the one before it, and n tokens in flight.
    """
    first_token = np.cumsum([0, *sizes])
    token_block = np.repeat(np.arange(self.num_blocks), sizes)
    matrix, index = self.matrix, self.index.astype(np.int32)
    runs, done = [], 0
    for row, until, first, end in self.spans:
      tokens = token_block[first_token[first]:first_token[end]]
      window = Window(
        pending=np.int32(first_token[done]),
        start=np.int32(first_token[first]),
        t=matrix[row:until, tokens],
        s=matrix[row + 1:until + 1, tokens],
        index=index[row:until, tokens],
      )
      shape = (int(first_token[first] - first_token[done]), len(tokens), until - row)
      if not runs or runs[-1][0] != shape:
        runs.append((shape, []))
      runs[-1][1].append(window)
      done = first
    return [
      (m, n, Window(*(np.stack(leaf) for leaf in zip(*run, strict=True))))
      for (m, n, _), run in runs
    ]
