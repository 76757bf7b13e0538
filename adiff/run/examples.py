"""Examples that a caller gives, as tokens: what could be none of the data is refused in words."""

from typing import Any

import numpy as np

from adiff.codec import base as codec_base
from adiff.run import build
from adiff.sequence.tokens import Tokens


def tokens(parts: build.Parts, examples) -> Any:
  """[n, N, ..] of examples [n, ..], or of {kind: [n, ..]}, in raster order. Raises ValueError for
  others than the model's."""
  names = set(parts.spec.by_kind)
  if names:
    if not hasattr(examples, 'keys') or set(examples) != names:
      raise ValueError(f'an example has the parts {", ".join(sorted(names))}; give each of them')
    return Tokens(of_kinds(parts, examples), parts.spec.runs)
  found = checked(parts.source.facts, examples)
  return parts.coded.codec.encode(parts.coded.params, found)


def of_kinds(parts: build.Parts, examples: dict[str, Any], where='') -> dict[str, np.ndarray]:
  """Tokens in raster order of some parts of examples, {kind: [n, ..]}. Raises ValueError for what
  the data cannot have, and for more of one kind than of another.

  where: they are from, in words.
  """
  codec, params, facts = parts.coded.codec, parts.coded.params, parts.source.facts.parts
  examples = {
    kind: checked(facts[kind], part, f'{where}{kind}') for kind, part in examples.items()
  }
  nums = {kind: len(part) for kind, part in examples.items()}
  if len(set(nums.values())) != 1 or not all(nums.values()):
    told = ', '.join(f'{num} of {kind}' for kind, num in nums.items())
    raise ValueError(f'{where}{told}: give as many of each, one at least')
  return {
    kind: codec.kinds[kind].encode(params[kind] if params else (), part)
    for kind, part in examples.items()
  }


def checked(facts: codec_base.Facts, examples, name='examples') -> np.ndarray:
  """[n, ..] as an array, whole numbers where the data has such; texts as they are. Raises
  ValueError for another shape, and values that the data cannot have.

  name: what the caller calls them.
  """
  if facts.medium == 'text':
    return examples
  found = np.asarray(examples)
  if found.shape[1:] != tuple(facts.shape) or not found.ndim:
    raise ValueError(
      f'{name} has the shape {list(found.shape)}, and the model takes '
      f'[n{"".join(f", {side}" for side in facts.shape)}]'
    )
  if found.dtype.kind not in 'buif' or not np.isfinite(found).all():
    raise ValueError(f'{name} holds {found.dtype}, not all of it numbers; write finite ones')
  if not facts.levels:
    return found
  if found.size and (found.min() < 0 or found.max() >= facts.levels or np.any(found % 1)):
    raise ValueError(
      f'{name} holds values from {found.min():g} to {found.max():g}, and the model takes whole '
      f'numbers 0..{facts.levels - 1}'
    )
  return found if found.dtype.kind in 'ui' else found.astype(np.int64)
