"""An entry of the soak: from records of pictures of any size to a number, on two processes."""

import io
import json
import math
import random
import shutil

import numpy as np
import PIL.Image

from launch import runs, soak_processes

SPLITS = {'train': (400, 400, 400, 400, 400), 'validation': (200, 200)}  # pictures a file
CLASSES = ('red', 'green', 'blue')
SIDES = 24, 90  # of the pictures, from and to
SIZE, COUNT = 16, 2
CODEC = ('--config=configs/tokenizer.py:cifar10_fsq', '--config.coder.widths=(16,32)')  # to 4 x 4
GENERATOR = (
  '--config=configs/images.py:cifar10', '--config.blocks.cell=(2,2)', '--config.model.width=64',
  '--config.model.depth=2', '--config.model.heads=2', '--config.codec.name=trained',
  '--config.process.name=masked', '--config.solver.name=first_order', '--config.plan.steps=4',
  '--config.eval.steps=(4,)',
)
TRAINING = (
  '--config.train.steps=400', '--config.train.batch_size=64', '--config.train.log_every=50',
  '--config.train.eval_every=200', '--config.train.checkpoint_every=100',
  '--config.train.keep=1', '--config.train.keep_every=200', '--config.train.ema=0.99',
  '--config.train.flip=False', '--config.eval.examples=256', '--config.eval.num=64',
  '--config.eval.features=False',
)
_FEATURE = 'tensorflow_datasets.core.features.'
_INFO = {
  'name': 'waves', 'version': '1.0.0', 'moduleName': '',
  'description': 'Waves in three colours, made up.',
}
_FEATURES = {
  'pythonClassName': f'{_FEATURE}features_dict.FeaturesDict',
  'featuresDict': {'features': {
    'image': {'pythonClassName': f'{_FEATURE}image_feature.Image', 'image': {
      'shape': {'dimensions': ['-1', '-1', '3']}, 'dtype': 'uint8', 'encodingFormat': 'jpeg'}},
    'label': {'pythonClassName': f'{_FEATURE}class_label_feature.ClassLabel',
              'classLabel': {'numClasses': str(len(CLASSES))}},
  }},
}


def made_up(folder, splits, *, kind='tfrecord', seed=0) -> None:
  """Writes a TFDS folder of pictures of any size, as `imagenet2012` is one.

  splits: {split: how many a file}; kind: of the files, tfrecord or array_record.
  """
  from adiff.data import record_file, tfds_folder

  write = {
    'tfrecord': record_file.write_tfrecords, 'array_record': record_file.write_array_records,
  }[kind]
  folder.mkdir(parents=True)
  rng = np.random.default_rng(seed)
  for split, counts in splits.items():
    for index, count in enumerate(counts):
      write(
        folder / f'waves-{split}.{kind}-{index:05d}-of-{len(counts):05d}',
        [tfds_folder.example(_wave(rng)) for _ in range(count)],
      )
  (folder / 'features.json').write_text(json.dumps(_FEATURES))
  (folder / 'label.labels.txt').write_text('\n'.join(CLASSES) + '\n')
  (folder / tfds_folder.INFO).write_text(json.dumps({**_INFO, 'fileFormat': kind, 'splits': [
    {'name': split, 'numBytes': '1', 'shardLengths': [str(count) for count in counts],
     'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'}
    for split, counts in splits.items()
  ]}))


def _wave(rng):
  """The features of one: a wave in the colour of its class, a JPEG."""
  label = int(rng.integers(len(CLASSES)))
  height, width = rng.integers(*SIDES, 2)
  across, down = np.indices((height, width)) / SIDES[1]
  turn = 2 * np.pi * (rng.uniform(0.5, 2) * across + rng.uniform(0.5, 2) * down + rng.uniform())
  picture = np.full((height, width, 3), 90.0)
  picture[..., label] += 80 * np.sin(turn)
  file = io.BytesIO()
  PIL.Image.fromarray(picture.astype(np.uint8)).save(file, 'JPEG', quality=95)
  return {'image': [file.getvalue()], 'label': [label]}


