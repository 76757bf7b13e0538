r"""Consistency models in continuous time (Lu & Song 2024, arXiv:2410.11081, TrigFlow, algorithm 1).

With schedule cosine and prediction v the path is x = cos(a) x0 + sin(a) eps, a = pi t / 2, and the
network F the paper's (sigma_d = 1: data of unit scale): f = cos(a) x - sin(a) F. Its tangent,

  g = -cos(a)^2 (F - dx/da) - r cos(a) sin(a) (x + dF/da),    |F - F_fixed - g / (|g| + 0.1)|^2

with r growing from 0 to 1. dx/da is that of the example (training) or the teacher's
(distillation). The paper's weights learnt beside the network are left out. Sampled by consistency.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from adiff.learn import slope, student
from adiff.sequence import values


@dataclasses.dataclass(frozen=True, eq=False)
class ContinuousConsistency(student.Student):
  """warmup: updates over which r grows; the norm |g| is the root of the mean square of a token's
  tangent; offset: what is added to it. width: see slope.along."""

  warmup: values.Count = 1000
  offset: values.Positive = 0.1
  width: values.ShareBelow1 = 0.0

  @property
  def asks(self):
    return 1 if self.teacher else 0

  def needs(self, parts):
    super().needs(parts)
    student.needs_tangents(self, parts)
    process = self.plain.process
    if (process.schedule, process.prediction, process.weight) != ('cosine', 'v', 'plain'):
      raise ValueError(
        'recipe continuous_consistency is stated for process.schedule=cosine, '
        'process.prediction=v, process.weight=plain; write these'
      )

  def error(self, networks, state, setting, draw, key):
    key_level, key_noise = jax.random.split(key)
    t = jnp.maximum(draw(key_level, setting.shape), student.LEAST)
    end = jnp.zeros_like(t) if self.plain.model.maps else None
    x = setting.noised(key_noise, t)
    x0 = setting.x0
    if self.teacher:
      x0 = setting.estimate(networks.teacher, self.taught.process, x, t)

    def network(x, t):
      return setting.out(networks.same, x, t, end)

    per_angle = 2 / math.pi  # dt / da
    velocity, out = setting.velocity(x, x0, t), network(x, t)
    change = per_angle * slope.along(setting, network, x, t, velocity, width=self.width)
    cos, sin = setting.process.scales(setting.blocks.per_token(t))
    grown = jnp.minimum((state.step + 1) / self.warmup, 1.0)
    tangent = -cos**2 * (out - per_angle * velocity) - grown * cos * sin * (x + change)
    norm = jnp.sqrt(jnp.mean(jnp.square(tangent), axis=-1, keepdims=True))
    aim = out + tangent / (norm + self.offset)
    error = setting.error(setting.out(networks.student, x, t, end), cos * x - sin * aim, x, t)
    return error, t
