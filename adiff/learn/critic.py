"""A critic that tells data from what was made: what either descends on, of its logits."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from adiff.nn import conv

FORMS = ('hinge', 'softplus', 'relativistic')
PENALTIES = ('none', 'r1', 'both', 'lecam')
_MEMORY = 0.99  # of the averages of logits that LeCam compares with


def critic_loss(form, real, fake) -> jax.Array:
  """What a critic descends on, of its logits for data and for what was made, of one shape.

  hinge (arXiv:1705.02894): mean relu(1 - real) + relu(1 + fake), halved; softplus (Goodfellow et
  al. 2014): mean softplus(-real) + softplus(fake), halved; relativistic (arXiv:1807.00734, R3GAN
  arXiv:2501.05441): mean softplus(fake - real), each against the example that it was made of.
  """
  if form == 'hinge':
    return 0.5 * jnp.mean(jax.nn.relu(1 - real) + jax.nn.relu(1 + fake))
  if form == 'softplus':
    return 0.5 * jnp.mean(jax.nn.softplus(-real) + jax.nn.softplus(fake))
  return jnp.mean(jax.nn.softplus(fake - real))


def maker_loss(form, real, fake) -> jax.Array:
  """What the maker descends on: -fake of hinge, softplus(-fake) of softplus, softplus(real -
  fake) of relativistic, each a mean."""
  if form == 'hinge':
    return -jnp.mean(fake)
  if form == 'softplus':
    return jnp.mean(jax.nn.softplus(-fake))
  return jnp.mean(jax.nn.softplus(real - fake))


def r1(logits: Callable, x) -> jax.Array:
  """Half the mean square norm of the gradient of an example's mean logit in data x [B, ..]
  (Mescheder et al. 2018, arXiv:1801.04406)."""
  slope = jax.grad(lambda x: jnp.sum(jnp.mean(logits(x), axis=-1)))(x)
  return 0.5 * jnp.mean(jnp.sum(jnp.square(slope).reshape(len(x), -1), axis=-1))


def lecam(real, fake, memory) -> jax.Array:
  """mean relu(real - memory of fake)^2 + mean relu(memory of real - fake)^2, of averages that move
  without a gradient (Tseng et al. 2021, arXiv:2104.03310)."""
  over = jax.nn.relu(real - memory['fake'])
  under = jax.nn.relu(memory['real'] - fake)
  return jnp.mean(jnp.square(over)) + jnp.mean(jnp.square(under))


@dataclasses.dataclass(frozen=True)
class Contest:
  """How a critic is trained: the form of its loss, one of FORMS, and what keeps it smooth, one of
  PENALTIES: `r1` on data, on data and on what was made (R3GAN, arXiv:2501.05441, equation 6), or
  `lecam`."""

  critic: conv.Critic
  form: str
  penalty: str
  weight: float  # of the penalty

  def maker(self, params, real, told=()) -> Callable:
    """y [B, N, D] -> the scalar that who made it descends on; real: logits of data. told: what the
    critic is told of examples besides."""
    return lambda y: maker_loss(self.form, real, self.critic(params, y, *told))

  def memory(self) -> dict[str, jax.Array]:
    """Averages of logits before anything was seen."""
    return {'real': jnp.zeros(()), 'fake': jnp.zeros(())}

  def judged(self, params, memory, x, y, told=(), begun=1.0) -> tuple[Any, dict, dict]:
    """(gradient, averages of its logits, scalars) of the critic's parameters, for data x and what
    was made y; begun: 0 where the averages do not move yet."""

    def loss(params):
      logits = lambda x: self.critic(params, x, *told)
      real, fake = logits(x), logits(y)
      total = critic_loss(self.form, real, fake)
      penalty = jnp.zeros(())
      if self.penalty in ('r1', 'both'):
        penalty = r1(logits, x) + (r1(logits, y) if self.penalty == 'both' else 0)
      elif self.penalty == 'lecam':
        penalty = lecam(real, fake, memory)
      means = {'real': jnp.mean(real), 'fake': jnp.mean(fake)}
      return total + self.weight * penalty, (means, {'critic': total, 'penalty': penalty})

    grads, (means, scalars) = jax.grad(loss, has_aux=True)(params)
    moved = {
      name: jnp.where(begun > 0, _MEMORY * old + (1 - _MEMORY) * means[name], old)
      for name, old in memory.items()
    }
    return grads, moved, scalars | {f'logit_{name}': value for name, value in means.items()}


def all_finite(*scalars) -> jax.Array:
  """bool []."""
  return functools.reduce(jnp.logical_and, map(jnp.isfinite, scalars))
