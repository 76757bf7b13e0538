"""References that are an .npz or statistics: what of them is read, and what is refused."""

import types

import numpy as np
import pytest

from adiff.run import foreign, judging, references


@pytest.mark.parametrize('classes', [2, 5, 10])
def test_what_is_held_out_of_an_npz_is_of_all_classes_whatever_their_order(tmp_path, classes):
  labels = np.arange(1000) % classes
  images = np.stack([np.arange(1000) // 250, np.arange(1000) % 250], 1).astype(np.uint8)
  images = images.reshape(1000, 1, 2, 1)
  np.savez(tmp_path / 'real.npz', images, labels)
  made = foreign.read(tmp_path / 'real.npz')
  real = judging._of_arrays(made, made, None)
  rows = {split: real.examples(split, np.arange(real.size(split))) for split in ('train', 'test')}
  assert [len(found['label']) for found in rows.values()] == [900, 100]
  assert all(set(found['label']) == set(range(classes)) for found in rows.values())
  both = np.concatenate([found['example'] for found in rows.values()])
  assert len(np.unique(both, axis=0)) == 1000


@pytest.fixture
def made(tmp_path):
  """Pictures that are judged."""
  np.savez(tmp_path / 's.npz', np.ones((8, 2, 2, 1), np.uint8))
  return foreign.read(tmp_path / 's.npz')


def reference(path, made, out, data=None):
  return judging._reference(path, made, out, None, data, None, lambda words: None)


def test_pictures_beside_the_moments_of_their_features_are_the_reference(
  made, tmp_path, monkeypatch
):
  monkeypatch.setattr(references, 'remembered', lambda places, of, make: 'measured')
  moments = dict(mu=np.zeros(3), sigma=np.eye(3))
  np.savez(tmp_path / 'real.npz', arr_0=np.ones((20, 2, 2, 1), np.uint8), **moments)
  assert reference(tmp_path / 'real.npz', made, tmp_path) == 'measured'
  np.savez(tmp_path / 'real.npz', **moments)
  with pytest.raises(ValueError, match='a network that is not here'):
    reference(tmp_path / 'real.npz', made, tmp_path)


def test_beside_a_page_lie_no_statistics_of_another_and_data_of_none_are_refused(
  made, tmp_path, monkeypatch
):
  found, old = types.SimpleNamespace(levels=2, shape=(2, 2, 1)), tmp_path / references.FILE
  monkeypatch.setattr(judging.reference_lib, 'ARRAYS', ('mean',))
  monkeypatch.setattr(references, 'read', lambda path: found)
  for path in (tmp_path / 'r.npz', old):
    np.savez(path, mean=np.zeros(3))
  assert reference(old, made, str(tmp_path)) is found and old.exists()
  assert reference(tmp_path / 'r.npz', made, str(tmp_path)) is found and not old.exists()
  for place in (tmp_path / 'r.npz', tmp_path):
    with pytest.raises(ValueError, match='--data=elsewhere: no data are read for .* leave it'):
      reference(place, made, str(tmp_path / 'out'), data='elsewhere')
