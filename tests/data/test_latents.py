"""Latents from files: what is read, and what is refused."""

import json
import os

import numpy as np
import pytest

from adiff.codec import latents as codec_lib
from adiff.data import latents

SHAPE = (4, 6, 3)


def coded(source, patch=1):
  return source.coded(codec_lib.Latents(source.shape, patch).fit(source))


def write(root, *, shape=SHAPE, counts=(5, 3), labels=True, mean=(0.5, 0, -1), std=(2, 1, 4)):
  """Two files a split; returns {split: (examples, labels)}."""
  rng, out = np.random.default_rng(0), {}
  (root / 'latents.json').write_text(json.dumps({'mean': mean, 'std': std}))
  for split in ('train', 'test'):
    (root / split).mkdir()
    all_examples, all_labels = [], []
    for index, count in enumerate(counts):
      examples = rng.normal(size=(count, *shape)).astype(np.float16)
      classes = rng.integers(0, 7, count)
      np.save(root / split / f'{index}.npy', examples)
      if labels:
        np.save(root / split / f'{index}.label.npy', classes)
      all_examples.append(examples)
      all_labels.append(classes)
    out[split] = np.concatenate(all_examples), np.concatenate(all_labels)
  return out


@pytest.mark.parametrize('shape, patch', [((4, 6, 3), 1), ((4, 6, 3), 2), ((2, 4, 6, 3), 2)])
def test_examples_of_several_files_decode_to_what_was_written(tmp_path, shape, patch):
  written = write(tmp_path, shape=shape)
  source = coded(latents.Latents(tmp_path, shape=shape, num_classes=7), patch)
  for split in source.splits:
    assert source.size(split) == 8
    examples = source.examples(split, np.array([7, 0, 4, 5]))
    assert examples['tokens'].shape == (4, source.spec.num_tokens, source.spec.kind.dim)
    np.testing.assert_array_equal(examples['label'], written[split][1][[7, 0, 4, 5]])
    decoded = source.decode(examples['tokens'])
    np.testing.assert_allclose(decoded, written[split][0][[7, 0, 4, 5]], atol=2e-3)


def test_tokens_are_standardised_patches_in_raster_order(tmp_path):
  examples = write(tmp_path)['train'][0]
  source = coded(latents.Latents(tmp_path, shape=SHAPE, num_classes=7), 2)
  tokens = source.examples('train', np.array([2]))['tokens'][0]
  # Token 4 is the second one of the second row of patches.
  patch = (examples[2, 2:4, 2:4].astype(np.float32) - [0.5, 0, -1]) / [2, 1, 4]
  np.testing.assert_allclose(tokens[4], patch.reshape(-1), atol=1e-6)
  np.testing.assert_array_equal(source.spec.coords[4], [1, 1])


def test_made_up_examples_are_the_same_at_every_call_and_depend_on_the_class():
  source = latents.Latents(shape=SHAPE, num_classes=3, made_up=True)
  one, two = (source.examples('train', np.arange(6)) for _ in range(2))
  np.testing.assert_array_equal(one['example'], two['example'])
  np.testing.assert_array_equal(one['label'], [0, 1, 2, 0, 1, 2])
  assert np.abs(one['example'][0] - one['example'][3]).max() > 0.1


def test_without_files_there_are_facts_but_no_examples():
  source = coded(latents.Latents(shape=(32, 32, 4)), 2)
  assert source.spec.num_tokens == 256 and source.spec.kind.dim == 16
  with pytest.raises(ValueError, match='data_dir'):
    source.examples('train', np.arange(2))


def test_other_data_have_another_fingerprint(tmp_path):
  of = lambda **how: latents.Latents(shape=SHAPE, **how).fingerprint
  write(tmp_path)
  fingerprints = {of(made_up=True), of(), of(data_dir=tmp_path, num_classes=7)}
  np.save(tmp_path / 'train' / '2.npy', np.zeros((1, *SHAPE), np.float16))
  np.save(tmp_path / 'train' / '2.label.npy', np.zeros(1, np.int64))
  assert len(fingerprints | {of(data_dir=tmp_path, num_classes=7)}) == 4


@pytest.mark.parametrize('spoil, words', [
  (lambda root: (root / 'latents.json').unlink(), 'latents.json'),
  (lambda root: (root / 'latents.json').write_text('{}'), 'must hold'),
  (lambda root: (root / 'latents.json').write_text('{"mean": [0], "std": [1]}'), '3 means'),
  (lambda root: np.save(root / 'train' / '0.npy', np.zeros((5, 1, 1, 3))), 'data.shape'),
  (lambda root: np.save(root / 'train' / '0.label.npy', np.full(5, 9)), 'num_classes=7'),
  (lambda root: (root / 'train' / '1.label.npy').unlink(), 'without 1.label.npy'),
  (lambda root: np.save(root / 'train' / '0.npy', np.array([{}], object)), 'Python objects'),
  (lambda root: np.save(root / 'train' / '0.npy', np.float32(1)), 'must hold floats'),
  (lambda root: np.save(root / 'train' / '0.npy', np.zeros((5, *SHAPE), int)), 'must hold floats'),
  (lambda root: np.save(root / 'train' / '0.npy', np.full((5, *SHAPE), np.nan)), 'not finite'),
  (lambda root: np.save(root / 'train' / '0.label.npy', np.zeros(5)), 'must hold whole numbers'),
  (lambda root: np.save(root / 'test' / '0.label.npy', np.zeros(0, int)), 'must hold 5 classes'),
  (lambda root: os.truncate(root / 'train' / '0.npy', 200), 'announces'),
  (lambda root: (root / 'train' / '0.npy').write_bytes(b''), 'is no .npy file'),
  (lambda root: (root / 'latents.json').write_text('[]'), 'must hold'),
  (lambda root: (root / 'latents.json').write_text('{"mean": [NaN], "std": [1]}'), 'NaN'),
  (lambda root: (root / 'latents.json').write_text(
    '{"mean": [0, 0, 0], "std": [1, 1, 1e300]}'), '3 means'),
])
def test_files_that_do_not_fit_are_told_in_a_sentence(tmp_path, spoil, words):
  write(tmp_path)
  spoil(tmp_path)
  with pytest.raises((ValueError, FileNotFoundError), match=words):
    coded(latents.Latents(tmp_path, shape=SHAPE, num_classes=7)).examples('train', np.arange(2))


@pytest.mark.parametrize('how', [
  dict(shape=(4, 6)), dict(shape=SHAPE, made_up=True, data_dir='x'),
])
def test_sizes_that_do_not_fit_are_told_in_a_sentence(how):
  with pytest.raises(ValueError, match='data'):
    latents.Latents(**how)


def test_a_missing_folder_is_told_with_the_flag_that_names_it(tmp_path):
  with pytest.raises(FileNotFoundError, match='data.data_dir'):
    latents.Latents(tmp_path / 'nowhere', shape=SHAPE)


def test_a_patch_that_does_not_tile_is_told_in_a_sentence():
  with pytest.raises(ValueError, match='codec.patch=4'):
    codec_lib.Latents(SHAPE, 4)
