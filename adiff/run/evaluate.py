"""Evaluation: the bound on held-out data, what a judge says of samples, and the page of both.

The page is written anew with every section that is made, the bound first: see run/growing.py.
"""

import dataclasses
import functools
import os
import re
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from adiff.judge import base as judge_base
from adiff.judge import bound as bound_section
from adiff.judge import likelihood, planned, training
from adiff.judge.page import images
from adiff.machine import checkpoint, logs, storage
from adiff.run import attempts as attempts_lib
from adiff.run import (
  build,
  choose,
  estimates,
  few_steps,
  generate,
  loss_profile,
  overrides,
  references,
  sequences,
)
from adiff.run import growing as growing_lib
from adiff.run import subject as subject_lib
from adiff.run import workdir as workdir_lib
from adiff.sequence import values

BEST = 'nats'  # by which checkpoints are ranked
_ASKED = 'features', 'samplers', 'structure'  # keys of config.eval that some judges know


class Bound:
  """The bound on a split, compiled once."""

  def __init__(self, parts: build.Parts, mesh):
    self._parts, self._estimate = parts, estimates.bound(parts, mesh)

  def trace(self, params) -> None:
    """As Estimate.trace."""
    self._estimate.trace(params)

  def samples(self, params, *, samples, progress=False) -> likelihood.Sample:
    """Each [n, samples, K], of the config's split; equal noise at every call."""
    return self._estimate.samples(params, samples=samples, progress=progress)

  def __call__(self, params, *, samples, progress=False) -> dict:
    """likelihood.summary of `samples`, and what kind of number it is."""
    parts = self._parts
    found = self.samples(params, samples=samples, progress=progress)
    return {
      **likelihood.summary(*found, dims=parts.spec.dims),
      'is_likelihood': likelihood.is_exact(parts.blocks, parts.process, parts.reveals),
      'dequantisation': dequantisation(parts),
    }


def dequantisation(parts) -> str:
  """What kind of number the bound is, in words."""
  return '; '.join(dict.fromkeys(map(_dequantisation, parts.spec.kinds)))


def _dequantisation(kind):
  if kind.discrete:
    return 'symbols: a probability'
  if kind.bin is None:
    return 'continuous data: a density'
  step = f'{kind.bin:.4g}'
  return f'values on a lattice of step {step}, read through a normal on that lattice: a probability'


class Programs(NamedTuple):
  """What a report computes, each traced once: in training, before the first step."""

  bound: Bound
  sampler: Callable  # generate.make_sampler as the config says
  further: tuple = ()  # estimates.further

  @classmethod
  def of(cls, parts: build.Parts, mesh) -> 'Programs':
    further = estimates.further(parts, mesh)
    return cls(Bound(parts, mesh), generate.make_sampler(parts, mesh=mesh), further)

  def trace(self, parts: build.Parts, mesh, params) -> None:
    """Raises what cannot be computed. params: ShapeDtypeStructs."""
    self.bound.trace(params)
    for one in self.further:
      one.trace(params)
    self.sampler.trace(params, *generate.abstract(parts, mesh, subject_lib.batch_size(parts)))


def restore(workdir, placed, *, step, ema) -> tuple[int, Any]:
  """(step, what is served), as checkpoint.restore_params."""
  return checkpoint.restore_params(workdir, placed, step=step, ema=ema)


def rate(programs: Programs, params) -> dict:
  """The bound, of one draw of noise."""
  bound = programs.bound(params, samples=1)
  return {name: bound[name] for name in ('nats', 'per_block')}


def preview(parts, programs: Programs) -> Callable:
  """params -> {name: picture}: a few samples on the way, of image sets."""
  levels = parts.source.facts.levels
  if parts.spec.medium != 'image' or not levels:
    return lambda params: {}
  num = 20
  labels = generate.balanced_labels(parts.spec.num_classes, 0, num)

  def preview(params):
    keys = generate.example_keys(parts.config.seed, 0, num)
    made, _ = programs.sampler(params, keys, labels)
    tokens = parts.blocks.to_raster(np.asarray(made))
    if not np.all(np.isfinite(tokens)):
      return {}
    return {'samples': images.grid(parts.coded.decode(tokens), levels)}

  return preview


def title(parts) -> str:
  """The report's."""
  name = parts.config.name
  return name if name.strip() else parts.config.data.name


def check(parts) -> None:
  """Raises ValueError for a config whose report cannot be made: training asks before it begins."""
  for name, without in (('inception', ''), ('efficientnet', False)):
    if parts.config.eval[name]:
      raise ValueError(
        f'config.eval.{name} measures what a trained codec reconstructs, and this run makes '
        f'samples; write eval.{name}={without!r}, and judge them with --mode=judge --features'
      )
  judge = judge_of(parts)
  judge.needs(parts)
  for name in _ASKED:
    if parts.config.eval[name] and not choose.takes('judge', _judge_name(parts), name):
      raise ValueError(
        f'config.eval.{name} is measured by another judge than that of {parts.spec.medium}; '
        f'write eval.{name}={type(parts.config.eval[name])()!r}'
      )
  estimates.check(parts)
  for steps in judge.steps:
    try:
      sequences.plan(parts.config, parts.blocks, steps=steps).needs(parts)
    except ValueError as error:
      raise ValueError(f'config.eval.steps: {steps}: {error}') from error


