"""Rules on records: every word that a claim may get, by numbers that are made up."""

import pytest

from adiff.judge import by_record, claims, section, verdicts
from adiff.judge.verdicts import MIXED, NOT_MEASURED, REFUTED, SUPPORTED


def record(*rows, seeds=None):
  told = {'rows': list(rows), 'commit': 'abc', 'hardware': 'cpu', 'seeds': seeds}
  return verdicts.record_of(told)


def rollouts(block, whole, long, cache=1.0):
  return record(
    {'rollout': 'blocks', 'ms': 8 * block}, {'rollout': 'full sequence', 'ms': whole},
    {'rollout': 'reach 4, 16 blocks', 'ms': 10.0, 'cache MiB': 1.0},
    {'rollout': 'reach 4, 256 blocks', 'ms': long, 'cache MiB': cache},
  )


def speeds(train, sample, share=0.1):
  one = [{'task': f'step: {name}', 'peer': 'ours', 'ms': ms} for name, ms in train.items()]
  return record(*one, *(
    {'task': f'sample: {name}', 'peer': 'ours', 's a sample': s,
     'of the matmul rate': share if name == 'next symbol' else 0.6} for name, s in sample.items()))


TRAIN = {'one block': 10.0, 'next symbol': 11.0}


def laws(total, bound=2.0):
  return record(
    {'family': 'AR', 'sum': 1.0, 'calls a score': 1, 'bound': 1.5, 'own': 1.5},
    {'family': 'one block', 'sum': total, 'calls a score': 4, 'bound': bound, 'own': 1.9},
  )


def edits(ar, whole=(1, 1, 1, 1)):
  masks = 'next', 'previous', 'hole', 'scattered'
  return record(*(
    {'family': family, **dict(zip(masks, held, strict=True)), 'conditions': 2}
    for family, held in (('AR', ar), ('blocks', (1, 0, 0, 1)), ('one block', whole))))


def walks(fewer, seconds, mismatches='0 of 32'):
  return record({'steps': 8.0, 'fewer': 9.0, 'mismatches': '1 of 32', 's (sequential)': '0.1 (9)'},
                {'steps': 8.0, 'fewer': fewer, 'mismatches': mismatches,
                 's (sequential)': f'{seconds} (1.00)'})


def bytes_of(ar, whole):
  return record({'tokens': 64, 'family': 'AR', 'KiB a sample': ar},
                {'tokens': 64, 'family': 'one block', 'KiB a sample': whole})


def taught(states, gap, seeds=3):
  return record({'states': states, 'seeds': seeds, 'gap ratio': [gap, gap - 0.1, gap + 0.05]})


