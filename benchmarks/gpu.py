r"""Everything that wants a GPU, part by part, each in its share of the time: the flash kernel's
tests compiled, attention, training steps and rollouts in bfloat16 with their utilisation, and
CIFAR-10 trained as blocks and as one block at equal FLOPs.

  python -m benchmarks.gpu --data=DATA       DATA holds cifar10/VERSION; benchmarks/gpu.sh calls it
  python -m benchmarks.gpu --toy             the same, at sizes that say nothing (on a CPU)

Every part is a process of its own; a part that fails or runs out of time says so on the page, and
the others go on. Writes FOLDER/gpu.md and gpu.json after every part.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

from benchmarks import parts

if __name__ == '__main__':
  os.environ['JAX_PLATFORMS'] = 'cpu'  # this process counts, its children have the GPU

import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402

from adiff.machine import cost, logs, provenance  # noqa: E402
from adiff.run import build  # noqa: E402
from benchmarks import run  # noqa: E402
from configs import base, images  # noqa: E402

ROOT = parts.ROOT
SUITES = {  # name: (title, share of the seconds)
  'attention': ('Attention', 0.16), 'train': ('Training steps', 0.12), 'sample': ('Rollouts', 0.12),
}
TOY_SUITE = '--rounds=2', '--lengths', '64', '--tokens=64', '--width=64'
# Seconds of one training that are not steps: its start, its bound, samples and page.
AROUND = 25


def kernel_tests(page, seconds):
  """The flash kernel's tests."""
  status, output, took = parts.child(
    ['-m', 'pytest', '-q', '-rs', 'tests/nn/kernels/test_flash.py'], seconds)
  lines = [f'`{output.split(chr(10))[-1]}`'] if status == 0 else parts.told(status, output)
  page.add('Flash kernel, compiled', seconds=took, status=status, lines=lines)


def suite(page, name, seconds, *, toy, work):
  """One suite of benchmarks/run.py, in bfloat16."""
  more = TOY_SUITE if toy else ('--rounds=7',)
  status, output, took = parts.child(
    ['-m', 'benchmarks.run', f'--suite={name}', '--dtype=bfloat16', f'--folder={work}', *more],
    seconds)
  place = work / f'{name}.json'
  if not place.exists():
    page.add(SUITES[name][0], seconds=took, status=status, lines=parts.told(status, output))
    return
  facts = json.loads(place.read_text())
  rate, bandwidth = facts['matmul GFLOP/s'], facts['bandwidth GB/s']
  page.add(
    SUITES[name][0], seconds=took, status=status, measured=facts,
    lines=[*(parts.told(status, output) if status != 0 else ()),
           f'Products {rate:.3g} GFLOP/s, bandwidth {bandwidth:.3g} GB/s.', '',
           *run.table(facts['rows'])])


# ---- CIFAR-10 as blocks and as one block --------------------------------------------------------


