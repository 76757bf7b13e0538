"""The reader of JSON: with limits, and checked against the form that a caller needs.

Refused in one sentence with the file's name: what is no JSON in UTF-8, larger or nested deeper than
anything that is written here, a key that occurs twice, NaN and infinity, whole numbers beyond 64
bits, half characters, and what has not the form.

A form is a class (int, float, str, bool, dict, list; a float may be whole, a truth value is no
number), None, `object` for any value, a union of these, [form] for a list of it, {str: form} for
any keys, or {'key': form, 'key?': form} for keys that must be there, and for those that may, or
that may be null.
"""

import json
import math
import types
from collections.abc import Iterator
from typing import Any

from adiff.machine import input_file

BYTES = 32 * 2**20  # of a file; in memory JSON takes up to thirty times as much
LINE_BYTES = 8 * 2**20
DEPTH = 64
_NAMES = {int: 'a whole number', float: 'a number', str: 'a text', bool: 'true or false',
          dict: 'a dictionary', list: 'a list', type(None): 'null'}


def read(path, form=dict, *, advice='restore it from a backup') -> Any:
  """The value in a file; raises FileNotFoundError, Unreadable with the advice, or OSError."""
  return parse(input_file.read(path, limit=BYTES), form, where=path, advice=advice)


def lines(path, form=dict, *, advice='delete that line') -> Iterator[tuple[int, Any]]:
  """(number from 1, value) of every line; what follows the last line break is left out, for it was
  not written to its end. Raises as `read`."""
  with input_file.opened(path) as file:
    number = 0
    while line := file.readline(LINE_BYTES + 1):
      number += 1
      where = f'line {number} of {path}'
      if len(line) > LINE_BYTES:
        raise input_file.Unreadable(f'{where} is longer than {LINE_BYTES} bytes; {advice}')
      if line.endswith(b'\n'):
        yield number, parse(line, form, where=where, advice=advice)


def parse(text, form=object, *, where, advice='correct it') -> Any:
  """The value of a text or of UTF-8 bytes; where: what to call it. Raises Unreadable."""
  try:
    value = json.loads(
      text.decode('utf-8') if isinstance(text, bytes) else text, parse_constant=_no_constant,
      parse_float=_float, parse_int=_int, object_pairs_hook=_once,
    )
    _check_depth(value, DEPTH)
  except (ValueError, RecursionError, MemoryError) as error:
    why = 'it is nested too deeply' if isinstance(error, RecursionError) else error
    raise input_file.Unreadable(f'{where} is not JSON ({why}); {advice}') from error
  fault = mismatch(value, form)
  if fault:
    raise input_file.Unreadable(f'{where} {fault}; {advice}')
  return value


def plain(value) -> Any:
  """A value as it is read again once it is written: lists for tuples, text for keys."""
  return json.loads(json.dumps(value))


def tuples(value) -> Any:
  """JSON lists as the tuples that they were before they were written."""
  if isinstance(value, dict):
    return {key: tuples(item) for key, item in value.items()}
  return tuple(tuples(item) for item in value) if isinstance(value, list) else value


def mismatch(value, form, key='') -> str:
  """What of a value is not as its form says, in words that follow the file's name; '' if all is."""
  if isinstance(form, dict) and isinstance(value, dict):
    if str in form:
      asked = [(name, form[str]) for name in value]
    else:
      asked = [(name.removesuffix('?'), one) for name, one in form.items()
               if not name.endswith('?') or value.get(name[:-1]) is not None]
    for name, one in asked:
      if name not in value:
        return f'has no {_join(key, name)}'
      if fault := mismatch(value[name], one, _join(key, name)):
        return fault
    return ''
  if isinstance(form, list) and isinstance(value, list):
    (one,) = form
    faults = (mismatch(item, one, _join(key, index)) for index, item in enumerate(value))
    return next(filter(None, faults), '')
  return '' if _fits(value, form) else (
    f'holds {_shown(value)}{f" as {key}" if key else ""} where {_words(form)} must be'
  )


def _fits(value, form):
  """Is a value of the class, or one of the classes?"""
  if isinstance(form, types.UnionType):
    return any(_fits(value, one) for one in form.__args__)
  if isinstance(form, dict | list):
    return False
  if form is object:
    return True
  form = type(None) if form is None else form
  if isinstance(value, bool):
    return form is bool
  return isinstance(value, int | float if form is float else form)


def _words(form):
  """What a form asks for."""
  if isinstance(form, types.UnionType):
    return ' or '.join(_words(one) for one in form.__args__)
  return _NAMES[type(form) if isinstance(form, dict | list) or form is None else form]


def _shown(value):
  """A value in a few words."""
  if isinstance(value, dict | list):
    return 'a dictionary' if isinstance(value, dict) else 'a list'
  text = json.dumps(value)
  return text if len(text) <= 60 else f'{text[:60]}..'


def _join(key, name):
  """The dotted key of an entry, short and printable."""
  name = str(name) if str(name).isprintable() else json.dumps(name)
  return f'{key}.{name if len(name) <= 60 else name[:60] + ".."}'.lstrip('.')


def _check_depth(value, depth):
  """Raises RecursionError for more levels, ValueError for half characters."""
  if not depth:
    raise RecursionError
  if isinstance(value, str):
    value.encode('utf-8')  # half of a pair of surrogates cannot be printed
  elif isinstance(value, dict):
    for name, item in value.items():
      name.encode('utf-8')
      _check_depth(item, depth - 1)
  elif isinstance(value, list):
    for item in value:
      _check_depth(item, depth - 1)


def _once(pairs):
  found = dict(pairs)
  if len(found) < len(pairs):
    names = [name for name, _ in pairs]
    twice = next(name for name in found if names.count(name) > 1)
    raise ValueError(f'the key {_shown(twice)} occurs twice')
  return found


def _no_constant(word):
  raise ValueError(f'{word} is no number')


def _float(digits):
  number = float(digits)
  if not math.isfinite(number):
    raise ValueError(f'{digits[:40]} is too large')
  return number


def _int(digits):
  if len(digits) > 20 or abs(int(digits)) >= 2**64:
    raise ValueError(f'{digits[:40]} is too large')
  return int(digits)
