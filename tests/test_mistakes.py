"""A mistake costs its maker one sentence: exit code 2, one line, no traceback, nothing lost."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import time

import binary
import pytest

from adiff.machine import checkpoint, manifest

LIMIT = 60  # seconds until a call that should have been refused is ended
NOWHERE = '/nowhere/adiff'
_DIGITS = 'from configs import base, digits\ndef get_config():\n  c = digits.get_config()\n'
_TOY = 'from configs import base, toy\ndef get_config():\n  c = toy.get_config()\n'
_END = '  return c.lock()\n'
WRITTEN = {  # configs that a user might have written, put beside the workdir
  'image_folder.py': (
    f'{_DIGITS}  base.choose(c, "data", "image_folder", data_dir="{NOWHERE}")\n{_END}'
  ),
  'tfds.py': f'{_DIGITS}  base.choose(c, "data", "tfds", data_dir="{NOWHERE}")\n{_END}',
  'masked.py': f'{_DIGITS}  base.choose(c, "process", "masked")\n{_END}',
  'broken.py': f'{_TOY}  base.choose(c, "blokcs", "whole")\n{_END}',
  'torn.py': f'{_TOY}  return (\n',
  'partial.py': f'{_TOY}  with c.unlocked():\n    del c.plan\n{_END}',
}


@dataclasses.dataclass(frozen=True)
class Case:
  """Arguments, in which {new} is a new workdir and {old} a trained one, and words of the answer.

  spoil: function of the folder of {old} that breaks something first.
  """

  name: str
  arguments: str
  words: tuple[str, ...]
  spoil: object = None


def _config(name, overrides, *words, config='toy.py:block'):
  arguments = ' '.join(f'--config.{override}' for override in overrides.split())
  place = '{here}' if config in WRITTEN else f'{binary.ROOT}/configs'
  return Case(name, f'--config={place}/{config} --workdir={{new}} {arguments}', words)


def _digits(name, overrides, *words):
  return _config(name, overrides, *words, config='digits.py')


def _used(name, arguments, *words, spoil=None):
  return Case(name, f'--workdir={{old}} {arguments}', words, spoil)


def _newest(workdir):
  folder = workdir / 'checkpoints'
  return folder / str(max(int(path.name) for path in folder.iterdir() if path.name.isdecimal()))


def _truncate(workdir):
  """Cuts the largest file of every checkpoint."""
  for folder in (workdir / 'checkpoints').iterdir():
    if folder.name.isdecimal():
      largest = max((p for p in folder.rglob('*') if p.is_file()), key=lambda p: p.stat().st_size)
      os.truncate(largest, largest.stat().st_size // 2)


def _forget(workdir):
  shutil.rmtree(workdir / 'checkpoints')


def _tear(workdir):
  text = (workdir / 'config.json').read_text()
  (workdir / 'config.json').write_text(text[:len(text) // 2])


def _anonymous(workdir):
  (workdir / 'config.json').unlink()


def _list(workdir):
  (workdir / 'config.json').write_text('[1, 2]')


def _contract(workdir):
  contract = json.loads((workdir / 'contract.json').read_text())
  contract['data'] = 'of another data set'
  (workdir / 'contract.json').write_text(json.dumps(contract))


def _outdate(workdir):
  config = json.loads((workdir / 'config.json').read_text())
  del config['plan']
  (workdir / 'config.json').write_text(json.dumps(config))


def _occupy(workdir):
  (workdir / 'samples.npz').mkdir()


CASES = (
  # Flags.
  Case('nothing at all', '', ('--workdir',)),
  Case('no workdir', f'--config={binary.ROOT}/configs/toy.py', ('--workdir', 'runs/')),
  Case('no config', '--workdir={new}', ('--config', 'configs/digits.py')),
  Case('a dry run of nothing', '--mode=dryrun', ('--config',)),
  Case('a topology of no kind', f'--mode=dryrun --config={binary.ROOT}/configs/toy.py '
       '--topology=16x16', ('--topology', 'v5e:16x16')),
  Case('a process among too few', f'--config={binary.ROOT}/configs/toy.py --workdir={{new}} '
       '--processes=2/2@localhost:1', ('INDEX below COUNT', 'auto')),
  Case('processes of no cluster', '--mode=sample --workdir={new} --processes=auto',
       ('--processes=auto', 'no cluster', 'INDEX/COUNT@HOST:PORT')),
  Case('an unknown flag', '--wordir={new}', ('wordir',)),
  Case('a word that is no flag', '--workdir={new} train', ("'train'", '--FLAG=VALUE')),
  Case('an unknown mode', '--workdir={new} --mode=trian', ('mode', 'train', 'eval', 'sample')),
  Case('no samples', '--workdir={new} --mode=sample --num=0', ('num', 'positive')),
  Case('a number in words', '--workdir={new} --mode=sample --num=many', ('num', 'many')),
  Case('a negative seed', '--workdir={new} --mode=sample --seed=-1', ('seed', '-1')),
  Case('eval of no workdir', f'--workdir={NOWHERE} --mode=eval', ('config.json', '--workdir')),
  # Config files and keys.
  Case('no such config', '--workdir={new} --config=configs/toyy.py', ('configs/toyy.py',)),
  _config('no such argument', '', 'blok', 'block', 'forcing', config='toy.py:blok'),
  _config('an unknown size', '', 'tiny', 'short', config='digits.py:tiny'),
  _config('an unknown section', 'trian.steps=3', 'trian'),
  _config('an unknown key', 'train.stesp=3', 'stesp'),
  _config('a float for a whole number', 'train.steps=2.5', 'train.steps', '2.5'),
  _config('a word for a number', 'optim.learning_rate=fast', 'learning_rate', 'fast'),
  _config('a section for a value', 'model=big', 'model'),
  # Choices.
  _config('a misspelt process', 'process.name=maskd', 'process', "did you mean 'masked'"),
  _config('a misspelt solver', 'solver.name=hein', 'solver', "did you mean 'heun'"),
  _config('a misspelt model', 'model.name=denoizer', 'model', "did you mean 'denoiser'"),
  _config('a misspelt data set', 'data.name=chian', 'data', "did you mean 'chain'"),
  _config('blocks that do not tile', 'blocks.name=cells', 'blocks.cell=(2, 2)', 'tile'),
  _config('a misspelt optimiser', 'optim.name=adamv', 'optim.name', 'adamw'),
  _config('a misspelt schedule', 'optim.schedule=cosin', 'optim.schedule', 'cosine'),
  _digits('a misspelt noise schedule', 'process.schedule=cosinus', 'schedule', 'cosine'),
  _config('a misspelt dtype', 'model.dtype=float61', 'dtype', 'float61', 'bfloat16'),
  _config('a misspelt split', 'eval.split=tets', 'split', 'tets', 'test'),
  # Parts that do not fit each other.
  _config('blocks that do not divide', 'blocks.size=4', 'blocks.size=4', '6'),
  _config('scales of another sum', 'data.num_tokens=20', '21', '20', config='toy.py:scales'),
  _config('a grid of another sum', 'blocks.grid=(3,3)', '9', '6', config='toy.py:frames'),
  _config('frames that do not tile', 'blocks.per_block=2', '(3, 2)', 'divisors',
          config='toy.py:frames'),
  _digits('a patch that does not tile', 'codec.patch=3', '3', '8 x 8'),
  _digits('symbols of several pixels', 'codec.discrete=True', 'patch=1'),
  _digits('symbols for gaussian noise', 'codec.discrete=True codec.patch=1', 'discrete=False'),
  _digits('eps without signal', 'process.prediction=eps', 'eps', 'prediction=v'),
  _digits('eta above one', 'process.eta=1.5', 'eta', '[0, 1]'),
  _digits('bound ends reversed', 'process.log_snr=(9.0,-10.0)', 'log_snr'),
  _config('heun on symbols', 'solver.name=heun', 'Heun', 'first_order'),
  _config('multistep on symbols', 'solver.name=multistep', 'Multistep', 'first_order'),
  _config('floats for masks', '', 'symbols', 'codec.discrete=True', config='masked.py'),
  _config('a config with an error', '', 'blokcs', config='broken.py'),
  _config('a config that is not Python', '', 'never closed', 'torn.py', config='torn.py'),
  _config('a config without a section', '', 'plan', 'configs/base.py', config='partial.py'),
  _config('a codec on a chain', 'codec.name=patches', 'codec', 'none'),
  _config('all noise for uniform', 'process.name=uniform', 'draw', config='toy.py:ar'),
  _config('delay with a history', 'plan.delay=1', 'delay', 'history=None'),
  _config('guidance without labels', 'guidance.scale=2.0', 'guidance', 'labels'),
  _config('a history that is all noise', 'history=1.0', 'history', '[0, 1)'),
  _config('atoms beyond one', 'atoms.zero=0.7 atoms.one=0.7', 'atoms'),
  _config('heads that do not divide', 'model.heads=5', 'width', 'heads'),
  _config('an empty model', 'model.depth=0', 'depth'),
  _config('dropout of everything', 'model.dropout=1.0', 'dropout'),
  # Numbers.
  _config('no steps', 'train.steps=0', 'train.steps', '1'),
  _config('warm-up beyond the end', 'train.steps=10 optim.warmup=100', 'warmup', '10'),
  _config('a negative learning rate', 'optim.learning_rate=-1.0', 'learning_rate'),
  _config('an average of decay one', 'train.ema=1.0', 'ema', '[0, 1)'),
  _config('parts that do not divide', 'train.microbatches=3', 'microbatches', 'batch_size'),
  _config('more labels hidden than all', 'cond_dropout=1.5', 'cond_dropout'),
  _config('a negative interval of bounds', 'train.eval_every=-1', 'eval_every'),
  _config('no steps a block', 'plan.steps=0', 'plan.steps'),
  _config('a negative delay', 'plan.delay=-1', 'delay'),
  _config('no steps in the table', 'eval.steps=(0,)', 'eval.steps'),
  _config('a negative seed in the config', 'seed=-1', 'seed'),
  _config('a chain of nothing', 'data.size=0', 'data.size'),
  _config('a batch for no mesh', 'train.batch_size=3', '3', 'devices'),
  _config('a mesh of another size', 'mesh.fsdp=3', 'mesh', '2 devices'),
  _config('two open axes', 'mesh.data=-1 mesh.fsdp=-1', 'mesh.data', '-1'),
  # Files.
  _config('no image folder', '', NOWHERE, config='image_folder.py'),
  _config('no tfds folder', '', NOWHERE, config='tfds.py'),
  _config('init_from nowhere', f'init_from={NOWHERE}', 'init_from', 'checkpoint'),
  Case('a workdir that is a file', ' '.join(binary.TINY) + ' --workdir={file}', ('--workdir',)),
  Case('a workdir in a file', ' '.join(binary.TINY) + ' --workdir={file}/run', ('--workdir',)),
  _used('the workdir of another config', ' '.join(binary.TINY) + ' --config.seed=1',
        'seed', 'another config', '--workdir'),
  _used('a damaged contract', ' '.join(binary.TINY), 'data', 'another data set', spoil=_contract),
  _used('a torn config at resuming', ' '.join(binary.TINY), 'config.json', 'JSON', spoil=_tear),
  _used('checkpoints without a config', ' '.join(binary.TINY), 'config.json', '--workdir',
        spoil=_anonymous),
  _used('all checkpoints cut', ' '.join(binary.TINY), 'damaged', spoil=_truncate),
  # Text.
  _config('no text file', f'data.path={NOWHERE}', NOWHERE, config='text.py'),
  _config('no tokenizer file', f'codec.path={NOWHERE}', 'tokenizer', config='text.py'),
  _config('too few subwords', 'codec.size=100', '256', config='text.py'),
  _config('a codec of images for text', 'codec.name=none', 'subwords', config='text.py'),
  _config('a block size that does not divide', 'train.block_sizes=(7,)', '7', config='text.py'),
  _config('a batch that is not dealt out', 'train.block_sizes=(1,4)', 'multiple', config='text.py'),
  _config('complements of uniform noise', 'train.complementary=True', 'uniform',
          config='text.py:uniform'),
  _config('next tokens of floats', 'train.next_token=1.0', 'symbols',
          config='toy.py:block-gaussian'),
  _config('a sampler of the report that is none', "eval.samplers=('thresold',)", 'threshold',
          config='text.py'),
  _config('a sampler of the report without steps', "eval.samplers=('budget@x',)", '@STEPS',
          config='text.py'),
  _config('a temperature below zero', 'truncation.temperature=-1.0', 'temperature',
          config='text.py'),
  # Evaluation and sampling.
  _used('a prompt for a chain', '--mode=sample --prompt=abc', 'is no text', 'text'),
  _used('a prompt to evaluate', '--mode=eval --prompt=abc', '--mode=eval', 'sample'),
  _used('an unknown solver', '--mode=sample --solver=thresold', 'threshold'),
  _used('a solver that is no call', '--mode=sample --solver=threshold(0.8)', 'VALUE'),
  _used('a budget without a profile', '--mode=sample --solver=budget', 'profile', '--mode=eval'),
  _used('blocks that do not divide', '--mode=sample --block_size=4', '4', 'divide'),
  _used('a torn config', '--mode=eval', 'config.json', 'JSON', spoil=_tear),
  _used('a list for a config', '--mode=eval', 'config.json', 'dictionary', spoil=_list),
  _used('a config of another version', '--mode=eval', 'plan', spoil=_outdate),
  _used('another contract', '--mode=eval', 'data', 'same data', spoil=_contract),
  _used('no checkpoint to evaluate', '--mode=eval', 'checkpoint', 'train', spoil=_forget),
  _used('no checkpoint to sample', '--mode=sample', 'checkpoint', 'train', spoil=_forget),
  _used('only cut checkpoints', '--mode=sample', 'damaged', spoil=_truncate),
  _used('a step that is not there', '--mode=eval --step=7', '7', '300'),
  _used('a forbidden key', '--mode=eval --set=model.width=32', 'model.width', 'plan'),
  _used('a forbidden key of a free section', '--mode=eval --set=process.schedule=flow', 'schedule'),
  _used('an unknown free key', '--mode=eval --set=plan.stesp=3', 'stesp', 'steps'),
  _used('a key without a value', '--mode=eval --set=plan.steps', '--set', 'KEY=VALUE'),
  _used('a value of the wrong type', '--mode=eval --set=plan.steps=two', 'plan.steps', 'type'),
  _used('a value that cannot work', '--mode=sample --set=plan.steps=0', 'plan.steps'),
  _used('a section as a key', '--mode=eval --set=plan=3', 'plan', 'steps'),
  _used('a delay in words', '--mode=eval --set=plan.delay=soon', 'plan.delay', 'type'),
  _used('samples into no folder', f'--mode=sample --out={NOWHERE}/s.npz', NOWHERE),
  _used('samples onto a folder', '--mode=sample', 'samples.npz', spoil=_occupy),
  _used('guided sampling without labels', '--mode=sample --set=guidance.scale=3.0', 'labels'),
)


def _snapshot(folder):
  """{path: digest} of every file below a folder."""
  return {
    str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(pathlib.Path(folder).rglob('*')) if path.is_file() and path.name != 'lock'
  }


def _sentence(arguments, log, *, noise=False, meanwhile=lambda running: None, **how):
  """The one line a refused call prints, after checking that it is refused as promised. noise: the
  libraries' threads may print before it; nobody can catch what they raise."""
  running = binary.start(arguments, log, **how)
  meanwhile(running)
  code = running.wait(timeout=LIMIT)
  errors = pathlib.Path(f'{log}.err').read_text()
  assert code == 2, errors
  assert noise or 'Traceback' not in errors
  lines = [line for line in errors.splitlines() if line.startswith('adiff: ')]
  assert len(lines) == 1 and errors.endswith(lines[0] + '\n'), errors
  assert 20 < len(lines[0]) < 500, lines
  return lines[0]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A finished run."""
  folder = tmp_path_factory.mktemp('trained')
  code = binary.start([*binary.TINY, f'--workdir={folder}/run'], folder / 'log').wait()
  assert code == 0, (folder / 'log.err').read_text()
  return folder / 'run'


@pytest.mark.parametrize('case', CASES, ids=[case.name.replace(' ', '_') for case in CASES])
def test_a_mistake_is_told_in_one_sentence_and_nothing_is_lost(case, trained, tmp_path):
  old = trained
  if case.spoil is not None:
    old = tmp_path / 'old'
    shutil.copytree(trained, old)
    case.spoil(old)
  (tmp_path / 'file').write_text('precious')
  for name, text in WRITTEN.items():
    (tmp_path / name).write_text(text)
  places = {'new': tmp_path / 'new', 'old': old, 'file': tmp_path / 'file', 'here': tmp_path}
  before = _snapshot(old)
  arguments = case.arguments.format(**places).split()
  line = _sentence(arguments, tmp_path / 'log', devices=2)
  print(line)
  for word in case.words:
    assert word in line
  assert set(before.values()) <= set(_snapshot(old).values())
  assert (tmp_path / 'file').read_text() == 'precious'
  assert not (tmp_path / 'new').exists()


@contextlib.contextmanager
def _small_disk(place, kilobytes):
  """A file system of its own at `place`; skips where only an administrator may make one."""
  place.mkdir()
  size = f'size={kilobytes}k'
  mount = ['mount', '-t', 'tmpfs', '-o', size, 'adiff', str(place)]
  if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
    pytest.skip('mounting a file system needs an administrator')
  try:
    yield place
  finally:
    subprocess.run(['umount', '--lazy', str(place)], check=True)


def test_a_full_disk_is_told_and_the_last_checkpoint_stays(tmp_path):
  with _small_disk(tmp_path / 'disk', 1024) as disk:
    arguments = [*binary.TINY, '--config.train.keep=99', f'--workdir={disk}/run']
    line = _sentence(arguments, tmp_path / 'log', noise=True)
    assert 'No space left' in line and '--workdir' in line
    newest = checkpoint.latest_step(disk / 'run')
    assert manifest.verify(disk / 'run', newest) in (True, False)  # sound: it raises if damaged
    checkpoint.restore_params(disk / 'run', step=newest)


def test_a_folder_that_may_only_be_read_is_told(tmp_path):
  with _small_disk(tmp_path / 'disk', 64) as disk:
    subprocess.run(['mount', '-o', 'remount,ro', str(disk)], check=True)
    line = _sentence([*binary.TINY, f'--workdir={disk}/run'], tmp_path / 'log')
    assert 'Read-only' in line and '--workdir' in line


def test_a_workdir_that_vanishes_while_it_is_trained_is_told_and_not_made_again(tmp_path):
  workdir = tmp_path / 'run'

  def move(running):  # once it trains
    while not (workdir / 'metrics.jsonl').exists() or not (workdir / 'metrics.jsonl').read_text():
      time.sleep(0.02)
    workdir.rename(tmp_path / 'elsewhere')

  long = ['--config.train.steps=100000', '--config.train.checkpoint_every=100000']
  line = _sentence([*binary.TINY, *long, f'--workdir={workdir}'], tmp_path / 'log', meanwhile=move)
  assert str(workdir) in line and '--workdir' in line and not workdir.exists()


def test_a_device_is_no_file_for_samples(trained, tmp_path):
  arguments = [f'--workdir={trained}', '--mode=sample', '--num=8', '--out=/dev/full']
  line = _sentence(arguments, tmp_path / 'log')
  assert '/dev/full' in line and '--out' in line
