"""What every walk with a cache has: a network, the blocks and the plan, and how a step is made."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from adiff.nn import network as network_lib
from adiff.process import base as process_base
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib


@dataclasses.dataclass(frozen=True, eq=False)
class Walker:
  """Arguments as in walk.sample.

  bind: parameters -> Denoise, condition and guidance included.
  """

  network: network_lib.Network
  bind: Callable[[Any], ask_lib.Denoise]
  plan: plan_lib.Plan
  blocks: blocks_lib.Blocks
  process: process_base.Process
  solver: solvers_base.Solver
  coords: jax.Array
