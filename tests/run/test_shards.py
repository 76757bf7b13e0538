"""A file of samples, made in shards: whole whatever happens on the way, and of one kind."""

import dataclasses
import functools
import json
import os
import resource
import zipfile

import ml_collections
import numpy as np
import pytest
import tiny

from adiff.machine import sharding
from adiff.run import build, choose, generate, shards
from adiff.run import workdir as workdir_lib

NUM, SHARD = 10, 4
PARAMS = {'a': np.array([1.0, 2.0], np.float32), 'b': np.array([3.0], np.float32)}


class Fake:
  """Samples that say which example and which seed they are."""

  made: list[int] = []

  def __init__(self, parts, params, mesh, *, seed, batch_size, labels, told, given):
    self.seed = seed

  def sample(self, start, num, *, progress):
    Fake.made.append(start)
    tokens = np.arange(start, start + num, dtype=np.int32)[:, None] + np.full(6, 100 * self.seed)
    return tokens.astype(np.int32), np.full(num, -1, np.int32), None, None


@pytest.fixture
def out(tmp_path, monkeypatch):
  monkeypatch.setattr(generate, 'Sampler', Fake)
  Fake.made = []
  return tmp_path / 'samples.npz'


@functools.cache
def parts_of(name='block'):
  return build.build(tiny.config(name))


def to_file(out, *, parts=None, params=PARAMS, **how):
  how = {'num': NUM, 'seed': 1, 'batch_size': 2, 'shard': SHARD, **how}
  mesh = build.build_mesh(parts_of())
  return shards.to_file(parts or parts_of(), params, mesh, out=str(out), **how)


def interrupt(out, monkeypatch, **how):
  """A run that is killed behind its first shard."""
  def sample(self, start, num, *, progress):
    if start:
      raise KeyboardInterrupt
    return whole(self, start, num, progress=progress)

  with monkeypatch.context() as patched:
    whole = Fake.sample
    patched.setattr(Fake, 'sample', sample)
    with pytest.raises(KeyboardInterrupt):
      to_file(out, **how)


def contents(out):
  with np.load(out) as stored:
    assert sorted(stored.files) == ['arr_0', 'arr_1']
    return {name: stored[name] for name in stored.files}


EXPECTED = np.arange(NUM)[:, None] + np.full(6, 100)


def test_a_killed_run_goes_on_wherever_the_data_lies_now(out, monkeypatch):
  def at(place):
    config = parts_of().config.copy_and_resolve_references().unlock()
    config.data = {'name': 'image_folder', 'data_dir': place}
    return dataclasses.replace(parts_of(), config=config.lock())

  interrupt(out, monkeypatch, parts=at('/there'))
  to_file(out, parts=at('/here'))
  assert Fake.made == [0, 4, 8]
  np.testing.assert_array_equal(contents(out)['arr_0'], EXPECTED)


def test_samples_are_read_as_the_evaluator_of_guided_diffusion_reads_them(out):
  """evaluations/evaluator.py of openai/guided-diffusion: a member arr_0.npy, read as a stream."""
  to_file(out)
  with zipfile.ZipFile(out) as archive, archive.open('arr_0.npy') as member:
    assert np.lib.format.read_magic(member) in ((1, 0), (2, 0))
    shape, fortran, dtype = np.lib.format.read_array_header_2_0(member)
    assert not fortran and shape == EXPECTED.shape
    np.testing.assert_array_equal(np.frombuffer(member.read(), dtype).reshape(shape), EXPECTED)


def test_a_killed_run_goes_on_at_its_last_shard_and_leaves_one_file(out, monkeypatch):
  interrupt(out, monkeypatch)
  assert to_file(out) == str(out)
  assert Fake.made == [0, 4, 8]
  np.testing.assert_array_equal(contents(out)['arr_0'], EXPECTED)
  assert contents(out)['arr_0'].dtype == np.int32
  np.testing.assert_array_equal(contents(out)['arr_1'], np.full(NUM, -1))
  assert os.listdir(out.parent) == [out.name]


