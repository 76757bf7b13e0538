"""Rules on studies: every claim about trained networks gets each of its words, and none of two
seeds."""

import pytest

from adiff.judge import claims, studied, swept, verdicts
from adiff.judge.verdicts import MIXED, NOT_MEASURED, REFUTED, SUPPORTED

METRIC = studied.Metric('frechet', 'Fréchet distance', 'low')
NOISE = (-0.01, 0.0, 0.01)
STUDIES = {claims.DIGITS, claims.CODES, claims.TEXT, claims.ORDERS, claims.STABILITY, claims.DATA,
           claims.COMPUTE, claims.RAVEN}
ORDERS = 'random', 'cells', 'scales', 'frequency', 'whole'


def run(frechet=1.0, *, seconds=1.0, calls=8, numbers=None, **more):
  """(numbers, point) of a row; None: it made no samples."""
  point = {'name': '8 steps', 'steps': 8, 'nfe': calls, 'gflop': 1.0, 'seconds': seconds,
           'frechet': frechet, **more}
  return {**(numbers or {})}, () if frechet is None else (point,)


def study(rows, seeds=3):
  """A study of {name: run(..)}, each seed a hundredth apart."""
  def shifted(values, by):
    return {key: value + by if isinstance(value, float) else value for key, value in values.items()}

  found = {
    name: [
      studied.Measured(name, seed, shifted(numbers, NOISE[seed]),
                       tuple(shifted(point, NOISE[seed]) for point in points))
      for seed in range(seeds)
    ] for name, (numbers, points) in rows.items()
  }
  return verdicts.Study(METRIC, found, 'abc, cpu')


def ruled(number, *evidence):
  claim = claims.CLAIMS[number - 1]
  return verdicts.found([claim], dict(zip(claim.sources, evidence, strict=True)))[number]


def seamed(ratio, pairs):
  return {'block': run(numbers={'seam_blocks': ratio, 'pairs': pairs, 'pairs_real': 0.7})}


def moved(last, frechet, gap):
  return {'block': run(numbers={
    'moved_last': last, 'block_frechet_first': 0.5, 'block_frechet_last': frechet,
    'own_gap_first': 0.5, 'own_gap_last': gap})}


def settled(order, first, last):
  return {'whole': run(numbers={
    'settled_in_order': order, 'settled_coarsest': first, 'settled_finest': last})}


def made(gan, block, whole):
  """Rows of (Fréchet distance, seconds)."""
  rows = zip(('gan', 'block', 'whole'), (gan, block, whole), strict=True)
  return {name: run(frechet, seconds=seconds) for name, (frechet, seconds) in rows}


def recalled(**rows):
  return {name: run(recall=recall) for name, recall in rows.items()}


def ruled_by(ar, blocks, whole):
  """Shares of ninth panels that are wrong, for here less is better, (of seen, held-out rules)."""
  rows = dict(ar=ar, blocks=blocks, whole=whole)
  return {name: run(None, numbers={'ninth_right_seen': seen, 'ninth_right_held_out': held_out})
          for name, (seen, held_out) in rows.items()}


