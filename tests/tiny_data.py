"""A few examples of every data set that a config reads from disk, of the shapes it expects."""

import functools
import json
import pathlib

import jax
import numpy as np
import PIL.Image

from adiff.codec import trained
from adiff.run import build, encode, kept, reconstruct
from adiff.run import workdir as workdir_lib
from configs import base, coded, tokenizer

TFDS = {  # dataset: one example
  'mnist': {'image': np.zeros((28, 28, 1), np.uint8), 'label': 0},
  'cifar10': {'image': np.zeros((32, 32, 3), np.uint8), 'label': 0},
  'imagenet256': {'image': np.zeros((256, 256, 3), np.uint8), 'label': 0},
  'coco64': {'image': np.zeros((64, 64, 3), np.uint8), 'label': 0},
  'tiny_shakespeare': {'text': 'All the world is a stage.\n' * 80},
}
WORDS = 'All the world is a stage, and all the men and women merely players.\n' * 400


def point(config, root: pathlib.Path) -> None:
  """Makes the config read a few examples below `root`, which are written at the first call."""
  data = config.data
  for codec in (config.codec, *(own.codec for own in config.kinds.values() if 'codec' in own)):
    if codec.name == 'trained':
      codec.workdir = str(_codec_of(config, root))
  if 'data_dir' in data and not data.get('made_up'):
    data.data_dir = str(_folder(config, root))
  if data.get('path'):
    data.path = str(_written(root / 'words.txt', lambda path: path.write_text(WORDS)))
  if config.codec.get('path'):
    config.codec.path = str(_written(root / 'tokenizer.json', _tokenizer))


def _folder(config, root):
  data = config.data
  if data.name == 'encoded':
    name = _trained_by(config) if config.codec.name == 'trained' else config.codec.name
    return _written(root / f'tokens_{name}', lambda path: _tokens(path, config, root))
  if data.name == 'latents':
    name = 'x'.join(map(str, data.shape))
    return _written(root / f'latents_{name}_{data.num_classes}', lambda path: _latents(path, data))
  if data.name == 'image_folder':
    return _written(root / 'pictures', _pictures)
  if data.name == 'captioned_folder':
    return _written(root / 'captioned', _captioned)
  return _written(root / 'tfds' / data.dataset, _tfds).parent


def _written(path, write):
  if not path.exists():
    write(path)
  return path


def _latents(folder, data):
  statistics = {'mean': [0.0] * data.shape[-1], 'std': [1.0] * data.shape[-1]}
  for split in ('train', 'test'):
    (folder / split).mkdir(parents=True)
    np.save(folder / split / '0.npy', np.zeros((2, *data.shape), np.float16))
    if data.num_classes:
      np.save(folder / split / '0.label.npy', np.zeros(2, np.int64))
  (folder / 'latents.json').write_text(json.dumps(statistics))


def _tokens(folder, config, root):
  """Those that the config's codec makes of a few pictures."""
  config, workdir = config.copy_and_resolve_references().unlock(), f'{folder}_run'
  if config.codec.name == 'trained':
    config.data = trainer(_trained_by(config), root).data
  else:
    base.choose(config, 'data', 'digits')
  parts = build.build(config.lock())
  with workdir_lib.lock(workdir):
    workdir_lib.claim(workdir, parts.config, parts.contract)
    kept.write(workdir, parts)
  encode.encode(workdir, folder, batch=2)


def _trained_by(config):
  """The row of configs/tokenizer.py that trains the codec of a config."""
  file, _, argument = config.name.partition(' ')
  if file == 'generators':
    return coded.codec_of(argument)
  return dict(imagenet256='imagenet256_var').get(file, 'shapes_vq')


def _codec_of(config, root):
  row = _trained_by(config)
  return _written(root / f'codec_{row}', lambda path: _codec(path, row, root))


def _codec(workdir, row, root):
  workdir.mkdir()
  text = codec_text(trainer(row, root))
  (workdir / trained.FILE).write_text(text)


def trainer(row, root):
  """It, with a few pictures, and with networks that are thin."""
  c = tokenizer.get_config(row).unlock()
  if c.data.name == 'shapes':
    c.data.size = 16
  point(c, root)
  c.coder.widths, c.coder.blocks, c.coder.attention = (4,) * len(c.coder.widths), 1, False
  c.coder.dtype = 'float32'
  return c.lock()


def codec_text(config, *, seed=0):
  """The file of a codec with random parameters, of a config that trains one of symbols."""
  parts, rng = build.build(config), np.random.default_rng(seed)
  autoencoder = parts.autoencoder
  abstract = jax.eval_shape(
    lambda key: {'params': autoencoder.init(key), 'extra': autoencoder.init_extra()},
    jax.random.key(0),
  )
  served = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), abstract)
  return trained.told(reconstruct.about(parts), served, mean=(), std=(), step=0)


def _pictures(folder):
  for name in ('cats', 'dogs'):
    (folder / name).mkdir(parents=True)
    for index in range(11):
      PIL.Image.new('RGB', (40, 33)).save(folder / name / f'{index}.png')


def _captioned(folder):
  folder.mkdir(parents=True)
  lines = []
  for index in range(14):
    PIL.Image.new('RGB', (9, 8), (15 * index, 0, 0)).save(folder / f'{index}.png')
    line = {'file_name': f'{index}.png', 'text': f'red of {index}', 'category': 'ab'[index % 2]}
    lines.append(json.dumps(line))
  (folder / 'metadata.jsonl').write_text('\n'.join(lines) + '\n')


def _tfds(folder):
  """Two examples a split, in a folder of that name: a reader asks the folder, not the files."""
  builder, beside = _builder(folder.name), folder.parent / 'made'
  builder(data_dir=str(beside), file_format='array_record').download_and_prepare()
  (beside / builder.name).rename(folder)


@functools.cache  # TFDS takes a name once in a process
def _builder(dataset):
  """Makes the data set of the features that its example has."""
  import tensorflow_datasets as tfds

  example = TFDS[dataset]
  number = 1 if 'text' in example else 2

  class Few(tfds.core.GeneratorBasedBuilder):
    """A few equal examples."""
    VERSION = tfds.core.Version('1.0.0')
    name = f'few_{dataset}'
    pkg_dir_path = pathlib.Path(__file__).parent

    def _info(self):
      features = {name: _feature(tfds, value) for name, value in example.items()}
      return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
      return {split: self._generate_examples() for split in ('train', 'validation', 'test')}

    def _generate_examples(self):
      yield from ((index, example) for index in range(number))

  return Few


def _feature(tfds, value):
  if isinstance(value, str):
    return tfds.features.Text()
  if isinstance(value, int):
    return tfds.features.ClassLabel(num_classes=10)
  return tfds.features.Tensor(shape=value.shape, dtype=value.dtype)


def _tokenizer(path):
  """A byte-level BPE, as --config.codec.path reads it."""
  import tokenizers

  trained = tokenizers.ByteLevelBPETokenizer()
  trained.train_from_iterator([WORDS], vocab_size=300, special_tokens=['<|endoftext|>'])
  trained.save(str(path))
