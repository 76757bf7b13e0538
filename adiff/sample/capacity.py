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
  """What one window needs."""

  stretch: windows_lib.Stretch  # where it belongs
  index: int  # in the stretch
  written: int  # tokens written to the cache by then
  places: int  # that serve it


class Room(NamedTuple):
  """A stretch of windows, and the places of the cache that they are walked with."""

  places: int
  stretch: windows_lib.Stretch


def places(plan, blocks, reach=None, sinks=0) -> int:
  """Places that serve the whole walk: all that it writes, or all that `reach` lets it see."""
  return max(need.places for need in _needs(plan, blocks, reach, sinks))


def rooms(plan, blocks, reach=None, sinks=0) -> list[Room]:
  """The stretches of the walk, cut; places never fall. With 512 tokens in blocks of 16, places are
  128, 256, 384 and 496, for eight windows each."""
  total = places(plan, blocks, reach, sinks)
  step = max(SMALL, -(-total // PARTS))
  groups, most = [], 0  # groups: [places, stretch, indices of its windows]
  for need in _needs(plan, blocks, reach, sinks):
    # A ring that has turned can't grow: it has its last size before.
    has_turned = need.places < need.written
    most = max(most, total if has_turned else min(-(-need.places // step) * step, total))
    if groups and groups[-1][0] == most and groups[-1][1] is need.stretch:
      groups[-1][2].append(need.index)
    else:
      groups.append((most, need.stretch, [need.index]))
  return [Room(most, windows_lib.part(stretch, indices)) for most, stretch, indices in groups]


def _needs(plan, blocks, reach, sinks) -> list[Need]:
  first_token, block = blocks.first_token, blocks.block_of_token

  def oldest(token):
    """The first token that the block of this one reads."""
    return int(first_token[max(block[token] - reach, 0)])

  needs = []
  for stretch in windows_lib.stretches(plan, blocks.sizes):
    windows, num_pending = stretch.windows, stretch.num_pending
    for index, (pending, start) in enumerate(zip(windows.pending, windows.start, strict=True)):
      written = own = int(pending) + num_pending
      if reach is not None:
        # Finished blocks read while they are written, those in flight afterwards.
        pinned = int(first_token[min(sinks, blocks.num_blocks)])
        seen = max(int(pending) - oldest(pending), written - oldest(start), num_pending)
        own = min(written, pinned + seen)
      needs.append(Need(stretch, index, written, own))
  return needs
