"""Steps of a network that reads its own earlier states (ARD, Kim et al. 2025, arXiv:2504.11295)."""

import dataclasses

from adiff.sample.solvers import base, ode


@dataclasses.dataclass(frozen=True)
class Trajectory(base.Solver):
  """x_s = move(x_t, x0_hat(network(x_t and the states before it)), t, s), see learn/trajectory.py;
  deterministic, one call a step, whose keys later ones read."""

  keeps = True

  def needs(self, parts):
    ode.needs_ode(self, parts.process)
    if not parts.recipe.keeps:
      raise ValueError(
        'solver trajectory shows a network the states before, which this one has not learnt to '
        'read; write recipe.name=trajectory, or solver.name=multistep'
      )

  def init(self, x):
    return ()

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    return process.move(x, process.estimate(out, x, t), t, s), memory
