"""Pictures: pure functions from arrays to pixels, figures and bytes.

Sample grids and strips are uint8 arrays or GIF bytes made of whole pixels; charts are matplotlib
figures made without pyplot, so nothing here has global state. `png_bytes` turns either into a file.
Charts share one look: Okabe and Ito's colour-blind-safe colours, a shape or a dash beside every
colour, labelled axes with units, and type that stays readable when a phone shrinks the figure.
"""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
DASHES = ('-', '--', '-.', ':', (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKERS = 'osD^vP'
INK, FAINT = '#1c2330', '#8b94a3'
PAPER = (58, 64, 75)     # between the cells of a grid: neither ink nor background of a picture
MASKED = (62, 105, 152)  # a pixel without a value yet
SEEN, UNSEEN = np.uint8([0, 114, 178]), np.uint8([233, 236, 241])  # pairs of a mask
DPI = 200


def _colour(images, levels):
  """Integers [..., H, W, C] in 0..levels-1, -1 for masked -> uint8 [..., H, W, 3]."""
  images = np.asarray(images)
  if not np.issubdtype(images.dtype, np.integer):
    raise ValueError(f'pictures take integers, not {images.dtype}: decode the tokens first.')
  if images.shape[-1] not in (1, 3):
    raise ValueError(f'pictures have 1 or 3 channels, not {images.shape[-1]}: give [n, H, W, 3].')
  if levels < 2:
    raise ValueError(f'levels={levels}: give the number of values a pixel can take, 2 or more.')
  images = images.astype(np.int64)
  if images.size and (images.min() < -1 or images.max() >= levels):
    raise ValueError(f'pixel values run from {images.min()} to {images.max()}: clip them to '
                     f'0..{levels - 1}, or write -1 where a pixel is masked.')
  grey = np.rint(np.maximum(images, 0) * (255 / (levels - 1))).astype(np.uint8)
  pixels = np.broadcast_to(grey, grey.shape[:-1] + (3,))
  masked = (images < 0).any(-1, keepdims=True)
  return np.where(masked, np.array(MASKED, np.uint8), pixels)


def grid(images, levels, *, columns=10, pad=1, scale=6, labels=None):
  """Lays pictures out row by row: image i stands in row i // columns.

  images int [n, H, W, C] with values 0..levels-1 and C of 1 or 3; -1 marks a masked pixel, painted
  blue. `pad` (in pixels of a picture) separates the cells, every pixel becomes `scale` x `scale`.
  `labels` are short strings above the columns. Returns uint8 [height, width, 3]; raises ValueError
  for floats, values out of range, another rank, or a wrong number of labels.
  """
  images = np.asarray(images)
  if images.ndim != 4 or not images.shape[0]:
    raise ValueError(f'a grid needs images [n, H, W, C] with n >= 1, not {list(images.shape)}.')
  if columns < 1 or scale < 1 or pad < 0:
    raise ValueError('a grid needs columns >= 1, scale >= 1 and pad >= 0.')
  cells = _colour(images, levels)
  num, height, width, _ = cells.shape
  columns = min(columns, num)
  rows = -(-num // columns)
  canvas = np.empty((rows * (height + pad) + pad, columns * (width + pad) + pad, 3), np.uint8)
  canvas[:] = np.array(PAPER, np.uint8)
  for i, cell in enumerate(cells):
    y = pad + (i // columns) * (height + pad)
    x = pad + (i % columns) * (width + pad)
    canvas[y:y + height, x:x + width] = cell
  canvas = canvas.repeat(scale, axis=0).repeat(scale, axis=1)
  if labels is None:
    return canvas
  if len(labels) != columns:
    raise ValueError(f'{len(labels)} labels for {columns} columns: give one label a column.')
  pitch = (width + pad) * scale
  size = max(9, min(20, pitch // 2))
  head = Image.new('RGB', (canvas.shape[1], size + size // 2), PAPER)
  draw = ImageDraw.Draw(head)
  for i, label in enumerate(labels):
    centre = pad * scale + i * pitch + width * scale / 2
    draw.text((centre, head.height / 2 + 1), str(label), fill=(236, 239, 244), anchor='mm',
              font=ImageFont.load_default(size))
  return np.concatenate([np.asarray(head), canvas])


def neighbours(samples, nearest, levels, *, columns=5, pad=2, scale=6):
  """Every sample with its nearest training image at its right, in a grid of such pairs.

  samples, nearest: int [n, H, W, C] as for `grid`. Returns uint8 [height, width, 3]; raises
  ValueError where the two shapes differ.
  """
  samples, nearest = np.asarray(samples), np.asarray(nearest)
  if samples.shape != nearest.shape:
    raise ValueError(f'{list(samples.shape)} samples and {list(nearest.shape)} neighbours do not '
                     'pair: give one training image of the same shape per sample.')
  return grid(np.concatenate([samples, nearest], axis=2), levels, columns=columns, pad=pad,
              scale=scale)


def strip(frames, levels, *, columns=10, pad=1, scale=6, duration_ms=120, hold_ms=1600):
  """An animated GIF of a batch being denoised, one block after another.

  frames int [T, n, H, W, C] as for `grid` (-1 is masked). A frame lasts `duration_ms`, the last one
  `hold_ms`; the film repeats. All frames share one palette, exact up to 256 colours, so that still
  pixels stay still. Returns bytes; raises ValueError as `grid` does.
  """
  frames = np.asarray(frames)
  if frames.ndim != 5 or not frames.shape[0]:
    raise ValueError(f'a strip needs frames [T, n, H, W, C] with T >= 1, not {list(frames.shape)}.')
  small = np.stack([grid(f, levels, columns=columns, pad=pad, scale=1) for f in frames])
  num, height, width, _ = small.shape
  film = Image.fromarray(small.reshape(num * height, width, 3)).quantize(
      256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
  indices = np.asarray(film).reshape(num, height, width)
  pages = []
  for page in indices.repeat(scale, axis=1).repeat(scale, axis=2):
    pages.append(Image.fromarray(page, mode='P'))
    pages[-1].putpalette(film.getpalette())
  out = io.BytesIO()
  pages[0].save(out, format='GIF', save_all=True, append_images=pages[1:], loop=0,
                duration=[duration_ms] * (num - 1) + [hold_ms], optimize=False)
  return out.getvalue()


def new_axes(*, width=5.2, height=3.2, xlabel='', ylabel='', title=None):
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
    raise ValueError(f'{len(labels)} labels for {num} rows or columns: give one label each.')
  edges = [i for i in range(1, num) if labels[i] != labels[i - 1]]
  starts, ends = [0, *edges], [*edges, num]
  middles = [(a + b - 1) / 2 for a, b in zip(starts, ends, strict=True)]
  axis.set_ticks(middles, labels=[str(labels[a]) for a in starts])
  return edges


def mask_picture(allowed, *, query_labels=None, key_labels=None, title=None):
  """Who reads whom: a filled square where query (row) may read key (column).

  allowed bool [Q, K]. Labels, one per row and per column, are written once for a run of equal ones
  (a block, say), with a line between runs. Returns a Figure; raises ValueError for another rank or
  a wrong number of labels.
  """
  allowed = np.asarray(allowed, bool)
  if allowed.ndim != 2:
    raise ValueError(f'a mask picture needs allowed [Q, K], not {list(allowed.shape)}.')
  rows, columns = allowed.shape
  fig, axes = new_axes(width=min(5.2, 0.9 + 4.2 * columns / max(rows, columns)),
                    height=0.9 + 4.2 * rows / max(rows, columns),
                    xlabel='key (is read)', ylabel='query (reads)', title=title)
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


def plan_picture(matrix, *, title=None):
  """The walk from noise to data: levels over rows (sampling steps, downwards) and blocks.

  matrix [R+1, K] of levels in [0, 1], as `levels.Plan.matrix` is. Returns a Figure; raises
  ValueError for another rank or levels outside [0, 1].
  """
  matrix = np.asarray(matrix, float)
  if matrix.ndim != 2 or not np.all((matrix >= 0) & (matrix <= 1)):
    raise ValueError(f'a plan picture needs levels in [0, 1] of shape [R+1, K], not '
                     f'{list(matrix.shape)}; pass plan.matrix.')
  fig, axes = new_axes(height=3.8, xlabel='block', ylabel='row of the plan', title=title)
  image = axes.imshow(matrix, cmap='cividis', vmin=0, vmax=1, aspect='auto',
                      interpolation='nearest')
  axes.locator_params(integer=True, nbins=10, min_n_ticks=1)
  axes.spines[:].set_visible(False)
  bar = fig.colorbar(image, ax=axes, pad=0.02)
  bar.set_label('level t  (0 clean, 1 noise)', fontsize=10.5, color=INK)
  bar.ax.tick_params(labelsize=10, colors=INK)
  bar.outline.set_visible(False)
  return fig


def _running_mean(values, window):
  """Mean over a centred window that shrinks at both ends, so that no end is dragged to zero."""
  ones = np.ones(window)
  return np.convolve(values, ones, 'same') / np.convolve(np.ones_like(values), ones, 'same')


def curves(rows, keys, *, ylabel='loss', title=None):
  """Curves over training steps from the rows of metrics.jsonl.

  rows: dicts with 'step'; rows without a key, or with a value that is not finite, are skipped for
  that key. Above 60 points a curve is its running mean and the points stay behind it, faint.
  Returns a Figure; raises ValueError for a key that no row has, naming the keys there are.
  """
  fig, axes = new_axes(xlabel='training step', ylabel=ylabel, title=title)
  for i, key in enumerate(keys):
    points = [(r['step'], r[key]) for r in rows if r.get(key) is not None and np.isfinite(r[key])]
    if not points:
      known = sorted({k for r in rows for k in r} - {'step'})
      raise ValueError(f'no row has a number under {key!r}: choose among {", ".join(known)}.')
    x, y = np.array(points, float).T
    look = {'color': COLOURS[i % len(COLOURS)], 'linestyle': DASHES[i % len(DASHES)]}
    if len(x) > 60:
      axes.plot(x, y, color=look['color'], linewidth=0.7, alpha=0.28)
      y = _running_mean(y, max(5, len(x) // 40))
    axes.plot(x, y, linewidth=1.9, label=key, marker='o' if len(x) == 1 else None, **look)
  axes.grid(axis='y', color='#e3e6ec', linewidth=0.8)
  axes.locator_params(axis='x', integer=True, nbins=6)
  axes.xaxis.set_major_formatter('{x:,.0f}')
  axes.legend(frameon=False, fontsize=9.5, labelcolor=INK)
  return fig


def per_block(values, intervals=None, *, ylabel='bound (nats)', title=None):
  """Bars over blocks, with their 95% intervals.

  values [K]; intervals [K] half widths or [K, 2] bounds, in the unit of the values. Returns a
  Figure; raises ValueError where their lengths differ.
  """
  values = np.asarray(values, float)
  error = None
  if intervals is not None:
    intervals = np.asarray(intervals, float)
    if len(intervals) != len(values):
      raise ValueError(f'{len(intervals)} intervals for {len(values)} blocks: give one a block.')
    if intervals.ndim == 2:
      intervals = np.stack([values - intervals[:, 0], intervals[:, 1] - values])
    error = np.maximum(intervals, 0)
  fig, axes = new_axes(xlabel='block', ylabel=ylabel, title=title)
  axes.bar(np.arange(len(values)), values, width=0.78, color=COLOURS[0], yerr=error,
           error_kw={'ecolor': INK, 'elinewidth': 1.3, 'capsize': 3 if len(values) <= 32 else 0})
  axes.grid(axis='y', color='#e3e6ec', linewidth=0.8)
  axes.locator_params(axis='x', integer=True, nbins=12)
  return fig


def per_level(edges, values, *, ylabel='share of the bound (nats)', title=None):
  """Where along the noise levels a quantity sits: one stair per bin of levels.

  edges [n+1] levels in [0, 1], values [n]. Returns a Figure; raises ValueError where the lengths
  do not fit.
  """
  edges, values = np.asarray(edges, float), np.asarray(values, float)
  if len(edges) != len(values) + 1:
    raise ValueError(f'{len(values)} bins need {len(values) + 1} edges, not {len(edges)}.')
  fig, axes = new_axes(xlabel='noise level t  (0 clean, 1 noise)', ylabel=ylabel, title=title)
  axes.stairs(values, edges, fill=True, color=COLOURS[0], alpha=0.22)
  axes.stairs(values, edges, color=COLOURS[0], linewidth=1.9)
  axes.set_xlim(edges[0], edges[-1])
  axes.grid(axis='y', color='#e3e6ec', linewidth=0.8)
  return fig


def quality_vs_steps(rows, *, metric='frechet', ylabel='Fréchet distance (lower is better)',
                     title=None):
  """Quality against cost: a metric over sequential network evaluations per sample.

  rows: the report's generators. Rows with 'nfe' are points, written with their steps per block and
  joined within one 'series' (a name that rows may carry; without it there is one series). Rows
  without 'nfe' (real images, a mixture) are horizontal lines. Both axes are logarithmic. Returns a
  Figure; raises ValueError where no row has both 'nfe' and the metric.
  """
  rows = [r for r in rows if r.get(metric) is not None and r[metric] > 0]
  ours = [r for r in rows if r.get('nfe')]
  if not ours:
    raise ValueError(f'no row has both nfe and {metric}: evaluate at one number of steps at least.')
  fig, axes = new_axes(height=3.6, xlabel='sequential network evaluations per sample (NFE)',
                    ylabel=ylabel, title=title)
  names = list(dict.fromkeys(r.get('series') or 'this model' for r in ours))
  for i, name in enumerate(names):
    line = sorted((r for r in ours if (r.get('series') or 'this model') == name),
                  key=lambda r: r['nfe'])
    axes.plot([r['nfe'] for r in line], [r[metric] for r in line], color=COLOURS[i % len(COLOURS)],
              marker=MARKERS[i % len(MARKERS)], markersize=6, linewidth=1.9, label=name)
    for r in line:
      axes.annotate(f'T={r["steps"]}', (r['nfe'], r[metric]), xytext=(0, 7), fontsize=9,
                    textcoords='offset points', ha='center', color=INK)
  for i, r in enumerate(r for r in rows if not r.get('nfe')):
    axes.axhline(r[metric], color=COLOURS[(len(names) + i) % len(COLOURS)], linewidth=1.6,
                 linestyle=DASHES[1 + i % (len(DASHES) - 1)], label=r['name'])
  axes.set_xscale('log', base=2)
  axes.set_yscale('log')
  ticks = sorted({r['nfe'] for r in ours})
  if len(ticks) <= 8:
    axes.set_xticks(ticks, labels=[f'{t:,g}' for t in ticks])
  axes.locator_params(axis='y', subs=(1, 2, 5))
  axes.yaxis.set_major_formatter('{x:g}')
  axes.minorticks_off()
  axes.margins(0.08, 0.12)
  axes.grid(axis='y', color='#e3e6ec', linewidth=0.8)
  axes.legend(frameon=False, fontsize=9.5, labelcolor=INK, ncols=2, loc='lower left',
              bbox_to_anchor=(-0.02, 1), borderaxespad=0.2)
  return fig


def charts(report, rows=(), *, loss_keys=('loss',)):
  """The charts that follow from a report's numbers and the training rows, as PNG bytes by name.

  report: the dict of `report.write`; rows: those of metrics.jsonl. Makes those of 'quality',
  'per_block', 'per_level' and 'loss' for which there are numbers; a missing part is left out.
  """
  out = {}
  bound = report.get('bound') or {}
  if any(r.get('nfe') and r.get('frechet') for r in report.get('generators') or ()):
    out['quality'] = quality_vs_steps(report['generators'])
  if bound.get('per_block'):
    out['per_block'] = per_block(bound['per_block'], bound.get('per_block_ci95'))
  if bound.get('per_level'):
    out['per_level'] = per_level(bound['per_level']['edges'], bound['per_level']['values'])
  keys = [k for k in loss_keys if any(r.get(k) is not None for r in rows)]
  if keys:
    out['loss'] = curves(rows, keys)
  return {name: png_bytes(fig) for name, fig in out.items()}


def png_bytes(picture):
  """PNG bytes of a uint8 array [H, W, 3] or [H, W], or of a matplotlib Figure.

  The same picture gives the same bytes: no date or version is written. Raises ValueError for an
  array of another type.
  """
  out = io.BytesIO()
  if hasattr(picture, 'savefig'):
    picture.savefig(out, format='png', metadata={'Software': None})
    return out.getvalue()
  picture = np.asarray(picture)
  if picture.dtype != np.uint8:
    raise ValueError(f'a PNG needs uint8 values, not {picture.dtype}: use pictures.grid.')
  Image.fromarray(picture).save(out, format='PNG')
  return out.getvalue()
