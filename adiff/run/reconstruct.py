"""Evaluation of a codec that is trained: what it keeps of held-out examples, and the page of that.

The run's own page writes the codec, too: WORKDIR/codec.json, which other configs name as
codec=dict(name='trained', workdir=WORKDIR).
"""

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import tqdm

from adiff.codec import trained
from adiff.data import batches
from adiff.judge import base as judge_base
from adiff.judge import coded, reconstruction, section, training
from adiff.judge import reference as reference_lib
from adiff.judge.metrics import convolutional, features
from adiff.judge.page import images
from adiff.learn import base as learn_base
from adiff.machine import checkpoint, files, hosts, logs, sharding, storage
from adiff.run import attempts as attempts_lib
from adiff.run import codecs, published, tokenizer
from adiff.run import evaluate as evaluate_lib
from adiff.run import eyes as eyes_lib
from adiff.run import growing as growing_lib
from adiff.run import subject as subject_lib
from adiff.run import workdir as workdir_lib
from adiff.sequence import values

BEST = 'mse'  # by which checkpoints are ranked
STATISTICS = 4096  # training examples that mean and deviation of latents are measured on
PAIRS, STEPS = 4, 10  # of the figure of what lies between two pictures


def check(parts: tokenizer.Parts) -> None:
  """Raises ValueError for a config whose report cannot be made: training asks before it begins."""
  _published(parts)


def restore(workdir, placed, *, step, ema) -> tuple[int, Any]:
  """(step, {'params', 'extra'}) of a checkpoint, as checkpoint.restore_params."""
  read = functools.partial(checkpoint.restore_params, workdir, role=learn_base.CODEC)
  step, params = read(placed['params'], step=step, ema=ema)
  if not jax.tree.leaves(placed['extra']):
    return step, {'params': params, 'extra': placed['extra']}
  _, extra = read(placed['extra'], step=step, part='extra')
  return step, {'params': params, 'extra': extra}


