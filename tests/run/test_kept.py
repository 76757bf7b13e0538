"""What a workdir keeps of its data: enough for all but the examples themselves."""

import json
import shutil

import numpy as np
import pytest
import tiny
import tiny_data

from adiff.machine import files, sharding
from adiff.run import build, choose, kept, places, sequences
from adiff.run import workdir as workdir_lib
from adiff.sequence import values
from configs import base, digits, text


def config_of(kind, root):
  """A config of each kind of data, with a few examples below a folder."""
  root.mkdir()
  if kind in ('block-masked', 'scales-masked', 'full-gaussian'):
    return tiny.config(kind)
  if kind == 'digits':
    return digits.get_config()
  if kind in ('characters', 'subwords'):
    config = text.get_config('block16')
    base.choose(config, 'data', 'text', path='any', num_tokens=32)
    base.choose(config, 'codec', kind, **({'size': 300} if kind == 'subwords' else {}))
  else:
    config = base.get_config()
    base.choose(config, 'blocks', 'whole')
    base.choose(config, 'process', 'gaussian')
    base.choose(config, 'data', kind)
    base.choose(config, 'codec', 'latents' if kind == 'latents' else 'patches')
  if kind == 'latents':
    config.data.shape, config.data.num_classes = (4, 4, 3), 3
  tiny_data.point(config, root)
  return config


KINDS = ('block-masked', 'scales-masked', 'full-gaussian', 'digits', 'characters', 'subwords',
         'image_folder', 'latents')


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """A function: kind -> (workdir, its parts as they were built from the data), made once."""
  top, made = tmp_path_factory.mktemp('runs'), {}

  def run(kind):
    if kind not in made:
      config = config_of(kind, top / kind)
      with config.unlocked():
        config.eval.samplers = ()
      parts = build.build(config)
      workdir = top / kind / 'run'
      workdir.mkdir(parents=True)
      workdir_lib.claim(workdir, parts.config, parts.contract)
      kept.write(workdir, parts)
      made[kind] = workdir, parts
    return made[kind]

  return run


def gone(*_):
  raise FileNotFoundError('there is no folder data; set --config.data.data_dir=FOLDER')


def opened(workdir, **how):
  return kept.parts(workdir, workdir_lib.load(workdir), **how)


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_kept_says_of_the_data_what_the_data_says(kind, runs, tmp_path, monkeypatch):
  workdir, parts = runs(kind)
  examples = parts.source.examples('test', np.arange(1))['example']
  moved = shutil.copytree(workdir, tmp_path / 'moved')
  monkeypatch.setattr(sequences, 'coded', gone)
  found = opened(moved)
  assert found.contract == parts.contract and found.coded.codec == parts.coded.codec
  for name in ('medium', 'shape', 'levels', 'conds'):
    assert getattr(found.source.facts, name) == getattr(parts.source.facts, name)
  assert found.spec.kinds == parts.spec.kinds and found.spec.dims == parts.spec.dims
  np.testing.assert_array_equal(found.spec.coords, parts.spec.coords)
  for name in ('splits', 'exact'):
    assert getattr(found.source, name) == getattr(parts.source, name)
  assert all(found.source.size(split) == parts.source.size(split) for split in parts.source.splits)
  one, other = (of.coded.codec.encode((), examples) for of in (found, parts))
  np.testing.assert_array_equal(one, other)
  for ask in (found.source.check, lambda: found.coded.size('test')):
    with pytest.raises(FileNotFoundError, match='is not here .there is no folder data.; write --d'):
      ask()


