"""Makes a model that ships with adiff: adiff/models/NAME, of a workdir in which --mode=reproduce
met what its row expects.

  python -m launch.ship runs/reproduce/digits-short digits
  python -m launch.ship runs/reproduce/text-block16 text

The folder is a workdir with the averaged parameters in float16 (adiff/machine/weights.py) and no
checkpoint; `reproduced.json` in it says of which commit and data it is. What of its data's licence
must go with it stands in adiff/models/README.md.
"""

import argparse
import os
import re
import shutil

import adiff
from adiff.machine import files, json_file, mistakes
from adiff.run import shipped

FILE = 'reproduced.json'
MOST = 3 * 2**20  # bytes of all models together


def ship(workdir, name, dtype='float16') -> str:
  """Writes the folder anew and returns it. Raises ValueError where nothing was met, or the models
  would be too large together."""
  if not re.fullmatch('[a-z][a-z0-9_]*', name):
    raise ValueError(f'{name!r} is no name of a model; write a word of a-z, 0-9 and _')
  path = os.path.join(workdir, FILE)
  try:
    told = json_file.read(path, {'row': str, 'met': bool}, advice='reproduce it again')
  except FileNotFoundError as error:
    raise ValueError(f'there is no {path}; write a workdir of --mode=reproduce') from error
  if not told['met']:
    raise ValueError(f'{path} says that {told["row"]} was not met; a model that ships must be')
  target = os.path.join(shipped.FOLDER, name)
  draft = f'{target}.new'
  shutil.rmtree(draft, ignore_errors=True)
  try:
    adiff.load(os.path.abspath(workdir)).save(draft, weights=dtype)
    shutil.copy(path, draft)
    others = (shipped.FOLDER / other for other in shipped.names() if other != name)
    total = sum(map(size, [draft, *others]))
    if total > MOST:
      raise ValueError(f'the models would have {total} bytes, and {MOST} at most ship')
    if os.path.lexists(target):
      files.delete(target)
    os.rename(draft, target)
  finally:
    shutil.rmtree(draft, ignore_errors=True)
  return target


def size(folder) -> int:
  """Bytes of all files below a folder."""
  return sum(
    os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(folder)
    for name in names
  )


def main():
  """Entry point of `python -m launch.ship`."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('workdir', help='of --mode=reproduce')
  parser.add_argument('name', help='of the model, as adiff.load takes it')
  options = parser.parse_args()
  with mistakes.in_a_sentence():
    target = ship(options.workdir, options.name)
  print(f'{target}: {size(target)} bytes')


if __name__ == '__main__':
  main()
