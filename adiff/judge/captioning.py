"""Captions made for pictures of shapes: are they sentences, true, and as rich as real ones?"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from adiff.judge import base, bound, captioned, composition, section, subset, variety
from adiff.judge.captioned import IMAGE, TEXT
from adiff.judge.metrics import captions as metrics
from adiff.judge.page import images
from adiff.judge.shapes import grammar, read

TITLE = 'Captions'
_SHOWN = 24
_COLUMNS = (
  section.Column('num', 'Captions'),
  section.Column(
    'parsed', 'Sentences', better='high', meaning='Captions that the grammar can read.'
  ),
  section.Column(
    'true', 'True', better='high', meaning='Those that are true of their picture, as it is read.'
  ),
  section.Column(
    'rich', 'True and rich', better='high',
    meaning='Those that are true and name as many objects and attributes as the real caption.',
  ),
  section.Column('bleu', 'BLEU-4', better='high'),
  section.Column('cider', 'CIDEr-D', better='high'),
)


@dataclasses.dataclass(frozen=True)
class Captioning(base.Judge):
  """Makes captions for real pictures, and says how many are true."""

  media = ()  # it is named
  cost = 'On one core 8 s for 1,000 pictures; 100 MB.'

  def needs(self, parts):
    composition.check_parts(parts, 'captioning', IMAGE, TEXT)

  def sections(self, subject: base.Subject) -> Iterator[section.Section]:
    chosen = np.resize(subset.spread(subject.size(subject.split), subject.num), subject.num)
    real = subject.examples(subject.split, chosen)['example']
    sampled = subject.sample(given=captioned.given(subject, chosen, IMAGE))
    yield subject.attempt(TITLE, lambda: _captioned(subject, real, sampled))
    yield base.cost([sampled], sampled, self)
    yield bound.of(subject)


class Scores(NamedTuple):
  """By caption, bool [n]; and of all of them."""

  parsed: np.ndarray
  true: np.ndarray
  rich: np.ndarray
  bleu: float
  cider: float

  def row(self, name) -> dict:
    """A row of the table."""
    shares = {key: float(getattr(self, key).mean()) for key in ('parsed', 'true', 'rich')}
    return {'name': name, 'num': len(self.true), **shares, 'bleu': self.bleu, 'cider': self.cider}


def scores(captions, real, pictures) -> Scores:
  """What captions are worth, beside the real ones of pictures uint8 [n, S, S, 3]."""
  scenes = read.read(pictures).scenes
  parsed, true, rich = np.zeros((3, len(captions)), bool)
  for index, (caption, told) in enumerate(zip(captions, real, strict=True)):
    try:
      meaning = grammar.parse(caption)
    except ValueError:
      continue
    parsed[index] = True
    true[index] = grammar.holds(meaning, scenes[index:index + 1])[0]
    rich[index] = true[index] and np.all(named(meaning) >= named(grammar.parse(told)))
  words, references = [one.split() for one in captions], [[one.split()] for one in real]
  return Scores(
    parsed, true, rich, metrics.bleu(words, references).score,
    float(metrics.cider_d(words, references).mean()),
  )


def named(meaning) -> np.ndarray:
  """int [2]: how many objects a caption names, and how many sizes, colours and shapes of them."""
  objects = attributes = 0
  for claim in meaning:
    times = claim.number if isinstance(claim, grammar.Number) else 1
    for thing in grammar.things(claim):
      objects += 0 if isinstance(claim, grammar.No) else times
      attributes += times * sum(one != grammar.ANY for one in thing)
  return np.array([objects, attributes])


def _nearest(pictures, known) -> np.ndarray:
  """int [n]: which of the known pictures is most like each one, as a thumbnail."""
  ours, theirs = map(variety.thumbnails, (pictures, known))
  return np.argmin(np.square(theirs).sum(1) - 2 * ours @ theirs.T, 1)


def _captioned(subject, real, sampled):
  """The table, and pictures with the captions that were made for them."""
  captions = list(grammar.decode(subject.decode(sampled.tokens)[TEXT]))
  told, pictures = list(grammar.decode(real[TEXT])), real[IMAGE]
  subject.tell('reads the pictures')
  found = scores(captions, told, pictures)
  some = subset.spread(subject.size('train'), composition.RETRIEVED)
  known = subject.examples('train', some)['example']
  nearest = list(grammar.decode(known[TEXT][_nearest(pictures, known[IMAGE])]))
  others = (
    scores(told, told, pictures).row(f'real {subject.split} split'),
    scores(nearest, told, pictures).row('of the nearest training picture'),
    scores(np.roll(told, 1).tolist(), told, pictures).row('real ones of other pictures'),
  )
  ours, kind = found.row('this model'), f'captions, {len(captions)} pictures, {subject.data}'
  facts = tuple(section.Fact(
    f'caption_{column.key}', column.heading, ours[column.key], better=column.better, kind=kind,
    beside={other['name']: other[column.key] for other in others},
    tile='of the captions are true' if column.key == 'true' else '',
  ) for column in _COLUMNS[1:])
  shown = images.captioned(pictures[:_SHOWN], captions[:_SHOWN], found.true[:_SHOWN])
  return section.Section(TITLE, (
    section.Table('Captions', _COLUMNS, (
      section.Group('This model', (ours,)), section.Group('References', others, ranked=False),
    )),
    section.Facts(facts, shown=False),
    section.Figure(
      'captions', images.png_bytes(shown), 'Real pictures and the captions that were made for '
      'them, the first ones; the bar is blue where the caption is true, red where it is not.',
      'pixels',
    ),
  ))
