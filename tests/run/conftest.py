"""Sets of tokens that several tests read."""

import encoding
import pytest

from adiff.run import encode


@pytest.fixture(scope='session')
def encoders(tmp_path_factory):
  """A function: kind -> (workdir, its parts)."""
  return encoding.encoders(tmp_path_factory.mktemp('encode'))


@pytest.fixture(scope='session')
def sets(encoders, tmp_path_factory):
  """A function: kind -> the folder that one host has made of it, undisturbed."""
  top, made = tmp_path_factory.mktemp('sets'), {}

  def of(kind):
    if kind not in made:
      made[kind] = top / kind
      encode.encode(encoders(kind)[0], made[kind])
    return made[kind]

  return of


@pytest.fixture(scope='session')
def whole_set(encoders, tmp_path_factory):
  """Copies of digits, in several shards, as one host has made them."""
  out = tmp_path_factory.mktemp('whole') / 'set'
  encode.encode(encoders('digits')[0], out, **encoding.SMALL)
  return out
