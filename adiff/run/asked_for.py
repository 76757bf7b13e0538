"""Conditions that a user gives in a file: --mode=sample --cond=FILE.npz.

  numpy.savez('asked.npz', label=[3, 3, 5], edges=maps)     maps [3, H, W, 1], or [3, N, C]

An array a condition, by its name: one value an example, used in a circle, or one of all. What is
not there is not asked for; but labels are balanced.
"""

import numpy as np

from adiff.machine import array_file, files
from adiff.run import build
from adiff.sequence import conditions

ADVICE = (
  'write one with numpy.savez(FILE, NAME=VALUES, ..), an array a condition, of all samples or one '
  'each'
)


def read(path, parts: build.Parts) -> dict[str, np.ndarray]:
  """{name: values [n, ..]} of an .npz, the label among them where it is there; n is what each array
  holds, or 1 for a value of all samples. Raises ValueError for values that are none of the model's
  conditions, OSError where the file cannot be read."""
  found, tokens = array_file.npz(path, advice=ADVICE), parts.spec.num_tokens
  if not found:
    raise ValueError(f'{path} holds nothing; {ADVICE}')
  for name in found:
    if name not in parts.spec.conds:
      raise ValueError(
        f'{path} holds {name!r}, and this model can be asked for '
        f'{", ".join(parts.spec.conds) or "nothing"}; {ADVICE}'
      )
  told = {}
  for name, value in found.items():
    cond, value = parts.spec.conds[name], parts.coded.codec.asked(name, value)
    num = len(value) if value.ndim == len(cond.shape(tokens)) + 1 else 1
    if not num:
      raise ValueError(f'{path} holds no value of {name}; {ADVICE}')
    try:
      told[name] = cond.checked(name, value, num, tokens)
    except ValueError as error:
      raise ValueError(f'{path}: {error}') from error
  return told


def split(told) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
  """(labels or None, further conditions), as generate.Sampler takes them."""
  further = {name: value for name, value in told.items() if name != conditions.LABEL}
  return told.get(conditions.LABEL), further


def digest(told) -> str:
  """16 hex digits of what is asked for."""
  return files.digest(*(
    piece for name in sorted(told) for piece in (name, np.ascontiguousarray(told[name]))
  ))
