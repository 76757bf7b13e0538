"""The process's own first-order step: DDIM / Euler or ancestral for gaussian noise, ancestral for
symbols."""

import dataclasses

from adiff.sample.solvers import base


@dataclasses.dataclass(frozen=True)
class FirstOrder(base.Solver):
  """One call a step."""

  as_process = True

  def init(self, x):
    return ()

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    return process.step(key, narrow(out), x, t, s), memory
