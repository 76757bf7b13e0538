"""Rules on studies over an axis (swept.py): learning rates, data, FLOPs.

As by_study.py: each takes a study and returns a verdict, or raises Lacking.
"""

from adiff.judge import swept
from adiff.judge.verdicts import NOT_MEASURED, REFUTED, SEEDS, Lacking, Study, Verdict, of_halves


def _rows(study, *names):
  """The values of each of these rows, that have all their seeds."""
  found = swept.rows(
    study.metric, study.places,
    [run for runs in study.rows.values() for run in runs if run.row in study.places],
    [lost for lost in study.diverged if lost[0] in study.places],
  )
  told = [found.get(name, []) for name in names]
  for name, row in zip(names, told, strict=True):
    if len(row) < 3 or any(len(at.metrics) + at.diverged < SEEDS for at in row):
      raise Lacking(f'{name} has not three values of {SEEDS} seeds')
  return told


def stable(study: Study) -> Verdict:
  """Blocks work over no fewer decades of the learning rate than the whole, and the GAN over fewer
  than blocks."""
  names = 'block', 'whole', 'gan'
  ranges = [swept.working(study.metric, row) for row in _rows(study, *names)]
  if None in ranges:
    raise Lacking('seeds of a row diverged at every value')
  block, whole, gan = (one.decades for one in ranges)
  told = ', '.join(
    f'{name} {one.decades:.1f} ({one.diverged:.0%} of its runs diverged)'
    for name, one in zip(names, ranges, strict=True)
  )
  return Verdict(
    of_halves(block >= whole, gan < block), f'decades of the learning rate that work: {told}', SEEDS
  )


def _exponents(study):
  """(do both fall, what the exponents are) of blocks and of the whole."""
  laws = [swept.law(row) for row in _rows(study, 'block', 'whole')]
  if None in laws:
    raise Lacking('no law')
  told = ', '.join(
    f'{name} {one.exponent.value:.2f} +- {one.exponent.half:.2f}'
    for name, one in zip(('block', 'whole'), laws, strict=True)
  )
  falls = [one.exponent.value + one.exponent.half < 0 for one in laws]
  return falls, f'exponent of the {study.metric.heading}: {told}'


def grows_with_data(study: Study) -> Verdict:
  """The exponent over the share of the data is below zero, by its interval, for both."""
  falls, words = _exponents(study)
  return Verdict(of_halves(*falls), words, SEEDS)


def grows_with_compute(study: Study) -> Verdict:
  """Likewise over FLOPs of training: it refutes. AR is none of the rows, and the fit in steps is
  not made, so that nothing is supported."""
  falls, words = _exponents(study)
  return Verdict(
    NOT_MEASURED if any(falls) else REFUTED, f'{words}; AR and steps not measured', SEEDS
  )
