"""How much room a walk needs in the cache: enough, and not much more than it is about to see.

A query pays for every row of a cache, filled or not; a cache as large as the whole walk makes
block-wise sampling slower than full-sequence diffusion. So a walk is cut into a few parts, each
with its own number of rows. Where blocks read at most `reach` blocks back the cache is a ring: time
and memory a block stay the same however long the walk.
"""

import jax

PARTS = 4  # programs that a walk is cut into at most, one a number of rows
SMALL = 128  # fewer rows than this are not worth a program of their own


def rows(plan, blocks, reach=None, sinks=0) -> int:
  """Rows that serve the whole walk: all that it writes, or all that `reach` lets it see."""
  return max(need for *_, need in _needs(plan, blocks, reach, sinks))


def rooms(plan, blocks, reach=None, sinks=0) -> list:
  """The runs of `plan.windows`, cut: [(rows, (m, n, windows))], rows never falling."""
  total = rows(plan, blocks, reach, sinks)
  step = max(SMALL, -(-total // PARTS))
  out, most = [], 0
  for run, index, written, need in _needs(plan, blocks, reach, sinks):
    # A ring that has turned can't grow: it has its last size before.
    most = max(most, total if need < written else min(-(-need // step) * step, total))
    if out and out[-1][0] == most and out[-1][1] is run:
      out[-1][2].append(index)
    else:
      out.append((most, run, [index]))
  return [
    (most, (run[0], run[1], jax.tree.map(lambda leaf, i=index: leaf[i], run[2])))
    for most, run, index in out
  ]


def _needs(plan, blocks, reach, sinks):
  """Every window as (run, index in the run, tokens written to the cache by then, rows needed)."""
  first_token, block = blocks.first_token, blocks.block_of_token
  found = []
  for run in plan.windows(blocks.sizes):
    pending, _, windows = run
    for index, (done, start) in enumerate(zip(windows.pending, windows.start, strict=True)):
      written = need = int(done) + pending
      if reach:
        # Finished blocks read while they are written, the others afterwards.
        oldest = lambda token: int(first_token[max(block[token] - reach, 0)])
        kept = int(first_token[min(sinks, blocks.num_blocks)])
        seen = max(int(done) - oldest(done), written - oldest(start), pending)
        need = min(written, kept + seen)
      found.append((run, index, written, need))
  return found
