"""Damage: do mistakes of early blocks grow in the blocks that are made behind them?

Three questions, all by block. How far are a block's own values from real ones? If one block of a
real past is wrong, how far does what is made behind it move, and how much worse does it become?
And how likely are a model's own samples to itself, beside held-out examples?
"""

import numpy as np

from adiff.judge import base, section, subset
from adiff.judge.metrics import mistakes

TITLE = 'Mistakes'
MOST = 2_000  # real examples that blocks are compared with
RATED = 256  # examples that are rated
WRONG, PASTS = 2, 4  # blocks that are made wrong, and that are rated behind another past, at most
_COLUMNS = (
  section.Column('apart', 'Relative Fréchet', meaning='Of the values of the block, over the '
                 'variance of real ones.'),
  section.Column('own', 'Nats, own samples', digits=4),
  section.Column('held_out', 'Nats, held out', digits=4),
  section.Column('past', "Another's past costs", meaning='Nats of the block of a held-out example '
                 'behind blocks of another one, less those behind its own.'),
  section.Column('next', 'Moves the next', meaning='Root mean square change of the next block '
                 "where this one is another example's, over its own change; equal noise."),
  section.Column('last', 'Moves the last'),
  section.Column('lost', 'Costs those behind', meaning='Relative Fréchet distance of all later '
                 'blocks, behind a wrong one less behind a right one.'),
)
_WORDS = (
  'A block of a real past is replaced by that of another real example, and what comes behind it is '
  'made anew with the same noise. Below 1 a mistake fades in the next block, above it grows.'
)


def of(subject: base.Subject, sampled: base.Sampled) -> section.Section:
  """The section; what a subject lacks is left out."""
  subject.tell('compares blocks')
  chosen = subset.spread(subject.size(subject.split), MOST)
  real = subject.tokens(subject.split, chosen)['tokens']
  apart = mistakes.by_block(real, sampled.tokens, subject.blocks)
  rows = [{'name': f'block {k + 1}', 'apart': value} for k, value in enumerate(apart)]
  facts = [
    section.Fact('block_frechet_first', 'relative Fréchet distance, first block', apart[0]),
    section.Fact('block_frechet_last', 'relative Fréchet distance, last block', apart[-1]),
  ]
  others = _Others(subject)
  if subject.rate is not None:
    facts += _own(subject, sampled, rows)
  if len(apart) > 1:
    facts += _wrong(subject, others, rows)
  if len(apart) > 1 and subject.rate is not None:
    facts += _past(subject, others, rows)
  return section.Section(TITLE, (
    section.Table('Block', _COLUMNS, (section.Group('', tuple(rows), ranked=False),)),
    section.Text(_WORDS), section.Facts(tuple(facts)),
  ))


class _Others:
  """Held-out examples, each with another one whose blocks it takes."""

  def __init__(self, subject):
    chosen = np.resize(subset.spread(subject.size(subject.split), subject.num), subject.num)
    found = subject.tokens(subject.split, chosen)
    self.tokens, self.labels = found['tokens'], found['label']
    order = np.random.default_rng(subject.seed).permutation(subject.num)
    self.wrong = self.tokens[order]


def _own(subject, sampled, rows):
  """Nats of samples into the rows, and what there is to say of them."""
  subject.tell('asks how likely samples are')
  few = subset.spread(len(sampled.tokens), RATED)
  nats = subject.rate(sampled.tokens[few], sampled.labels[few]).mean(0)
  held_out = np.array(subject.bound['per_block'])
  for row, own, other in zip(rows, nats, held_out, strict=True):
    row.update(own=float(own), held_out=float(other))
  gaps = nats - held_out
  return [
    section.Fact('own_nats', 'bound of own samples (nats)', float(nats.sum()), digits=4),
    section.Fact('own_gap_first', 'own samples less held out (nats), first block', float(gaps[0])),
    section.Fact('own_gap_last', 'own samples less held out (nats), last block', float(gaps[-1])),
  ]


def _past(subject, others, rows):
  """What each block costs more behind another example's past, into the rows, and in all."""
  subject.tell('asks what the past tells')
  few, blocks = subset.spread(len(others.tokens), RATED), subject.blocks
  tokens, labels = others.tokens[few], others.labels[few]
  clean, gains = subject.rate(tokens, labels), []
  for k in _few(1, blocks.max(), PASTS):
    behind = mistakes.replaced(tokens, others.wrong[few], blocks < k)
    gains.append(float((subject.rate(behind, labels)[:, k] - clean[:, k]).mean()))
    rows[k]['past'] = gains[-1]
  return [section.Fact(
    'past_gain', "nats that another example's past costs a block", float(np.mean(gains))
  )]


def _few(first, last, most):
  """At most so many of the blocks from one to another, spread over them."""
  return np.unique(np.linspace(first, last, most).astype(int)).tolist()


def _wrong(subject, others, rows):
  """What wrong blocks do into the rows, and what there is to say of the first one."""
  subject.tell('makes mistakes')

  def fill(tokens, hole):
    return subject.fill(tokens, hole, labels=others.labels).tokens

  harmed = mistakes.of_wrong_blocks(
    others.tokens, others.wrong, subject.blocks, fill, _few(0, subject.blocks.max() - 1, WRONG)
  )
  for one in harmed:
    rows[one.block].update(next=float(one.moved[0]), last=float(one.moved[-1]), lost=one.lost)
  first, *_ = harmed
  return [
    section.Fact('moved_next', 'how far a wrong first block moves the next', float(first.moved[0]),
                 tile='how far a wrong block moves the next'),
    section.Fact('moved_last', 'how far it moves the last', float(first.moved[-1])),
    section.Fact('lost', 'what it costs those behind, relative Fréchet', first.lost),
  ]
