r"""Mixed noise on symbols: a noised token is drawn from a fixed law of the mask and random symbols.

  q(xt | x0) = (1 - t) 1[xt = x0] + t pi(xt),   pi = (1 - random) * mask + random * uniform
  D3PM (arXiv:2107.03006); GIDD (arXiv:2503.04482) with a constant pi.

A masked token must be filled, a random one may be found out and replaced: a model of both corrects
itself. The network's softmax is p_i = p(x0_i | the *other* noisy tokens), as in `uniform`; a
symbol's own evidence is added in closed form, a mask has none. The path KL is that of `jumps`.

  bound  the integral over t, plus what the smallest level leaves; the prior's KL is zero.
  step   p(xs = y | xt) ~ q(xt | xs = y) q_s(y), exact when p is; masks become symbols, symbols
         other symbols or masks.
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
class Mixed(base.Process):
  """Replacement by the mask (symbol `vocab`), or with probability `random` by a random symbol.

  random: 0 is the law of `masked`, 1 that of `uniform`.
  objective: 'cross_entropy', -log p(x0 | xt), or 'bound', as in `uniform`.
  """

  vocab: int
  random: values.Share = 0.1
  objective: Annotated[str, values.one_of('cross_entropy', 'bound')] = 'cross_entropy'

  discrete = True

  def __post_init__(self):
    values.check_fields(self, 'process')

  @property
  def num_inputs(self) -> int:
    return self.vocab + 1

  @property
  def num_outputs(self) -> int:
    return self.vocab

  @property
  def mask_id(self) -> int:
    return self.vocab

  @property
  def _each(self):
    """pi of one symbol."""
    return self.random / self.vocab

  def prior(self, key, shape):
    key_which, key_what = base.split(key)
    symbols = base.sampled(lambda k, s: jax.random.randint(k, s, 0, self.vocab), key_what, shape)
    random = base.sampled(jax.random.uniform, key_which, shape) < self.random
    return jnp.where(random, symbols, self.mask_id)

  def add_noise(self, key, x0, t):
    key_when, key_what = base.split(key)
    noise = self.prior(key_what, x0.shape)
    return jnp.where(base.sampled(jax.random.uniform, key_when, x0.shape) < t, noise, x0)

  def x0_hat(self, out, xt, t):
    return jnp.exp(self._log_x0(out, xt, t))

  def loss(self, out, x0, xt, t):
    level = jnp.maximum(t, FLOOR)
    if self.objective == 'bound':
      nats = self._path_kl(out, x0, xt, level)
    else:
      nats = -jumps.at(self._log_x0(out, xt, level), x0)
    return jnp.where(t == 0, 0, nats)

  def step(self, key, out, xt, t, s):
    keep = (1 - t) / jnp.where(s == 1, 1, 1 - s)  # of what is there at s
    symbols = jumps.log_marginal(self._log_p(out), s, self._each)
    masked = jumps.log(s * (1 - self.random))[..., None]
    log_p_s = jnp.concatenate([symbols, masked], axis=-1)
    own = jax.nn.one_hot(xt, self.vocab + 1, dtype=bool)
    at_xt = jnp.where(xt == self.mask_id, 1 - self.random, self._each)
    jump = (1 - keep) * at_xt
    evidence = jnp.where(own, jumps.log(keep + jump)[..., None], jumps.log(jump)[..., None])
    return jnp.where(s == t, xt, base.categorical(key, log_p_s + evidence))

  def bound_noise(self, key, x0, u, blocks, free):
    t = blocks.per_token(FLOOR + (1 - FLOOR) * NEAR * (((1 + NEAR) / NEAR) ** u - 1))
    return self.add_noise(key, x0, t), t

  def bound(self, out, x0, xt, t):
    width = (t - FLOOR + (1 - FLOOR) * NEAR) * math.log((1 + NEAR) / NEAR)  # dt / du
    return width * self._path_kl(out, x0, xt, t) + self.beside_levels(x0, xt, t)

  def beside_levels(self, x0, xt, t):
    return jnp.full(t.shape, self._rest, jnp.float32)

  @property
  def _rest(self) -> float:
    """Nats a token that x at level FLOOR leaves: a symbol is read through the channel, p(x0 | x) ~
    q(x | x0), and a mask as any of `vocab` symbols."""
    total = 1 - FLOOR + FLOOR * self.random
    stay, jump = (1 - FLOOR + FLOOR * self._each) / total, FLOOR * self._each / total
    entropy = -stay * math.log(stay) - (self.vocab - 1) * jump * math.log(jump if jump else 1)
    return total * entropy + FLOOR * (1 - self.random) * math.log(self.vocab)

  def _log_p(self, out):
    return jax.nn.log_softmax(out.astype(jnp.float32))

  def _log_x0(self, out, xt, t):
    """log p(x0 | xt) [.., V], the token's own evidence included."""
    jump = t * self._each
    own = jax.nn.one_hot(xt, self.vocab, dtype=bool)
    evidence = jnp.where(own, jumps.log(1 - t + jump)[..., None], jumps.log(jump)[..., None])
    evidence = jnp.where((xt == self.mask_id)[..., None], 0, evidence)
    return jax.nn.log_softmax(self._log_p(out) + evidence)

  def _path_kl(self, out, x0, xt, t):
    """The bound's integrand at t > 0, [B, N]."""
    return jumps.path_kl(self._log_p(out), x0, xt, t, self._each)
