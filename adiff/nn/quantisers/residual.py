"""Residual quantisation: several codes a place, each of what the ones before have left.

The scales of scaled.py, all as large as the grid (Zeghidour et al. 2021, arXiv:2107.03312; Lee et
al. 2022, arXiv:2203.01941): f_{k+1} = f_k + e_k[nearest to z - f_k]. Depth D with V codes is as
fine as V^D codes, were they all tried one after another. Codes stand depth by depth; what a hint
tells of a place rests on that place's coarser codes alone, so that they may also be made place by
place, as a RQ-transformer does.
"""

import dataclasses
from typing import Annotated

from adiff.nn.quantisers import codebook, scaled
from adiff.sequence import spec as spec_lib
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class Residual(scaled.Scaled):
  """`depth` codes a place, of `vocab` vectors of `dim` floats each."""

  depth: Annotated[int, values.between(1, 64)] = 4
  vocab: values.Count = 256
  dim: values.Count = 8
  shared: bool = False  # all depths read one codebook
  decay: values.ShareBelow1 = 0.99  # of the codebooks' running means, a step
  restart: values.ShareBelow1 = 0.1  # of an even use; codes that are used less begin again; 0: none
  commitment: values.NotNegative = 0.25

  @property
  def kind(self):
    return spec_lib.Symbols(self.vocab)

  @property
  def code(self):
    return codebook.Codebook(self.vocab, self.dim, self.decay, self.restart)

  @property
  def books(self):
    return (0,) * self.depth if self.shared else tuple(range(self.depth))

  def scales(self, grid):
    return (tuple(grid),) * self.depth

  def down(self, z, shape):
    return z

  def up(self, params, scale, z, grid):
    return z
