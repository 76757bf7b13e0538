"""Evaluation: the bound on held-out data, the quality of samples, and the page that shows them."""

import datetime
import json
import math
import os
import pathlib

import jax
import numpy as np
import tqdm

from adiff.data import batches
from adiff.judge import likelihood
from adiff.judge.page import charts, images, page
from adiff.learn import lessons, state
from adiff.machine import files, hosts, logs, provenance, sharding
from adiff.nn import network
from adiff.run import build, evaluate_images, evaluate_text, generate


class Bound:
  """The bound on a split, compiled once."""

  def __init__(self, parts: build.Parts, mesh):
    self._parts, self._mesh = parts, mesh
    self._size = sharding.round_up(mesh, parts.config.eval.batch_size)

    def sample(params, key, batch):
      denoise = network.condition(
        parts.recipe.network(params), {'label': batch['label']}, history_cond=parts.history_cond
      )
      return likelihood.bound(
        denoise, key, batch['tokens'], blocks=parts.blocks, process=parts.process,
        coords=parts.spec.coords, reveals=parts.reveals,
        known=batch['weight'] == 0 if 'weight' in batch else None,
        documents=lessons.documents(batch),
      )

    self._sample = jax.jit(sample, out_shardings=sharding.replicated(mesh))

  def samples(self, params, *, samples, progress=False) -> tuple[np.ndarray, np.ndarray]:
    """(nats, level), each [n, samples, K], of the config's split; equal noise at every call."""
    parts, config = self._parts, self._parts.config
    size = parts.coded.size(config.eval.split)
    limit = min(config.eval.examples or size, size)
    nats, level = [], []
    rows = batches.once(
      parts.coded, config.eval.split, self._size, parts.blocks.order,
      rows=sharding.local_rows(self._mesh, self._size),
    )
    total = -(-limit // self._size)
    for index, batch in tqdm.tqdm(
      zip(range(total), rows), total=total, desc='bound', disable=not progress, leave=False
    ):
      batch = sharding.put_batch(self._mesh, batch, self._size)
      key = state.stream(config.seed, 'bound', index)
      drawn = [self._sample(params, jax.random.fold_in(key, n), batch) for n in range(samples)]
      nats.append(np.stack([np.asarray(n) for n, _ in drawn], 1))
      level.append(np.stack([np.asarray(t) for _, t in drawn], 1))
    # What fills up the last batch comes last.
    return tuple(np.concatenate(leaf)[:limit] for leaf in (nats, level))

  def __call__(self, params, *, samples, progress=False) -> dict:
    """likelihood.summary of `samples`, and what kind of number it is."""
    parts = self._parts
    nats, level = self.samples(params, samples=samples, progress=progress)
    return {
      **likelihood.summary(nats, level, dims=parts.spec.dims),
      'is_likelihood': likelihood.is_exact(parts.blocks, parts.process, parts.reveals),
      'dequantisation': dequantisation(parts),
    }


def dequantisation(parts) -> str:
  """What kind of number the bound is, in words."""
  if parts.process.discrete:
    return 'symbols: a probability'
  if parts.spec.kind.bin is None:
    return 'continuous data: a density'
  step = f'{parts.spec.kind.bin:.4g}'
  return f'values on a lattice of step {step}, read through a normal on that lattice: a probability'


def evaluate(
  parts: build.Parts, params, workdir, *, step, mesh, folder=None, progress=True
) -> dict:
  """Measures, writes eval.json and report.html, returns the report.

  folder: of both files, by default the workdir.
  """
  config = parts.config
  bound = Bound(parts, mesh)(params, samples=config.eval.samples, progress=progress)
  exact = parts.source.exact
  if exact:  # A network that is told the label is measured against the law given the label.
    bound['exact'] = exact['nats_given_label' if parts.spec.num_classes else 'nats']
  report = {
    'title': config.name or config.data.name,
    'command': f'python -m adiff.main --mode=eval --workdir={workdir}',
    'config': json.loads(config.to_json()),
    'commit': provenance.commit(),
    'hardware': provenance.hardware(),
    'date': datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d %H:%M UTC'),
    'step': step,
    'split': config.eval.split,
    'bound': bound,
    'generators': [],
  }
  pictures, fragments = {}, ()
  if parts.source.facts.levels and parts.spec.medium == 'image':
    evaluate_images.judge(parts, params, mesh, report, pictures, progress)
  elif parts.spec.medium == 'law':
    _judge_law(parts, params, mesh, report)
  elif parts.spec.medium == 'text':
    fragments = evaluate_text.judge(
      parts, params, mesh, report, pictures, workdir=workdir, progress=progress
    )
  else:
    evaluate_images.show_latents(parts, params, mesh, report, pictures, progress)
  folder = folder or workdir
  hosts.agree(lambda: _write(workdir, folder, report, pictures, fragments))
  report['report'] = os.path.join(folder, page.FILE)
  return report


def _write(workdir, out, report, pictures, fragments):
  """The files of an evaluation."""
  rows = logs.read(workdir) if os.path.exists(os.path.join(workdir, logs.FILE)) else []
  pictures.update(charts.charts(report, rows) | _curves(rows))
  folder = pathlib.Path(out, 'pictures')
  folder.mkdir(exist_ok=True)
  for name, picture in pictures.items():
    kind = 'gif' if picture.startswith(b'GIF') else 'png'
    with files.whole(folder / f'{name.replace("/", "_")}.{kind}', 'wb') as file:
      file.write(picture)
  files.write_json(os.path.join(out, 'eval.json'), _without_nan(report))
  page.write(out, report, pictures, fragments)


def _without_nan(value):
  """`value` with null for numbers that are not finite, which JSON has no word for."""
  if isinstance(value, dict):
    return {key: _without_nan(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [_without_nan(item) for item in value]
  return None if isinstance(value, float) and not math.isfinite(value) else value


def _curves(rows):
  """{name: PNG}: the held-out bound, and the loss per block and per level, over training steps."""
  titles = {
    'test/nats': ('loss/bound', 'held-out bound (nats)', ''),
    'loss_per_block': ('loss/per_block', 'loss', 'block'),
    'loss_per_level': ('loss/per_level', 'loss', 'level bin'),
  }
  out = {}
  for key, (name, ylabel, part) in titles.items():
    have = [row for row in rows if row.get(key) is not None]
    if not have:
      continue
    if not part:
      out[name] = images.png_bytes(charts.curves(have, [key], ylabel=ylabel))
      continue
    # At most six lines can be told apart: evenly chosen, first and last among them.
    size = len(have[0][key])
    chosen = sorted({round(i) for i in np.linspace(0, size - 1, min(size, 6))})
    lines = [
      {'step': row['step'], **{f'{part} {i + 1}': row[key][i] for i in chosen}} for row in have
    ]
    keys = [f'{part} {i + 1}' for i in chosen]
    keys = [k for k in keys if any(line[k] is not None for line in lines)]
    out[name] = images.png_bytes(charts.curves(lines, keys, ylabel=ylabel))
  return out


def _judge_law(parts, params, mesh, report):
  """Sources with a known law: do samples follow it?"""
  # Labels of real examples, not balanced ones: the law includes them.
  split, num = parts.config.eval.split, parts.config.eval.num
  real = parts.source.examples(split, np.arange(num) % parts.source.size(split))['label']
  tokens, _, row = generate.for_report(parts, params, mesh, labels=real)
  samples = parts.coded.decode(tokens)
  report['law'] = {key: float(value) for key, value in parts.source.law_test(samples).items()}
  report['generators'].append(row)
