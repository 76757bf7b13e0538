"""The section of how a model was trained: its cost, and its curves."""

import numpy as np

from adiff.judge import section
from adiff.judge.page import charts, images

LINES = 6  # that can be told apart in a chart


def of(rows, *, step, flops_per_step) -> section.Section:
  """rows: lines of metrics.jsonl; step: how many were trained; flops_per_step: of one of them."""
  facts = (
    section.Fact('flops_per_step', 'floating-point operations a step', float(flops_per_step)),
    section.Fact(
      'flops', 'floating-point operations of the run', float(flops_per_step) * step,
      meaning='Matrix products of forward and backward pass, recomputation not counted.',
    ),
  )
  return section.Section('Training', (section.Facts(facts), *_curves(rows)))


def _curves(rows):
  """Figures of what the lines hold."""
  figures = []
  for key, name, ylabel, caption in (
    ('loss', 'loss', 'loss', 'Training loss: every logged step, and its running mean.'),
    ('test/nats', 'loss_bound', 'held-out bound (nats)', 'The held-out bound while training.'),
    ('test/mse', 'loss_held_out', 'mean squared error', 'Of held-out examples while training.'),
  ):
    have = [row for row in rows if row.get(key) is not None]
    if have:
      figures.append(_figure(name, have, [key], ylabel, caption))
  for key, name, part, caption in (
    ('loss_per_block', 'loss_per_block', 'block', 'Training loss of some blocks.'),
    ('loss_per_level', 'loss_per_level', 'level bin', 'Training loss at some noise levels.'),
  ):
    have = [row for row in rows if row.get(key) is not None]
    if have:
      lines, keys = _chosen(have, key, part)
      figures.append(_figure(name, lines, keys, 'loss', caption))
  return figures


def _figure(name, rows, keys, ylabel, caption):
  """A chart of curves; its values are [step, number] pairs."""
  points = {
    key: [[row['step'], row[key]] for row in rows if row.get(key) is not None] for key in keys
  }
  picture = images.png_bytes(charts.curves(rows, keys, ylabel=ylabel))
  return section.Figure(name, picture, caption, values=points)


def _chosen(rows, key, part):
  """Rows and keys of evenly chosen parts, first and last among them."""
  size = len(rows[0][key])
  chosen = sorted({round(i) for i in np.linspace(0, size - 1, min(size, LINES))})
  lines = [
    {'step': row['step'], **{f'{part} {i + 1}': row[key][i] for i in chosen}} for row in rows
  ]
  keys = [f'{part} {i + 1}' for i in chosen]
  return lines, [name for name in keys if any(line[name] is not None for line in lines)]
