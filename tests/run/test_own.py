"""Pictures of one's own: what is chosen for them, and that the workdir alone counts afterwards."""

import copy
import io
import json
import pathlib
import signal
import tempfile
import zipfile

import numpy as np
import PIL.Image
import pytest

import adiff
from adiff.data import albums
from adiff.machine import rates
from adiff.run import handle, own, train, workdir
from configs import digits, images, tokenizer


def picture(random, grey=False, side=40):
  file = io.BytesIO()
  size = (side, side + int(random.integers(8)), *(() if grey else (3,)))
  PIL.Image.fromarray(random.integers(0, 256, size).astype(np.uint8)).save(file, 'png')
  return file.getvalue()


def pack(path, names, **how):
  random = np.random.default_rng(0)
  with zipfile.ZipFile(path, 'w') as archive:
    for name in names:
      archive.writestr(name, picture(random, **how))
  return path


@pytest.fixture(scope='module')
def pets(tmp_path_factory):
  """A zip of two classes."""
  names = [f'pets/{kind}/{index}.png' for kind in ('cats', 'owls') for index in range(20)]
  return pack(tmp_path_factory.mktemp('pets') / 'pets.zip', names)


@pytest.fixture
def quick(monkeypatch):
  """Nothing is measured: a step takes a hundredth of a second, on two cores."""
  monkeypatch.setattr(own, '_seconds_a_step', lambda *_: 0.01)
  monkeypatch.setattr(rates, 'matmul_rate', lambda **_: 1e11)


def test_a_config_suits_pictures_device_and_time(quick, pets, tmp_path, capsys, monkeypatch):
  config = own.images(tmp_path / 'a', pets, 1).config
  assert (config.train.steps, config.data.size, config.data.channels) == (6000, 32, 3)
  assert config.train.flip and config.train.crop == 2 and config.blocks.name == 'cells'
  assert config.guidance.scale > 1 and config.eval.features
  said = capsys.readouterr().out
  for words in ('40 pictures of 2 classes', '32 x 32 pixels', 'mirrored', '6000 steps in about 1'):
    assert words in said
  whole = own.images(tmp_path / 'b', pets, 1, regime='whole', flip=False, crop=0).config
  assert whole.blocks.name == 'whole' and not (whole.train.flip or whole.train.crop)
  assert whole.plan.steps == 4 * config.plan.steps and whole.model == config.model
  monkeypatch.setattr(rates, 'matmul_rate', lambda **_: 1e15)
  large = own.images(tmp_path / 'c', pets, 5).config
  assert large.model.width > config.model.width
  assert large.data.size <= 40, 'none is made larger than it is'
  assert own.images(tmp_path / 'd', pets, 5, size=64).config.data.size == 64


@pytest.fixture(scope='module')
def told(tmp_path_factory):
  """A folder of pictures with captions."""
  folder, random, lines = tmp_path_factory.mktemp('told'), np.random.default_rng(1), []
  for index in range(24):
    (folder / f'{index}.png').write_bytes(picture(random))
    lines.append(json.dumps({'file_name': f'{index}.png', 'text': f'a cat with {index} stripes'}))
  (folder / 'metadata.jsonl').write_text('\n'.join(lines))
  return folder


@pytest.mark.parametrize('regime', [None, 'whole'])
def test_pictures_with_captions_are_learnt_with_them(quick, told, tmp_path, capsys, regime):
  chosen = own.images(tmp_path / 'run', told, 1, regime=regime)
  config, image = chosen.config, chosen.config.kinds.image
  assert (config.data.name, config.data.length) == ('captioned_folder', 24)
  assert (config.data.size, config.train.steps) == (32, 6000)
  assert (image.blocks.name, image.steps) == (('whole', 32) if regime else ('cells', 8))
  assert set(chosen.coded.examples('train', np.arange(2))['tokens'].parts) == {'text', 'image'}
  said = capsys.readouterr().out
  assert '24 pictures with captions of up to 24 bytes, 32 x 32 pixels of 3 channels' in said
  (tmp_path / 'run').mkdir()
  workdir.claim(tmp_path / 'run', config, {})
  assert own.images(tmp_path / 'run', told, 1, regime=regime).config.kinds == config.kinds
  with pytest.raises(ValueError, match='begun with regime'):
    own.images(tmp_path / 'run', told, regime='blocks' if regime else 'whole')


def test_pictures_with_captions_are_not_mirrored(quick, told, tmp_path):
  with pytest.raises(ValueError, match='a caption may say what is left or right'):
    own.images(tmp_path / 'run', told, 1, flip=True)


@pytest.mark.parametrize('side', range(28, 101, 3))
def test_no_rung_makes_pictures_much_smaller_than_they_are(side):
  for rung in own.LADDER:
    grid, patch = own._cut(rung, side)
    room = min(side, rung.grid * rung.patch)
    assert grid % 2 == 0 and 7 / 8 * room <= grid * patch <= room


