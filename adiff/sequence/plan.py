"""A plan: how noisy each block is in sampling.

A walk through a matrix [R + 1, K] of levels from all ones to all zeros, one row a step (the
scheduling matrix of Diffusion Forcing, arXiv:2407.01392):

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
from typing import Any

import numpy as np

from adiff.sequence import values

Spacing = Callable[[np.ndarray], np.ndarray]  # progress in [0, 1] -> level, from 1 to 0
_BYTES = 12  # of a plan's level and index, a row and block


def linear() -> Spacing:
  """Equal steps in the level."""
  return lambda u: 1 - u


def cosine() -> Spacing:
  """cos(pi u / 2): small steps first (the mask ratio of MaskGIT, arXiv:2202.04200)."""
  return lambda u: np.cos(np.pi / 2 * u)


def power(exponent: values.Positive = 2.0) -> Spacing:
  """(1 - u) ** exponent: more steps at low levels where exponent > 1."""
  return lambda u: (1 - u) ** exponent


def shift(shift: values.Positive = 5.0) -> Spacing:
  """Equal steps l -> a l / (1 + (a - 1) l) (Esser et al. 2024, arXiv:2403.03206, eq. 23)."""
  return lambda u: shift * (1 - u) / (1 + (shift - 1) * (1 - u))


def reveals(counts: tuple[values.Count, ...] = (1,)) -> Spacing:
  """A table: counts[j] of sum(counts) tokens are revealed in step j + 1 of len(counts)."""
  told = f'reveals{values.shown(tuple(counts))}'
  if not counts or min(counts) < 1:
    raise ValueError(f'{told} must name positive numbers of tokens, one a step')
  left = 1 - np.cumsum([0, *counts]) / sum(counts)
  grid = np.linspace(0, 1, len(left))

  def spacing(u):
    hit = np.isclose(np.asarray(u)[..., None], grid)
    if not hit.any(-1).all() or not hit.any(0).all():
      raise ValueError(f'{told} names every step; write plan.steps={len(counts)}')
    return left[hit.argmax(-1)]

  return spacing


@dataclasses.dataclass(frozen=True)
class Plan:
  """The walk from noise to data: which block is at which level after each step.

  steps: steps per block, one number or one a block (the first block may get more).
  delay: how many steps after its predecessor a block starts; None: when its predecessor is
  finished.
  spacing: progress in [0, 1] -> level.
  spacings: one a block, where blocks differ; (): `spacing` of all.
  given: this many leading blocks are data (a prompt) and take no step.
  """

  num_blocks: int
  steps: int | tuple[int, ...] = 8
  delay: int | None = None
  spacing: Spacing = dataclasses.field(default_factory=linear)
  spacings: tuple[Spacing, ...] = ()
  given: int = 0
  start, resamples = 1.0, 0  # see sequence/started.py

  def __post_init__(self):
    if len(self.budgets) != self.num_blocks:
      raise ValueError(
        f'plan.budgets names {len(self.budgets)} blocks but there are {self.num_blocks}'
      )
    if min(self.budgets) < 1 or (self.delay is not None and self.delay < 0):
      raise ValueError(
        f'plan needs steps >= 1 and delay >= 0, not steps={self.steps}, delay={self.delay}'
      )
    if not 0 <= self.given < self.num_blocks:
      raise ValueError(
        f'plan.given={self.given} must leave one of {self.num_blocks} blocks to make'
      )
    values.check_memory(
      f'a plan of {self.num_rows} steps over {self.num_blocks} blocks',
      _BYTES * self.num_rows * self.num_blocks, 'write fewer plan.steps, or larger blocks',
    )

  @property
  def budgets(self) -> tuple[int, ...]:
    """Steps of each block."""
    return self.steps if isinstance(self.steps, tuple) else (self.steps,) * self.num_blocks

  @property
  def spacing_of_block(self) -> tuple[Spacing, ...]:
    return self.spacings if self.spacings else (self.spacing,) * self.num_blocks

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

  def needs(self, parts: Any) -> None:
    """As `check_history` of parts.blocks, and where the spacing has no level for a step."""
    self.check_history(parts.blocks)
    for steps, spacing in set(zip(self.budgets, self.spacing_of_block, strict=True)):
      spacing(np.arange(steps + 1) / steps)

  def check_history(self, blocks) -> None:
    """Raises ValueError where a block starts before the history that it reads is finished."""
    if blocks.num_blocks > 1 and blocks.history is not None and not self.sequential:
      raise ValueError(
        f'plan.delay={self.delay} starts a block before the one it reads at level '
        f'{blocks.history} is finished; set plan.delay=None, or history=None (diffusion forcing)'
      )

  @property
  def index(self) -> np.ndarray:
    """[R, K] how many steps each block has made before each row; negative while it waits."""
    return np.arange(self.num_rows)[:, None] - self.starts

  @property
  def matrix(self) -> np.ndarray:
    """[R + 1, K] level of each block before each row, and after the last."""
    steps = np.asarray(self.budgets)
    made = np.clip(np.arange(self.num_rows + 1)[:, None] - self.starts, 0, steps)
    levels = np.empty(made.shape)
    for spacing in set(self.spacing_of_block):
      own = np.array([one is spacing for one in self.spacing_of_block])
      levels[:, own] = spacing((made / steps)[:, own])
    levels = np.where(made == steps, 0.0, np.where(made == 0, 1.0, levels))
    return np.where(np.arange(self.num_blocks) < self.given, 0.0, levels).astype(np.float32)
