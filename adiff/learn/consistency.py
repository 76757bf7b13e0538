"""Consistency models: what a network says is the end of the path, the same from every point of it
(Song et al. 2023, arXiv:2303.01469, algorithms 2 and 3; Song & Dhariwal 2023, arXiv:2310.14189).

Of two neighbours t > r on a grid, the student at t learns what a network says at r, itself at 0.
With a teacher (distillation) its deterministic step leads from t to r, and the network at r is the
average. Without one (training) both are the same example with the same noise, and it is the
student's own, without a gradient: the mean of its answers is then the end of the path up to terms
of the grid's step, so the grid grows. Sampled by consistency.
"""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.learn import student
from adiff.sequence import values


@dataclasses.dataclass(frozen=True, eq=False)
class Consistency(student.Student):
  """first, last: steps of the grid, which doubles every `double` updates; its levels are those of
  a sampler of so many steps with the config's spacing."""

  first: values.Count = 8
  last: values.Count = 64
  double: values.Count = 200

  @property
  def asks(self):
    return 1 if self.teacher else 0

  def needs(self, parts):
    super().needs(parts)
    if self.plain.process.prediction in ('x0', 'eps'):
      raise ValueError(
        'recipe consistency needs a network that is the identity at level 0; write '
        'process.prediction=v or flow'
      )
    ratio, rest = divmod(self.last, self.first)
    if rest or ratio.bit_count() != 1:
      raise ValueError(
        f'recipe.first={self.first} steps are doubled up to recipe.last={self.last}; write a power '
        'of two times that'
      )

  def error(self, networks, state, setting, draw, key):
    key_level, key_noise = jax.random.split(key)
    doublings = (self.last // self.first).bit_length() - 1
    jump = 2 ** (doublings - jnp.minimum(state.step // self.double, doublings))
    steps = self.last // jump
    index = student.place(draw(key_level, setting.shape), steps)
    grid = self.grid(self.last)
    t, r = grid[index * jump], grid[(index - 1) * jump]
    end = jnp.zeros_like(t) if self.plain.model.maps else None
    x = setting.noised(key_noise, t)
    if self.teacher:
      maps = self.taught.model.maps
      near = setting.step(networks.teacher, self.taught.process, x, t, r, ahead=maps)
      target = setting.x0_hat(networks.average, near, r, end)
    else:
      target = setting.x0_hat(networks.same, setting.noised(jax.random.clone(key_noise), r), r, end)
    out = setting.out(networks.student, x, t, end)
    return setting.error(out, target, x, t), t