def test_grey_and_flat_pictures_are_neither_mirrored_nor_guided(quick, tmp_path):
  place = pack(tmp_path / 'a.zip', [f'{n}.png' for n in range(12)], grey=True, side=8)
  config = own.images(tmp_path / 'run', place, 1).config
  assert (config.data.size, config.data.channels, config.codec.patch) == (8, 1, 2)
  assert not config.train.flip and not config.train.crop and config.guidance.scale == 1
  assert not config.eval.features


def test_a_workdir_that_is_there_is_the_truth_whatever_the_minutes(
  quick, pets, tmp_path, capsys, monkeypatch
):
  first = own.images(tmp_path / 'run', pets, 1)
  (tmp_path / 'run').mkdir()
  workdir.claim(tmp_path / 'run', first.config, {})
  monkeypatch.setattr(own, '_seconds_a_step', None)  # nothing is timed again
  moved = pathlib.Path(tmp_path, 'moved.zip')
  moved.write_bytes(pets.read_bytes())
  again = own.images(tmp_path / 'run', moved, 10, regime='blocks', size=32).config
  assert again.train == first.config.train and again.data.data_dir == str(moved)
  assert 'its config counts, 6000 steps in all, whatever the minutes' in capsys.readouterr().out
  assert own.images(tmp_path / 'run').config.data.data_dir == str(pets)
  for asked, stored in ((dict(size=64), 'size=32'), (dict(regime='whole'), "regime='blocks'")):
    with pytest.raises(ValueError, match=f'was begun with {stored}, not'):
      own.images(tmp_path / 'run', pets, 1, **asked)


def test_an_array_is_kept_in_the_workdir_with_the_names_of_its_labels(quick, tmp_path):
  array = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3)).astype(np.uint8)
  labels = ['owl', 'cat', 'cat'] * 10
  config = own.images(tmp_path / 'run', array, 1, labels=labels).config
  album = albums.open_album(config.data.data_dir)
  assert pathlib.Path(config.data.data_dir).parent == tmp_path / 'run'
  assert album.classes == ('cat', 'owl') and [album.label(name) for name in album.names[:3]] == [
    1, 0, 0]
  assert config.data.size == 16
  workdir.claim(tmp_path / 'run', config, {})
  assert own.images(tmp_path / 'run', array, 1, labels=labels).config.data == config.data
  with pytest.raises(ValueError, match='begun with other pictures or labels'):
    own.images(tmp_path / 'run', array[::-1], 1, labels=labels)


def test_an_array_does_not_go_on_with_the_run_of_a_folder(quick, pets, tmp_path):
  (tmp_path / 'run').mkdir()
  workdir.claim(tmp_path / 'run', own.images(tmp_path / 'run', pets, 1).config, {})
  with pytest.raises(ValueError, match='begun with other pictures or labels'):
    own.images(tmp_path / 'run', ARRAY, 1)


def test_pictures_that_lie_where_an_array_would_be_kept_are_not_replaced(quick, tmp_path):
  own.images(tmp_path, ARRAY, 1)
  with pytest.raises(ValueError, match='holds other pictures, which would be lost'):
    own.images(tmp_path, ARRAY + 1, 1)
  own.images(tmp_path, ARRAY, 1)  # begun, and stopped before it was a workdir


ARRAY = np.zeros((9, 16, 16, 3), np.uint8)
NOTEBOOK = pathlib.Path(__file__).parents[2] / 'colabs' / '10_your_pictures.ipynb'


@pytest.mark.parametrize(('asked', 'words'), [
  (dict(minutes=0), 'minutes=0 leaves no time'), (dict(minutes=-1), 'minutes=-1 leaves no time'),
  (dict(minutes=float('nan')), 'minutes=nan leaves'), (dict(minutes='2'), "minutes='2' leaves"),
  (dict(minutes=True), 'minutes=True leaves'), (dict(regime='ar'), "regime='ar' is unknown"),
  (dict(size=0), 'size=0 must be at least 1'), (dict(size=50), 'size=50 cannot be cut'),
  (dict(crop=-1), 'crop=-1 must not be negative'), (dict(seed=-1), 'seed=-1 must lie in'),
  (dict(data=None), 'data is missing'), (dict(data=[ARRAY]), 'data is a list'),
  (dict(data='nowhere'), 'there is no folder nowhere'), (dict(labels=[1]), 'labels belong to an'),
  (dict(data=ARRAY / 2), 'uint8 of 0 to 255, not float'),
  (dict(data=ARRAY[0, 0]), r'an array .n, height.* not \[16, 3\]'),
  (dict(data=ARRAY, labels=[1]), 'labels are 9 whole numbers'),
  (dict(data=ARRAY[:1]), 'holds 1 pictures'), (dict(data=ARRAY[:, :2]), '2 pixels a side are too'),
])
def test_what_cannot_be_trained_on_is_told_before_anything_is_timed(
  monkeypatch, pets, tmp_path, asked, words
):
  monkeypatch.setattr(own, '_seconds_a_step', None)
  monkeypatch.setattr(rates, 'matmul_rate', lambda **_: 1e11)
  with pytest.raises((ValueError, OSError), match=words):
    adiff.train('images', tmp_path / 'run', **{'data': pets, 'minutes': 1, **asked})


