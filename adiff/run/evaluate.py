"""Evaluation: the bound on held-out data, the quality of samples, and the page that shows them."""

import datetime
import json
import os
import pathlib
import platform
import subprocess

import jax
import numpy as np
import tqdm

from adiff.data import batches
from adiff.judge import likelihood
from adiff.judge.metrics import baselines, classifier, coverage, frechet, memorisation, two_sample
from adiff.judge.page import charts, page
from adiff.learn import plain, state
from adiff.machine import hosts, logs, sharding
from adiff.run import build, evaluate_text, generate


class Bound:
  """The bound on a split, compiled once."""

  def __init__(self, parts: build.Parts, mesh):
    self._parts, self._mesh = parts, mesh
    self._size = sharding.round_up(mesh, parts.config.eval.batch_size)
    one = lambda params, key, batch: likelihood.bound(
      plain.conditioned(
        parts.recipe.network(params),
        {'label': batch['label']},
      ),
      key,
      batch['tokens'],
      blocks=parts.blocks,
      process=parts.process,
      coords=parts.spec.coords,
      reveals=parts.reveals,
      known=batch['weight'] == 0 if 'weight' in batch else None,
      documents=plain.documents_of(batch),
    )
    self._one = jax.jit(one, out_shardings=sharding.replicated(mesh))

  def samples(self, params, *, samples, progress=False):
    """(nats, level), each [n, samples, K], of the config's split; equal noise at every call."""
    parts, config = self._parts, self._parts.config
    size = parts.source.size(config.eval.split)
    limit = min(config.eval.examples or size, size)
    nats, level = [], []
    rows = batches.once(
      parts.source, config.eval.split, self._size, parts.blocks.order,
      rows=sharding.local_rows(self._mesh, self._size),
    )
    total = -(-limit // self._size)
    for index, batch in tqdm.tqdm(
      zip(range(total), rows), total=total, desc='bound', disable=not progress, leave=False
    ):
      del batch['mask']  # what fills up the last batch comes last
      batch = sharding.put_batch(self._mesh, batch, self._size)
      drawn = [
        self._one(
          params, jax.random.fold_in(state.stream(config.seed, 'bound', index), sample), batch
        )
        for sample in range(samples)
      ]
      nats.append(np.stack([np.asarray(n) for n, _ in drawn], 1))
      level.append(np.stack([np.asarray(t) for _, t in drawn], 1))
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
  if parts.spec.bin is None:
    return 'continuous data: a density'
  step = f'{parts.spec.bin:.4g}'
  return f'values on a lattice of step {step}, read through a normal on that lattice: a probability'


def hardware() -> str:
  """What the numbers were measured on."""
  device = jax.devices()[0]
  kind = (
    f'{os.cpu_count()} cores'
    if device.platform == 'cpu'
    else f'{jax.device_count()} x {device.device_kind}'
  )
  versions = f'jax {jax.__version__}, Python {platform.python_version()}'
  return f'{platform.machine()} {device.platform}, {kind}, {versions}'


def commit() -> str:
  """The checkout's commit, marked where code or configs differ from it; '' outside a checkout."""
  here = os.path.dirname(os.path.abspath(__file__))
  git = lambda *words: subprocess.run(
    ['git', '-C', here, *words], capture_output=True, text=True, check=False
  ).stdout.strip()
  try:
    found = git('rev-parse', '--short', 'HEAD')
    return found + (
      ' with changes' if found and git(
        'status', '--porcelain', '--untracked-files=no', '--', '.', '../configs'
      ) else ''
    )
  except FileNotFoundError:  # no git on this machine
    return ''


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
  found = {
    'title': config.name,
    'command': f'python -m adiff.main --mode=eval --workdir={workdir}',
    'config': json.loads(config.to_json()),
    'commit': commit(),
    'hardware': hardware(),
    'date': datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d %H:%M UTC'),
    'step': step,
    'split': config.eval.split,
    'bound': bound,
    'generators': [],
    'notes': [],
  }
  shown, fragments = {}, ()
  if parts.spec.image_levels:
    _judge_images(parts, params, mesh, found, shown, progress)
  elif hasattr(parts.source, 'law_test'):
    _judge_law(parts, params, mesh, found)
  elif hasattr(parts.source, 'corpus'):
    fragments = evaluate_text.judge(
      parts, params, mesh, found, shown, workdir=workdir, progress=progress
    )
  else:
    _show_latents(parts, params, mesh, found, shown, progress)
  folder = folder or workdir
  hosts.agree(lambda: _write(workdir, folder, found, shown, fragments))
  found['report'] = os.path.join(folder, page.FILE)
  return found


def _write(workdir, out, found, shown, fragments):
  """The files of an evaluation."""
  rows = logs.read(workdir) if os.path.exists(os.path.join(workdir, logs.FILE)) else []
  shown.update(charts.charts(found, rows) | _curves(rows))
  folder = pathlib.Path(out, 'pictures')
  folder.mkdir(exist_ok=True)
  for name, picture in shown.items():
    kind = 'gif' if picture.startswith(b'GIF') else 'png'
    with open(os.path.join(folder, f'{name.replace("/", "_")}.{kind}'), 'wb') as file:
      file.write(picture)
  with open(os.path.join(out, 'eval.json.tmp'), 'w') as file:
    json.dump(found, file, indent=1)
  os.replace(os.path.join(out, 'eval.json.tmp'), os.path.join(out, 'eval.json'))
  page.write(out, found, shown, fragments)


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
      out[name] = charts.png_bytes(charts.curves(have, [key], ylabel=ylabel))
      continue
    # At most six lines can be told apart: evenly chosen, first and last among them.
    size = len(have[0][key])
    chosen = sorted({round(i) for i in np.linspace(0, size - 1, min(size, 6))})
    lines = [
      {'step': row['step'], **{f'{part} {i + 1}': row[key][i] for i in chosen}} for row in have
    ]
    keys = [f'{part} {i + 1}' for i in chosen]
    keys = [k for k in keys if any(line[k] is not None for line in lines)]
    out[name] = charts.png_bytes(charts.curves(lines, keys, ylabel=ylabel))
  return out


def _judge_law(parts, params, mesh, found):
  """Sources with a known law: do samples follow it?"""
  # Labels of real examples, not balanced ones: the law includes them.
  split, num = parts.config.eval.split, parts.config.eval.num
  real = parts.source.rows(split, np.arange(num) % parts.source.size(split))['label']
  tokens, _, row = generate.for_report(parts, params, mesh, labels=real)
  samples = parts.spec.decode(tokens)
  found['law'] = {key: float(value) for key, value in parts.source.law_test(samples).items()}
  found['generators'].append(row)


def _show_latents(parts, params, mesh, found, shown, progress):
  """Latents: up to three channels of samples and of real examples as colours, nothing decoded."""
  split = parts.config.eval.split
  tokens, _, row = generate.for_report(parts, params, mesh, progress=progress)
  found['generators'].append(row)
  real = parts.source.rows(split, np.arange(min(len(tokens), parts.source.size(split))))['tokens']
  for name, some in (('samples', tokens), ('samples/real', real)):
    examples = parts.spec.decode(some[:40])
    frames = examples if examples.ndim == 4 else examples[:, 0]  # the first one of a video
    colours = frames[..., :3 if frames.shape[-1] >= 3 else 1]
    low, high = np.percentile(colours, [1, 99])
    levels = np.clip((colours - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    scale = max(1, 64 // levels.shape[1])
    shown[name] = charts.png_bytes(charts.grid(levels, 256, scale=scale))


def _judge_images(parts, params, mesh, found, shown, progress):
  """Image sets: pictures, and distances between samples and real images."""
  config, levels = parts.config, parts.spec.image_levels
  steps = sorted({*config.eval.steps, config.plan.steps})
  drawn = {}
  for n in steps:
    tokens, labels, row = generate.for_report(parts, params, mesh, steps=n, progress=progress)
    drawn[n] = parts.spec.decode(tokens), labels, row
  images, labels, _ = drawn[config.plan.steps]
  columns = 10
  count = min(len(images), columns * 10)
  names = [str(i) for i in range(columns)] if parts.spec.num_classes == columns else None
  scale = max(1, 48 // images.shape[1])
  shown['samples'] = charts.png_bytes(
    charts.grid(images[:count], levels, columns=columns, scale=scale, labels=names)
  )
  frames = _frames(parts, params, mesh)
  shown['strip'] = charts.strip(frames, levels, columns=columns, scale=scale)
  if not config.eval.features:
    found['generators'] = [row for _, _, row in drawn.values()]
    return
  train, train_labels = parts.source.images('train')
  test, test_labels = parts.source.images(config.eval.split)
  judge = classifier.fit(train, train_labels, test, test_labels, seed=0, levels=levels)
  found['classifier'] = {'name': judge.name, 'accuracy': float(judge.accuracy)}
  reference = judge.features(train)

  def scores(images, labels=None):
    features, probabilities = judge.features(images), judge.probabilities(images)
    equal = min(len(images), len(test))
    return {
      'frechet': float(frechet.frechet(features, reference)),
      'inception_score': float(frechet.inception_score(probabilities)),
      **{name: float(value) for name, value in coverage.scores(reference, features).items()},
      'nn_ratio': float(memorisation.nn_ratio(images, train, test)),
      'accuracy': None if labels is None else float(np.mean(probabilities.argmax(1) == labels)),
      'two_sample': float(two_sample.forest_accuracy(test[:equal], images[:equal])),
    }

  for images_n, labels_n, row in drawn.values():
    found['generators'].append({**row, **scores(images_n, labels_n)})
  seed, num = config.seed, config.eval.num
  found['generators'].append(
    {
      'name': f'real {config.eval.split} split',
      'num': len(test),
      **scores(test, test_labels),
      'two_sample': None,
    }
  )
  mixture = baselines.gaussian_mixture(train, num, components=40, seed=seed, levels=levels)
  found['generators'].append(
    {'name': '40-component mixture', 'num': num, 'seed': seed, **scores(mixture)}
  )
  each = -(-num // parts.spec.num_classes)
  normal, normal_labels = baselines.class_gaussians(
    train, train_labels, each, seed=seed, levels=levels
  )
  order = np.random.default_rng(seed).permutation(len(normal))[:num]
  found['generators'].append(
    {
      'name': 'class-conditional Gaussians',
      'num': num,
      'seed': seed,
      **scores(normal[order], normal_labels[order]),
    }
  )
  index, _ = memorisation.nearest(images[:columns * 2], train)
  shown['neighbours'] = charts.png_bytes(
    charts.neighbours(images[: columns * 2], train[index], levels, scale=scale)
  )


def _frames(parts, params, mesh, num=10):
  """[R, num, H, W, C]: what the walk looks like; masked tokens are -1."""
  labels = generate.balanced_labels(parts.spec.num_classes, 0, num)
  rows = generate.make_sampler(parts, mesh=mesh, trace=True)(
    params, generate.example_keys(parts.config.seed, 0, num), labels
  )
  rows = generate.to_raster(parts, np.asarray(rows))
  flat = rows.reshape(-1, *rows.shape[2:])
  if not parts.process.discrete:
    images = parts.spec.decode(flat)
  else:
    images = parts.spec.decode(np.minimum(flat, parts.spec.vocab - 1)).astype(np.int32)
    images = np.where(
      parts.spec.decode((flat == parts.spec.vocab).astype(flat.dtype)) > 0, -1, images
    )
  return images.reshape(*rows.shape[:2], *images.shape[1:])
