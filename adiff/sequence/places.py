"""Places of tokens in a picture that is shown at another size than a network was trained on.

A picture of h x w tokens lies on the trained one of H x W with the same centre and the same area:

  place = (index + 1/2 - h/2) s + H/2 - 1/2 of rows, likewise of columns,  s = sqrt(H W / (h w))

The trained size is that of the data, whatever others training takes besides. There places are the
indices themselves. Finer tokens lie closer to each other, as in the interpolation of positions
(arXiv:2306.15595); a wide picture reaches beyond a square one.
"""

import math

import numpy as np

from adiff.sequence import spec as spec_lib


def on_grid(grid, trained) -> np.ndarray:
  """float32 [h * w, 2]: row and column of every token of a grid (h, w), on the grid `trained`."""
  scale = math.sqrt(math.prod(trained) / math.prod(grid))
  rows, columns = (
    (np.arange(side) + 0.5 - side / 2) * scale + own / 2 - 0.5
    for side, own in zip(grid, trained, strict=True)
  )
  return np.stack(np.meshgrid(rows, columns, indexing='ij'), -1).reshape(-1, 2).astype(np.float32)


def of(spec: spec_lib.Spec, trained: spec_lib.Spec) -> np.ndarray:
  """float32 [N, A]: the places of the tokens of a spec, whose pictures have another size than those
  of `trained`; of a kind that is no picture its own."""
  found, first = spec.coords.astype(np.float32), 0
  runs = ((None, spec.num_tokens),) if spec.runs is None else spec.runs
  for name, num in runs:
    grid, own = (one.grid if name is None else one.grids[name] for one in (spec, trained))
    if len(grid) == 2:  # a picture, on the last two of shared axes
      found[first:first + num, -2:] = on_grid(grid, own)
    first += num
  return found