@pytest.mark.parametrize('kind', ['image_folder', 'latents', 'subwords'])
def test_a_run_goes_on_where_its_data_lies_now_and_not_with_other_data(kind, runs, tmp_path):
  workdir, parts = runs(kind)
  workdir = shutil.copytree(workdir, tmp_path / 'run')
  key = 'path' if kind == 'subwords' else 'data_dir'
  here = parts.config.data[key]
  copy = shutil.copytree if kind != 'subwords' else shutil.copy
  there = copy(here, tmp_path / 'there')
  config = places.placed(parts.config, str(there))
  assert config.data[key] == str(there) != here
  moved = build.build(config)
  workdir_lib.check(workdir, moved.config, moved.contract)
  stored = places.placed(workdir_lib.load(workdir), str(there))
  one, other = (
    of.coded.examples('test', np.arange(2))['tokens']
    for of in (kept.parts(workdir, stored, examples=True), parts)
  )
  np.testing.assert_array_equal(one, other)
  path = there if there.is_file() else next(one for one in there.rglob('*') if one.suffix in (
    '.png', '.npy'
  ) and 'label' not in one.name)
  if path.suffix == '.png':
    path.unlink()
  else:
    path.write_bytes(path.read_bytes()[:-1] + b'\x01')
  with pytest.raises(ValueError, match='was trained with data = .*use the same data'):
    kept.parts(workdir, stored, examples=True)
  judged = kept.parts(workdir, stored, examples=True, others=True)  # may be evaluated all the same
  assert judged.coded.fingerprint != parts.coded.fingerprint == workdir_lib.trained_on(workdir)
  other = build.build(config)
  with pytest.raises(ValueError, match='was trained with data = .*use the same data'):
    workdir_lib.check(workdir, other.config, other.contract)


def test_a_run_is_evaluated_on_other_data_of_its_form_alone(runs, tmp_path):
  workdir, parts = runs('image_folder')
  there = shutil.copytree(parts.config.data.data_dir, tmp_path / 'there')
  first = next(one for one in sorted(there.iterdir()) if one.is_dir())
  first.rename(there / 'zebras')
  stored = places.placed(workdir_lib.load(workdir), str(there))
  with pytest.raises(ValueError, match='the data of --data has conds .*zebras.*cats.* that form'):
    kept.parts(workdir, stored, examples=True, others=True)
  shutil.rmtree(there / 'zebras')
  with pytest.raises(ValueError, match='the data of --data has conds .* that form'):
    kept.parts(workdir, stored, examples=True, others=True)


def test_a_run_goes_on_with_the_tokenizer_that_it_kept(runs, tmp_path):
  parts = runs('subwords')[1]
  path = tmp_path / 'tokenizer.json'
  path.write_text(parts.coded.codec.json)
  config = parts.config.copy_and_resolve_references().unlock()
  config.codec.path = str(path)
  built = build.build(config)
  workdir_lib.claim(tmp_path, built.config, built.contract)
  kept.write(tmp_path, built)
  path.unlink()
  again = build.build(config, codec=kept.codec(tmp_path, config))
  assert again.contract == built.contract
  config.codec.path = str(tmp_path / 'other.json')  # one that is named anew is read
  assert kept.codec(tmp_path, config) is None


@pytest.mark.parametrize('kind', places.KINDS)
def test_every_choice_says_which_of_its_arguments_are_places(kind):
  for name in choose.names(kind):
    taken = values.parameters(choose.find(kind, name))
    assert {'data_dir', 'path', 'workdir'} & set(taken) == set(places.of(kind, name)), name


def change(workdir, **changes):
  """Another data.json, with the digest it must have."""
  told = json.loads((workdir / 'data.json').read_text())
  for key, value in changes.items():
    *sections, name = key.split('__')
    place = told
    for section in sections:
      place = place[section]
    place[name] = value
  told['digest'] = kept._digest(told)
  (workdir / 'data.json').write_text(json.dumps(told))


def flip(workdir):
  path = workdir / 'data.json'
  path.write_text(path.read_text().replace('"levels": 0', '"levels": 1'))


DAMAGES = {
  'data.json is not what was written, by its digest; restore': flip,
  'data.json is not JSON': lambda run: (run / 'data.json').write_text('{'),
  'data.json has no fingerprint': lambda run: (run / 'data.json').write_text('{"version": 1}'),
  'data.json has version 2 and this program reads 1': lambda run: change(run, version=2),
  'was trained with data = .*, but here it is feed; use the same data': (
    lambda run: change(run, fingerprint='feed')),
  'data.json holds no facts of data': lambda run: change(run, facts__conds={'a': {'class': 'B'}}),
  'there is no .*codec/tokenizer.json, which data.json': (
    lambda run: (run / 'codec' / 'tokenizer.json').unlink()),
  'tokenizer.json is not what data.json beside it': (
    lambda run: (run / 'codec' / 'tokenizer.json').write_text('{}')),
  'tokenizer.json is not what data.json beside it was': lambda run: change(run, files={}),
  "config.codec.name='gone' is unknown": lambda run: change(run, codec__name='gone'),
  'config.codec: subwords takes no .word': lambda run: change(run, codec__word=1),
}


