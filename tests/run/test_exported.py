"""A sampler in a folder: it samples what the function sampled, and a wrong folder is named."""

import dataclasses
import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.codec import patches
from adiff.run import exported

CODEC = patches.Patches((4, 4, 1), patch=2, levels=17)
PARAMS = {'shift': np.float32(0.25), 'scale': {'by': np.full(4, 0.5, np.float32)}}


def run(params, seed, start, labels):
  one = lambda i: jax.random.normal(jax.random.fold_in(jax.random.key(seed), i), (4, 4))
  noise = jax.vmap(one)(start + jnp.arange(3))
  shift = params['shift'] * labels[:, None, None].astype(float)
  return noise * params['scale']['by'][None, None] + shift


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  place = tmp_path_factory.mktemp('exported') / 'sampler'
  return exported.write(
    str(place), run, PARAMS, batch=3, labels=[0, 1], seed=7,
    codec={'name': 'patches', **dataclasses.asdict(CODEC)}, about={'step': 5}
  )


def test_it_samples_what_the_function_samples_in_batches_and_decodes_it(folder):
  sampler = exported.Sampler(folder)
  images, labels = sampler.sample(2, 7)
  labels_of_batch = lambda first: jnp.array([(first + i) % 2 for i in range(3)], jnp.int32)
  expected = [
    jax.jit(run)(PARAMS, jnp.uint32(7), jnp.int32(first), labels_of_batch(first))
    for first in (2, 5, 8)
  ]
  np.testing.assert_array_equal(images, CODEC.decode((), np.concatenate(expected)[:7]))
  np.testing.assert_array_equal(labels, [0, 1, 0, 1, 0, 1, 0])
  assert sampler.about['step'] == 5


def test_another_seed_samples_others(folder):
  sampler = exported.Sampler(folder)
  assert (sampler.sample(0, 3)[0] != sampler.sample(0, 3, seed=8)[0]).any()


@pytest.mark.parametrize('how, words', [
  (dict(num=0), 'num=0'), (dict(num=-1), 'num=-1'), (dict(start=-1), 'start=-1'),
  (dict(seed=-1), 'seed=-1'), (dict(seed=2**32), 'seed=4294967296'),
], ids=str)
def test_a_number_of_samples_or_a_seed_that_is_none_is_refused(folder, how, words):
  with pytest.raises(ValueError, match=words):
    exported.Sampler(folder).sample(**{'start': 0, 'num': 1, **how})


def test_the_program_refuses_a_negative_seed_in_a_sentence(folder, tmp_path, monkeypatch, capsys):
  out = tmp_path / 'samples.npz'
  monkeypatch.setattr('sys.argv', ['exported', folder, '--seed=-1', f'--out={out}'])
  with pytest.raises(SystemExit, match='2'):
    exported.main()
  assert not out.exists()
  assert 'adiff: seed=-1' in capsys.readouterr().err


@pytest.mark.parametrize(('change', 'sentence'), [
  (lambda place: (place / 'about.json').unlink(), 'is no exported sampler'),
  (lambda place: (place / 'params.npz').write_bytes(b'no archive'), 'is no exported sampler'),
  (lambda place: other_params(place), 'params.npz is not what was written with about.json'),
  (lambda place: (place / 'program.bin').write_bytes(b''), 'program.bin is not what was written'),
  (lambda place: queue(place / 'about.json'), 'about.json is a pipe'),
  (lambda place: edit(place, format=0), 'has format 0'),
  (lambda place: edit(place, platforms=['tpu']), 'was exported for tpu'),
  (lambda place: edit(place, platforms=5), 'platforms where a list'),
  (lambda place: edit(place, labels=['a']), 'labels.0 where a whole number'),
  (lambda place: edit(place, labels=[]), 'that nothing can be'),
  (lambda place: edit(place, batch=0), 'that nothing can be'),
  (lambda place: edit(place, seed=-1), 'that nothing can be'),
  (lambda place: edit(place, batch=4), 'of another batch than 4'),
  (lambda place: edit(place, codec={'name': 'patches', 'shape': 'large'}), 'names no codec'),
  (lambda place: edit(place, codec={}), 'has no codec.name'),
  (lambda place: (place / 'about.json').write_text('[' * 10**5), 'nested too deeply'),
  (lambda place: (place / 'program.bin').unlink(), 'program.bin'),
  (lambda place: sealed(place, (place / 'program.bin').write_bytes(b'')), 'is no program'),
  (lambda place: sealed(place, np.savez(place / 'params.npz', np.zeros(4))),
   'the parameters of another one'),
  (lambda place: os.truncate(place / 'params.npz', 300), 'is no .npz file'),
])
def test_a_folder_that_cannot_serve_is_named(folder, tmp_path, change, sentence):
  place = tmp_path / 'copy'
  shutil.copytree(folder, place)
  change(place)
  with pytest.raises(ValueError, match=sentence):
    exported.Sampler(str(place))


def other_params(place):
  """Parameters of the same shapes, of another export."""
  np.savez(place / 'params.npz', *(np.ones_like(leaf) for leaf in jax.tree.leaves(PARAMS)))


def sealed(place, _):
  """about.json for the files as they are."""
  edit(place, sha256={name: exported.files.sha256(place / name)
                      for name in ('params.npz', 'program.bin')})


def queue(path):
  path.unlink()
  os.mkfifo(path)


def write(place, params):
  return exported.write(
    str(place), run, params, batch=3, labels=[0, 1], seed=7,
    codec={'name': 'patches', **dataclasses.asdict(CODEC)}, about={}
  )


def test_an_export_takes_the_place_of_an_older_one_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
  place = tmp_path / 'sampler'
  write(place, PARAMS)
  before = exported.Sampler(place).sample(0, 3)[0]
  other = {**PARAMS, 'shift': np.float32(2)}

  def killed(*_):
    raise KeyboardInterrupt

  with monkeypatch.context() as patched:
    patched.setattr(exported.files, 'write_json', killed)  # the last file of three
    with pytest.raises(KeyboardInterrupt):
      write(place, other)
  np.testing.assert_array_equal(exported.Sampler(place).sample(0, 3)[0], before)
  write(place, other)
  assert (exported.Sampler(place).sample(0, 3)[0] != before).any()
  assert sorted(path.name for path in tmp_path.iterdir()) == ['sampler']


def test_a_folder_of_somebody_else_is_not_replaced_by_an_export(tmp_path):
  (tmp_path / 'notes.txt').write_text('precious')
  with pytest.raises(ValueError, match="holds 'notes.txt'"):
    write(tmp_path, PARAMS)
  assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']


def test_more_samples_than_numbers_are_refused(folder):
  with pytest.raises(ValueError, match='too many'):
    exported.Sampler(folder).sample(0, 10**15)


def edit(place, **changes):
  about = json.loads((place / 'about.json').read_text())
  (place / 'about.json').write_text(json.dumps({**about, **changes}))
