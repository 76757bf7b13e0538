"""Sets of tokens that are changed or foreign, and what cannot be encoded: told in a sentence."""

import json
import os
import shutil

import numpy as np
import pytest
from encoding import SMALL, contents, cut, first, flip, on

from adiff.codec import base as codec_base
from adiff.data import encoded, token_file
from adiff.run import build, encode, encode_shard, kept
from adiff.run import workdir as workdir_lib
from adiff.sequence import conditions
from configs import base


def changed(folder, **keys):
  """Another encoded.json, with the digest it must have."""
  told = {**token_file.read(folder), **keys}
  told['digest'] = token_file._digest({key: told[key] for key in told if key != 'digest'})
  (folder / token_file.FILE).write_text(json.dumps(told))


DAMAGES = {
  'there is no .*train/00000.npz, a shard of the set': lambda out: first(out).unlink(),
  '.* of .* bytes are left of .*train/00000.npz, a shard of the set': lambda out: cut(first(out)),
  'train/00000.npz is not what encoded.json beside it was written': lambda out: flip(first(out)),
  'encoded.json is not what was written, by its digest; encode': lambda out: (
    (out / 'encoded.json').write_text(
      (out / 'encoded.json').read_text().replace('"levels": 17', '"levels": 18'))),
  'encoded.json is not JSON': lambda out: (out / 'encoded.json').write_text('{'),
  'encoded.json has no facts': lambda out: (out / 'encoded.json').write_text('{"version": 1}'),
  'encoded.json has version 2 and this program reads 1': lambda out: changed(out, version=2),
  'encoded.json holds no facts of data': lambda out: changed(
    out, facts={**token_file.read(out)['facts'], 'conds': {'a': {'class': 'B'}}}),
  'there is no .*encoded.json, so that it is no set of tokens, or none yet': lambda out: (
    (out / 'encoded.json').unlink()),
}


@pytest.mark.parametrize('words', DAMAGES)
def test_a_changed_or_broken_set_is_told_before_a_run_begins(words, encoders, sets, tmp_path):
  out = shutil.copytree(sets('digits'), tmp_path / 'set')
  DAMAGES[words](out)
  with pytest.raises((ValueError, FileNotFoundError), match=words):
    assert build.build(on(out, encoders('digits')[1].config)).contract


@pytest.mark.parametrize('kind, codec, words', [
  ('digits', dict(patch=1), 'holds tokens that Patches.*patch=4.* and config.codec is .*patch=1'),
  ('latents', dict(mean=(9.0, 0.0, 0.0)), 'holds tokens that Latents.*mean=.* choose that codec'),
  ('characters', dict(alphabet='abc'), r'holds tokens that Characters.*config.codec is .*abc'),
])
def test_another_codec_than_that_of_the_tokens_is_refused(kind, codec, words, encoders, sets):
  with pytest.raises(ValueError, match=words):
    build.build(on(sets(kind), encoders(kind)[1].config, **codec))


def test_a_codec_of_another_name_or_another_tokenizer_file_is_refused(encoders, sets, tmp_path):
  config = on(sets('characters'), encoders('characters')[1].config).unlock()
  base.choose(config, 'codec', 'bytes')
  with pytest.raises(ValueError, match="of the codec characters, and config.codec.name is 'bytes'"):
    build.build(config)
  codec = encoders('subwords')[1].coded.codec
  path = tmp_path / 'tokenizer.json'
  path.write_text(codec.json)
  config = on(sets('subwords'), encoders('subwords')[1].config, path=str(path))
  assert build.build(config).coded.codec == codec
  path.write_text(codec.json.replace('"merges"', '"merges" ').replace('[PAD]', '[pad]'))
  other = json.loads(codec.json)
  other['model']['merges'].pop()
  path.write_text(json.dumps(other))
  with pytest.raises(ValueError, match='holds tokens that Subwords.*choose that codec'):
    build.build(config)


def at(out, name):
  out.mkdir()
  (out / name).write_text('precious')
  return out


@pytest.mark.parametrize('kind, how, words', [
  ('block-masked', dict(), 'run has no codec: its examples are drawn from a law'),
  ('digits', dict(flip=True), '--flip and --crop move the further copies .*write --copies=2'),
  ('digits', dict(copies=2), '--copies=2 would all be the same; write how they move'),
  ('digits', dict(copies=2, crop=8), '--crop=8 moves pictures of .8, 8. pixels out of sight'),
  ('latents', dict(copies=2, flip=True), '--copies moves the pixels of pictures, which these are'),
  ('characters', dict(copies=2, flip=True), '--copies moves the pixels of pictures, which these'),
  ('image_folder', dict(data='/nowhere'), 'there is no folder /nowhere'),
  ('digits', dict(data='/nowhere'), 'the data digits of this config lies in no folder or file'),
])
def test_what_cannot_be_encoded_is_told_in_a_sentence(kind, how, words, encoders, tmp_path):
  with pytest.raises((ValueError, FileNotFoundError), match=words):
    encode.encode(encoders(kind)[0], tmp_path / 'set', **how)
  assert not (tmp_path / 'set').exists()


