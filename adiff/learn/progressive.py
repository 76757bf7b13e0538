"""Progressive distillation: one step of a student makes what two of its teacher make (Salimans & Ho
2022, arXiv:2202.00512, algorithm 2).

In stages of `first`, half of that, .. `last` steps a block. The first stage learns from the
teacher; each later one from the average of the student as the stage before left it. Levels are
those of a sampler of so many steps with the config's spacing; with gaussian's prediction v and
weight plain the error is the paper's "SNR + 1". Sampled by flow_map, or first_order where the
network is told t alone.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from adiff.learn import base, student
from adiff.sequence import turns, values

_BEFORE = 'before'  # role of the student as the stage before left it
_traced_once = functools.partial(jax.jit, static_argnums=0)  # as in plain.py


@dataclasses.dataclass(frozen=True, eq=False)
class Progressive(student.Student):
  """first, last: steps a block of the first stage and of the last, see above; stage: updates of a
  stage, of which the last one takes what is left."""

  first: values.Count = 4
  last: values.Count = 1
  stage: values.Count = 1000

  asks = 2
  spaced = True

  def needs(self, parts):
    super().needs(parts)
    student.needs_teacher(self, parts)
    if self.first != self.last * 2 ** (self.stages - 1):
      raise ValueError(
        f'recipe.first={self.first} steps are halved down to recipe.last={self.last}; write a '
        'power of two times that'
      )
    if parts.config.train.steps <= self.stage * (self.stages - 1):
      raise ValueError(
        f'recipe.stage={self.stage} updates leave none of train.steps={parts.config.train.steps} '
        f'for the last of {self.stages} stages; write fewer'
      )

  @property
  def stages(self) -> int:
    """How often a network learns from another one."""
    return max(self.first // self.last, 1).bit_length()

  def asked_until(self, step):
    return step if self.stages == 1 else jnp.minimum(step, self.stage)

  @_traced_once
  def init(self, key):
    state = super().init(key)
    if self.stages == 1:
      return state
    before = jax.tree.map(jnp.array, state.params[base.DENOISER])
    return state.replace(params={**state.params, _BEFORE: before})

  @_traced_once
  def update(self, state, batch, key):
    if self.stages > 1:
      begins = (state.step > 0) & (state.step % self.stage == 0)
      begins &= state.step < self.stage * self.stages
      before = jax.tree.map(
        lambda new, old: jnp.where(begins, new, old), self.served(state), state.params[_BEFORE]
      )
      state = state.replace(params={**state.params, _BEFORE: before})
    return super().update(state, batch, key)

  def error(self, networks, state, setting, draw, key):
    key_level, key_noise = jax.random.split(key)
    now = jnp.minimum(state.step // self.stage, self.stages - 1)
    half, steps = 2**now, self.first // 2**now
    index = student.place(draw(key_level, setting.shape), steps)
    grid = self.grid(2 * self.first)
    t, middle, s = (grid[(2 * index - back) * half] for back in range(3))
    x = setting.noised(key_noise, t)

    def two_steps(denoise, process, maps):
      there = setting.step(denoise, process, x, t, middle, ahead=maps)
      return setting.step(denoise, process, there, middle, s, ahead=maps)

    def taught():
      return two_steps(networks.teacher, self.taught.process, self.taught.model.maps)

    def before():
      return two_steps(networks.of(state.params[_BEFORE]), setting.process, self.plain.model.maps)

    def ended():
      with turns.branch('taught', 1 / self.stages):  # as if all stages had one length
        return jax.lax.cond(now == 0, taught, before)

    end = taught() if self.stages == 1 else ended()
    target = setting.between(x, end, t, s)
    out = setting.out(networks.student, x, t, s if self.plain.model.maps else None)
    return setting.error(out, target, x, t), t