def test_a_draft_that_was_trained_on_is_another_one(out, monkeypatch):
  config = parts_of().config.copy_and_resolve_references().unlock()
  config.speculative.draft = 'there'
  parts = dataclasses.replace(parts_of(), config=config.lock())
  monkeypatch.setattr(shards.drafted, 'opened', lambda workdir: (None, PARAMS))
  interrupt(out, monkeypatch, parts=parts)
  monkeypatch.setattr(shards.drafted, 'opened', lambda workdir: (None, {'a': PARAMS['b']}))
  with pytest.raises(ValueError, match='was made with draft = .*delete it'):
    to_file(out, parts=parts)


SPLITS = {'test': 'train', 'train': 'test'}


def other(value, key):
  """A value of the same type that is another one, and that a run can have."""
  if isinstance(value, bool):
    return not value
  if isinstance(value, int):
    return value + 1 if value > 0 else 2
  if isinstance(value, float):
    return 0.5 * value + 0.125
  if isinstance(value, tuple | list):
    return [other(one, key) for one in value] or ['first_order']
  section, _, name = key.rpartition('.')
  if value and name == 'name' and section in choose.ROOMS:
    return next((one for one in choose.names(section) if one != value), 'none')
  return 3 if value is None else SPLITS.get(value, f'{value}x')


def dotted(config, prefix=''):
  for key, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      yield from dotted(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


def admitted(workdir, config):
  """{key: the config with another value} for every key of a workdir's that --set takes."""
  found = {}
  for key, value in dotted(config):
    changed = other(value, key)
    text = changed if isinstance(changed, str) else json.dumps(changed)
    try:
      found[key] = workdir_lib.load(workdir, [f'{key}={text}'])
    except ValueError as error:
      assert 'would change what the checkpoint means' in str(error), (key, text, error)
  return found


@pytest.mark.parametrize('row', [
  'block-gaussian',
  *(pytest.param(row, marks=pytest.mark.soak) for row in ('block', 'forcing-uniform'))])
def test_a_change_of_any_key_that_may_be_set_is_refused(row, out, monkeypatch, tmp_path):
  parts = parts_of(row)
  monkeypatch.setattr(shards.drafted, 'opened', lambda workdir: (None, PARAMS))
  (tmp_path / 'run').mkdir()
  workdir_lib.write(tmp_path / 'run', parts.config, parts.contract)
  interrupt(out, monkeypatch, parts=parts)
  changed = admitted(tmp_path / 'run', parts.config)
  assert {key.split('.')[0] for key in changed} >= set(workdir_lib.FREE)
  assert ('process.eta' in changed) == ('eta' in parts.config.process)
  for key, config in changed.items():
    with pytest.raises(ValueError, match=rf'was made with config\.{key.split(".")[0]}\b.* = '):
      to_file(out, parts=dataclasses.replace(parts, config=config))
  same = dataclasses.replace(parts, config=workdir_lib.load(tmp_path / 'run'))
  to_file(out, parts=same)
  assert Fake.made == [0, 4, 8]


@pytest.mark.parametrize('how, word', [
  (dict(seed=2), 'seed'), (dict(num=11), 'num'), (dict(batch_size=5), 'batch_size'),
  (dict(shard=5), 'shard'),
  (dict(params={'a': PARAMS['a'][::-1], 'b': PARAMS['b']}), 'params'),  # of an equal sum
  (dict(params={'a': PARAMS['a'], 'c': PARAMS['b']}), 'params'),
], ids=lambda value: value if isinstance(value, str) else '')
def test_other_samples_are_not_mixed_with_those_that_are_there(how, word, out, monkeypatch):
  interrupt(out, monkeypatch)
  with pytest.raises(ValueError, match=f'was made with {word} = .*delete it'):
    to_file(out, **how)


@pytest.mark.parametrize('name', ['hardware', 'program'])
def test_another_machine_or_program_does_not_go_on_with_samples(name, out, monkeypatch):
  interrupt(out, monkeypatch)
  monkeypatch.setattr(shards.provenance, name, lambda: 'another')
  with pytest.raises(ValueError, match=f'was made with {name} = .*is another'):
    to_file(out)


def first(out):
  return out.with_name('samples.npz.parts') / '000000000.npz'


def cut(path):
  path.write_bytes(path.read_bytes()[:-30])


def flip(path):
  content = bytearray(path.read_bytes())
  content[content.index(b'NUMPY') + 140] ^= 1
  path.write_bytes(content)


def of_another_place(path):
  path.write_bytes(path.with_name('000000004.npz').read_bytes())


def without_some(path):
  with np.load(path) as stored:
    arrays = dict(stored)
  np.savez(path, **{**arrays, 'arr_1': arrays['arr_1'][:-1]})


def from_elsewhere(path):
  np.savez(path, arr_0=np.zeros((SHARD, 6), np.int32), arr_1=np.zeros(SHARD, np.int32))


@pytest.mark.parametrize('spoil', [
  cut, flip, of_another_place, without_some, from_elsewhere,
  lambda path: path.write_bytes(b''), lambda path: path.write_bytes(bytes(500)),
  lambda path: os.truncate(path, 100),
])
def test_a_torn_shard_is_set_aside_and_made_again(spoil, out, monkeypatch, capsys):
  def fail(*_):
    raise OSError('the disk is full')

  with monkeypatch.context() as patched:
    patched.setattr(shards, '_merge', fail)
    with pytest.raises(OSError, match='the disk is full'):
      to_file(out)
  spoil(first(out))
  to_file(out)
  assert Fake.made == [0, 4, 8, 0]
  assert '000000000.npz cannot be used' in capsys.readouterr().out
  np.testing.assert_array_equal(contents(out)['arr_0'], EXPECTED)
  assert os.listdir(out.parent) == [out.name]


@pytest.mark.parametrize('num, batch_size, size', [
  (1000, 64, 64), (10, 256, 256), (50_000, 256, 3 * 256), (10**6, 256, 4096), (1000, 100, 104),
])
def test_a_shard_is_whole_batches_and_hosts_have_enough_of_them_to_share(num, batch_size, size):
  assert shards._shard_size(sharding.make_mesh(), num, batch_size) == size


def test_more_shards_than_file_handles(out):
  open_now = len(os.listdir('/proc/self/fd'))
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 16, hard))
  try:
    to_file(out, num=60, shard=1)
  finally:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
  np.testing.assert_array_equal(contents(out)['arr_0'][:, 0], 100 + np.arange(60))


