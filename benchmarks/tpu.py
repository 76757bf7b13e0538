r"""Training steps on the devices of this host, beside the roofline of the dry run: tokens a second,
utilisation, and how near they come to the least that arithmetic, memory and links need.

  python -m benchmarks.tpu                     benchmarks/tpu.sh calls it
  python -m benchmarks.tpu --only=dit_xl       the rows whose name contains this
  python -m benchmarks.tpu --toy               the same, at sizes that say nothing (on a CPU)

A row is the binary itself on made-up data, ended once it has logged enough steps; nothing is saved
or evaluated. "at least" is the dry run's: the same step, compiled for the same devices, at the
rates of their data sheet (a device that has none here, such as a CPU: at those measured now).
Utilisation is of the model's operations, recomputation not counted. Writes FOLDER/tpu.md and
tpu.json after every row.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from benchmarks import parts

if __name__ == '__main__' and '--roofline' not in sys.argv:
  os.environ['JAX_PLATFORMS'] = 'cpu'  # this process counts, its children have the devices

import jax  # noqa: E402

from adiff.machine import logs, provenance, rates  # noqa: E402
from adiff.run import build, choose, dryrun  # noqa: E402
from benchmarks import run  # noqa: E402
from configs import imagenet256, lm  # noqa: E402

LATENTS = {'data.made_up': True, 'mesh.data': 1, 'mesh.fsdp': -1}
ROWS = {  # name: (config file, row, what is set); examples are for eight devices of 16 GiB
  'dit_xl': (imagenet256, 'dit_xl', {**LATENTS, 'train.batch_size': 256}),
  'acdit_xl': (imagenet256, 'acdit_xl', {**LATENTS, 'train.batch_size': 64}),
  'xar_b': (imagenet256, 'xar_b', {**LATENTS, 'train.batch_size': 256}),
  'lm_110m': (lm, '110m', {
    'codec.name': 'bytes', 'mesh.data': 1, 'mesh.fsdp': -1, 'train.batch_size': 64,
  }),
}
QUIET = {  # no other work than steps
  'train.steps': 10**6, 'train.eval_every': 0, 'train.checkpoint_every': 10**6,
}
LINES, EVERY = 6, 10  # logged, and steps between two; the first one holds the compilation


def asked(name, *, toy) -> tuple[list[str], object]:
  """(flags, config) of a row; the binary makes the same config of the flags."""
  module, row, settings = ROWS[name]
  settings = {**settings, **QUIET, 'train.log_every': 2 if toy else EVERY}
  if toy:
    row = f'{row}-debug'
    settings |= {'train.batch_size': 16, 'mesh.data': -1, 'mesh.fsdp': 1}
  file = f'{parts.ROOT}/configs/{module.__name__.rpartition(".")[2]}.py:{row}'
  flags = [f'--config={file}', *(f'--config.{key}={value}' for key, value in settings.items())]
  config = module.get_config(row)
  if 'codec.name' in settings:
    choose.take(config, 'codec', settings.pop('codec.name'))
  with config.unlocked():
    config.update_from_flattened_dict(settings)
  return flags, config


def chip_here() -> rates.Chip:
  """The device's data sheet, or what is measured of it."""
  known = rates.CHIPS.get(jax.devices()[0].device_kind)
  if known is not None:
    return known
  count = jax.device_count()
  share = count if jax.default_backend() == 'cpu' else 1  # devices of a CPU are parts of it
  return rates.Chip(
    rates.memory() / count, rates.matmul_rate() / share, rates.bandwidth() / share, float('inf')
  )


def roofline(name, *, toy) -> dict:
  """The dry run of a row on the devices here, as JSON."""
  _, config = asked(name, toy=toy)
  made, chip = build.build(config), chip_here()
  step = dryrun.training_step(made, jax.devices())
  seconds = step.seconds(chip)
  longest = max(seconds, key=seconds.get)
  return {
    'devices': jax.device_count(), 'examples': made.config.train.batch_size,
    'tokens': made.config.train.batch_size * made.blocks.num_tokens,
    'flops': step.flops, 'rate': chip.rate, 'seconds': seconds[longest], 'bound by': longest,
    'moved': sum(step.moved.values()), 'GiB': step.total / rates.GIB, 'fits': step.fits(chip),
  }


