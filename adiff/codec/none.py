"""No codec: examples that are their own tokens."""

import dataclasses

import numpy as np

from adiff.codec import base
from adiff.sequence import spec as spec_lib


@dataclasses.dataclass(frozen=True)
class AsTheyAre(base.Codec):
  """Examples int [b, N], or float [b, N, D]."""

  @classmethod
  def reads(cls, facts):
    return facts.medium == 'law'

  def spec(self, facts):
    num_tokens, *dim = facts.shape
    kind = spec_lib.Vectors(dim[0]) if dim else spec_lib.Symbols(facts.levels)
    coords = np.arange(num_tokens)[:, None] if facts.coords is None else facts.coords
    return spec_lib.Spec(
      kinds=(kind,), num_tokens=num_tokens, grid=(num_tokens,),
      coords=np.asarray(coords, np.int32), conds=facts.conds, dims=int(np.prod(facts.shape)),
      medium=facts.medium,
    )

  def encode(self, params, examples, key=None):
    return np.asarray(examples)

  def decode(self, params, tokens):
    return np.asarray(tokens)
