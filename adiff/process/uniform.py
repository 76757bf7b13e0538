r"""Uniform noise on symbols: with probability t a token is replaced by a uniformly random one.

  q(xt | x0) = (1 - t) 1[xt = x0] + t / V      D3PM (arXiv:2107.03006), UDLM (arXiv:2412.10193)

The network's softmax is p_i = p(x0_i | the *other* noisy tokens); the token's own evidence is added
in closed form, p(x0_i | xt) ~ p_i q(xt_i | x0_i), as UDLM's parameterisation does.

  bound  the path KL of `jumps` (UDLM eq. 16 is this sum), plus the entropy of the channel at the
         smallest level; the prior's KL is zero.
  step   p(xs = y | xt) ~ q(xt | xs = y) q_s(y), exact when p is; q_s = (1 - s) p + s / V.
"""

import dataclasses
import math
from typing import Annotated

import jax
import jax.numpy as jnp

from adiff.process import base, jumps
from adiff.sequence import values

FLOOR = 1e-5  # smallest level of the bound
# The integrand's variance grows as 1 / t, so the bound visits levels with density ~ 1 / (t + NEAR).
NEAR = 1e-3


@dataclasses.dataclass(frozen=True)
class Uniform(base.Process):
  """Replacement by one of `vocab` symbols.

  objective: 'cross_entropy', -log p(x0 | xt), the auxiliary loss of D3PM (eq. 5), or 'bound'. Both
  are least at the true p(x0 | xt); the bound's integrand has a variance that grows as 1 / t.
  """

  vocab: int
  objective: Annotated[str, values.one_of('cross_entropy', 'bound')] = 'cross_entropy'

  discrete = True

  def __post_init__(self):
    values.check_fields(self, 'process')

  @property
  def num_inputs(self) -> int:
    return self.vocab

  @property
  def num_outputs(self) -> int:
    return self.vocab

  def prior(self, key, shape):
    return base.sampled(lambda k, s: jax.random.randint(k, s, 0, self.vocab), key, shape)

  def add_noise(self, key, x0, t):
    key_when, key_what = base.split(key)
    noise = self.prior(key_what, x0.shape)
    return jnp.where(base.sampled(jax.random.uniform, key_when, x0.shape) < t, noise, x0)

  def x0_hat(self, out, xt, t):
    stay, jump = 1 - t + t / self.vocab, t / self.vocab
    own = jax.nn.one_hot(xt, self.vocab, dtype=bool)
    evidence = jnp.where(own, stay[..., None], jump[..., None])
    weighted = jax.nn.softmax(out.astype(jnp.float32)) * evidence
    return weighted / jnp.sum(weighted, axis=-1, keepdims=True)

  def loss(self, out, x0, xt, t):
    level = jnp.maximum(t, FLOOR)
    if self.objective == 'bound':
      return jnp.where(t == 0, 0, self._path_kl(out, x0, xt, level))
    probs = self.x0_hat(out, xt, level)
    chosen = jnp.take_along_axis(probs, x0[..., None], axis=-1)[..., 0]
    return jnp.where(t == 0, 0, -jnp.log(jnp.maximum(chosen, 1e-37)))

  def step(self, key, out, xt, t, s):
    keep = (1 - t) / jnp.where(s == 1, 1, 1 - s)  # of the noise between s and t
    p_s = (1 - s)[..., None] * jax.nn.softmax(out.astype(jnp.float32)) + (s / self.vocab)[..., None]
    own = jax.nn.one_hot(xt, self.vocab, dtype=jnp.float32)
    likelihood = keep[..., None] * own + ((1 - keep) / self.vocab)[..., None]
    xs = base.categorical(key, jnp.log(jnp.maximum(p_s * likelihood, 1e-37)))
    return jnp.where(s == t, xt, xs)

  def bound_noise(self, key, x0, u, blocks, free):
    t = blocks.per_token(FLOOR + (1 - FLOOR) * NEAR * (((1 + NEAR) / NEAR) ** u - 1))
    return self.add_noise(key, x0, t), t

  def bound(self, out, x0, xt, t):
    width = (t - FLOOR + (1 - FLOOR) * NEAR) * math.log((1 + NEAR) / NEAR)  # dt / du
    return width * self._path_kl(out, x0, xt, t) + self.beside_levels(x0, xt, t)

  def beside_levels(self, x0, xt, t):
    stay, jump = 1 - FLOOR + FLOOR / self.vocab, FLOOR / self.vocab  # through the channel
    channel = -(stay * math.log(stay) + (self.vocab - 1) * jump * math.log(jump))
    return jnp.full(t.shape, channel, jnp.float32)

  def _path_kl(self, out, x0, xt, t):
    """The bound's integrand at t > 0, [B, N]."""
    return jumps.path_kl(jax.nn.log_softmax(out.astype(jnp.float32)), x0, xt, t, 1 / self.vocab)
