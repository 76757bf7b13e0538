"""How many places a walk needs in the cache: enough, and not many more than it is about to see.

A query pays for every place of a cache, filled or not; a cache as large as the whole walk makes
block-wise sampling slower than full-sequence diffusion. So a walk is cut into a few parts, each
with its own number of places. Where blocks read at most `reach` blocks back the cache is a ring:
time and memory a block stay the same however long the walk.
"""

from typing import NamedTuple

from adiff.sample import windows as windows_lib

PARTS = 4  # programs that a walk is cut into at most, one a number of places
SMALL = 128  # fewer places than this are not worth a program of their own


class Need(NamedTuple):
  """What the windows of one period need."""

  written: int  # tokens written to the cache by then
  places: int  # that serve it


class Room(NamedTuple):
  """A stretch of windows, and the places of the caches that they are walked with."""

  places: tuple[int, ...]  # one for each of the network's `reads`
  stretch: windows_lib.Stretch


def places(plan, blocks, reach=None, sinks=0) -> int:
  """Places that serve the whole walk: all that it writes, or all that `reach` lets it see."""
  stretches = windows_lib.stretches(plan, blocks)
  return max(need.places for need in _needs(stretches, blocks, reach, sinks))


def each(plan, blocks, reads) -> tuple[int, ...]:
  """The places of every cache of a network with these `reads`."""
  return tuple(places(plan, blocks, *read) for read in reads)


def rooms(plan, blocks, reads=((None, 0),)) -> list[Room]:
  """The stretches of the walk, cut; places never fall. With 512 tokens in blocks of 16, places are
  128, 256, 384 and 496, for eight windows each."""
  stretches = windows_lib.stretches(plan, blocks)
  of_caches = [_rounded(_needs(stretches, blocks, *read)) for read in reads]
  groups = []  # [places, stretch, indices of its periods]
  periods = ((stretch, index) for stretch in stretches for index in range(stretch.periods))
  for number, (stretch, index) in enumerate(periods):
    own = tuple(of_cache[number] for of_cache in of_caches)
    if groups and groups[-1][0] == own and groups[-1][1] is stretch:
      groups[-1][2].append(index)
    else:
      groups.append((own, stretch, [index]))
  return [Room(own, windows_lib.part(stretch, indices)) for own, stretch, indices in groups]


def _rounded(needs) -> list[int]:
  """The places that serve each period, of a few sizes."""
  total = max(need.places for need in needs)
  step = max(SMALL, -(-total // PARTS))
  sizes, most = [], 0
  for need in needs:
    # A ring that has turned can't grow: it has its last size before.
    has_turned = need.places < need.written
    most = max(most, total if has_turned else min(-(-need.places // step) * step, total))
    sizes.append(most)
  return sizes


def _needs(stretches, blocks, reach, sinks) -> list[Need]:
  """One a period."""
  first_token, block = blocks.first_token, blocks.block_of_token

  def oldest(token):
    """The first token that the block of this one reads."""
    return int(first_token[max(block[token] - reach, 0)])

  def need(shape, pending, start):
    """(tokens written, places) of a window."""
    written = own = pending + shape.num_pending
    if reach is not None:
      # Finished blocks read while they are written, those in flight afterwards.
      pinned = int(first_token[min(sinks, blocks.num_blocks)])
      seen = max(pending - oldest(pending), written - oldest(start), shape.num_pending)
      own = min(written, pinned + seen)
    return written, own

  needs = []
  for stretch in stretches:
    for index in range(stretch.periods):
      of_windows = [
        need(shape, int(windows.pending[index]), int(windows.start[index]))
        for shape, windows in zip(stretch.shapes, stretch.windows, strict=True)
      ]
      needs.append(Need(*map(max, zip(*of_windows, strict=True))))
  return needs
