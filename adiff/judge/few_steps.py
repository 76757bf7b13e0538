"""Few steps: what a student keeps of its teacher where calls are few, and what it cost to learn.

Three make the same images from the same noise: the teacher as it is sampled, the teacher with as
few steps as the student (naive), and the student. What is left of the damage of few steps is the
*gap ratio*

  (student - teacher) / (naive - teacher)

of their Fréchet distances: 0 where the student is as good as its teacher, 1 where nothing was won.
It has no unit, so that tasks of all sizes can be compared. Recall stands beside it, for a student
may have better images by having fewer of them.
"""

import dataclasses
from collections.abc import Callable

from adiff.judge import base, reference, section
from adiff.judge.page import charts, images

TITLE = 'Few steps'
COLUMNS = 10  # of the strips
_RATIO = (
  'Of the distance that few steps cost the teacher, the share that the student still loses: '
  '(student - teacher) / (naive - teacher).'
)


@dataclasses.dataclass(frozen=True)
class Teacher:
  """subject: whose `num`, `seed` and split are the student's. naive: steps -> samples, in each of
  the ways that are tried. calls: about one example, that it has answered while the student was
  trained; flops: of the student's training, where it is known."""

  name: str
  subject: base.Subject
  naive: Callable[[int], tuple[base.Sampled, ...]]
  calls: float | None
  flops: float | None


def section_of(subject: base.Subject, teacher: Teacher, steps) -> section.Section:
  """steps: a block, of student and naive teacher."""
  real = subject.reference(lambda: reference.Reference.make(subject))
  subject.tell('samples the teacher')

  def scored(name, sampled):
    found = real.scores(subject.decode(sampled.tokens), sampled.labels)
    found = {key: found[key] for key in ('frechet', 'recall')}
    return {**sampled.row(), 'name': name, 'series': name, **found}

  whole = teacher.subject.sample(steps=teacher.subject.steps)
  top = scored('teacher', whole)
  naive, own, strips = [], [], [whole]
  for count in sorted(set(steps)):
    tried = [(scored('teacher, naive', one), one) for one in teacher.naive(count)]
    row, sampled = min(tried, key=lambda pair: pair[0]['frechet'])
    made = subject.sample(steps=count)
    naive.append(row)
    own.append(_compared(scored('student', made), row, top))
    strips += [sampled, made]
  return section.Section(TITLE, (
    _table(subject, real, top, naive, own), section.Text(_words(teacher)),
    section.Facts(tuple(_facts(subject, real, own)), shown=False),
    _chart([top, *naive, *own]), _strips(subject, strips, [row['steps'] for row in own]),
  ))


def _compared(row, naive, top):
  """A student's row with how it stands to those of the naive and of the whole teacher."""
  lost = naive['frechet'] - top['frechet']
  ratio = (row['frechet'] - top['frechet']) / lost if lost > 0 else None
  return {**row, 'ratio': ratio, 'recall_lost': top['recall'] - row['recall']}


def _kind(subject, real):
  return f'features of {real.eyes.name}; {subject.num} samples; {real.data}'


def _table(subject, real, top, naive, own):
  kind = _kind(subject, real)
  columns = (
    *base.RUN, section.Column('num', 'Samples'),
    section.Column('frechet', 'Fréchet', 'low', 'As under Quality.', kind),
    section.Column('ratio', 'Gap ratio', 'low', _RATIO, kind),
    section.Column('recall', 'Recall', 'high', 'As under Quality.', kind),
    section.Column(
      'recall_lost', 'Recall lost', 'low', 'Recall of the teacher less that of the student.', kind
    ),
  )
  return section.Table('Generator', columns, (
    section.Group('Student', tuple(own)),
    section.Group('Teacher, as it is sampled, and with few steps', (top, *naive), ranked=False),
  ))


def _words(teacher):
  words = (
    f'The teacher is {teacher.name}. Naive is its own solver with few steps, in the best of the '
    'spacings that were tried.'
  )
  if teacher.flops is not None:
    words += f' The student took {teacher.flops:.3g} floating-point operations to train'
    if teacher.calls is not None:
      words += f', {teacher.calls:.3g} calls of the teacher about an example among them'
    words += '.'
  return words


def _facts(subject, real, own):
  kind = _kind(subject, real)
  for row in own:
    at = f'at {row["steps"]} steps a block'
    yield section.Fact(
      f'frechet_{row["steps"]}', f'Fréchet distance {at}', row['frechet'], better='low', kind=kind
    )
    if row['ratio'] is not None:
      yield section.Fact(
        f'gap_ratio_{row["steps"]}', f'gap ratio {at}', row['ratio'], meaning=_RATIO, better='low',
        kind=kind,
      )
    yield section.Fact(
      f'recall_lost_{row["steps"]}', f'recall lost {at}', row['recall_lost'], better='low',
      kind=kind,
    )


def _chart(rows):
  figure = charts.quality_vs_steps(
    rows, metric='frechet', ylabel='Fréchet distance (lower is better)'
  )
  return section.Figure(
    'few_steps', images.png_bytes(figure), 'Quality against sequential network evaluations.',
  )


def _strips(subject, strips, steps):
  """The first samples of the teacher, and of both at each number of steps, a row each."""
  rows = [subject.decode(one.tokens[:COLUMNS]) for one in strips]
  pictures = [picture for row in rows for picture in row]
  grid = images.grid(pictures, subject.levels, columns=COLUMNS, scale=images.zoom(rows[0]))
  told = '; '.join(f'teacher and student at {count}' for count in steps)
  return section.Figure(
    'few_steps_strips', images.png_bytes(grid),
    f'The same noise in every column. Rows: the teacher as it is sampled; {told} steps a block.',
    'pixels',
  )