def test_texts_of_several_lengths_are_one_array(out, monkeypatch):
  decoded = lambda tokens: ['x' * int(row[0] - 99) for row in tokens]
  source = parts_of().source
  coded = type('Coded', (), {'decode': staticmethod(decoded), 'source': source})()
  parts = dataclasses.replace(parts_of(), coded=coded)
  monkeypatch.setattr(shards, 'check', lambda *_: None)
  monkeypatch.setattr(build.Parts, 'contract', {})
  to_file(out, parts=parts)
  assert contents(out)['arr_0'].tolist() == ['x' * n for n in range(1, NUM + 1)]


@pytest.mark.parametrize('num, words', [(10**15, 'too many'), (2**31 - 2**20, 'disk')])
def test_more_than_can_be_made_is_refused_before_anything_is(num, words, out, monkeypatch):
  full = os.statvfs_result((512, 512, 0, 0, 2**20, 0, 0, 0, 0, 255))
  monkeypatch.setattr(os, 'statvfs', lambda path: full)
  with pytest.raises(ValueError, match=words):
    to_file(out, num=num)
  assert os.listdir(out.parent) == []


def test_a_kill_while_it_is_written_who_made_the_shards_locks_nobody_out(out):
  parts = out.with_name('samples.npz.parts')
  parts.mkdir()
  (parts / 'lock').write_text('')
  (parts / 'made_by.json.0123abcd.tmp').write_text('{')
  to_file(out)
  assert out.exists()


def test_a_folder_of_somebody_else_is_not_taken_for_shards(out, tmp_path):
  parts = out.with_name('samples.npz.parts')
  parts.mkdir()
  (parts / 'notes').write_text('precious')
  with pytest.raises(ValueError, match="holds 'notes'"):
    to_file(out)
  parts.rename(tmp_path / 'elsewhere')
  parts.symlink_to(tmp_path / 'elsewhere')
  with pytest.raises(ValueError, match='is a link'):
    to_file(out)
  assert (tmp_path / 'elsewhere' / 'notes').read_text() == 'precious'


def test_two_runs_do_not_write_the_same_shards(out):
  with workdir_lib.lock(f'{out}.parts', 'is being written'):
    with pytest.raises(ValueError, match='is being written by process'):
      to_file(out)
