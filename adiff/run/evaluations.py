"""Where an evaluation goes, and of which checkpoints it is.

  WORKDIR/               the run's own page: its newest checkpoint, with its own settings
  WORKDIR/eval/STEP/     every checkpoint with these settings: --mode=follow, --step=all
  WORKDIR/evals/NAME/    anything else, unless --out says another folder; NAME says what is changed
"""

import dataclasses
import functools
import os
import re
from typing import Any

import jax

from adiff.machine import cost, files, hosts, manifest, measured, sharding, storage, weights
from adiff.run import (
  build,
  curves,
  division,
  follow,
  growing,
  output,
  places,
  references,
  roles,
)
from adiff.run import workdir as workdir_lib

BEST, ALL = 'best', 'all'
_LONGEST = 80  # letters of a name


def steps(workdir, text) -> tuple[int | None, ...]:
  """The checkpoints that --step names, ascending: N, N,M,.., best (by what was measured while the
  run was trained) or all; None: (None,), the newest. Raises ValueError for one that is not there.
  """
  if text is None:
    return (None,)
  if text == BEST:
    return (measured.best(workdir),)
  there = manifest.sealed(workdir) if text == ALL else manifest.steps(workdir)
  if not there and weights.there(workdir):
    there = [weights.step(workdir)]
  chosen = there if text == ALL else sorted({int(step) for step in text.split(',')})
  missing = [step for step in chosen if step not in there]
  if missing or not chosen:
    what = f'checkpoint of step {missing[0]}' if missing else 'checkpoint'
    raise ValueError(
      f'there is no {what} in {manifest.root(workdir)}; it has '
      f'{", ".join(map(str, there)) or "none"}'
    )
  return tuple(chosen)


def several(text) -> bool:
  """Does --step name several checkpoints, which hosts share?"""
  return text is not None and (text == ALL or ',' in text)


def one(workdir, text) -> int | None:
  """The checkpoint that --step names where one is asked for; raises ValueError for several."""
  if several(text):
    raise ValueError(f'--step={text} names several checkpoints, which eval takes; here write N')
  (step,) = hosts.by_first(lambda: steps(workdir, text))
  return division.step(workdir, step)


def place(workdir, out, changes, several) -> str:
  """The folder of an evaluation, in which several checkpoints are a folder each. changes: the flags
  that make it another than the run's own.

  Raises ValueError for `out` that belongs to something else, OSError where it cannot be written.
  """
  changes = [flag for flag in changes if not (several and flag.startswith('--step='))]
  if out is None and not changes:
    chosen = follow.place(workdir) if several else workdir
  elif out is None:
    chosen = os.path.join(workdir, output.EVALUATIONS, name(changes))
  else:
    chosen = out
  if out is not None or changes:
    output.check_evaluation(chosen, (*growing.NAMES, *curves.NAMES, *follow.NAMES))
  else:
    output.check_writable(workdir)
  return chosen


def name(changes) -> str:
  """The name of a folder that says what is changed: ['--set=plan.steps=4', '--average=raw'] ->
  'plan.steps=4,average=raw'."""
  words = ','.join(flag.removeprefix('--set=').removeprefix('--') for flag in changes)
  plain = re.sub(r'[^\w.,=@-]+', '_', words).strip('._')
  return plain if plain == words and len(plain) <= _LONGEST else (
    f'{plain[:_LONGEST]}-{files.digest(words)[:8]}'
  )


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """A run whose checkpoints are evaluated."""

  workdir: str
  parts: build.Parts
  mesh: jax.sharding.Mesh
  placed: Any  # its parameters, as ShapeDtypeStructs with shardings
  average: str = 'ema'  # or raw: the last parameters
  changes: tuple[str, ...] = ()  # flags of the command that differ from the run's own settings

  @functools.cached_property
  def _other_data(self):
    """Are the data others than those of the training?"""
    return self.parts.original.coded.fingerprint != workdir_lib.trained_on(self.workdir)

  def evaluate(self, text, out) -> str:
    """Evaluates the checkpoints that --step names; returns the path of the page. All hosts of a job
    call it: they make one evaluation together, or share several."""
    changes = [
      flag for flag in self.changes if self._other_data or not flag.startswith('--data=')
    ]
    top = hosts.by_first(lambda: place(self.workdir, out, changes, several(text)))
    if not several(text):
      step, folder = one(self.workdir, text), None if top == self.workdir else top
      hosts.agree(lambda: storage.make_folder(top))
      return self._measure(step, folder, top)['report']
    chosen = hosts.by_first(lambda: steps(self.workdir, text))
    follow.each(
      self.workdir, top, chosen, functools.partial(self._measure, top=top), self._settings,
      share=functools.partial(sharding.working, self.mesh),
    )
    return hosts.by_first(lambda: curves.write(top, sorted(follow.done(top))))

  def follow(self) -> None:
    """Evaluates every checkpoint while the run is trained."""
    top = follow.place(self.workdir)
    follow.follow(
      self.workdir, self.parts.config.train.steps, functools.partial(self._measure, top=top),
      self._settings, lambda: curves.write(top, sorted(follow.done(top))),
      share=functools.partial(sharding.working, self.mesh),
    )

  @property
  def _settings(self):
    """What evaluations of several checkpoints follow from; how the run learns changes nothing."""
    more = {} if self.average == 'ema' else {'average': self.average}
    more |= {'other_data': self.parts.coded.fingerprint} if self._other_data else {}
    config = places.without(workdir_lib.as_json(self.parts.config))
    return {**config, 'train': None, **more}

  @functools.cached_property
  def _flops(self):
    """Of a step of training: the same at every checkpoint."""
    return cost.training(self.parts)

  @property
  def _measuring(self):
    return roles.measuring(self.parts)

  @functools.cached_property
  def _programs(self):
    return self._measuring.Programs.of(self.parts, self.mesh)

  def _measure(self, step, folder, top):
    """Evaluates a checkpoint into a folder (None: the workdir) of `top`; returns the report."""
    several = folder is not None and folder != top
    step, params = self._measuring.restore(
      self.workdir, self.placed, step=step, ema=self.average == 'ema'
    )
    flops = self._flops
    flags = [flag for flag in self.changes if not flag.startswith('--step=')]
    named = any(flag.startswith('--step=') for flag in self.changes)
    with jax.set_mesh(self.mesh):
      report = self._measuring.evaluate(
        self.parts, params, self.workdir, step=step, mesh=self.mesh, folder=folder,
        kept=os.path.join(top, references.FILE), flops_per_step=flops, progress=hosts.first(),
        average=self.average, other_data=self._other_data, programs=self._programs,
        again=[*flags, f'--step={step}'] if several or named else flags,
      )
    hosts.say(f'step {step}, {self._measuring.said(report)}')
    return report
