"""Sets of tokens for tests: workdirs to encode from, and what is made of them."""

import pathlib
from collections.abc import Callable

from test_kept import config_of

from adiff.run import build, kept
from adiff.run import workdir as workdir_lib
from configs import base

KINDS = ('digits', 'characters', 'subwords', 'packed', 'image_folder', 'latents')
SMALL = dict(batch=256, copies=3, flip=True)  # 6 shards of train, 2 of test


def encoder(workdir, config) -> tuple:
  """(a workdir of a config whose codec is there, its parts); nothing is trained."""
  parts = build.build(config)
  workdir.mkdir()
  workdir_lib.claim(workdir, parts.config, parts.contract)
  kept.write(workdir, parts)
  return workdir, parts


def encoders(top) -> Callable:
  """A function: kind -> `encoder` of it below a folder, made once."""
  made = {}

  def run(kind):
    if kind not in made:
      config = config_of('characters' if kind == 'packed' else kind, top / kind)
      with config.unlocked():
        config.eval.samplers = ()
        if kind in ('characters', 'packed'):  # many documents
          config.data.update(path='', packed=kind == 'packed')
      made[kind] = encoder(top / kind / 'run', config)
    return made[kind]

  return run


def on(folder, config, **codec):
  """The config of a run on a set of tokens."""
  config = config.copy_and_resolve_references().unlock()
  packed = config.data.get('packed', False)
  base.choose(config, 'data', 'encoded', data_dir=str(folder), packed=packed)
  config.codec.update(codec)
  return config.lock()


def contents(folder):
  """{name: bytes} of a set."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(pathlib.Path(folder).rglob('*')) if path.is_file() and path.name != 'lock'
  }


def first(out):
  return out / 'train' / '00000.npz'


def cut(path):
  path.write_bytes(path.read_bytes()[:-30])


def flip(path):
  content = bytearray(path.read_bytes())
  content[content.index(b'NUMPY') + 200] ^= 1
  path.write_bytes(content)
