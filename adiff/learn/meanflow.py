r"""MeanFlow: the mean velocity over a stretch of the path, from its derivative along it (Geng et
al. 2025, arXiv:2505.13447; the improved form, arXiv:2512.02012).

Any gaussian path is the straight one z = (1 - tau) x0 + tau eps after z = x / (alpha + sigma), tau
= sigma / (alpha + sigma). There the map is z_s = z - (tau_t - tau_s) u, x0_hat = z - tau_t u, and

  u = v - (tau_t - tau_s) du / dtau,    du / dtau along the flow (slope.py)

v is eps - x0 of the example, or the teacher's; of a network that is told its guidance and has no
teacher, guided by what it says itself (guided.py). The tangent is the network's own v, that at s =
t (improved), or that of the example. Where s = t the loss is plain. Sampled by flow_map, whose one
step asks for t = 1 and s = 0: of a draw with atoms there (config.atoms) the student learns that.
"""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.learn import guided, slope, student
from adiff.sequence import values


@dataclasses.dataclass(frozen=True, eq=False)
class Meanflow(student.Student):
  """flow: share of blocks with s = t. improved: see above. power, offset: an error e counts
  e / (e + offset)^power, the denominator without a gradient. width: see slope.along."""

  flow: values.Share = 0.5
  improved: bool = True
  power: values.NotNegative = 0.0
  offset: values.Positive = 0.01
  width: values.ShareBelow1 = 0.0

  guides = True

  @property
  def asks(self):
    return 1 if self.teacher else 0

  def needs(self, parts):
    super().needs(parts)
    student.needs_map(self, parts)
    student.needs_tangents(self, parts)

  def error(self, networks, state, setting, draw, key):
    key_t, key_s, key_flow, key_noise = jax.random.split(key, 4)
    one, other = draw(key_t, setting.shape), draw(key_s, setting.shape)
    t = jnp.maximum(jnp.maximum(one, other), student.LEAST)
    flow = jax.random.uniform(key_flow, setting.shape) < self.flow
    s = jnp.where(flow, t, jnp.minimum(one, other))
    x = setting.noised(key_noise, t)
    x0 = setting.x0
    if self.teacher:
      x0 = setting.estimate(networks.teacher, self.taught.process, x, t)
    elif self.plain.model.hears_guidance:
      said = [setting.x0_hat(one, x, t, t) for one in (networks.same, networks.unasked)]
      x0 = guided.target(x0, setting.blocks.per_token(t), networks.cond, *said)
    along = setting.x0_hat(networks.same, x, t, t) if self.improved else x0

    def mean_velocity(x, t):
      z, tau = setting.straight(x, t)
      return (z - setting.x0_hat(networks.same, x, t, s)) / tau

    change = slope.along(
      setting, mean_velocity, x, t, setting.velocity(x, along, t), width=self.width,
      least=jnp.maximum(s, student.LEAST),
    )
    (_, tau), (_, after) = setting.straight(x, t), setting.straight(x, s)
    target = x0 + tau * (tau - after) * change / setting.speed(t)
    error = setting.error(setting.out(networks.student, x, t, s), target, x, t)
    if self.power:
      error /= jax.lax.stop_gradient(error + self.offset) ** self.power
    return error, t
