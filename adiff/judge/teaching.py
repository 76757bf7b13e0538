"""Teaching: can a classifier learn from samples what it learns from real pictures?"""

import numpy as np

from adiff.judge import base, seam, section, subset
from adiff.judge.metrics import classifier

TITLE = 'Teaching'
_WORDS = (
  'A perceptron is trained on samples with the classes that were asked for, and another one on as '
  'many real pictures; both are asked about held-out pictures.'
)


def of(subject: base.Subject, sampled: base.Sampled) -> section.Section:
  """The section, of samples that have classes."""
  subject.tell('trains a classifier of samples')
  made = subject.decode(sampled.tokens)
  chosen = subset.spread(subject.size('train'), len(made))
  made, labels = made[:len(chosen)], np.asarray(sampled.labels)[:len(chosen)]
  train = subject.examples('train', chosen)
  test = subject.examples(subject.split, subset.spread(subject.size(subject.split), seam.MOST))
  own, theirs = (
    classifier.fit(pictures, classes, test['example'], test['label'], seed=0,
                   levels=subject.levels).accuracy
    for pictures, classes in ((made, labels), (train['example'], train['label']))
  )
  return section.Section(TITLE, (section.Text(_WORDS), section.Facts((
    section.Fact('taught', 'accuracy, trained on samples', own),
    section.Fact('taught_real', f'accuracy, trained on {len(chosen):,} real pictures', theirs),
    section.Fact('taught_ratio', 'samples over real pictures', own / theirs,
                 tile='accuracy taught by samples, over real'),
  ))))