PRICE = record({'states': 4.0, 'more': 0.012}, {'states': 3.0, 'more': 0.01})
SOAK = record({'entry': 'toy-full-masked', 'over': 0.01})
STUDENT = {'recipe': 'a', 'gap ratio, 2 steps': [0.1, 0.05, 0.15]}
CASES = (
  (9, (rollouts(10.0, 100.0, 10.0),), SUPPORTED), (9, (rollouts(60.0, 100.0, 10.0),), MIXED),
  (9, (rollouts(60.0, 100.0, 12.0),), REFUTED),
  (43, (rollouts(1.0, 1.0, 10.5),), NOT_MEASURED), (43, (rollouts(1.0, 1.0, 12.0),), REFUTED),
  (43, (rollouts(1.0, 1.0, 10.0, cache=2.0),), REFUTED),
  (23, (laws(0.9), SOAK), SUPPORTED), (23, (laws(1.0), SOAK), MIXED),
  (34, (laws(0.9),), SUPPORTED), (34, (laws(0.9, bound=1.9),), REFUTED),
  (24, (record({'64 paths less own': [0.0, -0.01, 0.01], 'its own value': 5.0, 'one path': 6.0}),),
   SUPPORTED),
  (24, (record({'64 paths less own': [0.1, 0.0, 0.2], 'its own value': 5.0, 'one path': 6.0}),),
   REFUTED),
  (27, (speeds(TRAIN, {'one block': 1.0, 'next symbol': 3.0}),), SUPPORTED),
  (27, (speeds(TRAIN, {'one block': 3.0, 'next symbol': 1.0}),), REFUTED),
  (41, (speeds(TRAIN, {'one block': 1.0, 'blocks': 1.0, 'next symbol': 3.0}),), SUPPORTED),
  (41, (speeds(TRAIN, {'one block': 1.0, 'blocks': 1.0, 'next symbol': 3.0}, 0.5),), REFUTED),
  (30, (record(STUDENT, {'recipe': 'b', 'gap ratio, 2 steps': 9.0}, seeds=3),), SUPPORTED),
  (30, (record(STUDENT, {'recipe': 'b', 'gap ratio, 2 steps': [0.1, 0.1, 0.3]}, seeds=3),), MIXED),
  (30, (record(STUDENT, seeds=2),), NOT_MEASURED),
  (31, (record({'calls': 0.5}), record({'calls': 64.0}, {'calls': 40.0})), SUPPORTED),
  (31, (record({'calls': 0.5}), record({'calls': 64.0}, {'calls': 64.0})), MIXED),
  (31, (record({'calls': 2.0}), record({'calls': 64.0}, {'calls': 64.0})), REFUTED),
  (39, (edits((1, 0, 0, 0)),), SUPPORTED), (39, (edits((1, 1, 0, 0)),), MIXED),
  (39, (edits((0, 0, 0, 0), whole=(1, 0, 0, 0)),), REFUTED),
  (6, (edits((1, 0, 0, 0)),), MIXED), (6, (edits((1, 0, 0, 0), whole=(1, 0, 0, 0)),), SUPPORTED),
  (6, (edits((1, 1, 1, 0)),), REFUTED),
  (40, (bytes_of(1.0, 2.0),), SUPPORTED), (40, (bytes_of(2.0, 1.0),), REFUTED),
  (46, (record({'family': 'AR', 'lines': 3}, {'family': 'diffusion', 'lines': 2},
               {'family': 'GAN', 'lines': 1}),), MIXED),
  (54, (walks(3.0, 0.4),), SUPPORTED), (54, (walks(3.0, 0.9),), MIXED),
  (54, (walks(1.5, 0.9),), REFUTED),
  (11, (PRICE, taught(4.0, 0.1)), MIXED), (11, (PRICE, taught(3.0, 0.1)), SUPPORTED),
  (11, (PRICE, taught(4.0, 0.3)), REFUTED), (11, (PRICE, taught(3.0, 0.1, seeds=1)), NOT_MEASURED),
  (38, (record(
    {'side': 256, 'AR calls': 65536, 'one block calls': 64},
    {'side': 32, 'AR GFLOP': 1.0, 'one block GFLOP': 2.0}),), MIXED),
  (53, (record({'row': 'edges', 'asked for': 'F1 0.9'}),), NOT_MEASURED),
)


@pytest.mark.parametrize('number, records, word', CASES)
def test_a_claim_is_decided_by_its_rule_on_records(number, records, word):
  claim = claims.CLAIMS[number - 1]
  known = dict(zip(claim.sources, records, strict=True))
  found = verdicts.found([claim], known)[number]
  assert found.word == word
  assert found.number or found is verdicts.UNKNOWN


def test_what_a_record_lacks_leaves_its_claims_unmeasured():
  for number, records, _ in CASES:
    claim = claims.CLAIMS[number - 1]
    known = {name: record({'entry': 'other'}) for name in claim.sources[:len(records)]}
    if number in (23, 34, 38, 27, 41):
      assert verdicts.found([claim], known)[number] is verdicts.UNKNOWN


def test_a_number_of_which_nothing_is_decided_is_shown_with_its_origin():
  claim, = (one for one in claims.CLAIMS if one.number == 53)
  page = verdicts.sections([claim], {'maps': record({'row': 'edges', 'asked for': 'F1 0.9'})})
  row, = page[0].parts[1].groups[0].rows
  assert row['verdict'] == NOT_MEASURED
  assert row['found'] == 'one seed, the size of training: edges: F1 0.9'
  assert row['origin'] == 'maps: abc, cpu' and section.numbers(page)['not_measured'] == 1
  assert page[1].title == 'Records'


def test_a_rule_that_came_late_says_so():
  assert all('written after the measurement' in verdicts.rule(claim)
             for claim in claims.CLAIMS if claim.late)
  assert all(claim.rule and claim.decide for claim in claims.CLAIMS if claim.late)


def test_the_choice_depends_on_the_use_where_verdicts_of_uses_differ():
  words = {5: SUPPORTED, 9: SUPPORTED, 39: REFUTED, 40: NOT_MEASURED}
  others = {number: verdicts.Verdict(words.get(number, NOT_MEASURED)) for number in range(1, 58)}
  assert by_record.by_use(others).word == SUPPORTED
  others[39] = verdicts.Verdict(SUPPORTED)
  assert by_record.by_use(others).word == REFUTED
  with pytest.raises(verdicts.Lacking):
    by_record.by_use(others | {9: verdicts.UNKNOWN})
