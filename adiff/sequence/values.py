"""What the value of a field may be, declared where the field stands:

  width: values.Count = 128
  choose: Annotated[str, values.one_of('random', 'confidence')] = 'random'

The table that a config is checked against is made of these annotations (run/settings.py); classes
check their own fields by the same ones (`check_fields`). A type is checked before a range, so that
what compares with nothing, a word or nan, never reaches a comparison.
"""

import dataclasses
import inspect
import os
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

MEMORY = 2 * 2**30  # bytes that what a config asks for may take before anything is trained
LONGEST = 2**20  # tokens of a row: what the host keeps of one is a thousand bytes and more
_MOST, _LEAST = 3.4e38, 1.2e-38  # of the size of a float in 32 bits


class Rule(NamedTuple):
  """What a value of the right type must be."""

  words: str  # behind "key=value "
  holds: Callable[[Any], bool]


def between(low, high) -> Rule:
  """From low to high, both included."""
  return Rule(f'must lie in [{low}, {high}]', lambda value: low <= value <= high)


def at_least(low) -> Rule:
  """low or more."""
  return Rule(f'must be at least {low}', lambda value: value >= low)


def one_of(*names) -> Rule:
  """One of a few words."""
  return Rule(f'is unknown; choose one of {", ".join(names)}', lambda value: value in names)


_INT32 = Rule('must be below 2**31', lambda value: value < 2**31)
_NOT_NEGATIVE = Rule('must not be negative', lambda value: value >= 0)
ABOVE_0 = Rule('must be above 0', lambda value: value >= _LEAST)
_BELOW_1 = Rule('must lie in [0, 1)', lambda value: 0 <= value < 1)
_ANY = Rule('', lambda value: True)  # said, so that nobody has forgotten it

Count = Annotated[int, at_least(1), _INT32]
Whole = Annotated[int, _NOT_NEGATIVE, _INT32]
Seed = Annotated[int, between(0, 2**32 - 1)]
Share = Annotated[float, between(0, 1)]
ShareBelow1 = Annotated[float, _BELOW_1]
Positive = Annotated[float, ABOVE_0]
NotNegative = Annotated[float, _NOT_NEGATIVE]
AnyNumber = Annotated[float, _ANY]
Path = Annotated[str, Rule('is no path', lambda value: _is_path(value))]


def check(key, value, annotation) -> None:
  """Raises ValueError, in words, where a value is none of what its annotation says; one that says
  nothing of values, as of parts that are made elsewhere, takes all."""
  words = _wrong(value, annotation)
  if words:
    raise ValueError(f'{key}={shown(value)} {words}')


def check_fields(owner, section) -> None:
  """`check` of all fields of a dataclass; section: what its keys begin with."""
  for field in dataclasses.fields(owner):
    check(f'{section}.{field.name}', getattr(owner, field.name), field.type)


def check_arguments(function, given, section) -> None:
  """`check` of what a function was called with; given: {name: value}, as its `locals` at first."""
  for name, one in parameters(function).items():
    check(f'{section}.{name}', given[name], one.annotation)


def check_memory(what, size, instead, *, most=MEMORY) -> None:
  """Raises ValueError where `what` would take more than `most` bytes; instead: what to write."""
  if size > most:
    raise ValueError(f'{what} would take {shown(size // 2**30)} GiB of memory; {instead}')


def check_row(num_tokens) -> None:
  """Raises ValueError for rows that are too long, before anything is made of their tokens."""
  if num_tokens > LONGEST:
    raise ValueError(
      f'a row of {shown(num_tokens)} tokens is too long, {LONGEST} are the most; cut the data into '
      'smaller examples, or into larger tokens'
    )


def parameters(chosen) -> dict[str, inspect.Parameter]:
  """What a class or function takes, by name; `check` understands the annotations."""
  return dict(inspect.signature(chosen).parameters)


def bare(annotation) -> Any:
  """The type under an annotation, None apart: of `Count | None` it is int."""
  kinds = [kind for kind in typing.get_args(annotation) if kind is not types.NoneType]
  origin = typing.get_origin(annotation)
  if origin is Annotated or _is_union(annotation):
    return bare(kinds[0])
  return annotation if origin is None else origin


def shown(value) -> str:
  """A value in a sentence: short, whatever it is."""
  try:
    text = repr(value)
  except Exception:  # integers of thousands of digits, and what others have written
    text = f'({type(value).__name__})'
  return text if len(text) < 80 else f'{text[:60]}..'


def _is_union(annotation):
  return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _wrong(value, annotation) -> str:
  """What is wrong, in words; '' if nothing is."""
  kinds = typing.get_args(annotation)
  if typing.get_origin(annotation) is Annotated:
    words = _wrong(value, kinds[0])
    return words if words else next((rule.words for rule in kinds[1:] if not rule.holds(value)), '')
  if _is_union(annotation):
    return '' if value is None and types.NoneType in kinds else _wrong_of_all(value, kinds)
  if typing.get_origin(annotation) is tuple:
    return _wrong_tuple(value, kinds)
  return _PLAIN[annotation](value) if annotation in _PLAIN else ''


def _wrong_of_all(value, kinds):
  """As _wrong, where one of several must be right."""
  words = [_wrong(value, kind) for kind in kinds if kind is not types.NoneType]
  if '' in words:
    return ''
  return ' or '.join([*words, 'be None'] if types.NoneType in kinds else words)


def _wrong_tuple(value, kinds):
  """As _wrong, for a tuple of one kind, or of one kind a place."""
  if not isinstance(value, tuple):
    return 'must be a tuple'
  if kinds[-1] is not Ellipsis and len(value) != len(kinds):
    return f'must hold {len(kinds)} values'
  each = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
  words = (_wrong(part, kind) for part, kind in zip(value, each, strict=True))
  return next((f'holds one that {word}' for word in words if word), '')


def _plain(words, holds):
  return lambda value: '' if holds(value) else words


def _is_int(value):
  return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**32


def _is_float(value):
  # nan is not below anything, and any integer compares without being made a float.
  return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST


def _is_text(value):
  try:
    return isinstance(value, str) and value.encode() is not None
  except UnicodeEncodeError:  # half of a pair of surrogates: no file can hold it
    return False


def _is_path(value):
  """May a file be called so?"""
  long = len(value.encode()) > 4000 or any(len(part.encode()) > 255 for part in value.split('/'))
  return not long and '\0' not in value and not os.path.expanduser(value).startswith('~')


_PLAIN = {
  bool: _plain('must be True or False', lambda value: isinstance(value, bool)),
  int: _plain('must be a whole number of 32 bits', _is_int),
  float: _plain('must be a finite number of 32 bits', _is_float),
  str: _plain('must be text', _is_text),
}
