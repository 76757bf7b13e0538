"""Seams, spectrum and mistakes on a page, of samples and models whose answers are known."""

import types

import numpy as np
import pytest
from judged import BOUND, made_by, sampled, subject, titles

from adiff.codec import patches
from adiff.judge import base, damage, image, seam, section, spectrum, teaching

CODEC = patches.Patches((8, 8, 1), patch=2, levels=256)
TOKENS = np.arange(16).reshape(4, 4)
QUARTERS = np.array([2 * (i // 8) + (i % 4) // 2 for i in range(16)])  # four blocks of 4 x 4 pixels
NUM = 60


def pictures(num=NUM, seed=0, jump=0):
  """Whole numbers [num, 8, 8, 1] of noise; `jump` more in every other quarter."""
  noise = np.random.default_rng(seed).integers(0, 100, (num, 8, 8, 1))
  areas = QUARTERS[CODEC.layout()[..., 0] // 4]
  return (noise + jump * ((areas == 1) | (areas == 2))[..., None]).astype(np.uint8)


def judged(made, blocks=QUARTERS, **more):
  """A subject whose real pictures are noise."""
  real = {split: pictures(seed=seed) for split, seed in (('train', 7), ('test', 8))}
  labels = np.zeros(NUM, int)
  return subject(sampled(CODEC.encode((), made), labels), **{
    'levels': 256, 'layout': CODEC.layout(), 'blocks': blocks, 'bound': BOUND,
    'size': lambda split: NUM, 'decode': lambda tokens: CODEC.decode((), tokens),
    'examples': lambda split, rows: {'example': real[split][rows], 'label': labels[rows]},
    'tokens': lambda split, rows: {
      'tokens': CODEC.encode((), real[split][rows]), 'label': labels[rows]},
    **more,
  })


def test_seams_of_noise_are_none_and_a_step_between_blocks_is_seen():
  own = judged(pictures())
  numbers = section.numbers([seam.of(own, own.sample())])
  assert abs(numbers['seam_blocks'] - 1) < 0.1 and abs(numbers['seam_patches'] - 1) < 0.1
  assert abs(numbers['pairs'] - 0.5) < 0.2 and abs(numbers['pairs_real'] - 0.5) < 0.2
  stepped = judged(pictures(jump=150))
  numbers = section.numbers([seam.of(stepped, stepped.sample())])
  low, high = numbers['seam_blocks_ci95']
  assert 4 < low < numbers['seam_blocks'] < high < 6  # 150 over 33, less a little


def test_one_block_of_single_pixels_has_no_seams_at_all():
  codec = patches.Patches((8, 8, 1), patch=1, levels=256)
  own = judged(pictures(), blocks=np.zeros(64, int), layout=codec.layout(),
               decode=lambda tokens: codec.decode((), tokens))
  made = sampled(codec.encode((), pictures()), np.zeros(NUM, int))
  assert set(section.numbers([seam.of(own, made)])) == {'pairs', 'pairs_real'}


def test_the_spectrum_of_samples_with_half_the_contrast_is_a_quarter_in_every_block():
  own = judged((pictures(seed=8) / 2).astype(np.uint8))  # of the real ones themselves
  found = spectrum.of(own, own.sample())
  numbers = section.numbers([found])
  assert abs(numbers['power_coarsest'] - 0.25) < 0.01 > abs(numbers['power_finest'] - 0.25)
  assert abs(numbers['power_slope'] - numbers['power_slope_real']) < 0.05
  table, = (part for part in found.parts if isinstance(part, section.Table))
  assert [row['name'] for row in table.groups[0].rows] == [f'block {k}' for k in (1, 2, 3, 4)]
  for row in table.groups[0].rows:
    assert abs(row['band0'] - 0.25) < 0.01 and abs(row['band1'] - 0.25) < 0.01


def test_waves_are_settled_at_the_level_at_which_noise_and_signal_are_as_strong():
  rng, levels = np.random.default_rng(0), np.linspace(1, 0, 9)
  final, noise = rng.normal(size=(2, 4000, 16, 4))
  walk = np.stack([(1 - t) * final + t * noise for t in levels[1:]])
  trace = base.Trace(walk, None, None, None, 8, levels[1:, None])
  own = judged(pictures(), blocks=np.zeros(16, int), trace=lambda num: trace)
  numbers = section.numbers([spectrum.of(own, own.sample())])
  # alpha^2 / (alpha^2 + sigma^2) is one half at t = 1/2, whatever the band of white noise.
  assert abs(numbers['settled_coarsest'] - 0.5) < 0.02 > abs(numbers['settled_finest'] - 0.5)


def test_mistakes_of_a_model_that_copies_its_past_move_all_that_follows_as_far():
  def copies(tokens, hole, labels):
    assert len(labels) == len(tokens)
    first = np.where(QUARTERS == QUARTERS[~hole].max(), True, False)
    shown = np.array(tokens)
    for k in range(4):
      if hole[QUARTERS == k].all():
        shown[:, QUARTERS == k] = tokens[:, first]
    return sampled(shown)

  def rate(tokens, labels):  # a wrong first block costs every other one 3 nats
    first, last = tokens[:, QUARTERS == 0], tokens[:, QUARTERS == 3]
    wrong = [not any((one == own).all() for own in pairs[end.tobytes()])
             if end.tobytes() in pairs else False for one, end in zip(first, last, strict=True)]
    return np.full((len(tokens), 4), 2.0) + 3.0 * np.array(wrong)[:, None]

  real = CODEC.encode((), pictures(seed=8))
  pairs = {one[QUARTERS == 3].tobytes(): [one[QUARTERS == 0]] for one in real}
  own = judged(pictures(), fill=copies, rate=rate,
               bound={**BOUND, 'per_block': [1.5, 2.0, 2.0, 2.5]})
  found = damage.of(own, own.sample())
  numbers = section.numbers([found])
  assert numbers['moved_next'] == pytest.approx(1) == numbers['moved_last']
  assert (numbers['own_gap_first'], numbers['own_gap_last']) == (0.5, -0.5)
  # All but the pictures that the shuffle left in place have another's past.
  assert 2.5 < numbers['past_gain'] <= 3.0
  rows = found.parts[0].groups[0].rows
  assert [('lost' in row, 'own' in row) for row in rows] == [
    (True, True), (False, True), (True, True), (False, True)]


@pytest.mark.parametrize('right', [True, False])
def test_samples_teach_what_real_pictures_do_where_they_are_these_with_their_classes(right):
  bright = np.arange(NUM) % 2
  real = (pictures() // 4 + 100 * bright[:, None, None, None]).astype(np.uint8)
  own = judged(
    real, examples=lambda split, rows: {'example': real[rows], 'label': bright[rows]})
  made = sampled(CODEC.encode((), real), bright if right else 1 - bright)
  numbers = section.numbers([teaching.of(own, made)])
  assert numbers['taught_real'] == 1 and numbers['taught_ratio'] == (1 if right else 0)


def test_the_judge_of_images_makes_these_sections_where_it_is_asked(monkeypatch):
  own = judged(
    pictures(), fill=lambda tokens, hole, labels: sampled(tokens),
    trace=lambda num: base.Trace(CODEC.encode((), pictures(4))[None], None, np.zeros(16, int),
                                 np.zeros(1), 2))
  found = made_by(image.Image(structure=True), own)
  assert titles(found)[-3:] == ['Seams', 'Spectrum', 'Mistakes']
  assert 'Seams' not in titles(made_by(image.Image(), own))


def test_a_codec_whose_pixels_are_of_several_tokens_is_refused():
  parts = types.SimpleNamespace(
    spec=types.SimpleNamespace(medium='image', by_kind={}, num_classes=0),
    coded=types.SimpleNamespace(codec=types.SimpleNamespace(layout=lambda: None)),
  )
  with pytest.raises(ValueError, match='eval.structure=True asks which token a pixel is of'):
    image.Image(structure=True).needs(parts)