def chain(folder, options):
  """Records of pictures are prepared by two hosts, killed on the way; two processes train a codec;
  two hosts make its codes, one killed on the way; two processes train a generator on those, and
  another one on the pictures, which it encodes on the way; another process evaluates."""
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  raw, codec, workdir = folder / 'raw' / '1.0.0', folder / 'codec', folder / 'run'
  on_tokens = folder / 'on_tokens'
  made_up(raw, SPLITS)
  data = ['--config.data.dataset=waves', f'--config.data.data_dir={folder / "both"}']
  tokens = ['--config.data.name=encoded', f'--config.data.data_dir={folder / "tokens"}']
  try:
    prepared = _prepared(folder, raw)
    _trained(codec, CODEC, data, options)
    encoded = _encoded(folder, codec)
    generator = [*GENERATOR, f'--config.codec.workdir={codec}']
    _trained(on_tokens, generator, tokens, options)
    _trained(workdir, generator, data, options)
    numbers = _numbers(on_tokens)
    code = runs.start(['--mode=eval', f'--workdir={on_tokens}'], folder / 'eval').wait()
    if code:
      raise soak_processes.Ended(runs.failed(code, folder / 'eval'))
  except soak_processes.Ended as ended:
    return ended.args[0]
  again, (first, *_, last) = _numbers(on_tokens), _bounds(workdir)
  apart = abs(numbers['bits_per_dim'] - again['bits_per_dim'])
  kept = sorted(int(path.name) for path in (workdir / 'checkpoints').glob('[0-9]*'))
  differing = runs.differences(on_tokens, workdir)
  return {
    'passed': prepared['kills of preparing'] > 0 and encoded['kills of encoding'] > 0
    and not prepared['files that differ'] and not encoded['tokens that differ'] and not differing
    and math.isfinite(last) and last < first and apart < 1e-4 and kept == [200, 400],
    'pictures': sum(map(sum, SPLITS.values())), **prepared,
    'PSNR of the codec': _numbers(codec)['psnr'], **encoded,
    'what differs of a run on tokens': differing, 'nats after 200 steps': first,
    'nats at the end': last, 'bits a dimension': numbers['bits_per_dim'],
    'evaluated again, apart': apart, 'checkpoints kept': str(kept), **runs.made_by(workdir),
  }


def _prepared(folder, raw):
  """Two hosts prepare, one after another, each killed twice; the facts of the row."""
  prepare = [f'--train={raw}:train', f'--test={raw}:validation', f'--size={SIZE}', '--workers=1']
  starter = lambda arguments, log: runs.start(arguments, log, module='adiff.data.prepare')
  alone, both = folder / 'alone' / 'waves', folder / 'both' / 'waves'
  code = starter([*prepare, f'--out={alone}'], folder / 'alone.log').wait()
  if code:
    raise soak_processes.Ended(runs.failed(code, folder / 'alone.log'))
  rng, kills = random.Random(6), 0
  for host in range(COUNT):
    log, one = folder / f'host_{host}.log', [*prepare, f'--out={both}', f'--shard={host}/{COUNT}']
    first = both / '1.0.0' / f'waves-train.array_record-{host:05d}-of-{len(SPLITS["train"]):05d}'
    moments = [runs.after(rng.uniform(0, 0.2), first), runs.after(rng.uniform(1, 3))]
    made, code = runs.kill_and_resume(starter, one, moments, log)
    kills += made
    if code:
      raise soak_processes.Ended(runs.failed(code, log))
  differing = runs.differing(alone / '1.0.0', both / '1.0.0')
  return {'kills of preparing': kills, 'files that differ': differing}


def _trained(workdir, what, data, options):
  """Two processes train something on the data."""
  command = [*what, *data, *TRAINING, *options.training]
  soak_processes.through(*soak_processes.launched(command, workdir, COUNT, devices=COUNT))


def _encoded(folder, codec):
  """Two hosts make codes, one is killed once a shard is there; the facts of the row."""
  out, alone = folder / 'tokens', folder / 'tokens_alone'
  command = ['--mode=encode', f'--workdir={codec}', '--batch=16']
  start = lambda place, count: soak_processes.launch(
    [*command, f'--out={place}'], count, f'{place}_log', devices=COUNT
  )
  soak_processes.through(lambda: start(alone, 1), f'{alone}_log')
  running = start(out, COUNT)
  runs.after(0, out / 'train' / '00000.npz')(running[1])
  running[1].kill()
  soak_processes.stop(running)
  kills = int(running[1].wait() < 0)
  soak_processes.through(lambda: start(out, COUNT), f'{out}_log')
  differing = [name for name in runs.differing(alone, out) if name != 'lock']
  return {'kills of encoding': kills, 'tokens that differ': differing}


def _numbers(workdir):
  return json.loads((workdir / 'eval.json').read_text())['numbers']


def _bounds(workdir):
  """The held-out bounds on the way, in order."""
  from adiff.machine import logs

  return [row['test/nats'] for row in logs.read(workdir) if 'test/nats' in row]
