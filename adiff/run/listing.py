"""The configs that there are, their rows, and what was measured of each: a part of --help.

A config file may have two tables. ROWS {name: dict(about, measured, ..)} are its arguments;
`measured` is a result with its commit, or None. SIZES {name: dict(about, ..)} may follow a row, as
in ROW-SIZE. A file without tables is listed by its first sentence.
"""

import importlib.util
import pathlib
import textwrap

WIDTH, COLUMN = 100, 18  # characters of a line, and where its text begins


def text(folders=None) -> str:
  """Every config in `folders` (None: those of `places`) and its rows; imports no jax."""
  folders = places() if folders is None else folders
  paths = [path for folder in folders for path in sorted(folder.glob('*.py'))]
  title = 'Configs, --config=FILE.py, FILE.py:ROW or FILE.py:ROW-SIZE'
  return '\n\n'.join([title, *filter(None, map(_about, paths))])


def places() -> list[pathlib.Path]:
  """Where configs lie: below the current folder, and where the package `configs` is installed."""
  spec = importlib.util.find_spec('configs')  # does not run it
  installed = spec.submodule_search_locations if spec else ()
  found = []
  for folder in map(pathlib.Path, ('configs', *installed)):
    if folder.is_dir() and not any(folder.samefile(other) for other in found):
      found.append(folder)
  return found


def _about(path):
  """The lines of a file; none where it is no config."""
  try:
    module = _read(path)
  except (Exception, SystemExit) as error:  # a user's file may be half written
    return f'{path}\n  cannot be read: {type(error).__name__}: {error}'
  if not hasattr(module, 'get_config'):
    return ''
  title = ' '.join((module.__doc__ or '').partition('\n\n')[0].split()).partition('. ')[0]
  rows = [
    _line(name, f'{row.get("about")}; {row.get("measured") or "not measured"}')
    for name, row in _table(module, 'ROWS').items()
  ]
  sizes = [_line(f'..-{name}', size.get('about')) for name, size in _table(module, 'SIZES').items()]
  return '\n'.join([str(path), *filter(None, [title]), *rows, *sizes])


def _read(path):
  """The module of a path, as config_flags reads it."""
  spec = importlib.util.spec_from_file_location(f'config_{path.stem}', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _table(module, name):
  """{name: dict} of a table; a user's file may call something else so."""
  table = getattr(module, name, None)
  rows = table.items() if isinstance(table, dict) else ()
  return {name: row for name, row in rows if isinstance(row, dict)}


def _line(name, words):
  return textwrap.fill(
    f'{name:<{COLUMN - 2}}{words}', WIDTH, initial_indent='  ', subsequent_indent=' ' * COLUMN,
    break_on_hyphens=False,
  )
