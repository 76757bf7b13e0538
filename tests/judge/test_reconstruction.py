"""What is said of reconstructions, where it is known what was lost."""

import dataclasses
import math

import numpy as np
import pytest
from judged import table, titles

from adiff.data import digits
from adiff.judge import base, coded, reconstruction, section
from adiff.judge.metrics import features, frechet
from adiff.judge.page import page
from adiff.run import attempts as attempts_lib


class Rows(features.Features):
  """Sums of the rows of pictures; the brightest one is their class."""

  name, accuracy, classes = 'rows', 1.0, np.arange(8)

  def features(self, images):
    return images.sum((2, 3)).astype(np.float64)

  def probabilities(self, images):
    return self.features(images) / np.maximum(self.features(images).sum(1, keepdims=True), 1)

  def arrays(self):
    return {}

  @classmethod
  def from_arrays(cls, name, accuracy, arrays):
    return cls()


class Blind(Rows):
  """Rows that know no classes and take long."""

  name, classes, costly = 'blind', None, True

  def probabilities(self, images):
    return None


@pytest.fixture(scope='module')
def found():
  """Digits of which a codec turned every third one upside down, in 20 codes on 2 x 2 places."""
  pictures = digits.Digits().examples('train', slice(None))['example']
  real, made = pictures[:60], pictures[:60].copy()
  made[::3] = made[::3, ::-1]
  codes = np.random.default_rng(0).integers(0, 20, (60, 4))
  return reconstruction.Reconstructed(
    'digits, test split', 17, pictures[60:400], real, made, coded.Codes(codes, 20, ((2, 2),)))


@pytest.fixture(scope='module')
def made(found):
  between = np.stack([found.real[:5], found.real[5:10]], 1)
  found = dataclasses.replace(found, between=between)
  return base.latest(
    reconstruction.Reconstruction(found, {'rows': Rows(), 'blind': Blind()}).sections())


def test_a_codec_stands_beside_simple_ones_and_its_code_below(made, found):
  assert titles(made) == ['Reconstruction', 'Code']
  ours, others = table(made, 'Reconstruction').groups
  assert [row['name'] for row in (*ours.rows, *others.rows)] == [
    'this codec', 'k-means of patches, 20 codes', 'WebP, quality 0', 'WebP, quality 75', 'PNG']
  assert [figure.name for figure in section.figures(made)] == [
    'reconstructions', 'between', 'code_map']
  assert ours.rows[0]['bits'] == 4 * np.log2(20) == others.rows[0]['bits']
  assert np.isinf(others.rows[-1]['psnr'])  # of PNG


def test_numbers_are_those_of_what_was_lost(made, found):
  numbers, eyes = section.numbers(made), Rows()
  squared = np.mean((found.real.astype(float) - found.made) ** 2)
  assert numbers['psnr'] == pytest.approx(10 * np.log10(16**2 / squared))
  assert numbers['psnr_mean'] is None  # most pictures lost nothing
  assert numbers['rfid_rows'] == pytest.approx(
    frechet.frechet(eyes.features(found.real), eyes.features(found.made)))
  rows = [one.sum((2, 3)).argmax(1) for one in (found.real, found.made)]
  assert numbers['read_alike_rows'] == np.mean(rows[0] == rows[1]) < 1
  blank = np.mean((found.real - found.train.mean(0)) ** 2)
  assert numbers['gain'] == pytest.approx(
    (numbers['psnr'] - 10 * np.log10(16**2 / blank)) / numbers['bits'])


def test_features_that_take_long_see_the_trained_codec_alone(made):
  ours, others = table(made, 'Reconstruction').groups
  assert 'rfid_blind' in ours.rows[0] and all('rfid_rows' in row for row in others.rows)
  assert not any('rfid_blind' in row for row in others.rows)
  assert 'read_alike_blind' not in ours.rows[0]  # they know no classes
  kinds = {column.key: column.kind for column in table(made, 'Reconstruction').columns}
  assert kinds['rfid_rows'] != kinds['rfid_blind'] and kinds['psnr'] == kinds['ssim']


