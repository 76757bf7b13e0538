"""How good the checkpoints of a run are, in a file beside them: they are saved before they are
measured.

  workdir/checkpoints/measured.json   {"300": {"nats": 6.1}, ..}
"""

import math
import os

from adiff.machine import files, hosts, input_file, json_file, manifest, storage


def path(workdir) -> str:
  """The file of a workdir."""
  return os.path.join(manifest.root(workdir), 'measured.json')


def best(workdir) -> int:
  """The step of the checkpoint whose number is the smallest, of those that are there; all of a run
  are measured by the same. Raises ValueError where none was measured."""
  there, known = manifest.steps(workdir), _read(path(workdir))
  values = {step: next(iter(told.values()), None) for step, told in known.items() if step in there}
  ranked = [step for step, value in values.items() if value is not None]
  if not ranked:
    raise ValueError(
      f'no checkpoint in {manifest.root(workdir)} was measured while it was trained '
      f'(train.eval_every), so none is the best; write --step=N, one of '
      f'{", ".join(map(str, there)) or "none"}'
    )
  return min(ranked, key=values.get)


class Measured:
  """What was measured of each step, and which one is the best; a policy of orbax that keeps that.

  best: the metric that is compared, the smallest (mode 'min') or the largest ('max'); None: none is
  kept for it. Every process holds the same; the first one writes. Raises ValueError for a file that
  holds something else.
  """

  def __init__(self, workdir, best: str | None, mode: str = 'min'):
    self._workdir, self._best, self._mode = workdir, best, mode
    self._steps = _read(path(workdir))

  def __contains__(self, step: int) -> bool:
    return step in self._steps

  def add(self, step: int, metrics: dict[str, float]) -> None:
    """Writes down what was measured of a checkpoint. Raises ValueError for metrics without the one
    that is compared, OSError where it cannot be written."""
    if self._best is not None and self._best not in metrics:
      raise ValueError(
        f'the best checkpoint is chosen by {self._best!r}, which is not among the metrics '
        f'{sorted(metrics)}; name one of these'
      )
    there = manifest.steps(self._workdir)
    self._steps = {old: known for old, known in self._steps.items() if old in there}
    self._steps[step] = {
      name: float(value) if math.isfinite(value) else None for name, value in metrics.items()
    }
    self._write()

  def forget(self, step: int) -> None:
    """Drops what an earlier life of this step was."""
    if self._steps.pop(step, None) is not None:
      self._write()

  def should_preserve(self, checkpoints, *, context) -> list[bool]:
    """Which of orbax's checkpoints is the best of those that were measured; see its
    PreservationPolicy."""
    del context
    values = {one.step: self._value(one.step) for one in checkpoints}
    ranked = [step for step, value in values.items() if value is not None]
    best = min(ranked, key=values.get, default=None)
    return [one.step == best for one in checkpoints]

  def _value(self, step):
    """The metric, made so that small is good; None where it was not measured or is not finite."""
    value = self._steps.get(step, {}).get(self._best)
    return None if value is None else value if self._mode == 'min' else -value

  def _write(self):
    if hosts.first():
      files.write_json(path(self._workdir), {str(step): self._steps[step] for step in self._steps})


def _read(place):
  """{step: metrics}; nothing where there is no file."""
  if not storage.exists(place):
    return {}
  advice = 'delete it, and the newest checkpoints alone are kept'
  steps = {}
  for name, known in json_file.read(place, {str: {str: float | None}}, advice=advice).items():
    step = manifest.step_of(name)
    if step is None:
      raise input_file.Unreadable(f'{place} has {name!r}, which is no step; {advice}')
    steps[step] = known
  return steps
