"""What a disk, an editor or a stranger may leave in place of a file, drawn from a seed."""

import json
import os
import pathlib
import random

WRONG = (  # of any kind, as JSON has them
  None, True, False, -1, 0, 1.5, -0.0, 1e308, 10**30, 2**63, '', 'x', 'nan', '../../x',
  '\x00\x1b[2J', 'y' * 5000, [], {}, [[]], [{}], {'': {}}, [None], {'name': 5}, {'name': 'x'},
  list(range(300)), ['a', 1], 'tensorflow_datasets.core.features.none.None', '/dev/zero',
)
RAW = ('NaN', 'Infinity', '-Infinity', '1e999', '"\\ud800"', '[' * 100_000, '[' * 200 + ']' * 200,
       '{"a":' * 100_000, '1' * 10_000, '{"a": 1, "a": 2}', '', "'x'", '0x10', 'tru')
REPLACED = ('empty', 'folder', 'pipe', 'absent', 'huge', 'dangling', 'loop', 'noise', 'text', 'zip',
            'locked')
_HOLE = 'a place that raw text takes'


def tamper(path: pathlib.Path, rng: random.Random) -> str:
  """Tampers with a file; returns what was done to it."""
  ways = [_bytes, _bytes, _replaced]
  if path.suffix in ('.json', '.jsonl'):
    ways += [_json] * 9
  return rng.choice(ways)(path, rng)


def _json(path, rng):
  """Another value, key or nesting somewhere in a JSON file, or in a line of it."""
  lines = path.read_text().splitlines() if path.suffix == '.jsonl' else [path.read_text()]
  number = rng.randrange(len(lines))
  value = json.loads(lines[number])
  place, key = rng.choice(_places(value))
  how = rng.choice(('wrong', 'wrong', 'wrong', 'raw', 'absent', 'more', 'renamed', 'twin'))
  raw = None
  if place is None or how == 'more' and not isinstance(place[key], dict | list):
    how = 'raw' if how == 'raw' else 'wrong'
  if how == 'raw':
    raw, new = rng.choice(RAW), _HOLE
  else:
    new = rng.choice(WRONG)
  if place is None:
    value = new
  elif how == 'absent':
    del place[key]
  elif how == 'more':
    within = place[key]
    within.update({rng.choice(('x', 'name', 'step', '')): new}) if isinstance(
      within, dict) else within.append(new)
  elif how == 'renamed' and isinstance(place, dict):
    place[f'{key}x'] = place.pop(key)
  elif how == 'twin':
    other_place, other_key = rng.choice([one for one in _places(value) if one[0] is not None])
    place[key] = json.loads(json.dumps(other_place[other_key]))
  else:
    place[key] = new
  text = json.dumps(value)
  lines[number] = text if raw is None else text.replace(json.dumps(_HOLE), raw)
  path.write_text('\n'.join(lines) + '\n' * (path.suffix == '.jsonl'))
  return f'{how} {key!r} {str(new if raw is None else raw)[:40]!r}'


def _places(value, place=None, key=None):
  """(container, key) of every value in a JSON value; (None, None) for itself."""
  found = [(place, key)]
  inner = value.items() if isinstance(value, dict) else enumerate(
    value) if isinstance(value, list) else ()
  for name, item in inner:
    found += _places(item, value, name)
  return found


def _bytes(path, rng):
  """Bytes cut, flipped, filled in or zeroed."""
  content = bytearray(path.read_bytes())
  how = rng.choice(('cut', 'flip', 'flip', 'flips', 'insert', 'zero', 'double', 'head'))
  at = rng.randrange(len(content) + 1)
  if how == 'cut':
    del content[at:]
  elif how in ('flip', 'flips', 'head') and content:
    for _ in range(1 if how == 'flip' else rng.randint(2, 20)):
      place = rng.randrange(min(len(content), 100) if how == 'head' else len(content))
      content[place] ^= 1 << rng.randrange(8)
  elif how == 'insert':
    content[at:at] = rng.randbytes(rng.randint(1, 50))
  elif how == 'zero':
    end = min(at + rng.randint(1, 200), len(content))
    content[at:end] = bytes(end - at)
  elif how == 'double':
    content = content + content
  path.write_bytes(content)
  return f'{how} at {at}'


def _replaced(path, rng):
  """Something else of that name."""
  how = rng.choice(REPLACED)
  content = path.read_bytes()
  path.unlink()
  if how == 'folder':
    path.mkdir()
  elif how == 'pipe':
    os.mkfifo(path)
  elif how == 'huge':
    with path.open('wb') as file:
      file.write(content[:100])
      file.truncate(2**28 if 'array_record' in path.name else 2**42)  # records may be as large
  elif how in ('dangling', 'loop'):
    path.symlink_to('nowhere' if how == 'dangling' else path.name)
  elif how != 'absent':
    other = {'empty': b'', 'noise': rng.randbytes(500), 'text': b'{"a": [1]}\n' * 9,
             'zip': b'PK\x03\x04' + rng.randbytes(100), 'locked': content}[how]
    path.write_bytes(other)
    if how == 'locked':
      path.chmod(0)
  return how
