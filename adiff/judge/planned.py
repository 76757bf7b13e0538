"""The section of the plan: which block of which kind is made when."""

import jax.numpy as jnp
import numpy as np

from adiff.judge import section
from adiff.judge.page import charts, images
from adiff.sequence import tokens as tokens_lib

TITLE = 'Plan'
_MOST = 512  # calls and blocks that are drawn; of more, one in every few


def of(plan, blocks, solver, law='') -> section.Section:
  """The section of the walk that a solver makes through a plan over blocks; law: a sentence on what
  samples follow instead of this walk's law, where they do."""
  kinds, matrix = blocks.kind_of_block, plan.matrix
  before, after = matrix[:-1], matrix[1:]
  asks = np.asarray(solver.asks(jnp.asarray(after), tokens_lib.merged((kind, 1) for kind in kinds)))
  calls = np.where(after < before, asks, 0).max(1)
  levels = np.concatenate([matrix[:1], np.repeat(after, calls, axis=0)])
  names = _names(kinds)
  calls_a_column, blocks_a_row = every = tuple(-(-num // _MOST) for num in levels.shape)
  picture = charts.made_picture(
    levels[::calls_a_column, ::blocks_a_row], kinds[::blocks_a_row], names[::blocks_a_row],
    every=every,
  )
  most = 'at most ' if solver.adaptive else ''
  caption = (
    f'Which block is made when: {blocks.num_blocks} blocks of {blocks.num_tokens} tokens in {most}'
    f'{len(levels) - 1} network calls, one after another; the darker, the less noise is left. '
    'A block reads those that stand above it.'
  )
  return section.Section(TITLE, (section.Figure(
    'plan', images.png_bytes(picture), caption, values={
      'names': names, 'sizes': blocks.sizes, 'first_call': _call(levels < 1),
      'last_call': _call(levels <= 0),
    },
  ), *((_other_law(law),) if law else ())))


def _other_law(law):
  return section.Facts((section.Fact(
    'law_of_samples', 'law of samples', 'another than the sequential walk', meaning=law,
  ),))


def _names(kinds):
  """Of the blocks: their kind and their place among those of it; of one kind, the place."""
  counted, names = {}, []
  for kind in kinds:
    counted[kind] = counted.get(kind, 0) + 1
    names.append(f'{counted[kind]}' if kind is None else f'{kind} {counted[kind]}')
  return names


def _call(reached):
  """[K] the first call after which a block has reached something, bool [C + 1, K]; 0: before all
  calls."""
  return reached.argmax(0)
