"""Rules on studies that compare families of generators, or orders: one row with others.

As by_study.py: each takes a study and returns a verdict, or raises Lacking.
"""

import numpy as np

from adiff.judge import studied
from adiff.judge.by_study import NEAR, best_of, numbers_of, points_of, seeds_of, shown, steps_of
from adiff.judge.verdicts import (
  MIXED,
  NOT_MEASURED,
  REFUTED,
  SEEDS,
  SUPPORTED,
  Lacking,
  Study,
  Verdict,
  of_differences,
  of_halves,
)


def raster_loses(study: Study) -> Verdict:
  """Raster order against each order that is none, at the best of each."""
  orders = 'random', 'cells', 'scales', 'frequency', 'whole'
  seeds = seeds_of(study, 'raster', *orders)
  raster, words, others = best_of(study, 'raster'), [], []
  for order in orders:
    best = best_of(study, order)
    apart = studied.difference(best['values'], raster['values'])
    others.append(studied.verdict(study.metric, apart))
    words.append(f'{order} {shown(best["metric"])}')
  return Verdict(
    of_differences(*others), f'{study.metric.heading}: raster {shown(raster["metric"])}, '
    f'{", ".join(words)}', seeds,
  )


def competitive(study: Study) -> Verdict:
  """One block within 10% of AR, of the bound at equal FLOPs: else it is refuted. The slope over
  FLOPs is not measured, so that nothing is supported."""
  seeds = seeds_of(study, 'AR', 'block', 'whole')
  means = {row: studied.mean(numbers_of(study, row, study.metric.key))
           for row in ('AR', 'block', 'whole')}
  near = means['whole'].value - means['whole'].half <= NEAR * means['AR'].value
  told = ', '.join(f'{row} {shown(one, 3)}' for row, one in means.items())
  return Verdict(
    NOT_MEASURED if near else REFUTED, f'{study.metric.heading}: {told}; slope not measured', seeds
  )


class Beats:
  """Is the best of a row better than the best of another, whatever they cost?"""

  def __init__(self, ours: str, theirs: str):
    self._names = ours, theirs

  def __call__(self, study: Study) -> Verdict:
    """Supported or refuted by the interval of the difference; mixed where that has zero."""
    seeds = seeds_of(study, *self._names)
    best = [best_of(study, row) for row in self._names]
    apart = studied.difference(best[0]['values'], best[1]['values'])
    word = {studied.BETTER: SUPPORTED, studied.WORSE: REFUTED}.get(
      studied.verdict(study.metric, apart), MIXED)
    told = ', '.join(f'{name} {shown(one["metric"])}' for name, one in zip(
      self._names, best, strict=True))
    return Verdict(word, f'{study.metric.heading}: {told}', seeds)


def flow_is_faster(study: Study) -> Verdict:
  """Rectified flow against the cosine schedule, the same network as one block, at each number of up
  to 8 steps that both have."""
  seeds = seeds_of(study, 'flow', 'whole')
  ours, theirs = (
    {int(steps_of(point)): point for point in points_of(study, row)} for row in ('flow', 'whole')
  )
  words, better = [], []
  for steps in sorted(step for step in ours.keys() & theirs.keys() if step <= 8):
    apart = studied.difference(ours[steps]['values'], theirs[steps]['values'])
    better.append(studied.verdict(study.metric, apart))
    words.append(f'{steps} steps {shown(apart)}')
  if not words:
    raise Lacking('no number of few steps in common')
  return Verdict(
    of_differences(*better), f'{study.metric.heading}, flow less cosine: {", ".join(words)}', seeds
  )


def next_scale(study: Study) -> Verdict:
  """Next scale against AR: better at the best of each, and 20 times as fast there."""
  scales, ar = 'var', next((row for row in ('vqgan_ar', 'pixel_ar', 'pixelcnn')
                            if len(study.rows.get(row, ())) >= SEEDS), '')
  seeds = seeds_of(study, scales, ar)
  ours, theirs = (best_of(study, row) for row in (scales, ar))
  apart = studied.difference(ours['values'], theirs['values'])
  ratio = theirs['seconds'].value / ours['seconds'].value
  return Verdict(
    of_halves(studied.verdict(study.metric, apart) == studied.BETTER, ratio >= 20),
    f'{study.metric.heading}: {scales} {shown(ours["metric"])}, {ar} {shown(theirs["metric"])}; '
    f'{ratio:.1f} times as fast; epochs, laws and editing not measured', seeds,
  )


