"""Do pictures follow the maps that they were asked for: edges, layout, low resolution?"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from adiff.judge import base, bound, section, subset
from adiff.judge.metrics import maps
from adiff.judge.page import images

TITLE = 'Control'
_SHOWN = 10
_MEANING = (
  'Maps are those of held-out pictures. Without: the same network is told none, which is strength '
  '0. Chance: the next real picture, instead of a sample.'
)
_OVERLAP = (
  section.Column('f1', 'F1', better='high', meaning='Of the pixels of both maps, their mean.'),
  section.Column('iou', 'IoU', better='high', meaning='Pixels of both maps over those of either.'),
)
_LOW = (
  section.Column(
    'difference', 'Levels apart', better='low', meaning='Of the low resolution, on average.'
  ),
  section.Column(
    'projected', 'Projected', better='low',
    meaning='The same, of the nearest pictures that have the low resolution asked for.',
  ),
)


@dataclasses.dataclass(frozen=True)
class Control(base.Judge):
  """Makes pictures for the maps of held-out ones, and says how well they follow them."""

  media = ()  # it is named
  cost = 'Seconds, and memory for the samples.'

  def needs(self, parts):
    if not set(maps.NAMES) & set(parts.spec.conds):
      raise ValueError(
        f'config.judge.name=control asks for {", ".join(maps.NAMES)}, and these data have '
        f'{", ".join(parts.spec.conds) or "no conditions"}; write codec.name=controlled'
      )

  def sections(self, subject: base.Subject) -> Iterator[section.Section]:
    chosen = np.resize(subset.spread(subject.size(subject.split), subject.num), subject.num)
    found = subject.tokens(subject.split, chosen)
    told = {name: found[name] for name in maps.NAMES if name in found}
    sampled = subject.sample(labels=found['label'], told=told)
    free = subject.sample(labels=found['label'], told={})
    real = subject.examples(subject.split, chosen)['example']
    made = {
      'asked for': subject.decode(sampled.tokens), 'without': subject.decode(free.tokens),
      'chance': np.roll(real, 1, 0),
    }
    for name, value in told.items():
      factor = _factor(real.shape, value.shape)
      yield subject.attempt(f'{TITLE}: {name}', lambda name=name, factor=factor: _followed(
        subject, name, real, made, factor
      ))
    yield base.cost([sampled, free], sampled, self)
    yield bound.of(subject)


def _factor(shape, told) -> int:
  """Sides of pictures [n, H, W, C] over those of their low resolution, told as [n, N, D] floats."""
  return round((np.prod(shape[1:]) / np.prod(told[1:])) ** 0.5)


def _followed(subject, name, real, made, factor):
  """How far the pictures {whose: [n, H, W, C]} follow the maps of real ones."""
  asked = maps.of(name, real, subject.levels, factor)
  rows = {whose: _row(whose, one, name, asked, subject.levels, factor)
          for whose, one in made.items()}
  ours, others = rows['asked for'], {whose: rows[whose] for whose in ('without', 'chance')}
  kind = f'{name}, {len(real)} samples, {subject.data}'
  facts = tuple(
    section.Fact(
      f'{name}_{key}', f'{column.heading} of {name}', ours[key], better=column.better, kind=kind,
      beside={whose: other[key] for whose, other in others.items()},
      tile=f'{column.heading} of {name}',
    ) for column in _columns(name) for key in [column.key]
  )
  return section.Section(f'{TITLE}: {name}', (
    section.Text(_MEANING),
    section.Table('Pictures', _columns(name), (
      section.Group('This model', (ours,)),
      section.Group('References', tuple(others.values()), ranked=False),
    )),
    section.Facts(facts, shown=False),
    section.Figure(
      f'control_{name}', images.png_bytes(_beside(subject, asked, made, real, factor)),
      'From above: the map that is asked for, a sample, a sample without it, the real picture.',
      'pixels',
    ),
  ))


def _columns(name):
  return _LOW if name == 'low' else _OVERLAP


def _row(whose, pictures, name, asked, levels, factor):
  """A row of the table."""
  if name == 'low':
    projected = maps.consistent(pictures, asked, levels)
    found = [maps.difference(one, asked) for one in (pictures, projected)]
  else:
    found = maps.overlap(maps.of(name, pictures, levels, factor), asked)
  means = (float(one.mean()) for one in found)
  return {'name': whose, **{
    column.key: mean for column, mean in zip(_columns(name), means, strict=True)
  }}


def _beside(subject, asked, made, real, factor):
  """The first maps above their pictures."""
  scale = real.shape[1] // asked.shape[1]
  drawn = asked[:_SHOWN].repeat(scale, 1).repeat(scale, 2)
  drawn = drawn * (subject.levels - 1) if asked.dtype == bool else np.rint(drawn)
  drawn = np.broadcast_to(drawn, real[:_SHOWN].shape).astype(real.dtype)
  rows = [drawn, made['asked for'][:_SHOWN], made['without'][:_SHOWN], real[:_SHOWN]]
  return images.grid(
    np.concatenate(rows), subject.levels, columns=len(drawn), scale=images.zoom(real)
  )
