"""Studies and claims: intervals, comparison at equal cost, rules, on numbers that are made up."""

import json

import numpy as np
import pytest
from judged import titles
from scipy import stats

from adiff.judge import claims, section, studied, verdicts

METRIC = studied.Metric('frechet', 'Fréchet distance', 'low')
NAMES = 'block', 'whole'


def runs(row, frechet, *, calls=1, seeds=3, spread=0.01, **more):
  """Runs of a row; frechet: {steps: its mean}; a step costs `calls` calls, and a GFLOP; more: of
  every way of sampling."""
  noise = np.linspace(-spread, spread, seeds)
  return [
    studied.Measured(row, seed, {'flops': 1e9, 'nats': 3.0 + noise[seed]}, tuple(
      {
        'name': f'{steps} steps', 'steps': steps, 'nfe': steps * calls, 'gflop': float(steps),
        'seconds': 0.1 * steps, 'frechet': value + noise[seed], **more,
      } for steps, value in frechet.items()
    )) for seed in range(seeds)
  ]


def test_intervals_are_students_and_welchs():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=3), rng.normal(1, 2, size=5)
  found = studied.mean(a)
  low, high = stats.t.interval(0.95, 2, np.mean(a), stats.sem(a))
  np.testing.assert_allclose([found.value - found.half, found.value + found.half], [low, high])
  found, told = studied.difference(a, b), stats.ttest_ind(a, b, equal_var=False)
  interval = told.confidence_interval(0.95)
  np.testing.assert_allclose(
    [found.value - found.half, found.value + found.half], [interval.low, interval.high]
  )
  assert studied.mean(a[:1]).half is None and studied.difference(a[:1], b).half is None


def test_a_difference_of_one_seed_or_within_its_interval_decides_nothing():
  assert studied.verdict(METRIC, studied.Mean(-5.0, None, 1)) == studied.UNDECIDED
  assert studied.verdict(METRIC, studied.Mean(-5.0, 5.0, 3)) == studied.UNDECIDED
  assert studied.verdict(METRIC, studied.Mean(-5.0, 4.9, 3)) == studied.BETTER
  assert studied.verdict(METRIC, studied.Mean(5.0, 4.9, 3)) == studied.WORSE
  high = studied.Metric('recall', 'Recall', 'high')
  assert studied.verdict(high, studied.Mean(5.0, 4.9, 3)) == studied.BETTER


def test_rows_are_compared_at_what_both_can_pay_and_the_axis_decides():
  # Four calls a step and a GFLOP a step, against one call: cheap in FLOPs, dear in calls.
  block = runs('block', {2: 1.0, 8: 0.5}, calls=4)
  whole = runs('whole', {2: 2.0, 8: 0.7, 16: 0.6})
  found = {one.axis: one for one in studied.compared(METRIC, block, whole)}
  assert found['nfe'].cost == 16 and found['nfe'].verdict == studied.WORSE  # 1.0 against 0.6
  assert found['gflop'].cost == 8 and found['gflop'].verdict == studied.BETTER  # 0.5 against 0.7
  np.testing.assert_allclose(found['gflop'].difference.value, -0.2, atol=1e-12)


def test_a_metric_of_the_run_is_compared_as_it_is():
  nats = studied.Metric('nats', 'Bound', 'low')
  one, = studied.compared(nats, runs('a', {}, spread=0.0), runs('b', {}, spread=0.0))
  assert one.cost is None and one.verdict == studied.UNDECIDED and one.difference.value == 0


@pytest.mark.parametrize('key', ['nats', 'right'])
def test_the_page_shows_a_metric_of_the_run_once(key):
  made = [*runs('a', {}, spread=0.0), *runs('b', {}, spread=0.0)]
  for run in made:
    run.numbers['right'] = 0.5
  table = studied.sections(studied.Metric(key, 'Right', 'high'), made, 'ab')[0].parts[0]
  assert [column.key for column in table.columns].count(key) == 1
  assert [row[key] for row in table.groups[0].rows] == [made[0].numbers[key]] * 2


