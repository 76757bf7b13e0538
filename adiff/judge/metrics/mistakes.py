"""Mistakes: how far is each block from real ones, and what does a wrong one do to later ones?"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from adiff.judge.metrics import frechet

WIDTH = 64  # principal components that blocks of more values are compared in


class Wrong(NamedTuple):
  """What one wrong block does to those behind it."""

  block: int  # that was wrong, from 0
  moved: np.ndarray  # [K - block - 1] root mean square change of each later block, over its own
  lost: float  # relative Fréchet distance of all later blocks: wrong less right


def values_of(tokens) -> np.ndarray:
  """Tokens [n, N(, D)] as float64 [n, N, D]; symbols as they are numbered."""
  tokens = np.asarray(tokens, np.float64)
  return tokens[..., None] if tokens.ndim == 2 else tokens


def relative_frechet(real, made) -> float:
  """Fréchet distance of values [n, ..] and [m, ..], over the variance of the real ones: 0 where
  both have one normal law, 1 where the means are a deviation apart in every direction.

  Of more than WIDTH values, the principal components of the real ones. Raises ValueError for real
  ones that do not vary.
  """
  real, made = (np.asarray(one, np.float64).reshape(len(one), -1) for one in (real, made))
  mean, cov = frechet.moments(real)
  if real.shape[1] > WIDTH:
    axes = np.linalg.eigh(cov)[1][:, -WIDTH:]
    real, made = ((one - mean) @ axes for one in (real, made))
    mean, cov = frechet.moments(real)
  if not np.trace(cov):
    raise ValueError('real values that are all alike give no scale; compare blocks that vary')
  return frechet.gaussian_frechet(mean, cov, *frechet.moments(made)) / float(np.trace(cov))


def by_block(real, made, blocks) -> list[float]:
  """relative_frechet of the tokens of each block; blocks int [N], the block of every token."""
  real, made = values_of(real), values_of(made)
  return [
    relative_frechet(real[:, blocks == k], made[:, blocks == k]) for k in range(blocks.max() + 1)
  ]


def of_wrong_blocks(
  real, others, blocks, fill: Callable[..., np.ndarray], which=None
) -> list[Wrong]:
  """What happens behind block k where it is that of another example, for every k of `which`, by
  default all but the last.

  real, others: tokens [n, N(, D)], raster order; fill(tokens, hole): the tokens with those of the
  hole, bool [N], made anew, with equal noise at every call. Moved is over the root mean square of
  what was changed in the wrong block: of a chain x' = a x + noise it is a^(j - k), whatever the
  noise. Raises ValueError for one block, behind which there is nothing.
  """
  last = blocks.max()
  if not last:
    raise ValueError('one block has none behind it that a mistake could harm; take several blocks')
  found = []
  for k in range(last) if which is None else which:
    hole = blocks > k
    wrong = replaced(real, others, blocks == k)
    right, harmed = (values_of(fill(one, hole)) for one in (real, wrong))
    change = _size(values_of(wrong)[:, blocks == k] - values_of(real)[:, blocks == k])
    if not change:
      raise ValueError(f'block {k} is the same in all examples, so that none of it is wrong')
    behind = values_of(real)[:, hole]
    found.append(Wrong(
      k,
      np.array([
        _size(harmed[:, blocks == j] - right[:, blocks == j]) / change
        for j in range(k + 1, last + 1)
      ]),
      relative_frechet(behind, harmed[:, hole]) - relative_frechet(behind, right[:, hole]),
    ))
  return found


def replaced(tokens, others, chosen) -> np.ndarray:
  """Tokens [n, N(, D)] of which those that are chosen, bool [N], are those of others."""
  return np.where(chosen.reshape(1, -1, *(1,) * (tokens.ndim - 2)), others, tokens)


def _size(values):
  return float(np.sqrt(np.mean(values**2)))
