"""Spectrum: the power of waves, coarse and fine, of samples beside real pictures; by block; and
when on the way from noise each band is settled."""

import numpy as np

from adiff.judge import base, seam, section, subset
from adiff.judge.metrics import spectra
from adiff.judge.page import charts, images

TITLE = 'Spectrum'
TRACED = 128  # samples that are followed on their way
_ROWS = 4  # steps at least, for a level at which something happens


def of(subject: base.Subject, sampled: base.Sampled) -> section.Section:
  """The section."""
  subject.tell('measures spectra')
  chosen = subset.spread(subject.size(subject.split), seam.MOST)
  real = subject.examples(subject.split, chosen)['example']
  made = subject.decode(sampled.tokens)
  _, bands = spectra.bands(*made.shape[1:3])
  powers = [spectra.power(one).mean(0) for one in (made, real)]
  facts = [
    section.Fact(f'power_{word}', f'power of the {word} waves, samples over real',
                 float(powers[0][band] / powers[1][band]))
    for word, band in (('coarsest', 0), ('finest', -1)) if powers[1][band]
  ]
  if len(bands) > 1 and all(one.all() for one in powers):
    facts += [
      section.Fact(key, f'exponent of power over frequency, {name}', spectra.slope(power))
      for key, name, power in zip(
        ('power_slope', 'power_slope_real'), ('samples', 'held out'), powers, strict=True)
    ]
  _, blocks = seam.areas(subject, sampled)
  figure = section.Figure(
    'spectrum', _curves(bands, {'samples': powers[0], 'held out': powers[1]},
                        'frequency (cycles a pixel)', 'power a wave', log=True),
    'Mean power of a wave over its frequency.',
    values={'frequency': bands, 'samples': powers[0], 'held_out': powers[1]},
  )
  return section.Section(TITLE, (
    figure, *_by_block(made, real, blocks), section.Facts(tuple(facts)),
    *_settled(subject, sampled),
  ))


def _by_block(made, real, blocks):
  """Power of samples over that of real pictures, where blocks are boxes of two pixels or more."""
  rows = []
  for k in range(blocks.max() + 1):
    rows_of, columns = (np.flatnonzero((blocks == k).any(axis)) for axis in (1, 0))
    box = slice(rows_of[0], rows_of[-1] + 1), slice(columns[0], columns[-1] + 1)
    if not (blocks[box] == k).all() or min(blocks[box].shape) < 2 or not blocks.max():
      return ()
    ours, theirs = (spectra.power(one[:, *box]).mean(0) for one in (made, real))
    rows.append({'name': f'block {k + 1}', **{
      f'band{i}': float(ours[i] / theirs[i]) for i in range(len(ours)) if theirs[i]}})
  columns = tuple(
    section.Column(f'band{i}', f'Band {i + 1}') for i in range(min(blocks.shape) // 2)
  )
  return (
    section.Table('Power over real', columns, (section.Group('', tuple(rows), ranked=False),)),
    section.Text('Bands of waves inside a block, from coarse to fine.'),
  )


def _settled(subject, sampled):
  """When each band is as it will be, of one block of floats that is denoised."""
  if subject.blocks.max() or sampled.tokens.ndim == 2:
    return ()
  trace = subject.trace(TRACED)
  if trace.hidden is not None or len(trace.tokens) < _ROWS:
    return ()
  states = trace.tokens.reshape(*trace.tokens.shape[:2], -1)[..., subject.layout]
  shares = np.array([spectra.settled(one, states[-1]) for one in states])
  levels = trace.levels[:, 0]
  half = [_crossing(levels, share) for share in shares.T]
  picture = _curves(levels, {f'band {i + 1}': share for i, share in enumerate(shares.T)},
                    'noise level', 'share that is settled')
  facts = (
    section.Fact('settled_coarsest', 'level at which half of the coarsest waves is settled',
                 half[0]),
    section.Fact('settled_finest', 'level at which half of the finest waves is settled', half[-1]),
    section.Fact('settled_in_order', 'neighbouring bands of which the coarser is settled first',
                 float(np.mean(np.diff(half) <= 0)) if len(half) > 1 else None),
  )
  return (
    section.Figure(
      'settled', picture, 'Which share of the power of a band (1 is the coarsest) is as it will be '
      'at the end, over the noise level: squared coherence over samples.',
      values={'level': levels, 'bands': shares, 'half': half},
    ), section.Facts(facts),
  )


def _crossing(levels, share) -> float:
  """The level at which a share passes one half for good; both [R], levels fall."""
  below = np.flatnonzero(share < 0.5)
  if not len(below):
    return float(levels[0])
  last = min(below[-1], len(share) - 2)
  way = (0.5 - share[last]) / (share[last + 1] - share[last])
  return float(levels[last] + way * (levels[last + 1] - levels[last]))


def _curves(x, lines, xlabel, ylabel, *, log=False):
  """PNG of lines [R] by name."""
  fig, axes = charts.new_axes(xlabel=xlabel, ylabel=ylabel)
  for i, (name, y) in enumerate(lines.items()):
    look = charts.COLOURS[i % len(charts.COLOURS)], charts.DASHES[i % len(charts.DASHES)]
    axes.plot(x, y, label=name, color=look[0], linestyle=look[1], linewidth=1.9)
  if log:
    axes.set_yscale('log')
  axes.grid(axis='y', color=charts.GRID, linewidth=0.8)
  axes.legend(frameon=False, fontsize=9.5, labelcolor=charts.INK)
  return images.png_bytes(fig)
