"""Tokens made beforehand: the same as made on the way, whatever happens while they are made."""

import pathlib
import shutil

import buckets
import numpy as np
import pytest
from encoding import KINDS, SMALL, contents, cut, first, flip, on

from adiff.data import batches, encoded, moved, token_file
from adiff.run import build, encode, encode_shard, kept
from adiff.run import workdir as workdir_lib

# ---- Reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize('kind', KINDS)
def test_a_run_on_tokens_sees_the_batches_of_one_that_makes_them_on_the_way(kind, encoders, sets):
  parts = encoders(kind)[1]
  ours = build.build(on(sets(kind), parts.config))
  assert ours.contract['codec'] == parts.contract['codec']
  assert ours.coded.codec.digest == parts.coded.codec.digest
  assert ours.spec.kinds == parts.spec.kinds
  np.testing.assert_array_equal(ours.spec.coords, parts.spec.coords)
  assert ours.spec.conds == parts.spec.conds and ours.spec.dims == parts.spec.dims
  for split in parts.source.splits:
    assert ours.coded.size(split) == parts.coded.size(split)
    for step in (0, 7):
      one, other = (
        batches.Batches(of.coded, split, 4, seed=3, blocks=of.blocks).batch_at(step)
        for of in (ours, parts)
      )
      assert one.keys() == other.keys()
      for name in one:
        assert one[name].dtype == other[name].dtype
        np.testing.assert_array_equal(one[name], other[name])
  examples = [of.source.examples('test', np.arange(1))['example'] for of in (ours, parts)]
  if examples[1].dtype.kind == 'f':
    np.testing.assert_allclose(*examples, atol=1e-6)
  else:
    np.testing.assert_array_equal(*examples)
  assert ours.coded.fingerprint != parts.coded.fingerprint


def test_a_workdir_of_a_run_on_tokens_keeps_the_codec_and_needs_no_set(encoders, sets, tmp_path):
  parts = build.build(on(sets('subwords'), encoders('subwords')[1].config))
  workdir_lib.claim(tmp_path, parts.config, parts.contract)
  kept.write(tmp_path, parts)
  config = workdir_lib.load(tmp_path)
  with config.unlocked():
    config.data.data_dir = '/nowhere'
  found = kept.parts(tmp_path, config)
  assert found.coded.codec.digest == encoders('subwords')[1].coded.codec.digest
  again = build.build(parts.config, codec=kept.codec(tmp_path, parts.config))
  assert again.contract == parts.contract
  with pytest.raises(FileNotFoundError, match='is not here .there is no /nowhere.*write --data'):
    kept.parts(tmp_path, config, examples=True)


def test_texts_are_read_again_in_rows_of_another_length(encoders, sets):
  config = on(sets('characters'), encoders('characters')[1].config).unlock()
  config.data.num_tokens, config.blocks.size = 48, 16
  parts = build.build(config)
  assert parts.spec.num_tokens == 48
  row = parts.coded.examples('test', np.arange(1))['tokens']
  assert parts.coded.decode(row)[0] in parts.source.documents('test')[0]


def test_statistics_tell_the_symbols_used_and_the_spread_of_floats(encoders, sets):
  told = token_file.read(sets('characters'))
  source = encoders('characters')[1].source
  text = ''.join(source.documents('train'))
  found = told['statistics']['train']
  codec = encoders('characters')[1].coded.codec
  assert found['symbols'] == codec.vocab
  np.testing.assert_allclose(found['share'] * codec.vocab, len(set(text)) + 1)
  symbols = np.unique([*text, *['end'] * len(source.documents('train'))], return_counts=True)[1]
  share = symbols / symbols.sum()
  np.testing.assert_allclose(found['perplexity'], np.exp(-(share * np.log(share)).sum()))
  told = token_file.read(sets('digits'))
  tokens = encoders('digits')[1].coded.examples('train', np.arange(1437))['tokens']
  for name, values in (('mean', tokens.mean((0, 1))), ('std', tokens.std((0, 1)))):
    np.testing.assert_allclose(told['statistics']['train'][name], values, rtol=1e-4)


# ---- Copies --------------------------------------------------------------------------------------