CASES = (
  (4, seamed(1.0, 0.7), SUPPORTED), (4, seamed(1.5, 0.7), MIXED), (4, seamed(1.5, 0.2), REFUTED),
  (8, recalled(block=0.9, whole=0.9, gan=0.4), SUPPORTED),
  (8, recalled(block=0.6, whole=0.9, gan=0.4), MIXED),
  (8, recalled(block=0.6, whole=0.9), REFUTED),
  (16, {'block': run(numbers={'taught_ratio': 0.99})}, SUPPORTED),
  (16, {'block': run(numbers={'taught_ratio': 0.95})}, MIXED),
  (16, {'block': run(numbers={'taught_ratio': 0.5})}, REFUTED),
  (32, {'flow': run(0.5), 'whole': run(1.0)}, SUPPORTED),
  (32, {'flow': run(1.5), 'whole': run(1.0)}, REFUTED),
  (32, {'flow': run(1.0), 'whole': run(1.0)}, MIXED),
  (33, {'AR': run(numbers={'frechet': 2.0}), 'block': run(numbers={'frechet': 2.1}),
        'whole': run(numbers={'frechet': 2.2})}, NOT_MEASURED),
  (33, {'AR': run(numbers={'frechet': 2.0}), 'block': run(numbers={'frechet': 2.1}),
        'whole': run(numbers={'frechet': 2.5})}, REFUTED),
  (49, {'raster': run(2.0), **{order: run(1.0) for order in ORDERS}}, SUPPORTED),
  (49, {'raster': run(2.0), **{order: run(1.0) for order in ORDERS}, 'whole': run(3.0)}, MIXED),
  (49, {'raster': run(0.5), **{order: run(1.0) for order in ORDERS}}, REFUTED),
  (51, ruled_by((0.1, 0.5), (0.3, 0.7), (0.2, 0.8)), SUPPORTED),
  (51, ruled_by((0.1, 0.5), (0.3, 0.7), (0.2, 0.5)), MIXED),
  (51, ruled_by((0.3, 0.5), (0.3, 0.5), (0.3, 0.5)), MIXED),  # nothing is decided
  (51, ruled_by((0.3, 0.7), (0.1, 0.7), (0.3, 0.5)), REFUTED),
  (52, {'var': run(0.5, seconds=0.1), 'pixelcnn': run(1.0, seconds=9.0)}, SUPPORTED),
  (52, {'var': run(0.5, seconds=1.0), 'pixelcnn': run(1.0, seconds=9.0)}, MIXED),
  (52, {'var': run(1.5, seconds=1.0), 'pixel_ar': run(1.0, seconds=9.0)}, REFUTED),
  (19, {'block': run(0.6, numbers={'minutes': 5.0})}, SUPPORTED),
  (19, {'block': run(0.6, numbers={'minutes': 75.0})}, REFUTED),
  (19, {'block': run(2.6, numbers={'minutes': 5.0})}, REFUTED),
  (22, {'pixelcnn': run(calls=64), 'whole': run(calls=16)}, SUPPORTED),
  (22, {'pixelcnn': run(calls=64), 'whole': run(calls=8)}, MIXED),
  (22, {'pixelcnn': run(calls=64)}, NOT_MEASURED),
  (36, made((1.0, 1.0), (1.0, 5.0), (3.0, 0.5)), SUPPORTED),
  (36, made((1.0, 1.0), (1.0, 5.0), (1.0, 0.5)), MIXED),
  (36, made((2.0, 1.0), (1.0, 0.5), (1.0, 0.5)), REFUTED),
  (37, moved(1.5, 0.9, 0.9), SUPPORTED), (37, moved(0.5, 0.9, 0.9), MIXED),
  (37, moved(0.5, 0.2, 0.2), REFUTED),
  (47, settled(1, 0.9, 0.2), SUPPORTED), (47, settled(0, 0.9, 0.2), MIXED),
  (47, settled(0, 0.2, 0.9), REFUTED),
  (48, {'unet': run(0.5), 'whole': run(1.0)}, SUPPORTED),
  (48, {'unet': run(1.5), 'whole': run(1.0)}, REFUTED),
  (48, {'unet': run(1.0), 'whole': run(1.0)}, MIXED),
)


@pytest.mark.parametrize('number, rows, word', CASES)
def test_a_claim_is_decided_by_its_rule_on_a_study(number, rows, word):
  found = ruled(number, study(rows))
  assert found.word == word and (word == NOT_MEASURED or found.number)
  if number != 22:  # calls are counted, and need no seeds
    assert ruled(number, study(rows, seeds=2)) is verdicts.UNKNOWN


def test_a_row_that_is_missing_or_made_no_samples_leaves_its_claims_unmeasured():
  for claim in claims.CLAIMS:
    if claim.sources and set(claim.sources) <= STUDIES:
      other = [study({'other': run()})] * len(claim.sources)
      assert ruled(claim.number, *other).word == NOT_MEASURED
  assert ruled(48, study({'unet': run(None), 'whole': run()})) is verdicts.UNKNOWN


def record(*rows):
  return verdicts.record_of({'rows': list(rows), 'commit': 'abc', 'hardware': 'cpu'})


