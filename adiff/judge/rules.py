"""Panels that follow abstract rules: how many samples do, and how many completions of eight given
panels by the ninth?"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from adiff.judge import base, bound, panels, section, subset
from adiff.judge.metrics import shares

TITLE = 'Rules'
COMPLETED = 'The ninth panel'
# (split, key, words, which rules) of the samples that are completed
_GIVEN = (
  ('test', 'seen', 'seen rules', ~panels.HELD_OUT),
  ('unseen', 'held_out', 'held-out rules', panels.HELD_OUT),
)
_MEANING = (
  'A sample is consistent where one rule holds in all three rows of its panels. Held-out rules are '
  'those of no training sample, but by accident. Of the shuffled samples, every panel is that of '
  'another real one.'
)
_COLUMNS = (
  section.Column('num', 'Samples'),
  section.Column('consistent', 'Consistent', better='high'),
  section.Column('seen', 'With a seen rule', better='high'),
  section.Column('held_out', 'With a held-out rule'),
  section.Column('rules', 'Rules that occur', digits=2, meaning='Of forty; eight are held out.'),
  section.Column('rows', 'Rows with a rule', meaning='Of all rows, each by itself.'),
  section.Column('new', 'New', meaning='Consistent ones that are no training sample.'),
)
_COMPLETED = (
  'Eight panels of real samples are given, and the ninth is made. It is right where the rule that '
  'the real sample follows holds in the last row, too, and consistent where some rule holds in all '
  'three rows, be it another one. Chance: the ninth panel of another real sample of the split.'
)
_COMPLETIONS = (
  section.Column('num', 'Completions'),
  section.Column('right', 'Right', better='high'),
  section.Column('right_chance', 'Right by chance'),
  section.Column('consistent', 'Consistent', better='high'),
  section.Column('consistent_chance', 'Consistent by chance'),
)


@dataclasses.dataclass(frozen=True)
class Rules(base.Judge):
  """Says how many samples and completions are consistent, and with which rules."""

  media = ()  # it is named
  cost = 'Seconds, and memory for all training samples.'

  def needs(self, parts):
    facts = parts.source.facts
    if (facts.shape, facts.levels) != ((panels.PANELS * panels.CELLS,), panels.VOCAB):
      raise ValueError(
        f'config.judge.name=rules reads panels of {panels.VOCAB} symbols, which these data are '
        "not; write data.name=raven, or judge.name=''"
      )

  def sections(self, subject: base.Subject) -> Iterator[section.Section]:
    sampled = subject.sample()
    yield subject.attempt(TITLE, lambda: _consistency(subject, sampled))
    yield subject.attempt(COMPLETED, lambda: _completion(subject))
    yield base.cost([sampled], sampled, self)
    yield bound.of(subject)


def _consistency(subject, sampled):
  """The table, and how often each rule is followed."""
  train = _real(subject, 'train', subject.size('train'))
  real = _real(subject, subject.split, len(sampled.tokens))
  mixed = real.reshape(-1, panels.PANELS, panels.CELLS)
  rng = np.random.default_rng(subject.seed)
  mixed = np.stack([mixed[rng.permutation(len(mixed)), i] for i in range(panels.PANELS)], 1)
  made = subject.decode(sampled.tokens)
  known = {row.tobytes() for row in np.asarray(train, np.int32)}
  ours = _row('this model', made, known)
  others = (
    _row(f'real {subject.split} split', real, known),
    _row('its panels, shuffled', mixed.reshape(len(mixed), -1), known),
  )
  found, kind = panels.consistent(made), f'panels, {len(made)} samples, {subject.data}'
  facts = [section.Fact(
    key, words, ours[name], better=better, kind=kind,
    beside={other['name']: other[name] for other in others}, tile=tile,
  ) for key, name, words, better, tile in (
    ('consistent', 'consistent', 'consistent samples', 'high', 'of the samples follow a rule'),
    ('consistent_seen', 'seen', 'samples with a seen rule', 'high', ''),
    ('consistent_held_out', 'held_out', 'samples with a held-out rule', None, ''),
    ('consistent_new', 'new', 'consistent samples that are new', 'high', ''),
  )]
  return section.Section(TITLE, (
    section.Text(_MEANING),
    section.Table('Samples', _COLUMNS, (
      section.Group('This model', (ours,)), section.Group('References', others, ranked=False),
    )),
    section.Table('Rule', (
      section.Column('samples', 'Samples', meaning='Consistent ones, as a share of all.'),
      section.Column('real', f'Real {subject.split} split'),
    ), tuple(
      section.Group(heading, _by_rule(found, panels.consistent(real), which), ranked=False)
      for heading, which in (('Seen', ~panels.HELD_OUT), ('Held out', panels.HELD_OUT))
    )),
    section.Facts(tuple(facts), shown=False),
  ))


def _completion(subject):
  """Of both kinds of rules, what the ninth panel is that the model makes of the other eight."""
  hole = np.arange(panels.PANELS * panels.CELLS) >= (panels.PANELS - 1) * panels.CELLS
  groups, facts = [], []
  for split, key, name, rules in _GIVEN:
    real = _real(subject, split, subject.num)
    made = subject.decode(subject.fill(real, hole).tokens)
    row, by_rule = _completed(real, made, rules)
    groups.append(section.Group(name.capitalize(), (row, *by_rule), ranked=False))
    facts += [section.Fact(
      f'ninth_{which}_{key}', f'{words}, {name}', row[which], interval=row[f'{which}_ci95'],
      better='high', beside={'chance': row[f'{which}_chance']},
      kind=f'panels, {row["num"]} completions, {subject.data}',
      tile=f'of the ninth panels are right, {name}' if which == 'right' else '',
    ) for which, words in (
      ('right', 'right ninth panels'), ('consistent', 'consistent ninth panels')
    )]
  return section.Section(COMPLETED, (
    section.Text(_COMPLETED),
    section.Table('Rule', _COMPLETIONS, tuple(groups)),
    section.Facts(tuple(facts), shown=False),
  ))


def _completed(real, made, rules):
  """(a row on the ninth panels `made` of real samples [n, 81], rows by rule); rules: bool [40],
  those that the real samples follow."""
  other = np.roll(real, 1, 0)
  other[:, :-panels.CELLS] = real[:, :-panels.CELLS]
  followed = panels.consistent(real) & rules
  found = {'': panels.consistent(made), '_chance': panels.consistent(other)}

  def told(name, chosen):
    row = {'name': name, 'num': int(chosen.sum())}
    for key, holds in found.items():
      right, consistent = (holds & followed).any(1)[chosen], holds.any(1)[chosen]
      row |= {f'right{key}': float(right.mean()), f'consistent{key}': float(consistent.mean())}
      if not key:
        row |= {'right_ci95': shares.wilson(right), 'consistent_ci95': shares.wilson(consistent)}
    return row

  first = followed.argmax(1)
  return told('all', np.ones(len(real), bool)), tuple(
    told(panels.RULES[rule], first == rule) for rule in np.unique(first)
  )


def _real(subject, split, num):
  """Real samples [n, 81], in a circle where there are fewer."""
  chosen = np.resize(subset.spread(subject.size(split), num), num)
  return subject.examples(split, chosen)['example']


def _row(name, tokens, known):
  """What is said of samples."""
  hold = panels.hold(tokens)
  found = hold.all(1)
  new = [row.tobytes() not in known for row in np.asarray(tokens, np.int32)]
  return {
    'name': name, 'num': len(tokens), 'consistent': float(found.any(1).mean()),
    'seen': float(found[:, ~panels.HELD_OUT].any(1).mean()),
    'held_out': float(found[:, panels.HELD_OUT].any(1).mean()),
    'rules': int(found.any(0).sum()), 'rows': float(hold.any(2).mean()),
    'new': float((found.any(1) & new).mean()),
  }


def _by_rule(found, real, which):
  """A row for each of some rules."""
  return tuple(
    {'name': panels.RULES[rule], 'samples': float(found[:, rule].mean()),
     'real': float(real[:, rule].mean())} for rule in np.flatnonzero(which)
  )
