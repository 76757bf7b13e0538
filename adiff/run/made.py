"""Evaluation of a network that makes examples in one call and has no likelihood: as evaluate.py,
but for the bound, in whose place the energy distance of samples and held-out tokens stands."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from adiff.judge import subset
from adiff.judge.metrics import energy
from adiff.run import build, generate
from adiff.run import evaluate as evaluate_lib
from adiff.run import subject as subject_lib
from adiff.sequence import conditions

BEST = 'energy'  # by which checkpoints are ranked

restore, preview = evaluate_lib.restore, evaluate_lib.preview


class Distance:
  """How far as many samples as a report makes at a time are from as many held-out examples."""

  def __init__(self, parts: build.Parts, sampler):
    self._parts, self._sampler = parts, sampler

  def __call__(self, params, *, samples=1, progress=False) -> dict:
    """{BEST, 'num_examples'}; equal noise at every call."""
    del samples, progress  # of a bound
    parts, num = self._parts, subject_lib.batch_size(self._parts)
    split = parts.config.eval.split
    chosen = np.resize(subset.spread(parts.coded.size(split), num), num)
    real = parts.coded.examples(split, chosen)
    keys = generate.example_keys(parts.config.seed, 0, num)
    made, _ = self._sampler(params, keys, real[conditions.LABEL])
    made = parts.blocks.to_raster(np.asarray(made))
    return {BEST: energy.distance(real['tokens'], made), 'num_examples': num}


class Programs(NamedTuple):
  """As evaluate.Programs."""

  bound: Distance
  sampler: Callable
  further: tuple = ()

  @classmethod
  def of(cls, parts: build.Parts, mesh) -> 'Programs':
    sampler = generate.make_sampler(parts, mesh=mesh)
    return cls(Distance(parts, sampler), sampler)

  def trace(self, parts: build.Parts, mesh, params) -> None:
    """Raises what cannot be computed. params: ShapeDtypeStructs."""
    self.sampler.trace(params, *generate.abstract(parts, mesh, subject_lib.batch_size(parts)))


def check(parts: build.Parts) -> None:
  """Raises ValueError for a config whose report cannot be made."""
  asked = parts.config.eval
  if asked.orders > 1 or asked.ode:
    raise ValueError(
      f'recipe {parts.config.recipe.name} has no likelihood; write eval.orders=0 and eval.ode=0'
    )
  if subject_lib.batch_size(parts) < 2:
    raise ValueError(f'config.eval.num={asked.num} samples have no distance; write 2 or more')
  evaluate_lib.check(parts)


def rate(programs: Programs, params) -> dict:
  """{BEST: ..}."""
  return {BEST: programs.bound(params)[BEST]}


def evaluate(parts: build.Parts, params, workdir, *, mesh, programs=None, **how) -> dict:
  """As evaluate.evaluate."""
  programs = Programs.of(parts, mesh) if programs is None else programs
  return evaluate_lib.evaluate(parts, params, workdir, mesh=mesh, programs=programs, **how)


def said(report) -> str:
  """The distance of a report in a line."""
  return f'{report["split"]} energy distance {report["numbers"][BEST]:.4g}'
