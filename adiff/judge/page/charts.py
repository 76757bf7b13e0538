"""Charts: pure functions from numbers to matplotlib figures, made without pyplot's global state.

They share one look: Okabe and Ito's colour-blind-safe colours, a shape or a dash beside every
colour, labelled axes with units, and type that stays readable when a phone shrinks the figure.
`images.png_bytes` turns a figure into a file.
"""

import itertools
from typing import Any

import numpy as np

COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
DASHES = ('-', '--', '-.', ':', (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKERS = 'osD^vP'
INK, FAINT = '#1c2330', '#8b94a3'
SEEN, UNSEEN = np.uint8([0, 114, 178]), np.uint8([233, 236, 241])  # pairs of a mask
GRID = '#e3e6ec'
DPI = 200
_NAMES = 24  # that stand below each other
_FAR = 10  # values so many times apart have a logarithmic axis


def new_axes(*, width=5.2, height=3.2, xlabel='', ylabel='', title=None) -> tuple:
  """A new figure and its axes in the house look; sizes in inches."""
  from matplotlib import figure  # a second to import, for charts alone

  fig = figure.Figure(figsize=(width, height), dpi=DPI, facecolor='white', layout='constrained')
  axes = fig.add_subplot()
  axes.spines[['top', 'right']].set_visible(False)
  axes.spines[['left', 'bottom']].set_color(FAINT)
  axes.tick_params(colors=INK, labelsize=10, color=FAINT)
  axes.set_xlabel(xlabel, fontsize=10.5, color=INK)
  axes.set_ylabel(ylabel, fontsize=10.5, color=INK)
  axes.set_axisbelow(True)
  if title:
    axes.set_title(title, fontsize=11.5, color=INK, loc='left', fontweight='bold')
  return fig, axes


def _group_ticks(axis, labels, num):
  """Writes each run of equal labels once, at its middle; returns the edges between the runs."""
  if len(labels) != num:
    raise ValueError(f'{len(labels)} labels for {num} rows or columns; give one label each')
  edges = [i for i in range(1, num) if labels[i] != labels[i - 1]]
  starts, ends = [0, *edges], [*edges, num]
  middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
  axis.set_ticks(middles, labels=[str(labels[start]) for start in starts])
  return edges


def mask_picture(allowed, *, query_labels=None, key_labels=None, title=None) -> Any:
  """Who reads whom: a filled square where query (row) may read key (column).

  allowed bool [Q, K]. Labels, one per row and per column, are written once for a run of equal ones
  (a block, say), with a line between runs. Returns a Figure; raises ValueError for another rank or
  a wrong number of labels.
  """
  allowed = np.asarray(allowed, bool)
  if allowed.ndim != 2:
    raise ValueError(f'a mask picture needs allowed [Q, K], not {list(allowed.shape)}')
  rows, columns = allowed.shape
  fig, axes = new_axes(
    width=min(5.2, 0.9 + 4.2 * columns / max(rows, columns)),
    height=0.9 + 4.2 * rows / max(rows, columns),
    xlabel='key (is read)',
    ylabel='query (reads)',
    title=title,
  )
  axes.imshow(np.where(allowed[..., None], SEEN, UNSEEN), interpolation='nearest')
  if max(rows, columns) <= 64:
    for i in range(1, rows):
      axes.axhline(i - 0.5, color='white', linewidth=0.6)
    for i in range(1, columns):
      axes.axvline(i - 0.5, color='white', linewidth=0.6)
  if query_labels is not None:
    for edge in _group_ticks(axes.yaxis, query_labels, rows):
      axes.axhline(edge - 0.5, color=INK, linewidth=1.2)
  if key_labels is not None:
    for edge in _group_ticks(axes.xaxis, key_labels, columns):
      axes.axvline(edge - 0.5, color=INK, linewidth=1.2)
  axes.spines[:].set_visible(False)
  return fig


def plan_picture(matrix, *, title=None) -> Any:
  """The walk from noise to data: levels over rows (sampling steps, downwards) and blocks.

  matrix [R+1, K] of levels in [0, 1], as `Plan.matrix` is. Returns a Figure; raises
  ValueError for another rank or levels outside [0, 1].
  """
  matrix = np.asarray(matrix, float)
  if matrix.ndim != 2 or not np.all((matrix >= 0) & (matrix <= 1)):
    raise ValueError(
      f'a plan picture needs levels in [0, 1] of shape [R+1, K], not {list(matrix.shape)}; pass '
      'plan.matrix'
    )
  fig, axes = new_axes(height=3.8, xlabel='block', ylabel='row of the plan', title=title)
  image = axes.imshow(
    matrix, cmap='cividis', vmin=0, vmax=1, aspect='auto', interpolation='nearest'
  )
  axes.locator_params(integer=True, nbins=10, min_n_ticks=1)
  axes.spines[:].set_visible(False)
  bar = fig.colorbar(image, ax=axes, pad=0.02)
  bar.set_label('level t  (0 clean, 1 noise)', fontsize=10.5, color=INK)
  bar.ax.tick_params(labelsize=10, colors=INK)
  bar.outline.set_visible(False)
  return fig


def made_picture(levels, kinds, names, *, every=(1, 1), title=None) -> Any:
  """Which block is made when: levels over network calls (to the right) and blocks (downwards).

  levels [C + 1, K] in [0, 1], before the first call and after each; kinds: K words, of which each
  has its colour, from faint (noise) to full (clean); names: K words, at the blocks where they are
  few, else numbers. every: of how many calls, and of how many blocks, one is there. Returns a
  Figure.
  """
  levels, own = np.asarray(levels, float), tuple(dict.fromkeys(kinds))
  calls, num = (every * count for every, count in zip(every, levels.shape, strict=True))
  look = {kind: COLOURS[i % len(COLOURS)] for i, kind in enumerate(own)}
  ink = np.array([_rgb(look[kind]) for kind in kinds])
  picture = UNSEEN + (1 - levels.T[..., None]) * (ink[:, None] - UNSEEN.astype(float))
  fig, axes = new_axes(
    height=min(4.6, 1.2 + 0.22 * num), xlabel='network calls', ylabel='block', title=title
  )
  axes.imshow(
    np.rint(picture).astype(np.uint8), aspect='auto', interpolation='nearest',
    extent=(-0.5, calls - 0.5, num - 0.5, -0.5),
  )
  axes.locator_params(integer=True, nbins=10, min_n_ticks=1)
  if num <= _NAMES:
    for edge in _group_ticks(axes.yaxis, names, num):
      axes.axhline(edge - 0.5, color='white', linewidth=1.2)
  axes.spines[:].set_visible(False)
  if len(own) > 1:
    for kind in own:
      axes.plot([], [], color=look[kind], linewidth=6, label=kind)
    _legend_above(axes)
  return fig


def _rgb(colour):
  """[3] in 0..255 of '#rrggbb'."""
  return [int(colour[i:i + 2], 16) for i in (1, 3, 5)]


def _running_mean(values, window):
  """Mean over a centred window that shrinks at both ends, so that no end is dragged to zero."""
  ones = np.ones(window)
  return np.convolve(values, ones, 'same') / np.convolve(np.ones_like(values), ones, 'same')


def curves(lines, keys, *, ylabel='loss', title=None) -> Any:
  """Curves over training steps from the lines of metrics.jsonl.

  lines: dicts with 'step'; those without a key, or with a value that is not finite, are skipped for
  that key. Above 60 points a curve is its running mean and the points stay behind it, faint.
  Returns a Figure; raises ValueError for a key that no line has, naming the keys there are.
  """
  fig, axes = new_axes(xlabel='training step', ylabel=ylabel, title=title)
  for i, key in enumerate(keys):
    points = [
      (line['step'], line[key])
      for line in lines
      if line.get(key) is not None and np.isfinite(line[key])
    ]
    if not points:
      known = sorted({name for line in lines for name in line} - {'step'})
      raise ValueError(f'no line has a number under {key!r}; choose among {", ".join(known)}')
    x, y = np.array(points, float).T
    look = {'color': COLOURS[i % len(COLOURS)], 'linestyle': DASHES[i % len(DASHES)]}
    if len(x) > 60:
      axes.plot(x, y, color=look['color'], linewidth=0.7, alpha=0.28)
      y = _running_mean(y, max(5, len(x) // 40))
    axes.plot(x, y, linewidth=1.9, label=key, marker='o' if len(x) == 1 else None, **look)
  axes.grid(axis='y', color=GRID, linewidth=0.8)
  axes.locator_params(axis='x', integer=True, nbins=6)
  axes.xaxis.set_major_formatter('{x:,.0f}')
  axes.legend(frameon=False, fontsize=9.5, labelcolor=INK)
  return fig


def per_block(values, intervals=None, *, ylabel, title=None) -> Any:
  """Bars over blocks, with their 95% intervals.

  values [K]; intervals [K] half widths or [K, 2] bounds, in the unit of the values. Returns a
  Figure; raises ValueError where their lengths differ.
  """
  values = np.asarray(values, float)
  error = None
  if intervals is not None:
    intervals = np.asarray(intervals, float)
    if len(intervals) != len(values):
      raise ValueError(f'{len(intervals)} intervals for {len(values)} blocks; give one a block')
    if intervals.ndim == 2:
      intervals = np.stack([values - intervals[:, 0], intervals[:, 1] - values])
    error = np.maximum(intervals, 0)
  fig, axes = new_axes(xlabel='block', ylabel=ylabel, title=title)
  axes.bar(
    np.arange(len(values)),
    values,
    width=0.78,
    color=COLOURS[0],
    yerr=error,
    error_kw={'ecolor': INK, 'elinewidth': 1.3, 'capsize': 3 if len(values) <= 32 else 0},
  )
  axes.grid(axis='y', color=GRID, linewidth=0.8)
  axes.locator_params(axis='x', integer=True, nbins=12)
  return fig


def per_level(edges, values, *, ylabel, title=None) -> Any:
  """Where along the noise levels a quantity sits: one stair per bin of levels.

  edges [n+1] levels in [0, 1], values [n]. Returns a Figure; raises ValueError where the lengths
  do not fit.
  """
  edges, values = np.asarray(edges, float), np.asarray(values, float)
  if len(edges) != len(values) + 1:
    raise ValueError(f'{len(values)} bins need {len(values) + 1} edges, not {len(edges)}')
  fig, axes = new_axes(xlabel='noise level t  (0 clean, 1 noise)', ylabel=ylabel, title=title)
  axes.stairs(values, edges, fill=True, color=COLOURS[0], alpha=0.22)
  axes.stairs(values, edges, color=COLOURS[0], linewidth=1.9)
  axes.set_xlim(edges[0], edges[-1])
  axes.grid(axis='y', color=GRID, linewidth=0.8)
  return fig


def quality_vs_steps(rows, *, metric, ylabel, title=None) -> Any:
  """Quality against cost: a metric over sequential network evaluations per sample.

  rows: dicts with 'name'. Rows with 'nfe' are points, written with their steps per block and
  joined within one 'series' (a name that rows may carry; without it there is one series). Rows
  without 'nfe' (real images, a mixture) are horizontal lines. Both axes are logarithmic. Returns a
  Figure; raises ValueError where no row has both 'nfe' and the metric.
  """
  rows = [r for r in rows if r.get(metric) is not None and r[metric] > 0]
  ours = [r for r in rows if r.get('nfe')]
  if not ours:
    raise ValueError(f'no row has both nfe and {metric}; evaluate at one number of steps at least')
  fig, axes = new_axes(
    height=3.6, xlabel='sequential network evaluations per sample (NFE)', ylabel=ylabel, title=title
  )
  series = {}
  for r in ours:
    series.setdefault(r.get('series') or 'this model', []).append(r)
  for i, (name, points) in enumerate(series.items()):
    points.sort(key=lambda r: r['nfe'])
    x, y = ([r[key] for r in points] for key in ('nfe', metric))
    look = {'color': COLOURS[i % len(COLOURS)], 'marker': MARKERS[i % len(MARKERS)]}
    axes.plot(x, y, markersize=6, linewidth=1.9, label=name, **look)
    for r in points:
      axes.annotate(
        f'T={r["steps"]}', (r['nfe'], r[metric]), xytext=(0, 7), fontsize=9,
        textcoords='offset points', ha='center', color=INK,
      )
  for i, r in enumerate(r for r in rows if not r.get('nfe')):
    colour = COLOURS[(len(series) + i) % len(COLOURS)]
    dashes = DASHES[1 + i % (len(DASHES) - 1)]
    axes.axhline(r[metric], color=colour, linewidth=1.6, linestyle=dashes, label=r['name'])
  axes.set_xscale('log', base=2)
  axes.set_yscale('log')
  ticks = sorted({r['nfe'] for r in ours})
  if len(ticks) <= 8:
    axes.set_xticks(ticks, labels=[f'{t:,g}' for t in ticks])
  axes.locator_params(axis='y', subs=(1, 2, 5))
  axes.yaxis.set_major_formatter('{x:g}')
  axes.minorticks_off()
  axes.margins(0.08, 0.12)
  axes.grid(axis='y', color=GRID, linewidth=0.8)
  _legend_above(axes)
  return fig


def _legend_above(axes):
  """A legend between the title and the axes, in two columns where the labels are short."""
  longest = max(map(len, axes.get_legend_handles_labels()[1]))
  axes.legend(
    frameon=False, fontsize=9.5, labelcolor=INK, ncols=2 if longest <= 27 else 1, loc='lower left',
    bbox_to_anchor=(-0.02, 1), borderaxespad=0.2,
  )


def quality_vs_cost(rows, *, metric, cost, xlabel, ylabel, title=None) -> Any:
  """A metric over what it costs, one line a sampler or network.

  rows: dicts with 'name'; `cost` is their key of the horizontal axis, which is logarithmic, as the
  other is where values are far apart; 'ci95', where present, is the 95% interval of the metric, a
  half width or a pair of bounds. Rows without the cost are horizontal lines (the corpus, say); rows
  without the metric are skipped. Returns a Figure; raises ValueError where no row has both.
  """
  rows = [row for row in rows if row.get(metric) is not None]
  ours = [row for row in rows if row.get(cost)]
  if not ours:
    raise ValueError(f'no row has both {cost} and {metric}; evaluate one sampler')
  fig, axes = new_axes(height=3.6, xlabel=xlabel, ylabel=ylabel, title=title)
  names = list(dict.fromkeys(row['name'] for row in ours))
  for i, name in enumerate(names):
    line = sorted((row for row in ours if row['name'] == name), key=lambda row: row[cost])
    colour = COLOURS[i % len(COLOURS)]
    axes.plot([row[cost] for row in line], [row[metric] for row in line], color=colour,
              marker=MARKERS[i % len(MARKERS)], markersize=6, linewidth=1.9,
              fillstyle='full' if i < len(MARKERS) else 'none',
              linestyle=DASHES[i // len(COLOURS) % len(DASHES)], label=name)
    for row in line:
      if row.get('ci95') is not None:
        axes.errorbar(row[cost], row[metric], fmt='none', ecolor=colour, capsize=3,
                      yerr=_lengths(row[metric], row['ci95']), elinewidth=1.3)
  dashes = itertools.cycle(DASHES[1:])
  for row in rows:
    if not row.get(cost):
      axes.axhline(row[metric], color=INK, linewidth=1.4, linestyle=next(dashes),
                   label=row['name'])
  _powers_of_two(axes, [row[cost] for row in ours])
  axes.margins(y=0.12)
  values = [row[metric] for row in rows]
  if min(values) > 0 and max(values) > _FAR * min(values):
    axes.set_yscale('log', nonpositive='clip')
    axes.set_ylim(min(values) / 1.3, axes.get_ylim()[1])  # whiskers may reach zero
    axes.locator_params(axis='y', subs=(1, 2, 5))
    axes.yaxis.set_major_formatter('{x:g}')
    axes.tick_params(axis='y', which='minor', left=False, labelleft=False)
  axes.grid(axis='y', color=GRID, linewidth=0.8)
  _legend_above(axes)
  return fig


def _powers_of_two(axes, values):
  """A logarithmic horizontal axis around all values, so that even one point has a tick at each
  side."""
  axes.set_xscale('log', base=2)
  exponents = np.log2(values)
  low, high = int(np.floor(exponents.min())), int(np.ceil(exponents.max()))
  powers = range(low, high + 1, 1 + (high - low) // 9)
  axes.set_xticks([2.0 ** i for i in powers],
                  labels=[f'{2 ** i:,}' if i >= 0 else f'1/{2 ** -i:,}' for i in powers])
  axes.minorticks_off()
  axes.set_xlim(2 ** (low - 0.3), 2 ** (high + 0.3))


def _lengths(value, ci95):
  """[2, 1] lengths of an interval below and above its value."""
  if not isinstance(ci95, (list, tuple)):
    return [[ci95], [ci95]]
  return [[max(value - ci95[0], 0)], [max(ci95[1] - value, 0)]]
