"""What a run is about, by the role of the network that its recipe serves: who measures it, and what
can be made of it.

A module that measures has BEST, the number by which checkpoints are ranked, the lowest being best;
check(parts); restore(workdir, placed, step=, ema=), what is served; Programs, of(parts, mesh) and
trace(parts, mesh, params); rate(programs, params), what
is measured on the way; preview(parts, mesh), pictures on the way; evaluate(..), the files; said, a
report in a line.
"""

from types import ModuleType

from adiff.learn import base
from adiff.run import evaluate

MEASURED_BY = {base.DENOISER: evaluate}


def measuring(parts) -> ModuleType:
  """The module that measures what a config stands for."""
  return MEASURED_BY[parts.recipe.role]
