"""A set of tokens of digits, and the functions that read it as adiff's modes do."""

import tiny_data

from adiff.run import build, encode
from configs import base, digits


def make(folder):
  """FOLDER/set, and FOLDER/set_run that it was made from."""
  folder.mkdir()
  tiny_data._tokens(folder / 'set', digits.get_config(), folder)


def read(folder):
  """As training begins."""
  config = digits.get_config().unlock()
  base.choose(config, 'data', 'encoded', data_dir=str(folder / 'set'))
  found = build.build(config.lock())
  return found.contract, found.coded.examples('train', range(9))


def encode_on(folder):
  """--mode=encode, which goes on where shards are."""
  encode.encode(folder / 'set_run', folder / 'set', batch=2)


READERS = read, encode_on