@pytest.mark.parametrize('words', DAMAGES)
def test_a_damaged_or_foreign_file_is_told(words, runs, tmp_path):
  workdir = shutil.copytree(runs('subwords')[0], tmp_path / 'run')
  DAMAGES[words](workdir)
  with pytest.raises(ValueError, match=words):
    opened(workdir)


def test_training_on_refuses_what_is_kept_of_other_data(runs, tmp_path):
  workdir = shutil.copytree(runs('digits')[0], tmp_path / 'run')
  change(workdir, fingerprint='feed')
  with pytest.raises(ValueError, match=r'is of other data \(feed\) than contract.json'):
    kept.write(workdir, runs('digits')[1])


def test_an_older_workdir_is_opened_where_its_data_is_and_told_where_it_is_not(
  runs, tmp_path, monkeypatch
):
  workdir, parts = runs('digits')
  workdir = shutil.copytree(workdir, tmp_path / 'run')
  (workdir / 'data.json').unlink()
  assert opened(workdir).contract == parts.contract
  monkeypatch.setattr(sequences, 'coded', gone)
  with pytest.raises(FileNotFoundError, match='has no data.json, which earlier versions did not'):
    opened(workdir)


@pytest.mark.parametrize('kind, place, words', [
  ('digits', '/x', '--data=/x: the data digits of this config lies in no folder or file'),
  ('image_folder', '/nowhere', 'is not here .there is no folder /nowhere.; write --data=PLACE'),
  ('latents', '/nowhere', 'is not here .there is no /nowhere/train/.*; write --data=PLACE'),
  ('characters', '/nowhere', "is not here .there is no file or folder '/nowhere'.; write --data"),
])
def test_a_place_without_the_data_is_told(kind, place, words, runs):
  workdir = runs(kind)[0]
  with pytest.raises((ValueError, FileNotFoundError), match=words):
    kept.parts(workdir, places.placed(workdir_lib.load(workdir), place), examples=True)


def test_a_codec_that_learnt_what_is_no_json_is_told(runs, tmp_path, monkeypatch):
  workdir, parts = runs('digits')
  codec = parts.coded.codec
  monkeypatch.setattr(type(codec), '__setattr__', object.__setattr__)
  monkeypatch.setattr(codec, 'patch', np.ones(2), raising=False)
  with pytest.raises(ValueError, match='codec patches has learnt what is no JSON'):
    kept.write(tmp_path, parts)
  assert files.names(tmp_path) == []


@pytest.mark.parametrize('sizes, taken', [
  ((-1, 1, 1, 1), None), ((2, 2, 2, 1), None), ((16, 1, 1, 1), (8, 1, 1, 1)),
  ((1, 1, 1, 1), (8, 1, 1, 1)), ((4, 16, 2, 1), (1, 4, 2, 1)), ((-1, 3, 1, 1), (8, 1, 1, 1)),
  ((-1, 1, 16, 1), (1, 1, 8, 1)), ((1, 1, 6, 1), (4, 1, 2, 1)),
])
def test_a_mesh_of_other_devices_becomes_the_nearest_that_is_here_and_says_so(
  sizes, taken, capsys
):
  mesh = sharding.mesh_here(*sizes)
  said = capsys.readouterr().out
  if taken is None:
    assert mesh == sharding.make_mesh(*sizes) and not said
  else:
    assert tuple(mesh.shape.values()) == (1, *taken)  # in one slice
    assert f'mesh.data={sizes[0]}' in said
    assert f'taken is mesh.slices=1, mesh.data={taken[0]}' in said
