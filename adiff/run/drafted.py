"""The network that drafts for another one: a workdir, which is read and left as it is."""

from typing import Any

import numpy as np

from adiff.machine import checkpoint, cost
from adiff.nn import network
from adiff.run import build, kept
from adiff.run import workdir as workdir_lib
from adiff.sample import speculative
from adiff.sequence import conditions


def load(parts: build.Parts) -> speculative.Reader:
  """The draft of a config, with its averaged parameters at the newest step. Raises ValueError where
  the workdir holds none, or one that makes other tokens."""
  own, params = opened(parts.config.speculative.draft)
  draft = reader(own.at(parts.config.plan.size), params)
  speculative.check(reader(parts, None), draft)
  return draft


def opened(workdir) -> tuple[build.Parts, Any]:
  """The parts of a workdir, and its averaged parameters at the newest step."""
  own = kept.parts(workdir, workdir_lib.load(workdir))
  _, params = checkpoint.restore_params(workdir, cost.params(own))
  return own, params


def reader(parts: build.Parts, params: Any) -> speculative.Reader:
  """The network of parts as one example is asked; params None: it is only looked at."""
  denoise = None
  if params is not None:
    denoise = network.condition(
      parts.recipe.network(params, loops=True), {conditions.LABEL: np.full(1, -1, np.int32)},
      history_cond=parts.history_cond,
    )
  return speculative.Reader(
    parts.model, denoise, parts.blocks, parts.spec.coords, parts.process
  )
