"""Shortcut models: a step is what two steps of half its size make (Frans et al. 2024,
arXiv:2410.12557, algorithm 1; over blocks, Dreamer 4, arXiv:2509.24527).

A share of the blocks learns the flow, s = t, by the plain loss; the others a step d in 2 / finest,
4 / finest, .. 1 that ends where two steps d / 2 of the network's average do. The smallest half is
the denoiser's own step. With a teacher, that step and the flow are the teacher's. Sampled by
flow_map, in any number of steps that divides `finest`.
"""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.learn import student
from adiff.sequence import values


@dataclasses.dataclass(frozen=True, eq=False)
class Shortcut(student.Student):
  """finest: steps a block of the smallest step, a power of two; levels are those of so many steps
  with the config's spacing. flow: share of blocks that learn it. ramp: weigh an error by 0.1 + 0.9
  alpha, more where less is noise."""

  finest: values.Count = 32
  flow: values.Share = 0.75
  ramp: bool = False

  spaced = True

  @property
  def asks(self):
    return 2 if self.teacher else 0

  def needs(self, parts):
    super().needs(parts)
    student.needs_map(self, parts)
    if self.finest.bit_count() > 1 or self.finest < 2:
      raise ValueError(f'recipe.finest={self.finest} must be a power of two, such as 32')

  def error(self, networks, state, setting, draw, key):
    key_flow, key_which, key_size, key_place, key_noise = jax.random.split(key, 5)
    sizes = self.finest.bit_length() - 1
    half = 2 ** jax.random.randint(key_size, setting.shape, 0, sizes)
    place = student.place(draw(key_place, setting.shape), self.finest // (2 * half))
    grid = self.grid(self.finest)
    t, middle, s = (grid[(2 * place - back) * half] for back in range(3))
    flow = jax.random.uniform(key_which, setting.shape) < self.flow
    level = draw(key_flow, setting.shape)
    t, middle, s = (jnp.where(flow, level, own) for own in (t, middle, s))
    x, finest = setting.noised(key_noise, t), half == 1

    def taught(x, t, s):
      ahead = s if self.taught.model.maps else None
      return setting.estimate(networks.teacher, self.taught.process, x, t, ahead)

    def step(x, t, s, known):
      x0 = setting.estimate(networks.average, setting.process, x, t, jnp.where(finest, t, s))
      x0 = setting.where(finest, known, x0) if self.teacher else x0
      return setting.moved(x0, x, t, s)

    known = taught(x, t, middle) if self.teacher else setting.x0
    there = step(x, t, middle, known)
    end = step(there, middle, s, taught(there, middle, s) if self.teacher else None)
    target = setting.where(flow, known, setting.between(x, end, t, s))
    error = setting.error(setting.out(networks.student, x, t, s), target, x, t)
    if self.ramp:
      alpha, _ = setting.process.scales(setting.blocks.per_token(t))
      error *= 0.1 + 0.9 * alpha[..., 0]
    return error, t