def test_copies_of_a_picture_are_functions_of_its_number_and_held_out_ones_are_as_they_are(
  encoders, tmp_path
):
  workdir, parts = encoders('digits')
  how = dict(copies=3, flip=True, crop=2, seed=5)
  for name, batch in (('one', 256), ('other', 100)):
    encode.encode(workdir, tmp_path / name, batch=batch, **how)
  ours, other = (build.build(on(tmp_path / name, parts.config)) for name in ('one', 'other'))
  assert ours.coded.size('train') == 3 * 1437 and ours.coded.size('test') == 360
  index = np.array([0, 1, 2, 1500, 3 * 1437 - 1])
  found = ours.coded.examples('train', index)
  np.testing.assert_array_equal(found['tokens'], other.coded.examples('train', index)['tokens'])
  pictures = parts.source.examples('train', index // 3)
  np.testing.assert_array_equal(found['label'], pictures['label'])
  decoded = ours.coded.decode(found['tokens'])
  np.testing.assert_array_equal(decoded[[0, 3]], pictures['example'][[0, 3]])
  for place in (1, 2, 4):
    wanted = moved.copies(
      pictures['example'][[place]], index[[place]] // 3, split='train', copy=index[place] % 3,
      flip=True, crop=2, seed=5,
    )
    np.testing.assert_array_equal(decoded[[place]], wanted)
  assert len({one.tobytes() for one in decoded[:3]}) == 3
  np.testing.assert_array_equal(
    ours.coded.examples('test', np.arange(360))['tokens'],
    parts.coded.examples('test', np.arange(360))['tokens'],
  )


def test_a_moved_picture_is_mirrored_or_not_and_shifted_by_no_more_than_it_is_told():
  picture = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
  both = picture[0], picture[0, :, ::-1]
  wide = [np.pad(one, ((1, 1), (1, 1), (0, 0)), 'edge') for one in both]
  allowed = {
    one[down:down + 4, across:across + 4].tobytes()
    for one in wide for down in range(3) for across in range(3)
  }
  seen = {
    moved.copies(picture, [0], split='train', copy=n, flip=True, crop=1, seed=0).tobytes()
    for n in range(1, 400)
  }
  assert seen == allowed


# ---- Making --------------------------------------------------------------------------------------


def interrupted(monkeypatch, workdir, out, after):
  """A run that is killed after so many shards."""
  write, left = token_file.write_shard, iter(range(after))

  def dies(*arguments):
    if next(left, None) is None:
      raise KeyboardInterrupt
    write(*arguments)

  with monkeypatch.context() as patched:
    patched.setattr(token_file, 'write_shard', dies)
    with pytest.raises(KeyboardInterrupt):
      encode.encode(workdir, out, **SMALL)


@pytest.mark.parametrize('spoil', [
  lambda path: None, cut, flip,
  lambda path: path.write_bytes(path.with_name('00001.npz').read_bytes()),
])
def test_a_killed_run_goes_on_and_a_torn_shard_is_made_again(
  spoil, encoders, whole_set, tmp_path, monkeypatch, capsys
):
  out = tmp_path / 'set'
  for after in (3, 4):
    interrupted(monkeypatch, encoders('digits')[0], out, after)
  with pytest.raises(FileNotFoundError, match='no set of tokens, or none yet; --mode=encode'):
    encoded.EncodedSet(str(out))
  before = first(out).read_bytes()
  spoil(first(out))
  changed = first(out).exists() and first(out).read_bytes() != before
  (out / 'train' / '00004.npz.0123abcd.tmp').write_bytes(b'of a killed one')
  said = encode.encode(encoders('digits')[0], out, **SMALL)
  assert '1437 x 3 in train, 360 in test; read it with --config.data.name=encoded' in said
  assert ('00000.npz cannot be used' in capsys.readouterr().out) == changed
  assert contents(out) == contents(whole_set)


def test_a_run_that_is_killed_ten_times_makes_what_a_whole_one_does(
  encoders, whole_set, tmp_path, monkeypatch
):
  for after in (0, 1, 0, 1, 1, 0, 1, 1, 0, 1):  # 6 of 8 shards
    interrupted(monkeypatch, encoders('digits')[0], tmp_path / 'set', after)
  encode.encode(encoders('digits')[0], tmp_path / 'set', **SMALL)
  assert contents(tmp_path / 'set') == contents(whole_set)


def test_a_set_that_is_there_is_left_alone_and_a_lost_shard_of_it_is_made_again(
  encoders, whole_set, tmp_path, monkeypatch
):
  out = shutil.copytree(whole_set, tmp_path / 'set')
  with monkeypatch.context() as patched:
    patched.setattr(encode_shard, 'made', lambda *_: pytest.fail('it is there'))
    encode.encode(encoders('digits')[0], out, **SMALL)
  first(out).unlink()
  encode.encode(encoders('digits')[0], out, **SMALL)
  assert contents(out) == contents(whole_set)


def test_more_shards_than_handles_are_read(encoders, whole_set, monkeypatch):
  monkeypatch.setattr(encoded, '_OPEN', 2)
  source = encoded.EncodedSet(str(whole_set))
  indices = np.random.default_rng(0).permutation(source.size('train'))
  tokens = source.tokens('train', indices)['tokens']
  parts = encoders('digits')[1]
  originals = np.flatnonzero(indices % 3 == 0)
  np.testing.assert_array_equal(
    tokens[originals], parts.coded.examples('train', indices[originals] // 3)['tokens']
  )


def test_workdir_data_and_set_may_lie_in_a_bucket(encoders, sets, bucket, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  workdir, parts = encoders('image_folder')
  buckets.upload(workdir, f'{bucket}/run')
  buckets.upload(pathlib.Path(parts.config.data.data_dir), f'{bucket}/pictures')
  encode.encode(f'{bucket}/run', f'{bucket}/set', data=f'{bucket}/pictures')
  places = f'{bucket}/set', sets('image_folder')
  ours, here = (build.build(on(place, parts.config)) for place in places)
  assert ours.contract == here.contract
  for split in here.source.splits:
    one, other = (of.coded.examples(split, np.arange(2)) for of in (ours, here))
    for name in other:
      np.testing.assert_array_equal(one[name], other[name])
