"""Data sets in a bucket are those on a disk: the same digest, the same examples."""

import jax
import numpy as np
import pytest
from buckets import upload
from test_fingerprints import ON_DISK, config_of, place_of

from adiff.data import corpora
from adiff.run import choose


@pytest.mark.parametrize('name', ON_DISK)
def test_every_source_reads_the_same_from_a_bucket(name, few, bucket, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  data = config_of(name, few).data
  here = choose.resolve('data', data)
  place = place_of(data)
  upload(place, f'{bucket}/{data.get("dataset", "set")}')
  if 'path' in data:
    data.path = f'{bucket}/set'
  else:
    data.data_dir = bucket if 'dataset' in data else f'{bucket}/set'
  there = choose.resolve('data', data)
  there.check()
  assert there.fingerprint == here.fingerprint and repr(there.facts) == repr(here.facts)
  for split in here.splits:
    assert there.size(split) == here.size(split)
    one, other = (source.examples(split, np.array([0])) for source in (here, there))
    jax.tree.map(np.testing.assert_array_equal, other, one)


def test_a_text_folder_and_pictures_with_hidden_files_read_the_same(few, bucket, tmp_path):
  for name, text in {'a.txt': 'one', 'b/c.md': 'two', '.d/e.txt': 'no', 'b/.f.txt': 'no'}.items():
    path = tmp_path / 'texts' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
  upload(tmp_path / 'texts', f'{bucket}/texts')
  here, there = (corpora.Files(place) for place in (tmp_path / 'texts', f'{bucket}/texts'))
  assert there.fingerprint == here.fingerprint and there.name == here.name
  for split in here.splits:
    assert list(there.documents(split)) == list(here.documents(split))


@pytest.mark.parametrize('name, words', [
  ('image_folder', 'there is no folder gs://runs/none'),
  ('latents', 'there is no folder gs://runs/none'),
  ('text', "there is no file or folder 'gs://runs/none'"),
  ('tfds', 'there is no folder gs://runs/none/mnist'),
])
def test_data_that_is_not_in_the_bucket_is_named(name, words, few, cloud):
  data = config_of(name, few).data
  data['path' if 'path' in data else 'data_dir'] = 'gs://runs/none'
  with pytest.raises(FileNotFoundError, match=words):
    choose.resolve('data', data).check()