def test_a_folder_that_holds_something_else_is_left_alone(encoders, sets, whole_set, tmp_path):
  workdir = encoders('digits')[0]
  for out, words in (
    (at(tmp_path / 'notes', 'notes'), "holds 'notes', which would be lost"),
    (workdir, 'is not empty, it is a run of its own'),
    (workdir / 'set', 'belongs to .*run, whose files are its own'),
    (whole_set / 'train', 'belongs to .*set, whose files are its own'),
    (shutil.copytree(whole_set, tmp_path / 'set'), 'set was made with copies = 3, but here'),
    (shutil.copytree(sets('latents'), tmp_path / 'old'), 'old was made with codec.digest = '),
  ):
    before = contents(out)
    with pytest.raises(ValueError, match=words):
      encode.encode(workdir, out)
    assert contents(out) == before
  (tmp_path / 'set' / 'train' / 'notes').write_text('precious')
  with pytest.raises(ValueError, match="holds 'notes', which would be lost"):
    encode.encode(workdir, tmp_path / 'set', **SMALL)


def test_data_that_changed_since_the_run_or_since_the_set_was_begun_is_refused(
  encoders, tmp_path, monkeypatch
):
  workdir, parts = encoders('image_folder')
  there = shutil.copytree(parts.config.data.data_dir, tmp_path / 'there')
  moved_run = shutil.copytree(workdir, tmp_path / 'run')
  config = json.loads((moved_run / 'config.json').read_text())
  config['data']['data_dir'] = str(there)
  (moved_run / 'config.json').write_text(json.dumps(config))
  encode.encode(moved_run, tmp_path / 'set')
  next((there / 'cats').glob('*.png')).unlink()
  with pytest.raises(ValueError, match='was trained with data = .*, but here it is'):
    encode.encode(moved_run, tmp_path / 'other')
  with pytest.raises(ValueError, match='set was made with data = .*delete it, or choose another'):
    encode.encode(moved_run, tmp_path / 'set', data=str(there))
  encode.encode(moved_run, tmp_path / 'other', data=str(there))  # other data may be encoded


def test_tokens_are_not_encoded_again(encoders, sets, tmp_path):
  parts = build.build(on(sets('digits'), encoders('digits')[1].config))
  workdir_lib.claim(tmp_path, parts.config, parts.contract)
  kept.write(tmp_path, parts)
  with pytest.raises(ValueError, match='are tokens already, in .*digits; encode what they were'):
    encode.encode(tmp_path, f'{tmp_path}_set')
  (tmp_path / 'data.json').unlink()
  with pytest.raises(ValueError, match='has no data.json, and so no codec to encode with'):
    encode.encode(tmp_path, f'{tmp_path}_set')


def test_a_set_that_needs_more_than_the_disk_has_is_refused(encoders, tmp_path, monkeypatch):
  full = os.statvfs_result((512, 512, 0, 0, 2**8, 0, 0, 0, 0, 255))
  monkeypatch.setattr(os, 'statvfs', lambda path: full)
  with pytest.raises(ValueError, match='GiB at least, more than its disk has free; name another'):
    encode.encode(encoders('digits')[0], tmp_path / 'set')
  assert not (tmp_path / 'set').exists()


@pytest.mark.parametrize('how, words', [
  (dict(), 'needs a folder of tokens; write --config.data.data_dir=DIR'),
  (dict(num_tokens=3), 'holds no text, whose rows data.num_tokens and data.packed are of'),
  (dict(packed=True), 'holds no text, whose rows'),
])
def test_a_source_of_tokens_that_means_nothing_is_told(how, words, sets):
  with pytest.raises(ValueError, match=words):
    encoded.EncodedSet(**({'data_dir': str(sets('digits'))} if how else {}), **how)


def test_a_codec_that_breaks_its_word_is_told(encoders, monkeypatch, tmp_path):
  for kind, name, made, words in (
    ('characters', 'symbols', lambda *_: np.array([1, 9999]), 'makes symbols of 1 to 9999, and'),
    ('digits', 'encode', lambda *_: np.full((256, 4, 16), np.nan), 'tokens that are not finite'),
  ):
    workdir, parts = encoders(kind)
    with monkeypatch.context() as patched, pytest.raises(ValueError, match=words):
      patched.setattr(type(parts.coded.codec), name, made)
      encode.encode(workdir, tmp_path / kind)


def test_a_condition_of_places_is_not_left_behind_by_a_moved_picture():
  conds = {'edges': conditions.Features(3, per_token=True), 'label': conditions.Label(3)}
  facts = codec_base.Facts('image', (8, 8, 3), 256, conds)
  with pytest.raises(ValueError, match='does not move the condition edges, which belongs'):
    encode._check_moves(facts, encode_shard.Moves(2, True))