def measured(flags, workdir, seconds) -> tuple[list[dict], str]:
  """(lines of metrics.jsonl, end of the output) of the binary, which is ended when there are enough
  of them, or its time is up."""
  end = time.monotonic() + seconds
  with tempfile.TemporaryFile('w+', errors='replace') as log:
    process = subprocess.Popen(
      [sys.executable, '-m', 'adiff.main', *flags, f'--workdir={workdir}'], cwd=parts.ROOT,
      env=parts.CHILDREN, stdout=log, stderr=log,
    )
    found = []
    while process.poll() is None and len(found) < LINES and time.monotonic() < end:
      time.sleep(0.2)
      if (workdir / logs.FILE).exists():
        found = [line for line in logs.read(workdir) if 'time/ms' in line]
    process.kill()
    process.wait()
    log.seek(0)
    return found, log.read()[-2000:].strip()


def row(page, name, seconds, *, toy, work):
  """Roofline and measurement of one row, on the page."""
  begun = time.monotonic()
  words = ['-m', 'benchmarks.tpu', '--roofline', f'--only={name}', *(['--toy'] if toy else [])]
  status, output, took = parts.child(words, seconds)
  if status != 0:
    page.add(name, seconds=took, status=status, lines=parts.told(status, output))
    return
  least = json.loads(output.split('\n')[-1])
  flags, _ = asked(name, toy=toy)
  lines, output = measured(flags, work / name, seconds - took)
  took = time.monotonic() - begun
  if len(lines) < LINES:
    said = parts.told(None, output)
    page.add(name, seconds=took, status=None, least=least, lines=said)
    return
  best = min(line['time/ms'] for line in lines[1:]) / 1e3
  middle = sorted(line['time/ms'] for line in lines[1:])[len(lines) // 2 - 1] / 1e3
  found = {
    'examples': least['examples'], 'devices': least['devices'],
    'tokens/s': least['tokens'] / middle, 'ms a step': 1e3 * middle, 'best': 1e3 * best,
    'at least ms': 1e3 * least['seconds'], 'bound by': least['bound by'],
    'of the roofline': least['seconds'] / middle,
    'utilisation': least['flops'] / least['rate'] / middle,
    'waiting for data': max(line['time/data_wait'] for line in lines[1:]),
    'GiB a device': least['GiB'],
  }
  page.add(name, seconds=took, status=0, row=found, least=least, lines=run.table([found]))


def main(argv=None) -> int:
  """All rows; 1 if one of them did not end well."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--folder', type=pathlib.Path, default=parts.ROOT / 'benchmarks')
  parser.add_argument('--seconds', type=float, default=600, help='of one row')
  parser.add_argument('--only', default='', help='rows whose name contains this')
  parser.add_argument('--toy', action='store_true', help='sizes that say nothing')
  parser.add_argument('--roofline', action='store_true', help='print that of one row, and no more')
  options = parser.parse_args(argv)
  names = [name for name in ROWS if options.only in name]
  if not names:
    parser.error(f'--only={options.only} is in no row; there are {", ".join(ROWS)}')
  if options.roofline:
    print(json.dumps(roofline(names[0], toy=options.toy)))
    return 0
  status, output, took = parts.child(['-c', parts.HARDWARE], 120)
  hardware = output.split('\n')[-1] if status == 0 else 'no device answered'
  page = parts.Page(options.folder, 'tpu', 'Training steps beside their roofline', {
    'hardware': hardware, 'commit': provenance.commit(), 'data': 'made up',
  })
  page.add('The device', seconds=took, status=status,
           lines=[hardware] if status == 0 else parts.told(status, output))
  with tempfile.TemporaryDirectory() as work:
    for name in names:
      row(page, name, options.seconds, toy=options.toy, work=pathlib.Path(work))
  return int(any(part['status'] != 0 for part in page.parts))


if __name__ == '__main__':
  sys.exit(main())