def gan_is_fastest(study: Study) -> Verdict:
  """Seconds a sample of the GAN, against the fewest seconds in which blocks, and the whole, are as
  good."""
  seeds = seeds_of(study, 'gan', 'block', 'whole')
  gan = best_of(study, 'gan')
  goal = NEAR * gan['metric'].value
  words, faster = [], []
  for row in ('block', 'whole'):
    as_good = [one['seconds'].value for one in points_of(study, row)
               if study.metric.sign * one['metric'].value <= study.metric.sign * goal]
    ratio = min(as_good, default=np.inf) / gan['seconds'].value
    faster.append(ratio > 1)
    words.append(f'{row} {ratio:.1f}' if np.isfinite(ratio) else f'{row} never as good')
  return Verdict(
    of_halves(*faster), f'seconds over those of the GAN ({study.metric.heading} '
    f'{shown(gan["metric"])}): {", ".join(words)}', seeds,
  )


def keeps_rules(study: Study) -> Verdict:
  """Does AR make more ninth panels right than blocks of panels, and than one block, of seen rules
  and of held-out ones?"""
  seeds, rows = seeds_of(study, 'ar', 'blocks', 'whole'), ('ar', 'blocks', 'whole')
  told, found = [], []
  for key, words in (('ninth_right_seen', 'seen'), ('ninth_right_held_out', 'held-out')):
    right = {row: numbers_of(study, row, key) for row in rows}
    found += [
      studied.verdict(study.metric, studied.difference(right['ar'], right[other]))
      for other in rows[1:]
    ]
    shares = ', '.join(f'{row} {shown(studied.mean(own), 3)}' for row, own in right.items())
    told.append(f'{words} rules: {shares}')
  return Verdict(
    of_differences(*found), f'share of ninth panels right, {"; ".join(told)}', seeds
  )


def varied(study: Study) -> Verdict:
  """Is the recall of blocks at most 0.05 below that of the whole, and of a GAN where there is one,
  at the best of each, interval included?"""
  seeds = seeds_of(study, 'block', 'whole')
  rows = [row for row in ('block', 'whole', 'gan') if len(study.rows.get(row, ())) >= SEEDS]
  values = {row: _of_best(study, row, 'recall') for row in rows}
  held = []
  for other in rows[1:]:
    apart = studied.difference(values['block'], values[other])
    held.append(apart.value - apart.half > -0.05)
  told = ', '.join(f'{row} {shown(studied.mean(own))}' for row, own in values.items())
  return Verdict(of_halves(*held), f'recall: {told}', seeds)


def _of_best(study, row, key):
  """Another number of the best way of sampling of a row, one a seed."""
  name = best_of(study, row)['name']
  values = [
    point[key] for run in study.rows[row] for point in run.points
    if point['name'] == name and point.get(key) is not None
  ]
  if len(values) < SEEDS:
    raise Lacking(f'{row} has no {key}')
  return values


def calls_by_family(study: Study) -> Verdict:
  """Calls a sample at the best of each row: AR 10 or more, for it has as many as tokens, diffusion
  10 to 1,000."""
  families = {'AR': ('pixelcnn', 'mar_causal', 'vqgan_ar'), 'diffusion': ('whole', 'unet', 'flow')}
  told, held = [], {}
  for family, rows in families.items():
    for row in rows:
      if row in study.rows:
        calls = best_of(study, row)['nfe'].value
        told.append(f'{row} {calls:g}')
        held.setdefault(family, []).append(calls >= 10 and (family == 'AR' or calls <= 1000))
  if len(held) < len(families):
    raise Lacking('a family is missing')
  return Verdict(of_halves(*sum(held.values(), [])), f'calls a sample: {", ".join(told)}')


def best_by_data(blocks_on_text, study: Study) -> Verdict:
  """AR below every other block size on text, at equal FLOPs; and denoising below AR on pictures."""
  seeds, ar_rows = seeds_of(study, 'whole'), ('pixelcnn', 'vqgan_ar')
  ar = next((row for row in ar_rows if len(study.rows.get(row, ())) >= SEEDS), None)
  if ar is None:
    raise Lacking('no row of AR')
  text = {row['tokens a block']: row['nats'] for row in blocks_on_text.rows}
  (own, _, high), others = text[1], [text[key] for key in (4, 16, 64, 'full')]
  on_text = all(high < low for _, low, _ in others)
  best = [best_of(study, row) for row in ('whole', ar)]
  apart = studied.difference(*(one['values'] for one in best))
  on_pictures = studied.verdict(study.metric, apart) == studied.BETTER
  return Verdict(
    of_halves(on_text, on_pictures), f'text: {own:.3f} nats a character, one block '
    f'{text["full"][0]:.3f}; pictures, {study.metric.heading}: whole {shown(best[0]["metric"])}, '
    f'{ar} {shown(best[1]["metric"])}', seeds,
  )
