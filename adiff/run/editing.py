"""Editing: examples that begin with others, given in part or noised, or that have a given low
resolution. On the command line, --mode=sample --edit=FILE.npz:

  numpy.savez(FILE, pictures, mask=holes)              where bool holes [n, H, W] are True they are
                                                       made anew, around what is given
  numpy.savez(FILE, pictures, mask=holes, resamples=9) likewise, see sample/repaint.py
  numpy.savez(FILE, pictures, strength=0.5)            variations: they are made from that level on
  numpy.savez(FILE, low=small)                         [n, H/f, W/f, C], enlarged: of a model that
                                                       is told the low resolution
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from absl import logging

from adiff.machine import array_file
from adiff.run import build, directions, generate
from adiff.run import examples as examples_lib
from adiff.sample import repaint
from adiff.sequence import plan as plan_lib
from adiff.sequence import started

ADVICE = (
  'write one with numpy.savez(FILE, PICTURES, mask=HOLES), or strength=0.5, or low=PICTURES alone'
)
_KNOWN = {'arr_0', 'arr_1', 'mask', 'strength', 'resamples', 'low'}  # arr_1: labels, of our samples


class Begun(NamedTuple):
  """What samples begin with."""

  held: generate.Held | None = None
  low: np.ndarray | None = None  # [n, h, w, C] the low resolution that they shall have


def opened(parts: build.Parts, examples, mask) -> tuple[np.ndarray, np.ndarray]:
  """(tokens [n, N, ..], bool [n, N]: those with a masked value in them), in raster order; mask:
  bool, of the shape of the examples or of their first axes. Raises ValueError where a block would
  have to read tokens that come after it."""
  check_one_kind(parts)
  facts = parts.source.facts
  examples = examples_lib.checked(facts, examples)
  if (
    not mask.ndim or mask.shape != examples.shape[:mask.ndim]
    or not mask.reshape(len(mask), -1).any(1).all()
  ):
    raise ValueError(
      f'a mask has the shape {list(mask.shape)}; it must have that of its examples, '
      f'{list(examples.shape)}, or its first axes, and be True somewhere in each'
    )
  mask = np.broadcast_to(mask.reshape(mask.shape + (1,) * (examples.ndim - mask.ndim)),
                         examples.shape)
  # A token is touched if it differs between the two extremes of what is masked.
  ends = (0, facts.levels - 1) if facts.levels else (-1e3, 1e3)
  low, high = (
    examples_lib.tokens(parts, np.where(mask, end, examples).astype(examples.dtype)) for end in ends
  )
  touched = (low != high).reshape(*low.shape[:2], -1).any(2)
  for hole in parts.blocks.from_raster(touched):
    check_given(parts.blocks, hole, ~hole)
  return examples_lib.tokens(parts, examples), touched


def check_one_kind(parts: build.Parts) -> None:
  """Raises ValueError where examples are made of several."""
  if parts.spec.by_kind:
    raise ValueError(
      f'examples of {", ".join(parts.spec.by_kind)} are edited by what is given of them, in '
      'Model.given or by --given'
    )


def plan(parts: build.Parts, **how) -> plan_lib.Plan:
  """The config's, from another level `start` on, or with rows made again, `resamples` times. Raises
  ValueError for numbers that are none, and what cannot be resampled."""
  if not how:
    return parts.plan
  made = started.of(parts.plan, **how)
  if made.resamples:
    repaint.check(parts.blocks, parts.process)
  parts.parallel.needs(dataclasses.replace(parts, plan=made))
  return made


def begun(parts: build.Parts, given, edit, num) -> tuple[build.Parts, Begun, int]:
  """(parts as they are walked, what samples begin with, how many) of --given and --edit, paths or
  None, and --num. Raises as `read` and directions.read."""
  if given is not None:
    parts, tokens_of = directions.read(given, parts)
    held = directions.held(parts, tokens_of)
    return parts, Begun(held), len(held.tokens)
  if edit is not None:
    return read(edit, parts)
  return parts, Begun(), num


def read(path, parts: build.Parts) -> tuple[build.Parts, Begun, int]:
  """As `begun`, of a file to edit. Raises ValueError for what is no file of such examples, or asks
  for nothing; OSError where it cannot be read."""
  build.check_denoises(parts, 'edits no examples')
  found = array_file.npz(path, advice=ADVICE)
  unknown = set(found) - _KNOWN
  first = found.get('low', found.get('arr_0'))
  if unknown or first is None or not first.ndim or not len(first):
    wrong = f'{min(unknown)!r}, which nobody reads' if unknown else 'no examples'
    raise ValueError(f'{path} holds {wrong}; {ADVICE}')
  if 'low' in found:
    if len(found) > 1 or 'low' not in parts.spec.conds:
      raise ValueError(
        f'{path} holds a low resolution, which goes alone and with a model that is told it '
        '(codec.name=controlled, codec.control=low)'
      )
    return parts, Begun(low=first), len(first)
  if not {'mask', 'strength'} & set(found):
    raise ValueError(f'{path} does not say what is made anew; {ADVICE}')
  if 'resamples' in found and 'mask' not in found:
    raise ValueError(f'{path} resamples around no mask; {ADVICE}')
  numbers = {}
  for name, key in (('strength', 'start'), ('resamples', 'resamples')):
    if name in found and found[name].size != 1:
      raise ValueError(f'{path} holds {found[name].size} numbers as {name}; {ADVICE}')
    if name in found:
      numbers[key] = found[name].item()
  parts = dataclasses.replace(parts, plan=plan(parts, **numbers))
  if 'mask' not in found:
    check_one_kind(parts)
    return parts, Begun(generate.Held(examples_lib.tokens(parts, first), None)), len(first)
  given, hole = opened(parts, first, np.asarray(found['mask'], bool))
  tell_untaught(parts, ~hole, numbers.get('resamples', 0))
  return parts, Begun(generate.Held(given, ~hole)), len(first)


def tell_untaught(parts: build.Parts, known, resamples=0) -> None:
  """Warns where tokens known bool [n, N], in raster order, stand beside a hole in a block of a
  network that has not learnt with tokens given."""
  if parts.config.train.given or resamples:
    return
  known, block = parts.blocks.from_raster(known), parts.blocks.block_of_token
  if any(own.any() and not own.all() for row in known for own in (
    row[block == k] for k in range(parts.blocks.num_blocks)
  )):
    logging.warning(
      'this network has not learnt with tokens given (train.given=0.0): what is made beside those '
      'of one block follows from them roughly; resamples=10 helps where one block holds floats'
    )


def check_given(blocks, hole, given) -> None:
  """Raises ValueError where a walk would not take all given tokens into account; hole and given
  bool [N] in block order."""
  block = blocks.block_of_token
  if np.any(hole) and np.any(given) and block[given].max() > block[hole].min():
    raise ValueError(
      f'a hole in block {block[hole].min()} with given tokens in block {block[given].max()}: a '
      'block reads only the blocks before it, so the later tokens would be ignored; use a model of '
      'one block (configs/text.py:full), or an order in which the hole comes last'
    )
