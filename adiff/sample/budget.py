"""What a budget of calls is spent on: the best plan of all, by dynamic programming.

*Masked tokens*: how many to reveal in each call of a block. Tokens that are revealed in one call
are drawn independently of each other, which costs nats. With the profile of a network, profile[k -
1] = expected nats of one masked token while k of a block's B tokens are masked, a plan n_1 .. n_S
that sums to B has the bound

  sum_j n_j profile[m_j - 1],   m_j = n_j + .. + n_S,

since m_j tokens are masked before call j and n_j of them, chosen at random, are revealed (ARDM,
arXiv:2110.02037, section 3.2). The sum over calls is minimised exactly. Where the profile never
falls with k, as that of an exact network, another call never makes the best plan worse.

A plan is what `likelihood.bound` takes for a block as `reveals`.

*Gaussian tokens*: how many steps each block gets of a total. With errors[k, n - 1] = what n steps
do to block k (run/step_profile.py measures how far it ends from where many steps do), `dealt` finds
the numbers n_1 .. n_K that sum to the total and have the least sum of errors. What the error of an
early block does to later ones is not counted.
"""

import math

import numpy as np


def cost(profile, reveals) -> float:
  """Nats a block of the plan `reveals`, a tuple of positive counts that sum to len(profile).

  profile: [B] nats a token. Raises ValueError where the plan is none for B tokens.
  """
  profile = _profile(profile)
  reveals = np.asarray(reveals)
  if reveals.ndim != 1 or np.any(reveals < 1) or reveals.sum() != len(profile):
    raise ValueError(
      f'reveals {tuple(reveals.tolist())} must be positive and sum to the {len(profile)} tokens of '
      'the profile'
    )
  masked = np.cumsum(reveals[::-1])[::-1]
  return float(reveals @ profile[masked - 1])


def optimal(profile, calls) -> tuple[int, ...]:
  """The plan of exactly `calls` calls with the least `cost`; of equals, the one that reveals less
  first.

  profile: [B] nats a token, in any order of size. O(B^2 calls). Raises ValueError unless 1 <= calls
  <= B.
  """
  profile = _profile(profile)
  size = len(profile)
  if not 1 <= calls <= size:
    raise ValueError(f'calls must be between 1 and the {size} tokens of the profile, not {calls}')
  masked, shown = np.arange(1, size + 1), np.arange(1, size + 1)
  legal = shown[None] <= masked[:, None]  # [m - 1, n - 1]: n of m are revealed
  price = np.where(legal, shown[None] * profile[:, None], np.inf)
  left = np.where(legal, masked[:, None] - shown[None], 0)
  best = np.full(size + 1, np.inf)  # nats from m masked tokens on, with the calls that remain
  best[0] = 0
  choices = []
  for _ in range(calls):
    total = price + best[left]
    choices.append(np.argmin(total, axis=1) + 1)
    best = np.append(np.inf, np.min(total, axis=1))
  reveals, remaining = [], size
  for choice in reversed(choices):
    reveals.append(int(choice[remaining - 1]))
    remaining -= reveals[-1]
  return tuple(reveals)


def counts(spacing, size, calls) -> tuple[int, ...]:
  """What a spacing reveals of `size` tokens in `calls` steps; steps that reveal none are left out.

  spacing: progress in [0, 1] -> level, as in `levels`; after step j, floor(spacing(j / calls) *
  size + 1/2) tokens are masked, never more than before, and none after the last.
  """
  if size < 1 or calls < 1:
    raise ValueError(f'counts need size >= 1 and calls >= 1, not size={size}, calls={calls}')
  masked, reveals = size, []
  for step in range(1, calls + 1):
    level = float(spacing(step / calls)) if step < calls else 0.0
    left = min(masked, max(0, math.floor(level * size + 0.5)))
    if left < masked:
      reveals.append(masked - left)
    masked = left
  return tuple(reveals)


def dealt(errors, total) -> tuple[int, ...]:
  """The steps of each block, `total` in all and one or more each, with the least sum of errors; of
  equals, those that give later blocks less.

  errors: [K, M], of block k in n = 1 .. M steps. O(K M total). Raises ValueError unless K <= total
  <= K M.
  """
  errors = np.asarray(errors, np.float64)
  if errors.ndim != 2 or not errors.size or not np.all(np.isfinite(errors)):
    raise ValueError(
      'errors are one finite number for each block and number of steps, not an array of '
      f'{errors.shape}'
    )
  num_blocks, most = errors.shape
  if not num_blocks <= total <= num_blocks * most:
    raise ValueError(
      f'{num_blocks} blocks of 1 to {most} steps take {num_blocks} to {num_blocks * most} in all, '
      f'not {total}'
    )
  best = np.full(total + 1, np.inf)  # of the blocks so far, by the steps that they take
  best[0] = 0
  choices = []
  for own in errors:
    so_far = np.stack([
      np.append(np.full(steps, np.inf), best[:total + 1 - steps] + own[steps - 1])
      for steps in range(1, min(most, total) + 1)
    ])
    choices.append(so_far.argmin(0) + 1)
    best = so_far.min(0)
  steps, left = [], total
  for choice in reversed(choices):
    steps.append(int(choice[left]))
    left -= steps[-1]
  return tuple(reversed(steps))


def _profile(profile):
  profile = np.asarray(profile, np.float64)
  if profile.ndim != 1 or not profile.size or not np.all(np.isfinite(profile)):
    raise ValueError(
      f'a profile is one finite number of nats for each k = 1..B, not an array of {profile.shape}'
    )
  return profile
