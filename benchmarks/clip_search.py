"""Searches the window of noise levels that teaches a trained run with the least noise; see
adiff/learn/clip_search.py.

  python -m benchmarks.clip_search --workdir=runs/text
"""

import argparse
import os

from adiff.data import batches
from adiff.learn import clip_search, state
from adiff.machine import checkpoint, cost, files
from adiff.run import build
from adiff.run import workdir as workdir_lib
from adiff.sequence import draw as draw_lib


def _read(workdir):
  """(parts, step, averaged parameters) of a workdir whose draw can be searched."""
  config = workdir_lib.load(workdir)
  parts = build.build(config)
  workdir_lib.check_contract(workdir, parts.contract)
  if not parts.process.discrete:
    raise ValueError(
      f'{workdir} was trained with process gaussian; a window is searched for noise on symbols: '
      'choose a run with process masked, uniform or mixed'
    )
  if config.draw.name == 'ones':
    raise ValueError(
      f'{workdir} was trained with draw ones, at one level alone; choose a run that saw several'
    )
  return parts, *checkpoint.restore_params(workdir, cost.params(parts))


def main(argv=None):
  """Prints the table and the best window's flags, and writes windows.json into the workdir; a
  mistake is one sentence and exit code 2."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--workdir', required=True, help='folder of a trained run')
  parser.add_argument('--draws', type=int, default=8, help='gradients a window')
  options = parser.parse_args(argv)
  try:
    if options.draws < 2:
      raise ValueError(f'--draws={options.draws} is no variance; write at least 2')
    parts, step, params = _read(options.workdir)
  except (ValueError, OSError) as error:
    parser.exit(2, f'adiff: {" ".join(str(error).split())}\n')
  config = parts.config
  source = batches.Batches(
    parts.coded, 'train', config.train.batch_size, seed=config.seed, blocks=parts.blocks
  )
  # What one gradient sees: the first block size's share, the first micro-batch.
  share = len(parts.geometries) * config.train.microbatches
  batch = {name: leaf[::share] for name, leaf in source.batch_at(step).items()}

  def draw(low, high):
    levels = draw_lib.Draw.within(low, high, shared=config.draw.shared)
    return levels.with_atoms(**dict(config.atoms))

  rows = clip_search.search(
    parts.recipe, params, batch, state.stream(config.seed, 'windows'),
    windows=clip_search.grid(), draws=options.draws, draw=draw, progress=True,
  )
  print(clip_search.table(rows))
  path = os.path.join(options.workdir, 'windows.json')
  files.write_json(path, {'step': step, 'draws': options.draws, 'windows': rows})
  low, high = rows[0]['low'], rows[0]['high']
  print(f'--config.draw.name=clipped --config.draw.low={low:g} --config.draw.high={high:g}')


if __name__ == '__main__':
  main()
