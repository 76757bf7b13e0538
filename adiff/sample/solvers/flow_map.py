"""Steps of a flow map: one call goes from t to s, however far (shortcut models, arXiv:2410.12557;
MeanFlow, arXiv:2505.13447)."""

import dataclasses

from adiff.sample.solvers import base, ode


@dataclasses.dataclass(frozen=True)
class FlowMap(base.Solver):
  """x_s = move(x_t, x0_hat(network(x_t, t, s)), t, s), see learn/student.py; deterministic, one
  call a step."""

  def needs(self, parts):
    ode.needs_map(self, parts)

  def ahead(self, x, level, s):
    return s

  def init(self, x):
    return ()

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    return process.move(x, process.estimate(out, x, t), t, s), memory