def test_a_codec_is_refused_before_it_is_trained(tmp_path):
  with pytest.raises(ValueError, match='which a codec cannot'):
    adiff.train(tokenizer.get_config(), tmp_path / 'codec')
  assert not (tmp_path / 'codec').exists()


def test_the_command_trains_in_a_workdir_that_is_called_as_the_data(
  quick, pets, tmp_path, capsys, monkeypatch
):
  trained = []

  def trains(config, workdir, *, show, **how):
    trained.append((config, workdir))
    show(30, 'samples', None)
    return 7

  monkeypatch.setattr(train, 'train', trains)
  monkeypatch.chdir(tmp_path)
  assert own.run(None, str(pets), 2) == 7
  (config, workdir), = trained
  assert workdir == 'runs/pets' and config.train.steps == 12000
  said = capsys.readouterr().out
  assert '--workdir=runs/pets' in said
  assert 'samples at step 30: runs/pets/pictures/samples_00000030.png' in said


def test_what_goes_with_pictures_alone_is_refused_elsewhere(tmp_path):
  with pytest.raises(ValueError, match="no 'texts' to train; write 'images'"):
    adiff.train('texts', tmp_path, data='x')
  with pytest.raises(ValueError, match=r"minutes goes with adiff\.train\('images', \.\.\)"):
    adiff.train(digits.get_config(), tmp_path, minutes=3)
  workdir.write(tmp_path, digits.get_config(), {})
  with pytest.raises(ValueError, match='was made with the data digits, not with pictures of your'):
    own.images(tmp_path, minutes=3)


@pytest.mark.soak
@pytest.mark.parametrize('flat', [False, True])
def test_two_hundred_pictures_become_a_model_that_is_stopped_and_goes_on(
  tmp_path, monkeypatch, capsys, flat
):
  names = [f'{kind}{"" if flat else "/"}{index}.png' for kind in 'ab' for index in range(100)]
  place = pack(tmp_path / 'pictures.zip', names)

  def stop(*_):
    signal.raise_signal(signal.SIGINT)

  with monkeypatch.context() as patch:
    patch.setattr(handle, '_show', stop)
    half = adiff.train('images', tmp_path / 'run', data=place, minutes=0.05, progress=False)
  assert 0 < half.step < half.parts.config.train.steps
  model = adiff.train('images', tmp_path / 'run', minutes=0.05, progress=False)
  assert model.step == half.parts.config.train.steps
  samples = model.sample(4, label=None if flat else 'b')
  assert samples.examples.shape == (4, 32, 32, 3)
  lower = np.arange(32) >= 16
  filled = model.fill(samples[0], lower, num=2)
  np.testing.assert_array_equal(filled[0][:16], samples[0][:16])
  assert np.isfinite(model.score(samples, samples=2).nats).all()
  kept = adiff.load(model.save(tmp_path / 'kept'))
  np.testing.assert_array_equal(kept.sample(4, label=None if flat else 'b'), samples)
  numbers = json.loads((tmp_path / 'run' / 'eval.json').read_text())['numbers']
  assert ('frechet' in numbers) != flat and numbers['nats'] > 0


@pytest.mark.soak
def test_the_notebook_goes_from_pictures_to_a_model_that_is_kept(tmp_path, monkeypatch, capsys):
  """Every cell as it stands, with the smallest network and report."""
  shown = pytest.importorskip('IPython.display', reason='the test extra is not installed')
  monkeypatch.setattr(shown, 'display', lambda *_: None)
  monkeypatch.setattr(own, 'LADDER', (own.Rung(4, 4, 16, 1, 2, 8, 2e-3),))
  monkeypatch.setattr(own, '_QUALITY', 0)
  row = images.get_config('own').unlock()
  row.plan.steps, row.eval.samples, row.eval.num = 2, 1, 20
  row.eval.batch_size = row.eval.examples = 8
  monkeypatch.setattr(images, 'get_config', lambda _: copy.deepcopy(row).lock())
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  cells = [''.join(cell['source']) for cell in json.loads(NOTEBOOK.read_text())['cells']
           if cell['cell_type'] == 'code']
  scope = {}
  for cell in cells:
    exec(cell.replace('MINUTES = 0.25', 'MINUTES = 0.001'), scope)
  assert scope['blocks'].step == scope['whole'].step == 25
  assert scope['DATA'].is_file() and len(scope['again'].sample(2, seed=0)) == 2
  said = capsys.readouterr().out
  assert '200 pictures of 2 classes' in said and 'in disorder' in said