@pytest.mark.parametrize('dealt, gain, word', [
  ('5+4+4+3', 2.0, SUPPORTED), ('4+4+4+4', 2.0, MIXED), ('3+4+4+5', -2.0, REFUTED)])
def test_blocks_are_easier_where_steps_fall_and_the_past_helps(dealt, gain, word):
  own = study({'block': run(numbers={'past_gain': gain})})
  assert ruled(3, own, record({'dealt out': dealt})).word == word


@pytest.mark.parametrize('whole, ar, pixels, word', [
  ([2.0, 1.9, 2.1], [1.5, 1.4, 1.6], 3.0, SUPPORTED),
  ([2.0, 1.5, 2.1], [1.5, 1.4, 1.6], 3.0, MIXED),
  ([1.0, 0.9, 1.1], [1.5, 1.4, 1.6], 0.1, REFUTED)])
def test_the_best_family_depends_on_the_data_where_both_halves_hold(whole, ar, pixels, word):
  nats = {1.0: ar, **dict.fromkeys((4.0, 16.0, 64.0), [3.0, 2.9, 3.1]), 'full': whole}
  text = record(*({'tokens a block': key, 'nats': value} for key, value in nats.items()))
  assert ruled(25, text, study({'whole': run(1.0), 'pixelcnn': run(pixels)})).word == word


# ---- Over an axis --------------------------------------------------------------------------------


def swept_study(rows, diverged=()):
  """A study over an axis of {row: {value: Fréchet distance}}."""
  places = {
    f'{row}, x {value}': swept.Place(row, value) for row, own in rows.items() for value in own}
  made = {name: run(rows[place.row][place.value]) for name, place in places.items()}
  return study(made)._replace(places=places, diverged=diverged)


def rates(**working):
  """Rows of four rates a decade apart, of which the first ones work."""
  return swept_study({
    row: {10.0**i: 1.0 if i < number else 9.0 for i in range(4)}
    for row, number in working.items()})


@pytest.mark.parametrize('working, word', [
  (dict(block=3, whole=3, gan=1), SUPPORTED), (dict(block=2, whole=3, gan=1), MIXED),
  (dict(block=1, whole=3, gan=2), REFUTED)])
def test_training_is_stable_where_as_many_decades_work(working, word):
  found = ruled(7, rates(**working))
  assert found.word == word and f'gan {working["gan"] - 1:.1f} (0%' in found.number
  assert ruled(7, study({})) is verdicts.UNKNOWN


def test_a_rate_of_which_a_seed_diverged_does_not_work():
  own = rates(block=3, whole=3, gan=3)
  own.rows['gan, x 1.0'].pop()
  found = ruled(7, own._replace(diverged=[('gan, x 1.0', 2)]))
  assert 'gan 1.0 (8% of its runs diverged)' in found.number
  assert ruled(7, own) is verdicts.UNKNOWN  # a seed is still to come


@pytest.mark.parametrize('number, power, word', [
  (12, -0.5, SUPPORTED), (12, 0.5, REFUTED), (26, -0.5, NOT_MEASURED), (26, 0.5, REFUTED)])
def test_an_exponent_below_zero_decides(number, power, word):
  curve = {size: 10 * size**power for size in (1.0, 4.0, 16.0, 64.0)}
  found = ruled(number, swept_study({'block': curve, 'whole': curve}))
  assert found.word == word and f'block {power:.2f}' in found.number
  few = dict(list(curve.items())[:2])
  assert ruled(number, swept_study({'block': few, 'whole': few})) is verdicts.UNKNOWN


def test_places_and_what_diverged_are_read_from_what_a_study_tells():
  told = {
    'study': {'name': 'x', 'metric': METRIC.__dict__, 'rows': [
      {'name': 'a, x 1', 'place': ['a', 1.0]}, {'name': 'b', 'config': 'c'}]},
    'measured': [], 'diverged': [['a, x 1', 2]],
  }
  found = verdicts.study_of(told)
  assert found.places == {'a, x 1': swept.Place('a', 1.0)} and found.diverged == [('a, x 1', 2)]
