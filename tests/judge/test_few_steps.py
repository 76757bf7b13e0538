"""A student beside its teacher: the ratio of gaps, and what stands beside it."""

import types

import judged
import numpy as np
import pytest

from adiff.judge import few_steps, section

# Fréchet distance and recall by the first pixel of the images.
SCORES = {1: (0.5, 0.9), 2: (4.5, 0.7), 3: (3.5, 0.6), 4: (0.9, 0.8), 5: (0.4, 0.85)}


def made(value, steps):
  return judged.sampled(np.full((12, 4, 4, 1), value, np.uint8), steps=steps)


def real():
  return types.SimpleNamespace(
    eyes=types.SimpleNamespace(name='eyes'), data='data',
    scores=lambda images, labels: dict(zip(('frechet', 'recall'), SCORES[images[0, 0, 0, 0]])),
  )


@pytest.fixture(scope='module')
def said():
  """The section of a student whose two steps are as the value 4, and its four as 5."""
  student = judged.subject(
    made(4, 2), levels=17, sample=lambda steps: made(4 if steps == 2 else 5, steps),
    reference=lambda make: real(),
  )
  own = judged.subject(made(1, 8), sample=lambda steps: made(1, 8))
  naive = lambda steps: (made(2, steps), made(3, steps))
  teacher = few_steps.Teacher('a run', own, naive, calls=2000.0, flops=1e12)
  return few_steps.section_of(student, teacher, (4, 2, 2))


def numbers(said):
  return section.numbers([said])


def test_the_ratio_is_what_is_left_of_the_best_naive_gap(said):
  assert judged.titles([said]) == ['Few steps']
  assert numbers(said)['gap_ratio_2'] == pytest.approx((0.9 - 0.5) / (3.5 - 0.5))
  assert numbers(said)['gap_ratio_4'] < 0  # better than its teacher
  assert numbers(said)['recall_lost_2'] == pytest.approx(0.1)


def test_the_table_has_who_is_compared_and_the_words_what_it_cost(said):
  table = judged.table([said], 'Few steps')
  student, others = ([row['name'] for row in group.rows] for group in table.groups)
  assert student == ['student', 'student']
  assert others == ['teacher', 'teacher, naive', 'teacher, naive']
  words, = [part.words for part in said.parts if isinstance(part, section.Text)]
  assert '1e+12 floating-point operations' in words and '2e+03 calls of the teacher' in words


def test_where_the_naive_teacher_loses_nothing_there_is_no_ratio():
  row = few_steps._compared(
    {'frechet': 1.0, 'recall': 1.0}, {'frechet': 0.4}, {'frechet': 0.5, 'recall': 1.0}
  )
  assert row['ratio'] is None and row['recall_lost'] == 0
