"""Executes every notebook of this folder and fails on the first error.

Usage: python colabs/execute.py [NAME.ipynb ...]

The kernel is the interpreter that runs this script, the working directory the repository's root.
Outputs are not saved; a notebook that was committed with outputs is refused, so that what a reader
sees is what his own run produced.
"""

import os
import pathlib
import sys
import time

import nbclient
import nbformat

from adiff.machine import compilation

FOLDER = pathlib.Path(__file__).resolve().parent


def main(names: list[str]) -> int:
  """Runs the named notebooks, or all; returns the exit code: 0, or 1 if any failed."""
  compilation.keep()
  paths = [FOLDER / pathlib.Path(name).name for name in names] or sorted(FOLDER.glob('*.ipynb'))
  failed = []
  for path in paths:
    start = time.perf_counter()
    error = check(path)
    seconds = time.perf_counter() - start
    print(f'{path.name}: {error or "passed"} ({seconds:.1f} s)', flush=True)
    if error:
      failed.append(path.name)
  print(f'{len(paths) - len(failed)} notebooks passed, {len(failed)} failed', flush=True)
  return 1 if failed else 0


def check(path: pathlib.Path, *, timeout: int = 900) -> str | None:
  """Executes one notebook; returns what is wrong with it, or None. timeout: seconds a cell."""
  if not path.exists():
    return f'there is no {path}'
  notebook = nbformat.read(path, as_version=4)
  if any(cell.get('outputs') or cell.get('execution_count') for cell in notebook.cells):
    return 'stored outputs; clear them before committing'
  client = nbclient.NotebookClient(
    notebook,
    timeout=timeout,
    kernel_name='python3',
    resources={'metadata': {'path': str(FOLDER.parent)}},
  )
  try:
    client.execute()
  except nbclient.exceptions.CellExecutionError as error:
    return f'failed\n{error}'
  except nbclient.exceptions.CellTimeoutError:
    return f'a cell took longer than {timeout} s'
  return None


if __name__ == '__main__':
  os.environ['JUPYTER_PREFER_ENV_PATH'] = '1'  # This environment's kernel before the user's own.
  sys.exit(main(sys.argv[1:]))
