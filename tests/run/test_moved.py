"""A run moves: to another folder without its data, to other devices, to another mount."""

import ctypes
import json
import os
import shutil
import subprocess
import sys

import binary
import numpy as np
import pytest
import tiny_data

from adiff.run import build
from adiff.run import workdir as workdir_lib
from configs import digits
from launch import runs

pytestmark = pytest.mark.soak
ROOT = binary.ROOT
SMALL = (
  '--config.model.width=16 --config.model.depth=1 --config.model.heads=2 --config.plan.steps=4 '
  '--config.model.dtype=float32 --config.model.attention=xla --config.model.remat=none '
  '--config.optim.warmup=0 --config.train.steps=20 --config.train.batch_size=8 '
  '--config.train.log_every=5 --config.train.checkpoint_every=10 --config.train.eval_every=0 '
  '--config.eval.batch_size=8 --config.eval.examples=8 --config.eval.samples=1 '
  '--config.eval.num=20 --config.eval.steps=() --config.eval.features=False'
).split()
KINDS = {  # {kind of data: (its config, where it lies and other flags)}
  'chain': ('toy.py:block', '--config.data.size=2048 --config.eval.num=2048'),
  'digits': ('digits.py', '--config.eval.features=True'),
  'tokens': ('digits.py', '--config.data.name=encoded --config.data.data_dir={data}/tokens '
             '--config.eval.features=True'),
  'pictures': ('images.py:folder', '--config.data.data_dir={data}/pictures --config.data.size=16 '
               '--config.blocks.cell=(2,2)'),
  'latents': ('imagenet256.py:acdit_xl', '--config.data.data_dir={data}/latents '
              '--config.data.shape=(8,8,4) --config.data.num_classes=3 '
              '--config.blocks.cell=(4,4) --config.mesh.fsdp=1'),
  'subwords': ('text.py:full', '--config.data.path={data}/words.txt --config.eval.samplers=() '
               '--config.data.num_tokens=32 --config.codec.path={data}/tokenizer.json'),
  'learnt': ('text.py:block16', '--config.data.path={data}/words.txt --config.eval.samplers=() '
             '--config.data.num_tokens=32 --config.codec.size=300'),
}

JUDGED = ('digits', 'tokens')  # kinds whose runs keep statistics of real pictures


def data_below(folder):
  """Every kind of data that lies somewhere."""
  folder.mkdir()
  rng = np.random.default_rng(0)
  tiny_data._pictures(folder / 'pictures')
  for split in ('train', 'test'):
    (folder / 'latents' / split).mkdir(parents=True)
    latents = 3 * rng.normal(size=(12, 8, 8, 4)) + 1
    np.save(folder / 'latents' / split / '0.npy', latents.astype(np.float32))
    np.save(folder / 'latents' / split / '0.label.npy', np.arange(12) % 3)
  (folder / 'latents' / 'latents.json').write_text(
    '{"mean": [1.0, 1.0, 1.0, 1.0], "std": [3.0, 3.0, 3.0, 3.5]}'
  )
  (folder / 'words.txt').write_text(tiny_data.WORDS)
  tiny_data._tokenizer(folder / 'tokenizer.json')
  tiny_data._tokens(folder / 'tokens', digits.get_config())
  return folder


def modest():
  """Root obeys permissions from here on: PR_CAPBSET_DROP of CAP_DAC_OVERRIDE."""
  ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def call(command, desk, *, devices=1):
  """Runs python with so many devices."""
  compiler = ' '.join([f'--xla_force_host_platform_device_count={devices}', *binary.FLAGS])
  environment = {
    **os.environ, 'XLA_FLAGS': compiler, 'PYTHONPATH': f'{ROOT}:{ROOT}/tests',
    'XDG_CACHE_HOME': str(desk / 'cache'),
  }
  done = subprocess.run(
    [sys.executable, *map(str, command)], cwd=desk, env=environment, capture_output=True,
    text=True, check=False, preexec_fn=modest,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def train(kind, workdir, data, desk, *more, devices=1):
  config, flags = KINDS[kind]
  return call([
    '-m', 'adiff.main', f'--config={ROOT}/configs/{config}', *SMALL,
    *flags.format(data=data).split(), f'--workdir={workdir}', *more,
  ], desk, devices=devices)


def judged(workdir, samples, desk):
  """The numbers of samples that are judged against what a workdir keeps of real pictures."""
  out = desk / f'judged_{workdir.parent.name}'
  call([
    '-m', 'adiff.main', '--mode=judge', f'--samples={samples}', f'--reference={workdir}',
    f'--out={out}',
  ], desk)
  numbers = json.loads((out / 'eval.json').read_text())['numbers']
  return {name: value for name, value in numbers.items() if value is not None}


def unwritable(folder):
  for path in (folder, *folder.rglob('*')):
    path.chmod(0o555 if path.is_dir() else 0o444)
  return folder


@pytest.mark.parametrize('kind', KINDS)
def test_a_workdir_elsewhere_does_what_it_did_and_goes_on_at_another_mount(kind, tmp_path):
  desk, run = tmp_path, tmp_path / 'run'
  data = data_below(desk / 'data')
  train(kind, run, data, desk)
  parts = build.build(workdir_lib.load(run))
  examples = parts.source.examples('test', np.arange(1))['example']
  np.savez(desk / 'examples.npz', examples=np.array(list(examples)))
  real = parts.source.examples('test', np.arange(20))['example'] if kind in JUDGED else None
  use = [ROOT / 'tests' / 'run' / 'moved.py']
  call([*use, run, desk / 'examples.npz', desk / 'here.npz'], desk)

  moved = unwritable(shutil.copytree(run, desk / 'moved' / 'run'))
  there = (desk / 'mount').resolve()
  data.rename(there)
  with pytest.raises(AssertionError, match='Permission denied'):
    call(['-c', f'open({str(moved / "new")!r}, "w")'], desk)
  call([*use, moved, desk / 'examples.npz', desk / 'there.npz'], desk, devices=4)
  with np.load(desk / 'here.npz') as here, np.load(desk / 'there.npz') as other:
    assert here.files == other.files
    for name in here.files:
      if here[name].dtype.kind == 'f':
        np.testing.assert_allclose(other[name], here[name], rtol=1e-5, atol=1e-5, err_msg=name)
      else:
        np.testing.assert_array_equal(other[name], here[name], err_msg=name)

  if kind in JUDGED:
    np.savez(desk / 'made.npz', arr_0=real)
    one, other = (judged(place, desk / 'made.npz', desk) for place in (run, moved))
    assert one['frechet'] >= 0 and other == pytest.approx(one, rel=1e-5, abs=1e-5)

  half = shutil.copytree(run, desk / 'half')
  for path in (half / 'checkpoints').rglob('20*'):
    shutil.rmtree(path) if path.is_dir() else path.unlink()
  place = [] if kind in ('chain', 'digits') else [f'--data={_place(kind, there)}']
  tokenizer = [f'--config.codec.path={there}/tokenizer.json'] if kind == 'subwords' else []
  said = train(kind, half, '/nowhere' if place else there, desk, *place, *tokenizer)
  assert f'resuming {half} at step 10 of 20' in said
  assert runs.differences(half, run) == []


def _place(kind, folder):
  """What --data names."""
  return folder / {
    'pictures': 'pictures', 'latents': 'latents', 'tokens': 'tokens'
  }.get(kind, 'words.txt')
