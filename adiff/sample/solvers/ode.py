"""What solvers need that follow the process's ODE, or jump along it."""

from typing import Any

from adiff.process import base as process_base
from adiff.sample.solvers import base


def needs_ode(solver: base.Solver, process: process_base.Process) -> None:
  """Refuses a process without a deterministic `move`."""
  if not process.has_ode:
    name = type(solver).__name__
    raise ValueError(
      f'solver {name} follows an ODE and needs process gaussian; write solver first_order for '
      'symbols'
    )


def needs_map(solver: base.Solver, parts: Any) -> None:
  """Refuses what is no flow map: a process without an ODE, a network that is told t alone."""
  needs_ode(solver, parts.process)
  if not parts.model.maps:
    raise ValueError(
      f'solver {type(solver).__name__} asks the network for another level than its own; train one '
      "with model.told='difference', or write solver.name=multistep"
    )
