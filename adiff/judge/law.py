"""Data whose law is known: do samples follow it?"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from adiff.judge import base, bound, section, subset

TITLE = 'Law of the samples'


@dataclasses.dataclass(frozen=True)
class Law(base.Judge):
  """Tests samples against the law of the data."""

  media = ('law',)
  cost = 'Seconds, and memory for the samples.'

  def needs(self, parts):
    super().needs(parts)
    num, split = parts.config.eval.num, parts.config.eval.split
    chosen = _chosen(parts.source.size(split), num)
    real = parts.source.examples(split, chosen)
    try:
      parts.source.law_test(real['example'], _told(real))
    except ValueError as error:
      raise ValueError(f'config.eval.num={num}: {error}') from error

  def sections(self, subject: base.Subject) -> Iterator[section.Section]:
    # What real examples are told, and labels not balanced: the law includes them.
    chosen = _chosen(subject.size(subject.split), subject.num)
    real = subject.examples(subject.split, chosen)
    told = _told(real)
    further = {name: value for name, value in told.items() if name != 'label'}
    sampled = subject.sample(labels=real['label'], told=further)
    yield subject.attempt(TITLE, lambda: _verdict(subject, sampled, told))
    yield base.cost([sampled], sampled, self)
    yield bound.of(subject)


def _chosen(size, num):
  """Real examples, as many as samples: in a circle where there are fewer."""
  return np.resize(subset.spread(size, num), num)


def _told(examples):
  """{name: value} of what examples were told, their label among it."""
  return {name: value for name, value in examples.items() if name != 'example'}


def _verdict(subject, sampled, told):
  """The test."""
  verdict = subject.law_test(subject.decode(sampled.tokens), told)
  words = (
    'Chi-square test of the samples against the known law of the data. A right sampler gives any '
    'p-value with equal chance; below 0.001 something is wrong.'
  )
  facts = (
    section.Fact('statistic', 'statistic', float(verdict['statistic']), digits=4),
    section.Fact('dof', 'degrees of freedom', float(verdict['dof'])),
    section.Fact(
      'p_value', 'p-value', float(verdict['p_value']), tile='p-value of the law of the samples'
    ),
    *_modes(verdict.get('modes')),
  )
  return section.Section(TITLE, (section.Text(words), section.Facts(facts)))


def _modes(found):
  """Signs of collapse, of data that are a mixture."""
  if found is None:
    return ()
  return (
    section.Fact(
      'modes', f'of {found["of"]} components, covered', float(found['covered']),
      meaning='They have a sample within three deviations of their mean.', better='high',
      kind=f'{found["of"]} components', tile='components covered',
    ),
    section.Fact(
      'near_modes', 'share of samples near a component', found['share'],
      meaning='Within three deviations of its mean; of the data 98.9% are, in two dimensions.',
      better='high', kind=f'{found["of"]} components', digits=3,
    ),
  )