class Programs:
  """What a report computes, each compiled once."""

  def __init__(self, parts: tokenizer.Parts, mesh):
    self.parts, self._mesh = parts, mesh
    self._size = sharding.round_up(mesh, parts.config.eval.batch_size)

    def make(served, x):
      bound = parts.recipe.network(served, learn_base.CODEC)
      codes = bound.encode(x)
      return x, codes, bound.decode(codes)

    def mix(served, first, second, share):
      bound = parts.recipe.network(served, learn_base.CODEC)
      first, second = bound.latents(first), bound.latents(second)
      return bound.show(first + share.reshape(-1, *(1,) * (first.ndim - 1)) * (second - first))

    whole = sharding.replicated(mesh)
    self._make, self._mix = (jax.jit(one, out_shardings=whole) for one in (make, mix))

  @classmethod
  def of(cls, parts: tokenizer.Parts, mesh) -> 'Programs':
    """As evaluate.Programs.of."""
    return cls(parts, mesh)

  def trace(self, parts: tokenizer.Parts, mesh, served) -> None:
    """Raises what cannot be computed. served: ShapeDtypeStructs."""
    x = parts.recipe.batch(self._size)['tokens']
    self._make.trace(served, sharding.placed(x, sharding.batch_sharding(mesh)))

  def made(self, served, split, wanted, progress=False) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields (x, codes, reconstruction), each [b, ..], of `wanted` examples, 0: all, that are
    spread over a split."""
    coded = self.parts.coded
    left = num = min(wanted, coded.size(split)) if wanted else coded.size(split)
    rows = batches.once(
      coded, split, self._size, rows=sharding.local_rows(self._mesh, self._size), num=num
    )
    for batch in tqdm.tqdm(rows, desc='codes', disable=not progress, leave=False):
      x = sharding.put_batch(self._mesh, batch['tokens'], self._size)
      own = min(left, self._size)
      yield tuple(np.asarray(one)[:own] for one in self._make(served, x))
      left -= own

  def between(self, served, codes) -> np.ndarray:
    """x [PAIRS, STEPS, N, D] between pairs of codes [2 PAIRS, ..]: their latents are mixed."""
    first, second = (np.repeat(one, STEPS, 0) for one in (codes[::2], codes[1::2]))
    share = np.tile(np.linspace(0, 1, STEPS, dtype=np.float32), len(codes) // 2)
    mixed = np.asarray(self._mix(served, first, second, share))
    return mixed.reshape(-1, STEPS, *mixed.shape[1:])


def rate(programs: Programs, served) -> dict:
  """{BEST: mean squared error of held-out examples, in units of what the network is shown}."""
  config, total, count = programs.parts.config, 0.0, 0
  for x, _, made in programs.made(served, config.eval.split, config.eval.examples):
    total += float(np.sum(np.square(made - x, dtype=np.float64)))
    count += x.size
  return {BEST: total / count}


def preview(parts: tokenizer.Parts, programs: Programs) -> Callable:
  """served -> {name: picture}: a few reconstructions on the way, of image sets."""
  levels = parts.source.facts.levels
  if parts.spec.medium != 'image' or not levels:
    return lambda served: {}

  def draw(served):
    x, _, made = next(programs.made(served, parts.config.eval.split, 10))
    if not np.all(np.isfinite(made)):
      return {}
    pairs = np.concatenate([parts.coded.decode(one) for one in (x, made)])
    return {'reconstructions': images.grid(pairs, levels, columns=len(x))}

  return draw


def evaluate(
  parts: tokenizer.Parts, served, workdir, *, step, mesh, flops_per_step, folder=None, kept=None,
  average='ema', other_data=False, progress=True, programs: Programs | None = None, again=(),
) -> dict:
  """As evaluate.evaluate; the run's own page writes the codec, too."""
  del kept  # statistics of real images, which nothing here takes
  config, programs = parts.config, Programs.of(parts, mesh) if programs is None else programs
  own = (average, other_data) == ('ema', False) and folder in (None, workdir)
  told = growing_lib.told(
    title=evaluate_lib.title(parts), command=evaluate_lib.command(workdir, again),
    config=workdir_lib.as_json(config), step=step, average=average, split=config.eval.split,
    data=subject_lib.data(parts), other_data=other_data,
  )
  attempts = attempts_lib.Attempts()
  rows = logs.read(workdir) if storage.exists(os.path.join(workdir, logs.FILE)) else []
  growing = growing_lib.Growing(workdir if folder is None else folder, told, attempts, [
    _held_out(rate(programs, served)), training.of(rows, step=step, flops_per_step=flops_per_step),
    *growing_lib.provenance_sections(told),
  ])
  growing.write()
  scale = _scale(programs, served)
  if own:
    text = trained.told(about(parts), served, mean=scale[0], std=scale[1], step=step)
    hosts.agree(lambda: _write(os.path.join(workdir, trained.FILE), text))
  if parts.spec.medium == 'image' and parts.source.facts.levels:
    with subject_lib.telling(progress) as tell:
      subject = _subject(parts, attempts, tell)
      attempts.value('Report', lambda: growing.take(
        _sections(
          programs, served, subject, scale, (workdir, growing.folder), progress
        )
      ))
  growing.write(complete=True)
  if attempts.failures:
    raise attempts.failures[0]
  return {**told, 'report': os.path.join(growing.folder, growing_lib.REPORT)}


def said(report) -> str:
  """What is left of held-out examples, in a line."""
  numbers = report['numbers']
  psnr = f', PSNR {numbers["psnr"]:.2f} dB' if 'psnr' in numbers else ''
  return f'{report["split"]} mean squared error {numbers[BEST]:.4g}{psnr}'


def _held_out(found):
  return section.Section('Held out', (section.Facts((section.Fact(
    BEST, 'mean squared error', found[BEST], better='low',
    meaning='Of held-out examples, in units of what the network is shown.',
  ),)),))


def _scale(programs, served):
  """(mean, deviation) of each float of the latents of training examples; ((), ()) of symbols."""
  if programs.parts.autoencoder.quantiser.kind.discrete:
    return (), ()
  found = [codes for _, codes, _ in programs.made(served, 'train', STATISTICS)]
  flat = np.concatenate(found).reshape(-1, found[0].shape[-1]).astype(np.float64)
  return flat.mean(0), np.maximum(flat.std(0), 1e-6)


