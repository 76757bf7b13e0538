"""Symbols that noise decides: the law of an autoregressive model, sampled by a deterministic map of
noise (process/code_flow.py)."""

import dataclasses

import jax.numpy as jnp

from adiff.process import code_flow
from adiff.sample.solvers import base
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class CodeFlow(base.Solver):
  """A masked token becomes what the flow makes of its noise of `dim` floats, in `steps` steps; that
  noise, the solver's memory, is a function of (example, token)."""

  dim: values.Count = 4
  steps: values.Count = 16

  def needs(self, parts):
    needs_masks(self, parts)
    if max(parts.plan.budgets) > 1:
      raise ValueError(
        'solver code_flow makes all tokens of a block in one step; write plan.steps=1, with '
        'blocks.name=tokens for the law of the data'
      )

  def begun(self, x, keys):
    return code_flow.noise(keys, self.dim)

  def init(self, x):
    return jnp.zeros((*x.shape[:2], self.dim), jnp.float32)

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    codes = code_flow.vectors(process.vocab, self.dim)
    made = code_flow.symbols(narrow(out), memory, codes, self.steps)
    return jnp.where((s < t) & (x == process.mask_id), made, x), memory


def needs_masks(solver, parts) -> None:
  """Refuses noise that is not the mask alone, and several kinds of tokens."""
  if parts.spec.by_kind or not parts.process.absorbing:
    raise ValueError(
      f'solver {type(solver).__name__} makes symbols of masks; write process.name=masked and one '
      'kind of tokens, or solver first_order'
    )
