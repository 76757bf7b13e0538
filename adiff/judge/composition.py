"""Do pictures of shapes show what their captions ask for? By skill, as GenEval (arXiv:2310.11513).

A program reads the pictures (shapes/read.py), and a caption is true of what it finds or is not.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from adiff.judge import base, bound, captioned, section, subset, variety
from adiff.judge.captioned import IMAGE, TEXT
from adiff.judge.metrics import shares
from adiff.judge.page import images
from adiff.judge.shapes import grammar, read

TITLE = 'Captions'
RETRIEVED = 10_000  # training captions that the nearest ones are looked for among, at most
_SHOWN = 24
_COLUMNS = (
  section.Column('num', 'Captions'),
  section.Column(
    'true', 'True', better='high', meaning='Share of the pictures that their caption is true of.'
  ),
  section.Column(
    'chance', 'Chance', meaning='The same pictures, each under the captions of all others.'
  ),
  section.Column(
    'retrieved', 'Retrieval',
    meaning='Instead of each picture, that of the training caption with the most words in common.',
  ),
)


@dataclasses.dataclass(frozen=True)
class Composition(base.Judge):
  """Makes pictures for real captions, and says how many show what they ask for."""

  media = ()  # it is named
  cost = 'On one core 5 s, and 4 s for 1,000 pictures; 100 MB.'

  def needs(self, parts):
    conds = parts.source.facts.conds
    if TEXT not in conds:
      check_parts(parts, 'composition', TEXT, IMAGE)
    elif getattr(conds[TEXT], 'vocab', 0) != len(grammar.WORDS):
      raise _no_shapes('composition')
    else:
      _check_sides('composition', parts.source.facts)

  def sections(self, subject: base.Subject) -> Iterator[section.Section]:
    chosen = np.resize(subset.spread(subject.size(subject.split), subject.num), subject.num)
    found = subject.examples(subject.split, chosen)
    asked = _text(found)
    if TEXT in found:  # it is told, and stands not in the sequence
      sampled = subject.sample(told={TEXT: found[TEXT]})
    else:
      sampled = subject.sample(given=captioned.given(subject, chosen, TEXT))
    yield subject.attempt(TITLE, lambda: _pictured(subject, asked, sampled))
    yield subject.attempt(variety.TITLE, lambda: _varied(subject, found, sampled))
    yield base.cost([sampled], sampled, self)
    yield bound.of(subject)


def check_parts(parts, name, first, second) -> None:
  """Raises ValueError where a judge `name` of captions and pictures of shapes has no such data, or
  the network has not learnt an order in which the blocks of `first` come before the others."""
  facts = parts.source.facts.parts
  if not {first, second} <= facts.keys() or facts[TEXT].levels != len(grammar.WORDS):
    raise _no_shapes(name)
  _check_sides(name, facts[IMAGE])
  captioned.check_order(parts, name, first, second)


def _check_sides(name, facts):
  """Raises ValueError for pictures that shapes/read.py does not read."""
  height, width, _ = facts.shape
  if height != width or height % read.SIDE:
    raise ValueError(
      f'config.judge.name={name} reads pictures of shapes whose sides are one multiple of '
      f"{read.SIDE}, not {height} x {width}; take such a size, or judge.name=''"
    )


def _no_shapes(name):
  return ValueError(
    f'config.judge.name={name} reads captions and pictures of shapes, which these data are not; '
    "write data.name=shapes, or judge.name=''"
  )


def _text(found) -> np.ndarray:
  """The words int [n, L] of the captions of examples, which are a part of them or a condition."""
  return np.maximum(found[TEXT], 0) if TEXT in found else found['example'][TEXT]


def _images(examples) -> np.ndarray:
  """The pictures of examples, which are pictures or have other parts besides."""
  return examples[IMAGE] if isinstance(examples, dict) else examples


def _pictured(subject, asked, sampled):
  """Of captions int [n, L] and the samples that were made of them."""
  pictures = _images(subject.decode(sampled.tokens))
  subject.tell('reads the pictures')
  known = subject.examples('train', subset.spread(subject.size('train'), RETRIEVED))
  captions, others = (list(grammar.decode(text)) for text in (asked, _text(known)))
  found = scores(captions, pictures, others, _images(known['example']))
  return by_skill(captions, pictures, found)


def _varied(subject, found, sampled):
  """Of the samples, beside the pictures of their captions and as many of training."""
  made, real = _images(subject.decode(sampled.tokens)), _images(found['example'])
  some = subset.spread(subject.size('train'), len(real))
  return variety.of(made, real, _images(subject.examples('train', some)['example']))


class Scores(NamedTuple):
  """By caption."""

  skill: list[str]
  true: np.ndarray  # bool [n], of its picture
  chance: np.ndarray  # float [n], share of the other pictures that it is true of
  retrieved: np.ndarray  # bool [n], of the picture of the nearest training caption
  whole: np.ndarray  # bool [n]: does every pixel of its picture belong to an object or the ground?


def scores(captions, pictures, known, known_pictures) -> Scores:
  """What is true of pictures uint8 [n, S, S, 3] that were made for n captions; known: training
  captions, with their pictures.

  Raises ValueError for fewer than two captions, and what is no caption or picture of shapes.
  """
  if len(captions) < 2 or len(captions) != len(pictures):
    raise ValueError(
      f'{len(captions)} captions and {len(pictures)} pictures; give two or more, one a caption'
    )
  meanings = [grammar.parse(caption) for caption in captions]
  found = read.read(pictures)
  table = np.stack([grammar.holds(meaning, found.scenes) for meaning in meanings])
  true = table.diagonal()
  nearest = read.read(np.asarray(known_pictures)[_nearest(captions, known)]).scenes
  return Scores(
    [grammar.skill(meaning) for meaning in meanings], true,
    (table.sum(1) - true) / (len(captions) - 1),
    np.array([grammar.holds(one, nearest[i:i + 1])[0] for i, one in enumerate(meanings)]),
    found.rest < 1,
  )


def _nearest(captions, known):
  """int [n]: the known caption with the largest share of words and pairs of words in common."""
  index = {}

  def counted(texts):
    rows = []
    for text in texts:
      words = text.split()
      rows.append([index.setdefault(one, len(index)) for one in (*words, *zip(words, words[1:]))])
    return rows

  ours, theirs = counted(captions), counted(known)
  bags = np.zeros((len(ours) + len(theirs), len(index)), np.float32)
  for row, places in enumerate((*ours, *theirs)):
    bags[row, places] = 1
  ours, theirs = bags[:len(captions)], bags[len(captions):]
  common = ours @ theirs.T
  return np.argmax(common / (ours.sum(1)[:, None] + theirs.sum(1) - common), 1)


def by_skill(captions, pictures, found: Scores) -> section.Section:
  """The table, and some of the pictures with their captions."""
  skill = np.array(found.skill)
  rows = [_row(name, found, skill == name) for name in grammar.SKILLS if name in found.skill]
  averaged = ('true', 'chance', 'retrieved')
  mean = {key: float(np.mean([row[key] for row in rows])) for key in averaged}
  everything = {'name': 'mean of the skills', 'num': len(captions), **mean}
  facts = [
    section.Fact(
      f'true_{row["name"].replace(" ", "_")}', f'true of its picture: {row["name"]}', row['true'],
      interval=row.get('true_ci95'), better='high',
      beside={'chance': row['chance'], 'retrieval': row['retrieved']},
      tile='of the captions are true, mean of the skills' if row is everything else '',
    ) for row in (*rows, everything)
  ]
  facts.append(section.Fact(
    'whole_pictures', 'pictures all of whose pixels belong to an object or the ground',
    float(found.whole.mean()), better='high',
  ))
  shown = _spread(skill)
  picture = images.captioned(
    pictures[shown], [captions[i] for i in shown], [bool(found.true[i]) for i in shown]
  )
  return section.Section(TITLE, (
    section.Table('Skill', _COLUMNS, (
      section.Group('This model', tuple(rows)), section.Group('All', (everything,), ranked=False),
    )),
    section.Facts(tuple(facts), shown=False),
    section.Figure(
      'captions', images.png_bytes(picture), 'Pictures under which their caption stands, some of '
      'every skill and not chosen otherwise; the bar is blue where the caption is true of the '
      'picture, as a program reads it, and red where it is not.', 'pixels',
    ),
  ))


def _row(name, found, chosen):
  """Of one skill."""
  true = found.true[chosen]
  return {
    'name': name, 'num': len(true), 'true': float(true.mean()), 'true_ci95': shares.wilson(true),
    'chance': float(found.chance[chosen].mean()),
    'retrieved': float(found.retrieved[chosen].mean()),
  }


def _spread(skill):
  """Up to _SHOWN places, as many of every skill as there are, the first ones."""
  kinds = [name for name in grammar.SKILLS if name in skill]
  each = max(_SHOWN // len(kinds), 1)
  return np.concatenate([np.flatnonzero(skill == name)[:each] for name in kinds])