def test_scales_are_told_one_by_one_and_are_seen_on_the_map():
  codes = np.array([[0, 1, 1, 1, 1], [0, 2, 3, 3, 1]])
  code = coded.Codes(codes, 4, ((1, 1), (2, 2)))
  rows = {row['name']: row for row in code.parts('')[0].groups[0].rows}
  assert {name: (row['places'], row['share']) for name, row in rows.items()} == {
    'all': (5, 1), '1: 1 x 1': (1, 0.25), '2: 2 x 2': (4, 0.75)}
  coarse, fine = code.maps([1, 0])
  assert coarse.shape == (2, 1, 1, 3) and fine.shape == (2, 2, 2, 3)
  assert tuple(fine[1, 0, 0]) == coded.GROUND  # of 1, which is the most frequent
  assert len(np.unique(fine[0].reshape(4, 3), axis=0)) == 3


@pytest.mark.parametrize('size, grids, codes, stages', [
  (20, ((2, 2),), 20, 1),
  (2**16, ((2, 2),), 2**8, 2),
  (2**10, ((1, 1), (2, 2), (4, 4)), 2**6, 2),  # 13.1 bits for each of the 16 places
  (2**5, ((4, 4), (4, 4), (4, 4)), 2**7, 2),
])
def test_many_codes_are_compared_with_stages_that_take_no_more_bits(
  found, monkeypatch, size, grids, codes, stages
):
  asked = {}
  monkeypatch.setattr(coded.compression, 'patch_kmeans', lambda *_, **how: asked.update(how))
  code = coded.Codes(np.zeros((2, sum(map(math.prod, grids))), int), size, grids)
  code.rival(found.train, found.real, 17)
  taken = math.prod(grids[-1]) * stages * np.log2(asked['codes'])
  assert asked['grid'] == grids[-1] and asked['stages'] == stages
  assert codes <= asked['codes'] and 0.99 * code.bits < taken < 1.001 * code.bits


def test_latents_are_told_a_channel_and_compared_with_as_many_components(found):
  values = np.random.default_rng(1).normal([1, -2, 0], [1, 1, 3], (60, 4, 4, 3))
  latents = dataclasses.replace(found, code=coded.Latents(values))
  made = base.latest(reconstruction.Reconstruction(latents, {'rows': Rows()}).sections())
  assert titles(made) == ['Reconstruction', 'Code']
  numbers = section.numbers(made)
  assert numbers['latent_mean'] == pytest.approx(2, abs=0.1)
  assert numbers['latent_deviation'] == pytest.approx(2, abs=0.2)
  assert numbers['numbers'] == 48 and 'gain' not in numbers
  rival = table(made, 'Reconstruction').groups[1].rows[0]
  assert rival['name'] == 'PCA of patches, 3 numbers each' and rival['numbers'] == 48


def test_large_pictures_are_told_ssim_and_grids_that_do_not_divide_them_have_no_rival():
  pictures = np.random.default_rng(2).integers(0, 256, (12, 14, 12, 3)).astype(np.uint8)
  found = reconstruction.Reconstructed(
    'noise', 256, pictures, pictures, pictures, coded.Codes(np.zeros((12, 25), int), 2, ((5, 5),)))
  made = base.latest(reconstruction.Reconstruction(found, {}).sections())
  assert section.numbers(made)['ssim'] == pytest.approx(1)
  others = table(made, 'Reconstruction').groups[1].rows
  assert [row['name'] for row in others] == ['WebP, quality 0', 'WebP, quality 75', 'PNG']


def test_a_simple_codec_that_fails_loses_its_row_alone(found):
  few = dataclasses.replace(found, train=found.train[:2])  # 8 patches, and 20 codes
  attempts = attempts_lib.Attempts()
  made = base.latest(
    reconstruction.Reconstruction(few, {'rows': Rows()}, attempt=attempts.made).sections())
  ours, others = table(made, 'Reconstruction').groups
  assert len(ours.rows) == 1 and [row['name'] for row in others.rows] == [
    'WebP, quality 0', 'WebP, quality 75', 'PNG']
  assert 'take fewer codes' in attempts.failed['Reconstruction']
  assert 'take fewer codes' in page.page('toy', (), made)


def test_what_does_not_fit_together_is_refused(found):
  with pytest.raises(ValueError, match='do not fit together'):
    reconstruction.Reconstruction(dataclasses.replace(found, made=found.made[:5]), {})
  with pytest.raises(ValueError, match='do not fill the grids'):
    coded.Codes(np.zeros((2, 5), int), 4, ((2, 2),))
