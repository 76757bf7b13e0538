"""The section of the held-out bound: numbers, and where in blocks and levels they are spent."""

import functools

from adiff.judge import base, section
from adiff.judge.page import charts, images


def kind(subject: base.Subject) -> str:
  """What a number that is made of the bound may be ranked with."""
  bound = subject.bound
  exact = 'exact likelihood' if bound['is_likelihood'] else 'upper bound'
  return f'{exact} of {bound["num_examples"]} examples; {bound["dequantisation"]}; {subject.data}'


def of(subject: base.Subject, *, tiles=True) -> section.Section:
  """The section; tiles: the bound is a headline of the report. Of a model without a likelihood, how
  far its samples are from held-out examples."""
  bound = subject.bound
  if 'energy' in bound:
    return _distance(subject)
  what = 'Negative' if bound['is_likelihood'] else 'Upper bound on the negative'
  words = (
    f'{what} log-likelihood of the {subject.split} split. Lower is better; intervals are 95%.'
  )
  if bound.get('exact') is not None:
    words += ' On average no model gets below the exact entropy; a perfect one reaches it.'
  facts = []
  for key, ci95, name in (
    ('bits_per_dim', 'bits_ci95', 'bits per dimension'), ('nats', 'ci95', 'nats per example'),
  ):
    facts.append(section.Fact(
      key, name, bound[key], bound[ci95], better='low', kind=kind(subject),
      tile=f'{name}, held out' if tiles else '',
    ))
  facts += [fact for name, of in (('weighted', _weighted), ('ode', _ode)) if bound.get(name)
            for fact in of(subject, bound[name])]
  if bound.get('exact') is not None:
    facts.append(section.Fact('exact', 'exact entropy in nats', bound['exact'], digits=5))
  for key, name in (
    ('num_examples', 'examples'), ('samples_per_example', 'samples per example'),
    ('dequantisation', 'dequantisation'),
  ):
    facts.append(section.Fact(key, name, bound[key]))
  return section.Section('Held-out bound', (
    section.Text(words), section.Facts(tuple(facts)), *_figures(bound), *_paths(bound),
  ))


def _distance(subject):
  """The energy distance, where there is no bound."""
  bound = subject.bound
  words = (
    'A network that makes examples of noise in one call has no likelihood. The energy distance '
    'between samples and held-out examples, of their tokens as they are, is 0 on average where '
    'both follow one law (Szekely and Rizzo 2013).'
  )
  kind = f'{bound["num_examples"]} samples and examples; {subject.data}'
  return section.Section('Held-out distance', (section.Text(words), section.Facts((
    section.Fact(
      'energy', 'energy distance', bound['energy'], better='low', kind=kind,
      tile='energy distance, held out',
    ),
    section.Fact('num_examples', 'examples', bound['num_examples']),
  ))))


def _weighted(subject, found):
  """Facts of the importance-weighted bound."""
  what = f'{found["paths"]} {found["of"]}'
  meaning = (
    f'An upper bound, too: minus the logarithm of the mean probability over {what}, for each block '
    "(Burda et al. 2016). It falls with their number to the model's own likelihood."
  )
  return _pair(subject, found, 'weighted', f'importance-weighted, {what}', meaning)


def _ode(subject, found):
  """Facts of the likelihood by the ODE."""
  kind = 'an upper bound on it' if found['is_bound'] else 'itself, no bound'
  meaning = (
    f'The likelihood of the sampler without noise, {kind}: {found["steps"]} steps along the '
    'probability-flow ODE, with a random estimate of the divergence (Song et al. 2021). Estimates '
    'are not clipped, as those of samples are where process.clip says so.'
  )
  return _pair(subject, found, 'ode', f'by the ODE, {found["steps"]} steps', meaning)


def _pair(subject, found, ending, name, meaning):
  """Facts of nats and bits, beside the exact entropy where that is known."""
  bound = subject.bound
  own = f'{name}, of {bound["num_examples"]} examples; {bound["dequantisation"]}; {subject.data}'
  exact = {'exact': bound['exact']} if bound.get('exact') is not None else {}
  return (
    section.Fact(
      f'nats_{ending}', f'nats per example, {name}', found['nats'], found['ci95'], meaning, 'low',
      own, exact, digits=5,
    ),
    section.Fact(
      f'bits_per_dim_{ending}', f'bits per dimension, {name}', found['bits_per_dim'],
      found['bits_ci95'], better='low', kind=own,
    ),
  )


def _paths(bound):
  """How the importance-weighted bound falls with the number of paths."""
  if not bound.get('weighted'):
    return ()
  rows = tuple(
    {'name': str(row['paths']), **{key: row[key] for key in row if key != 'paths'}}
    for row in bound['weighted']['rows']
  )
  columns = (
    section.Column('nats', 'Nats an example', 'low', digits=5, ranked=False),
    section.Column(
      'gain', 'Less than above', digits=4, ranked=False,
      meaning='Over the same paths: groups of so many are two groups of the row above.',
    ),
  )
  title = f'{bound["weighted"]["of"].split()[0].capitalize()} a bound'
  return (section.Table(title, columns, (section.Group('Importance-weighted bound', rows),)),)


def _figures(bound):
  """The bound by block and by level."""
  edges, values = bound['per_level']['edges'], bound['per_level']['values']
  return (
    section.Figure(
      'per_block', _blocks(tuple(bound['per_block']), tuple(bound['per_block_ci95'])),
      'The bound, block by block, with 95% intervals.',
      values={'values': bound['per_block'], 'ci95': bound['per_block_ci95']},
    ),
    section.Figure(
      'per_level', _levels(tuple(edges), tuple(values)),
      'Where along the noise levels the bound is spent: together all of it but what its ends cost.',
      values={'edges': edges, 'values': values},
    ),
  )


# Drawn once: the report has the bound before the judge says anything of it.


@functools.lru_cache(maxsize=1)
def _blocks(values, ci95):
  return images.png_bytes(charts.per_block(values, ci95, ylabel='bound (nats)'))


@functools.lru_cache(maxsize=1)
def _levels(edges, values):
  return images.png_bytes(charts.per_level(edges, values, ylabel='bound (nats)'))