def samplers(parts) -> tuple[tuple[str, int | None], ...]:
  """(solver, steps or None) of each of config.eval.samplers.

  Raises ValueError for one that cannot sample.
  """
  chosen = []
  for written in parts.config.eval.samplers:
    name, at, steps = written.partition('@')
    if at and not re.fullmatch('[1-9][0-9]{0,8}', steps):
      raise ValueError(
        f'config.eval.samplers: {values.shown(written)}: write NAME(key=value)@STEPS, STEPS >= 1'
      )
    try:
      if name != overrides.BUDGET:
        arranged = overrides.arrange(
          parts.config, '', solver=name, steps=int(steps) if steps else None
        )
        build.build(arranged, parts.coded)
      elif not loss_profile.has_profile(parts):
        raise ValueError('budget needs masked noise, equal blocks and rows that are not packed')
    except ValueError as error:
      raise ValueError(f'config.eval.samplers: {values.shown(written)}: {error}') from error
    chosen.append((name, int(steps) if steps else None))
  return tuple(chosen)


def judge_of(parts) -> judge_base.Judge:
  """The judge that the config names, or else the one of the data's medium."""
  config = parts.config
  return choose.resolve(
    'judge', {**config.judge, 'name': _judge_name(parts)},
    samplers=samplers(parts), steps=tuple(config.eval.steps), features=config.eval.features,
    structure=config.eval.structure,
  )


def _judge_name(parts):
  name, medium = parts.config.judge.name, parts.spec.medium
  if name:
    return name
  fitting = [one for one in choose.names('judge') if medium in choose.find('judge', one).media]
  if not fitting:
    raise ValueError(f'no judge knows the medium {medium!r}; name one with --config.judge.name')
  return fitting[0]


def evaluate(
  parts: build.Parts, params, workdir, *, step, mesh, flops_per_step, folder=None, kept=None,
  average='ema', other_data=False, progress=True, programs: Programs | None = None, again=(),
) -> dict:
  """Measures, writes the files, returns what eval.json holds besides the sections, and the path of
  the page as `report`.

  flops_per_step: floating-point operations of a training step. folder: of the files, by default
  the workdir. kept: the file of the statistics of real images, where the workdir has none of these
  data; by default the workdir's. average: whose parameters these are, the average's (ema) or the
  last ones (raw). other_data: are they others than those of the training? programs: those that are
  traced already. again: further flags of the command that repeats it. Raises the first error of a
  measurement once the others are made and written.
  """
  config, programs = parts.config, Programs.of(parts, mesh) if programs is None else programs
  bound = programs.bound(params, samples=config.eval.samples, progress=progress)
  exact = parts.source.exact
  if exact and BEST in bound:
    # A network that is told the label is measured against the law given the label.
    labelled = exact.get('nats_given_label', exact['nats'])
    bound['exact'] = labelled if parts.spec.num_classes else exact['nats']
  told = growing_lib.told(
    title=title(parts), command=command(workdir, again), config=workdir_lib.as_json(config),
    step=step, average=average, split=config.eval.split, data=subject_lib.data(parts),
    other_data=other_data, profile=None,
  )
  attempts = attempts_lib.Attempts()
  own = os.path.join(workdir, references.FILE)
  with subject_lib.telling(progress) as tell:
    subject = subject_lib.make(
      parts, params, mesh, workdir=workdir, bound=bound, sampler=programs.sampler,
      progress=progress, tell=tell, attempt=attempts.made,
      reference=functools.partial(
        references.remembered, (own,) if kept is None else (own, kept), references.source_of(parts)
      ),
    )
    rows = logs.read(workdir) if storage.exists(os.path.join(workdir, logs.FILE)) else []
    growing = growing_lib.Growing(workdir if folder is None else folder, told, attempts, [
      bound_section.of(subject), planned.of(
        parts.plan, parts.blocks, parts.solver, parts.parallel.law
      ),
      training.of(rows, step=step, flops_per_step=flops_per_step),
      *growing_lib.provenance_sections(told),
    ])
    growing.write()
    for one in programs.further:
      found = attempts.value(one.title, functools.partial(one, params, progress=progress))
      if found is not None:
        subject = dataclasses.replace(subject, bound={**subject.bound, one.name: found})
        growing.replace(bound_section.of(subject))
    told['profile'] = attempts.value('Loss profile', subject.profile)
    attempts.value('Report', lambda: growing.take(judge_of(parts).sections(subject)))
    growing.take(few_steps.sections(parts, subject, mesh, rows=rows, flops=step * flops_per_step))
  growing.write(complete=True)
  if attempts.failures:
    raise attempts.failures[0]
  return {**told, 'report': os.path.join(growing.folder, growing_lib.REPORT)}


def command(workdir, again=()) -> str:
  """What a shell takes to repeat an evaluation; again: further flags."""
  return shlex.join(
    ['python', '-m', 'adiff.main', '--mode=eval', f'--workdir={workdir}', *again]
  )


def said(report) -> str:
  """The bound of a report in a line; one example has no interval."""
  nats, interval = (report['numbers'][name] for name in ('nats', 'nats_ci95'))
  width = ' (of one)' if interval is None else f' +- {interval:.3f}'
  return f'{report["split"]} bound {nats:.3f}{width} nats an example'
