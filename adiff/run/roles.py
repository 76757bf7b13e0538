"""What a run is about, by the role of the network that its recipe serves: who measures it, and what
can be made of it.

A module that measures has BEST, the number by which checkpoints are ranked, the lowest being best;
check(parts); restore(workdir, placed, step=, ema=), what is served; Programs, of(parts, mesh) and
trace(parts, mesh, params); rate(programs, params), what is measured on the way; preview(parts,
programs), pictures on the way; evaluate(..), the files; said(report), it in a line.
"""

from types import ModuleType

from adiff.learn import base
from adiff.run import evaluate, made, reconstruct


def check_sampled(parts, where) -> None:
  """Raises ValueError where nothing can be sampled; where: the workdir, or the config."""
  if parts.recipe.role != base.DENOISER:
    raise ValueError(
      f'{where} is about a codec, which samples nothing by itself: --mode=train, eval and follow '
      "take it, and a generator does as codec=dict(name='trained', workdir=..)"
    )


def measuring(parts) -> ModuleType:
  """The module that measures what a config stands for."""
  if parts.recipe.role == base.CODEC:
    return reconstruct
  return evaluate if parts.recipe.denoises else made
