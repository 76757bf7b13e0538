"""Studies over an axis: laws that are known, ranges that work, and what diverged."""

import numpy as np
import pytest
from judged import titles
from scipy import stats

from adiff.judge import section, studied, swept

LOW, HIGH = studied.Metric('frechet', 'Fréchet', 'low'), studied.Metric('recall', 'Recall', 'high')


def runs(values, metric='frechet'):
  """(places, runs) of rows {row: {value: metrics}}."""
  places, made = {}, []
  for row, over in values.items():
    for value, metrics in over.items():
      name = f'{row} at {value}'
      places[name] = swept.Place(row, value)
      made += [
        studied.Measured(name, seed, {metric: number}, ()) for seed, number in enumerate(metrics)
      ]
  return places, made


def test_the_law_of_powers_is_found_with_the_interval_of_least_squares():
  exact = [swept.At(value, (3 * value**-0.5,) * 2) for value in (1.0, 4.0, 25.0)]
  found = swept.law(exact)
  np.testing.assert_allclose([found.scale, found.exponent.value], [3, -0.5], rtol=1e-9)
  assert found.exponent.half < 1e-6 and found.exponent.num == 6
  rng = np.random.default_rng(0)
  noisy = [swept.At(at.value, tuple(m * rng.lognormal(0, 0.1) for m in at.metrics)) for at in exact]
  x = np.log([at.value for at in noisy for _ in at.metrics])
  y = np.log([metric for at in noisy for metric in at.metrics])
  design = np.stack([x, np.ones_like(x)], 1)
  beta, rest, *_ = np.linalg.lstsq(design, y)
  error = np.sqrt(rest[0] / 4 * np.linalg.inv(design.T @ design)[0, 0])
  found = swept.law(noisy)
  np.testing.assert_allclose(found.exponent.value, beta[0])
  np.testing.assert_allclose(found.exponent.half, stats.t.ppf(0.975, 4) * error)


@pytest.mark.parametrize('row', [
  [swept.At(1.0, (2.0,)), swept.At(2.0, (1.0,))],
  [swept.At(1.0, (2.0, 2.1, 2.2))],
  [swept.At(1.0, (2.0, 1.0)), swept.At(2.0, (0.0,))],
], ids=['two runs', 'one value', 'a metric of 0'])
def test_there_is_no_law_of_what_cannot_have_one(row):
  assert swept.law(row) is None


def test_what_works_is_the_stretch_around_the_best_without_divergence():
  row = [
    swept.At(1e-4, (1.1,)), swept.At(1e-3, (9.0, 9.0)), swept.At(1e-2, (1.4, 1.5)),
    swept.At(1e-1, (1.0, 1.2)), swept.At(1.0, (1.3,), 1), swept.At(10.0, (), 2),
  ]
  found = swept.working(LOW, row)
  assert (found.best.value, found.low, found.high) == (1e-4, 1e-4, 1e-4)  # 1.1 = mean(1.0, 1.2)
  found = swept.working(LOW, row[1:])
  assert (found.best.value, found.low, found.high) == (1e-1, 1e-2, 1e-1)
  np.testing.assert_allclose(found.decades, 1)
  np.testing.assert_allclose(found.spread, np.std([1.0, 1.2], ddof=1))
  np.testing.assert_allclose(found.diverged, 3 / 10)
  assert swept.working(LOW, row[-1:]) is None and swept.working(LOW, row[-2:]) is None
  more = [swept.At(1.0, (0.5,)), swept.At(2.0, (0.9,)), swept.At(4.0, (0.7,))]
  found = swept.working(HIGH, more)
  assert (found.best.value, found.low, found.high) == (2.0, 2.0, 4.0)  # 0.5 < 0.9 / 1.5 < 0.7


def test_a_run_is_worth_its_best_way_of_sampling_or_its_own_number():
  points = tuple({'name': str(value), 'frechet': value} for value in (3.0, 2.0))
  run = studied.Measured('a', 0, {'frechet': 9.0, 'nats': 1.0}, points)
  assert swept.metric_of(LOW, run) == 2.0 and swept.metric_of(HIGH, run) is None
  assert swept.metric_of(studied.Metric('nats', 'Bound', 'low'), run) == 1.0


@pytest.mark.parametrize('law', [True, False])
def test_the_page_has_every_value_and_the_law_or_the_range_of_every_row(law):
  places, made = runs({'block': {1.0: (4.0, 4.1), 2.0: (2.0, 2.1)}, 'gan': {1.0: (), 2.0: (9.0,)}})
  axis = swept.Axis('flops', 'TFLOP', law)
  found = swept.sections(LOW, axis, places, made, [('gan at 1.0', 0), ('gan at 1.0', 1)])
  assert titles(found) == ['Over TFLOP', 'Laws' if law else 'Ranges']
  tables = [part for one in found for part in one.parts if isinstance(part, section.Table)]
  all_values, told = (table.groups[0].rows for table in tables)
  assert [(row['name'], row['value'], row['seeds'], row['diverged']) for row in all_values] == [
    ('block', 1.0, 2, 0), ('block', 2.0, 2, 0), ('gan', 1.0, 0, 2), ('gan', 2.0, 1, 0)]
  assert [row['name'] for row in told] == (['block'] if law else ['block', 'gan'])
  assert [figure.name for figure in section.figures(found)] == ['over_axis']
  assert titles(swept.sections(LOW, axis, places, [], [])) == titles(found)  # nothing is finished
