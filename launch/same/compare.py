"""By how much two records differ."""

import math

import numpy as np

# What may differ: numbers relative to max(1, |x|), vectors absolute, symbols in number.
LIMITS = dict(
  start=1e-6, loss=1e-6, scalars=1e-6, params=1e-6, ema=1e-6, moments=1e-6, bound=1e-6,
  vectors=1e-8, symbols=0,
)


def chosen(rows, names) -> dict:
  """The rows of --rows; all, where it is not given."""
  unknown = set(names or ()) - set(rows)
  if unknown:
    raise SystemExit(f'there is no row {", ".join(sorted(unknown))}; there are {", ".join(rows)}')
  return {name: rows[name] for name in names or rows}


def load(path) -> dict[str, np.ndarray]:
  """The arrays of a row."""
  if not path.exists():
    raise SystemExit(f'{path} is not there; record that row first')
  with np.load(path, allow_pickle=False) as file:
    return {key: file[key] for key in file.files if key != 'about'}


def column_of(key, value) -> str:
  """The column that a recorded array is told in."""
  group, _, name = key.partition('/')
  if group == 'draws':
    return 'symbols' if value.dtype.kind in 'iu' else 'vectors'
  return {'mu': 'moments', 'nu': 'moments'}.get(group, 'loss' if key == 'scalars/loss' else group)


def difference(old, new, column) -> float:
  """How far two arrays are apart, in the measure of their column."""
  if old is None or new is None or old.shape != new.shape:
    return math.inf
  if column == 'symbols':
    return int(np.sum(old != new))
  old, new = np.asarray(old, np.float64), np.asarray(new, np.float64)
  same = (old == new) | (np.isnan(old) & np.isnan(new))
  with np.errstate(invalid='ignore'):
    apart = np.abs(old - new) / (1 if column == 'vectors' else np.maximum(1, np.abs(old)))
  apart = np.where(same, 0, np.where(np.isnan(apart), math.inf, apart))
  return float(apart.max(initial=0))


def differences(old, new) -> dict[str, dict[str, float]]:
  """{column: {key: difference}} of two records of a row."""
  found = {column: {} for column in ('init', *LIMITS)}
  for key in [*old, *(key for key in new if key not in old)]:
    column = column_of(key, old.get(key, new.get(key)))
    found[column][key] = difference(old.get(key), new.get(key), column)
  return found


def compare(options) -> int:
  """Prints the table; 1 where a limit is exceeded or a row is missing."""
  there = [{path.stem for path in folder.glob('*.npz')} for folder in (options.old, options.new)]
  names = list(chosen(dict.fromkeys(sorted(there[0] | there[1])), options.rows))
  columns = ['init', *LIMITS]
  print(f'{"":24}' + ''.join(f'{column:>10}' for column in columns))
  bad = []
  for name in names:
    if not all(name in one for one in there):
      bad.append(f'{name}: recorded in one folder only')
      continue
    found = differences(*(load(folder / f'{name}.npz') for folder in (options.old, options.new)))
    most = {column: max(each.values(), default=None) for column, each in found.items()}
    over = {(column, key): value for column, each in found.items() for key, value in each.items()
            if column in LIMITS and value > LIMITS[column]}
    told = lambda value: '-' if value is None else f'{value:.0e}' if value else '0'
    print(f'{name:24}' + ''.join(f'{told(most[column]):>10}' for column in columns)
          + ('   DIFFERS' if over else ''))
    worst = sorted(over.items(), key=lambda one: -one[1])[:options.worst]
    bad += [f'{name}: {key} ({column}) {value:.1e}' for (column, key), value in worst]
  print(f'{"limits":24}' + ''.join(
    f'{"" if column not in LIMITS else f"{LIMITS[column]:.0e}" if LIMITS[column] else "0":>10}'
    for column in columns))
  print('\n'.join(bad or [f'{len(names)} rows are equal within the limits']))
  return int(bool(bad))
