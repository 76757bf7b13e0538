"""Seams: are the borders of blocks and patches to be seen, and do halves belong together?"""

import numpy as np

from adiff.judge import base, section, subset
from adiff.judge.metrics import mistakes, seams

TITLE = 'Seams'
MOST = 2_000  # real pictures of a split
_COLUMNS = (
  section.Column('ratio', 'Steepness, samples over real', meaning='1: borders are as steep beside '
                 'the inside as in real pictures; above: pieces do not fit.'),
)
_WORDS = (
  'Steepness: the mean difference of neighbouring pixels on two sides of a border over that of '
  'neighbours inside. Pairs: how often a forest knows whether an upper and a lower half are of one '
  'picture or of two of one class; it was shown real training pictures.'
)


def areas(subject: base.Subject, sampled: base.Sampled) -> tuple[np.ndarray, np.ndarray]:
  """(token, block) of every pixel, int [H, W] each."""
  token = subject.layout[..., 0] // mistakes.values_of(sampled.tokens[:1]).shape[-1]
  return token, subject.blocks[token]


def of(subject: base.Subject, sampled: base.Sampled) -> section.Section:
  """The section. Patches of one pixel have no inside, and a whole picture no border: these are left
  out."""
  subject.tell('looks for seams')
  chosen = subset.spread(subject.size(subject.split), MOST)
  made, real = subject.decode(sampled.tokens), subject.examples(subject.split, chosen)
  rows, facts = [], []
  for name, cut in zip(('patches', 'blocks'), areas(subject, sampled), strict=True):
    if len(np.unique(cut)) in (1, cut.size):
      continue
    found = seams.ratio(made, real['example'], cut)
    rows.append({'name': name, 'ratio': found.value, 'ratio_ci95': (found.low, found.high)})
    facts.append(section.Fact(
      f'seam_{name}', f'steepness across {name}, samples over real', found.value,
      (found.low, found.high), tile=f'steepness across {name}, over real',
    ))
  return section.Section(TITLE, (
    section.Table('Borders of', _COLUMNS, (section.Group('', tuple(rows), ranked=False),)),
    section.Text(_WORDS), section.Facts((*facts, *_pairs(subject, sampled, made, real))),
  ))


def _pairs(subject, sampled, made, real):
  """How well halves belong together, of samples and of held-out pictures."""
  train = subject.examples('train', subset.spread(subject.size('train'), MOST))
  labels = np.full(len(made), -1) if sampled.labels is None else sampled.labels
  forest = seams.Pairs(train['example'], train['label'], seed=subject.seed)
  own, theirs = forest.accuracy(made, labels), forest.accuracy(real['example'], real['label'])
  return (
    section.Fact('pairs', 'pairs of halves that are known, samples', own),
    section.Fact('pairs_real', 'pairs of halves that are known, held out', theirs),
  )