def made_up(folder, num=2000):
  """Pictures [32, 32, 3] of ten classes in class folders: coloured waves."""
  rng = np.random.default_rng(0)
  grid = np.indices((32, 32)) / 32
  for index in range(num):
    kind = index % 10
    phase = 2 * np.pi * ((1 + kind % 5) * grid[kind // 5] + rng.random())
    picture = 127 + 100 * np.sin(phase)[..., None] * rng.random(3)
    place = folder / f'{kind}' / f'{index}.png'
    place.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(picture.astype(np.uint8)).save(place)


def training(data, *, blocks, toy) -> tuple[list[str], object]:
  """(flags, config) of one training of configs/images.py."""
  row = 'cifar10' if data['real'] else 'folder'
  config = images.get_config(row)
  flags = [f'--config={ROOT}/configs/images.py:{row}']
  settings = {
    'data.data_dir': data['folder'], 'model.dtype': 'bfloat16', 'optim.warmup': 20,
    'train.eval_every': 0, 'train.checkpoint_every': 10**6, 'train.log_every': 10,
    'eval.examples': 256, 'eval.samples': 1, 'eval.num': 64, 'eval.steps': (config.plan.steps,),
  }
  if not blocks:
    # As many calls as all blocks together make.
    settings |= {'plan.steps': 4 * config.plan.steps, 'eval.steps': (4 * config.plan.steps,)}
    flags.append('--config.blocks.name=whole')
    base.choose(config, 'blocks', 'whole')
  if toy:
    settings |= {
      'optim.warmup': 2, 'train.batch_size': 16,
      'model.width': 16, 'model.depth': 1, 'model.heads': 2,
      'eval.batch_size': 32, 'eval.examples': 32, 'eval.num': 10, 'plan.steps': 2,
      'eval.steps': (2,),
    }
  with config.unlocked():
    config.update_from_flattened_dict(settings)
  return [*flags, *(f'--config.{key}={value}' for key, value in settings.items())], config


def train(page, name, flags, steps, seconds, work, flops):
  """One run of the binary: what it came to, on the page."""
  workdir = work / name.replace(' ', '_')
  status, output, took = parts.child(
    ['-m', 'adiff.main', *flags, f'--config.train.steps={steps}', f'--workdir={workdir}'], seconds)
  title = f'CIFAR-10 as {name}'
  if status != 0:
    page.add(title, seconds=took, status=status, lines=parts.told(status, output))
    return None
  last = [line for line in logs.read(workdir) if 'time/ms' in line][-1]
  numbers = json.loads((workdir / 'eval.json').read_text())['numbers']
  row = {
    'steps': steps, 'TFLOP': steps * flops / 1e12, 'ms a step': last['time/ms'],
    'utilisation': last.get('time/utilisation', ''), 'loss': last['loss'],
    'bits per dim': numbers.get('bits_per_dim', numbers.get('nats', '')),
  }
  page.add(title, seconds=took, status=status, row=row, numbers=numbers, lines=run.table([row]))
  return last['time/ms'] / 1e3


def trainings(page, data, left, *, toy, work):
  """As blocks and as one block, at equal FLOPs; the first one's steps follow from a short run."""
  (flags, config), (whole_flags, whole_config) = (
    training(data, blocks=blocks, toy=toy) for blocks in (True, False)
  )
  flops, whole_flops = (cost.step(build.build(c)).flops for c in (config, whole_config))
  few = 10 if toy else 60
  pace = train(page, 'blocks, a few steps', flags, few, left(), work, flops)
  if pace is None:
    return
  share = 2 if toy else max(min(120, left() / 2) - AROUND, 5)
  steps = max(int(share / pace), few)
  train(page, 'blocks', flags, steps, left(), work, flops)
  train(
    page, 'one block', whole_flags, max(round(steps * flops / whole_flops), 1), left(), work,
    whole_flops)


def main(argv=None) -> int:
  """All parts; 1 if one of them did not end well."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--data', default='', help="folder of cifar10/VERSION; '': made up")
  parser.add_argument('--folder', type=pathlib.Path, default=ROOT / 'benchmarks')
  parser.add_argument('--seconds', type=float, default=525, help='of all parts together')
  parser.add_argument('--toy', action='store_true', help='sizes that say nothing')
  options = parser.parse_args(argv)
  end = time.monotonic() + options.seconds

  def left():
    return end - time.monotonic()

  status, output, took = parts.child(['-c', parts.HARDWARE], left())
  hardware = output.split('\n')[-1] if status == 0 else 'no device answered'
  what = 'CIFAR-10' if options.data else 'made-up pictures, no CIFAR-10'
  page = parts.Page(options.folder, 'gpu', 'One GPU in nine minutes', {
    'hardware': hardware, 'commit': provenance.commit(), 'pictures': what, 'dtype': 'bfloat16',
  })
  page.add('The device', seconds=took, status=status,
           lines=[hardware] if status == 0 else parts.told(status, output))
  with tempfile.TemporaryDirectory() as name:
    work = pathlib.Path(name)
    kernel_tests(page, min(0.14 * options.seconds, left()))
    for each, (_, share) in SUITES.items():
      suite(page, each, min(share * options.seconds, left()), toy=options.toy, work=work)
    data = {'folder': options.data, 'real': bool(options.data)}
    if not options.data:
      data['folder'] = str(work / 'pictures')
      made_up(work / 'pictures', 100 if options.toy else 2000)
    trainings(page, data, left, toy=options.toy, work=work)
  return int(any(part['status'] != 0 for part in page.parts))


if __name__ == '__main__':
  sys.exit(main())
