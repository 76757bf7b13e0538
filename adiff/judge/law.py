"""Data whose law is known: do samples follow it?"""

import dataclasses

import numpy as np

from adiff.judge import base, bound, section


@dataclasses.dataclass(frozen=True)
class Law(base.Judge):
  """Tests samples against the law of the data."""

  media = ('law',)

  def needs(self, parts):
    super().needs(parts)
    num, split = parts.config.eval.num, parts.config.eval.split
    real = parts.source.examples(split, np.arange(num) % parts.source.size(split))['example']
    try:
      parts.source.law_test(real)
    except ValueError as error:
      raise ValueError(f'config.eval.num={num}: {error}') from error

  def sections(self, subject: base.Subject) -> list[section.Section]:
    # Labels of real examples, not balanced ones: the law includes them.
    own = np.arange(subject.num) % subject.size(subject.split)
    sampled = subject.sample(labels=subject.examples(subject.split, own)['label'])
    verdict = subject.law_test(subject.decode(sampled.tokens))
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
    )
    return [
      section.Section('Law of the samples', (section.Text(words), section.Facts(facts))),
      base.cost([sampled], sampled),
      bound.of(subject),
    ]