def test_the_page_has_every_row_way_of_sampling_axis_and_verdict():
  made = [*runs('block', {2: 1.0, 8: 0.5}, calls=4), *runs('whole', {2: 2.0, 8: 0.7})]
  found = studied.sections(METRIC, made, NAMES)
  assert titles(found) == ['Rows', 'Quality and cost', 'Verdicts']
  assert [figure.name for figure in section.figures(found)] == [
    'over_nfe', 'over_gflop', 'over_seconds']
  table = next(part for part in found[2].parts if isinstance(part, section.Table))
  assert [row['name'] for row in table.groups[0].rows] == ['block against whole'] * 3
  assert titles(studied.sections(METRIC, made[:1], NAMES)) == ['Rows', 'Quality and cost']


def test_rows_stand_in_the_order_of_the_study_whichever_run_ended_first():
  made = [*runs('whole', {2: 2.0}), *runs('block', {2: 1.0})]
  found = studied.sections(METRIC, made, NAMES)
  assert [row['name'] for row in found[0].parts[0].groups[0].rows] == ['block', 'whole']
  assert found[2].parts[1].groups[0].rows[0]['name'] == 'block against whole'
  made = [*runs('other', {2: 2.0}), *runs('whole', {2: 1.0})]  # the first row is still to come
  assert titles(studied.sections(METRIC, made, (*NAMES, 'other'))) == ['Rows', 'Quality and cost']


def test_operations_that_are_a_bound_are_told_as_one():
  made = [*runs('block', {2: 1.0}, gflop_is='at most'), *runs('whole', {2: 2.0})]
  shown = studied.sections(METRIC, made, NAMES)[1].parts[0].groups[0].rows
  assert [row['gflop_is'] for row in shown] == ['at most', None]


# ---- Claims --------------------------------------------------------------------------------------


def study(block, whole, **how):
  """What a study left, as it is read again from JSON."""
  made = [*runs('block', block, calls=4, **how), *runs('whole', whole, **how)]
  told = {
    'study': {'name': claims.DIGITS, 'metric': METRIC.__dict__}, 'commit': 'abc', 'hardware': 'cpu',
    'measured': [{**run.__dict__} for run in made],
  }
  return verdicts.study_of(json.loads(json.dumps(told)))


def test_all_claims_stand_once_and_are_not_measured_without_studies():
  assert [claim.number for claim in claims.CLAIMS] == list(range(1, 59))
  found = verdicts.sections(claims.CLAIMS, {})
  assert section.numbers(found)['not_measured'] == 58
  assert titles(found) == ['Claims']


@pytest.mark.parametrize('number, block, whole, word', [
  (1, {4: 1.0, 16: 1.0, 128: 1.0}, {4: 9.0, 16: 5.0, 128: 1.0}, verdicts.SUPPORTED),
  (1, {4: 1.0, 128: 1.0}, {4: 1.0, 128: 1.0}, verdicts.MIXED),
  (1, {4: 5.0, 128: 1.0}, {4: 1.0, 128: 1.0}, verdicts.REFUTED),
  (2, {1: 1.0}, {8: 1.0}, verdicts.SUPPORTED),  # 4 calls against 8, 1 GFLOP against 8
  (2, {4: 1.0}, {8: 1.0}, verdicts.MIXED),  # 16 calls against 8
  (2, {1: 2.0}, {8: 1.0}, verdicts.REFUTED),
  (5, {8: 0.5}, {8: 0.7}, verdicts.SUPPORTED),
  (5, {8: 0.7}, {8: 0.5}, verdicts.REFUTED),
  (29, {2: 2.0, 8: 1.0}, {2: 2.0, 8: 1.0}, verdicts.SUPPORTED),
  (29, {2: 1.0, 8: 1.0}, {2: 2.0, 8: 1.0}, verdicts.MIXED),
])
def test_a_claim_is_decided_by_its_rule(number, block, whole, word):
  claim = claims.CLAIMS[number - 1]
  found = verdicts.found([claim], {claims.DIGITS: study(block, whole)})[number]
  assert found.word == word and found.seeds == 3 and found.number
  two = verdicts.found([claim], {claims.DIGITS: study(block, whole, seeds=2)})[number]
  assert two.word == verdicts.NOT_MEASURED
