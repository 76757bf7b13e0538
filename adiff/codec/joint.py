"""Examples of several parts (a caption and its picture): each part is a kind of tokens, and has a
codec of its own."""

import dataclasses
from typing import Any

import numpy as np

from adiff.codec import base
from adiff.sequence import spec as spec_lib
from adiff.sequence import values
from adiff.sequence.tokens import Tokens


@dataclasses.dataclass(frozen=True)
class Joint(base.Codec):
  """Examples {name: [b, ..]} <-> Tokens of as many kinds, called as the parts are.

  Positions share their axes (time, row, column): a kind whose tokens lie on a line is on the first
  one, those of a picture on the last two; axes that no kind needs are left out. A network tells
  kinds apart by what each is embedded with.
  """

  kinds: dict[str, base.Codec]

  @classmethod
  def reads(cls, facts):
    return bool(facts.parts)

  def fit(self, source):
    return Joint({kind: codec.fit(source.part(kind)) for kind, codec in self.kinds.items()})

  def spec(self, facts):
    specs = {kind: codec.spec(facts.parts[kind]) for kind, codec in self.kinds.items()}
    axes = sorted({axis for spec in specs.values() for axis in _axes(spec.coords.shape[1])})
    runs = tuple((kind, spec.num_tokens) for kind, spec in specs.items())
    num_tokens = sum(num for _, num in runs)
    values.check_row(num_tokens)
    return spec_lib.Spec(
      kinds=tuple(spec.kind for spec in specs.values()), num_tokens=num_tokens, grid=(num_tokens,),
      coords=np.concatenate([_on(axes, spec.coords) for spec in specs.values()]),
      conds=facts.conds, dims=sum(spec.dims for spec in specs.values()), medium=facts.medium,
      runs=runs, grids={kind: spec.grid for kind, spec in specs.items()},
    )

  def at(self, facts):
    return Joint({
      kind: codec.at(facts.parts[kind]) if facts.parts[kind].medium == 'image' else codec
      for kind, codec in self.kinds.items()
    })

  def init(self, key):
    return {kind: codec.init(key) for kind, codec in self.kinds.items()}

  def encode(self, params, examples, key=None):
    parts = {
      kind: codec.encode(_of(params, kind), examples[kind], key)
      for kind, codec in self.kinds.items()
    }
    return Tokens(parts, tuple((kind, part.shape[1]) for kind, part in parts.items()))

  def decode(self, params, tokens):
    return {
      kind: codec.decode(_of(params, kind), tokens.parts[kind])
      for kind, codec in self.kinds.items()
    }


def _of(params, kind) -> Any:
  """A kind's parameters; () where no codec has any."""
  return params[kind] if params else ()


def _axes(num) -> tuple[int, ...]:
  """Which of (time, row, column) a kind with positions on so many axes lies on."""
  if num > 3:
    raise ValueError(f'tokens on {num} axes cannot stand beside others; write at most 3')
  return {1: (0,), 2: (1, 2), 3: (0, 1, 2)}[num]


def _on(axes, coords):
  """coords [N, A] on shared axes."""
  shared = np.zeros((len(coords), len(axes)), np.int32)
  shared[:, [axes.index(axis) for axis in _axes(coords.shape[1])]] = coords
  return shared
