"""Distilled decoding: a student makes all tokens of noise, in one or two calls, as an
autoregressive teacher makes them of the same noise one by one (Liu et al. 2024, arXiv:2412.17153,
algorithm 1).

The teacher's next-token laws and the noise of the tokens decide every one of them
(process/code_flow.py): a map of noise sequences to token sequences, without anything random, whose
samples are of the teacher's law. In every update the teacher walks through a batch of noise, and
the student is asked what came of it: of all tokens masked, and of the first ones known, as a plan
of `steps` calls has them. Data tells its conditions alone.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from adiff.learn import base, student
from adiff.learn import loss as loss_lib
from adiff.learn import setting as setting_lib
from adiff.nn import network as network_lib
from adiff.sample import session
from adiff.sample.solvers import base as solvers_base
from adiff.sample.solvers import code_flow, decoded
from adiff.sequence import ask as ask_lib
from adiff.sequence import plan as plan_lib
from adiff.sequence import values

_traced_once = functools.partial(jax.jit, static_argnums=0)  # as in plain.py


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class DistilledDecoding(student.Taught):
  """solver: of sampling; flow: steps of the teacher's flow from noise to a token; steps: calls a
  block whose states are learnt: sampling takes as many, or a number that divides it."""

  solver: solvers_base.Solver
  flow: values.Count = 16
  steps: values.Count = 1

  denoises = False
  asks = 1
  flows = False
  spaced = True

  def needs(self, parts):
    super().needs(parts)
    student.needs_teacher(self, parts)
    if network_lib.NOISE not in self.solver.hints:
      raise ValueError(
        'recipe distilled_decoding makes tokens of the noise that they are shown; write '
        "solver.name=decoded and model.hinted='beside'"
      )
    if len(self.plain.blocks) > 1 or self.plain.blocks[0].history != 0:
      raise ValueError(
        'recipe distilled_decoding teaches one walk over clean tokens; write train.block_sizes=() '
        'and history=0.0'
      )
    if self.plain.lessons:
      raise ValueError(
        'recipe distilled_decoding learns of walks that it makes itself, and no lesson changes '
        'those; leave the defaults of train.given, random_length and the like'
      )
    for steps in sorted({*parts.plan.budgets, *parts.config.eval.steps}):
      if self.steps % steps:
        raise ValueError(
          f'recipe.steps={self.steps} learns to make a block in so many calls, or in a number that '
          f'divides it, not in {steps}; write plan.steps={self.steps} and eval.steps=()'
        )

  def check_taught(self, found):
    theirs, own = found.blocks[0], self.plain.blocks[0]
    if set(theirs.sizes) != {1} or theirs.history != 0 or theirs.order != own.order:
      raise ValueError(
        f'config.recipe.teacher={self.teacher} is no autoregressive model of these tokens in this '
        'order; name a run with blocks.name=tokens and history=0.0'
      )

  @_traced_once
  def update(self, state, batch, key):
    share = functools.partial(self.share, state)
    grads, scalars = self.plain.gradient(state.params[base.DENOISER], batch, key, share)
    calls = len(batch['tokens']) * self.taught.branches * self.plain.blocks[0].num_tokens
    scalars['teacher_calls'] = (state.step + 1).astype(jnp.float32) * calls
    return self.plain.moved(state, grads, scalars)

  def share(
    self, state, params, rows, key, index=0, whole=None
  ) -> tuple[jax.Array, dict[str, loss_lib.Mean]]:
    """(loss [], {name: Mean}) of a micro-batch, see Plain.share: nats of the teacher's tokens."""
    key_cond, key_drop, key_noise, key_level, key_past = jax.random.split(key, 5)
    cond = self.plain.cond(rows, key_cond)
    keys = jax.random.split(key_noise, len(rows['tokens']))
    codes, noise = self.mapped(state.params[base.TEACHER], keys, cond)
    asked = setting_lib.Setting.of(self.plain, {'tokens': codes}, key_past, index)
    t = self.grid(self.steps)[jax.random.randint(key_level, asked.shape, 1, self.steps + 1)]
    x = jnp.where(self.hidden(t), asked.process.mask_id, codes)
    denoise = _shown(self.plain.under(params, cond, key_drop), noise)
    error = asked.process.loss(asked.out(denoise, x, t), codes, x, asked.blocks.per_token(t))
    return asked.mean(error, t, whole)

  def mapped(self, params, keys, cond) -> tuple[jax.Array, jax.Array]:
    """(tokens [B, N], noise [B, N, D]) of the teacher, whose parameters these are; keys [B], one an
    example, as in sampling."""
    taught = self.taught
    blocks = taught.blocks[0]
    walked = session.Session(
      taught.model, lambda params: taught.denoise(params, cond),
      plan_lib.Plan(blocks.num_blocks, 1), blocks, taught.process,
      code_flow.CodeFlow(self.solver.hints[network_lib.NOISE], self.flow), self.plain.coords,
      narrow=taught.narrow, caches=taught.branches if taught.history_cond else 1,
    )
    made = walked.finish(params, walked.start(keys))
    return made.x, made.memory

  def hidden(self, t) -> jax.Array:
    """bool [B, N]: the tokens that are masked where blocks are at levels t [B, K]: the last ones of
    each."""
    blocks = self.plain.blocks[0]
    sizes = jnp.asarray(blocks.sizes, jnp.int32)[None]
    place = np.arange(blocks.num_tokens) - blocks.first_token[:-1][blocks.block_of_token]
    known = blocks.per_token(sizes - decoded.left(t, sizes))
    return jnp.asarray(place, jnp.int32)[None] >= known


def _shown(denoise, noise) -> ask_lib.Denoise:
  """`denoise` that is shown the noise [B, N, D] of working tokens, as solver decoded shows it."""

  def trunk(ask):
    slots = ask.slots
    index = jnp.broadcast_to(slots.token, ask.x.shape[:2])[..., None]
    own = jnp.take_along_axis(noise, index, axis=1)
    own = jnp.where(jnp.broadcast_to(slots.stream == 0, ask.x.shape[:2])[..., None], own, 0)
    return denoise.trunk(dataclasses.replace(ask, hint={**ask.hint, network_lib.NOISE: own}))

  return denoise._replace(trunk=trunk)