def about(parts: tokenizer.Parts) -> dict[str, Any]:
  """What the file of a codec tells of it (trained.FORM), besides what was measured."""
  config, facts = parts.config, parts.source.facts
  return {
    'shape': list(facts.shape), 'levels': facts.levels, 'medium': facts.medium,
    'codec': {'name': config.codec.name, **codecs.arguments(parts.coded.codec)},
    'coder': dict(config.coder), 'quantiser': dict(config.quantiser),
  }


def _write(path, text):
  with files.whole(path) as file:
    file.write(text)


def _subject(parts, attempts, tell):
  """What a judge may ask of the data."""
  config, coded = parts.config, parts.coded
  return judge_base.Subject(
    data=subject_lib.data(parts), split=config.eval.split, seed=config.seed, num=config.eval.num,
    steps=None, solver='', num_classes=parts.spec.num_classes, num_tokens=parts.spec.num_tokens,
    bound={}, sample=None, trace=None, size=coded.size, tokens=coded.examples,
    examples=parts.source.examples, decode=coded.decode, levels=parts.source.facts.levels,
    attempt=attempts.made, tell=tell,
  )


def _sections(programs, served, subject, scale, places, progress):
  """Sections of what the codec keeps of pictures, one after another; places: as of _eyes."""
  parts, train = programs.parts, reference_lib.read(subject, 'train')
  eyes = _eyes(parts, subject, train, places) if parts.config.eval.features else {}
  eyes |= _published(parts)
  found = list(programs.made(served, subject.split, subject.num, progress))
  x, codes, made = (np.concatenate(one) for one in zip(*found, strict=True))
  between = programs.between(served, codes[:2 * PAIRS]) if len(codes) >= 2 * PAIRS else None
  if between is not None:
    shown = subject.decode(between.reshape(-1, *between.shape[2:]))
    between = shown.reshape(*between.shape[:2], *shown.shape[1:])
  reconstructed = reconstruction.Reconstructed(
    data=subject.data, levels=subject.levels, train=train['example'], real=subject.decode(x),
    made=subject.decode(made), code=_code(parts, codes, scale), between=between,
  )
  yield from reconstruction.Reconstruction(
    reconstructed, eyes, attempt=subject.attempt, tell=subject.tell
  ).sections()


def _eyes(parts, subject, train, places):
  """{short name: features}: of pictures with labels a classifier, read or kept in places as
  eyes.remembered has it, and of others components of their pixels."""
  if train['label'].min() < 0 or len(np.unique(train['label'])) < 2:
    return {'components': features.components(train['example'], levels=subject.levels)}
  subject.tell('trains a classifier of real images')
  test = reference_lib.read(subject, subject.split)
  return {'convolutional': eyes_lib.remembered(places, parts.coded.fingerprint, lambda: (
    convolutional.fit(*(one[key] for one in (train, test) for key in ('example', 'label')),
                      levels=subject.levels)
  ))}


def _published(parts):
  """{short name: features} of the networks of others that config.eval names; raises ValueError
  where one cannot be had, or looks at no such data."""
  chosen, facts, found = parts.config.eval, parts.source.facts, {}
  shape = facts.shape if parts.spec.medium == 'image' else ()
  wanted = {
    'inception': chosen.inception,
    published.EFFICIENTNET: published.EFFICIENTNET if chosen.efficientnet else '',
  }
  for name, which in wanted.items():
    if which:
      try:
        found[name] = published.network(which, facts.levels, shape)
      except ValueError as error:
        shown = values.shown(chosen[name])
        raise ValueError(f'config.eval.{name}={shown}: {error}') from error
  return found


def _code(parts, codes, scale):
  """Codes as the page takes them, vectors less their mean and over their deviation."""
  quantiser, grid = parts.autoencoder.quantiser, parts.autoencoder.coder.code_grid
  if quantiser.kind.discrete:
    return coded.Codes(codes, quantiser.kind.vocab, quantiser.scales(grid))
  mean, std = scale
  return coded.Latents(((codes - mean) / std).reshape(len(codes), *grid, -1))
