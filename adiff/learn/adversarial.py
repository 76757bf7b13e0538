"""An autoencoder whose pictures a critic must not tell from data (VQGAN, arXiv:2012.09841)."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
import optax

from adiff.learn import base, microbatches, reconstruction
from adiff.learn import state as state_lib
from adiff.nn import conv
from adiff.sequence import values

_traced_once = functools.partial(jax.jit, static_argnums=0)  # as in plain.py
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
  """What the autoencoder descends on: -fake of hinge, softplus(-fake) of softplus, softplus(real -
  fake) of relativistic, each a mean."""
  if form == 'hinge':
    return -jnp.mean(fake)
  if form == 'softplus':
    return jnp.mean(jax.nn.softplus(-fake))
  return jnp.mean(jax.nn.softplus(real - fake))


def adaptive_weight(distance, adversarial) -> jax.Array:
  """|distance| / (|adversarial| + 1e-4), at most 1e4, of two gradients in the last kernel of the
  decoder (VQGAN, equation 7): then both pull at it alike. No gradient flows through it."""
  size = lambda gradient: jnp.sqrt(jnp.sum(jnp.square(gradient)))
  ratio = size(distance) / (size(adversarial) + 1e-4)
  return jax.lax.stop_gradient(jnp.clip(ratio, 0, 1e4))


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


@dataclasses.dataclass(frozen=True, eq=False)
class Adversarial(reconstruction.Reconstructing):
  """As autoencoder.py, and from step `start` on against a critic of patches, which learns from the
  same reconstructions and never sees the distance."""

  l1: values.NotNegative = 1.0
  l2: values.NotNegative = 0.0
  form: Annotated[str, values.one_of('hinge', 'softplus', 'relativistic')] = 'hinge'
  weight: values.NotNegative = 0.5  # of the adversarial term, times the adaptive weight
  start: values.Whole = 1000  # step before which there is no critic
  penalty: Annotated[str, values.one_of('none', 'r1', 'lecam')] = 'lecam'  # on the critic
  penalty_weight: values.NotNegative = 0.001
  critic_widths: tuple[values.Count, ...] = (32, 64)  # see conv.Critic
  critic_blocks: values.Count = 1

  @property
  def critic(self) -> conv.Critic:
    """The other network."""
    coder = self.autoencoder.coder
    return conv.Critic(coder.grid, coder.dim, self.critic_widths, self.critic_blocks)

  @_traced_once
  def init(self, key):
    params = {self.role: self.autoencoder.init(key)}
    params[base.CRITIC] = self.critic.init(jax.random.fold_in(key, 1))
    state = state_lib.create(params, {role: self.tx for role in params})
    return state.replace(ema={self.role: state.ema[self.role]}, extra={
      self.role: self.autoencoder.init_extra(),
      base.CRITIC: {'real': jnp.zeros(()), 'fake': jnp.zeros(())},
    })

  @_traced_once
  def update(self, state, batch, key):
    begun = state.step >= self.start
    gradient = functools.partial(self.gradient, begun=jnp.where(begun, 1.0, 0.0))
    grads, extra, scalars = microbatches.averaged(
      gradient, state.params, state.extra, batch, key, self.microbatches
    )
    norms = {role: optax.global_norm(one) for role, one in grads.items()}
    scalars['grad_norm'], scalars['grad_norm_critic'] = norms[self.role], norms[base.CRITIC]
    finite = [jnp.isfinite(one) for one in (scalars['loss'], *norms.values())]
    scalars['finite'] = functools.reduce(jnp.logical_and, finite)
    state = reconstruction.moved(state, self.role, grads[self.role], self.tx, average=self.ema)
    later = reconstruction.moved(state, base.CRITIC, grads[base.CRITIC], self.tx, average=None)
    state = jax.tree.map(lambda new, old: jnp.where(begun, new, old), later, state)
    return state.replace(step=state.step + 1, extra=extra), scalars

  def gradient(self, params, extra, rows, key, begun):
    """({role: gradient}, {role: extra}, scalars) of one micro-batch; begun: 1 where there is a
    critic, 0 before."""
    key_rows, key_code = jax.random.split(key)
    x = self.taught(rows, key_rows)['tokens']

    def make(params):
      h, quantised = self.autoencoder.features(params, extra[self.role], x, key_code)
      return (h, sum(quantised.losses.values(), jnp.zeros(()))), quantised

    coder, head = self.autoencoder.coder, params[self.role]['coder']['head']
    (h, losses), back, quantised = jax.vjp(make, params[self.role], has_aux=True)
    y, back_head = jax.vjp(coder.read, head, h)

    # 1. How both terms pull at the reconstruction, and through it at the last kernel.
    (distance, terms), pull = jax.value_and_grad(
      lambda y: self.distance(x, y), has_aux=True
    )(y)
    logits = functools.partial(self.critic, params[base.CRITIC])
    real = logits(x)
    adversarial, push = jax.value_and_grad(lambda y: maker_loss(self.form, real, logits(y)))(y)
    last = lambda cotangent: back_head(cotangent)[0]['kernel']
    weight = begun * self.weight * adaptive_weight(last(pull), last(push))
    of_head, of_h = back_head(pull + weight * push)
    (grads,) = back((of_h, jnp.ones(())))
    grads = {**grads, 'coder': {**grads['coder'], 'head': of_head}}

    # 2. The critic, on the same reconstructions.
    critic, memory, told = self._criticised(params[base.CRITIC], extra[base.CRITIC], x, y, begun)
    scalars = {
      'loss': distance + losses, **terms, **quantised.losses, **told,
      'adversarial': adversarial, 'adversarial_weight': weight,
    }
    return (
      {self.role: grads, base.CRITIC: critic},
      {self.role: quantised.extra, base.CRITIC: memory}, scalars,
    )

  def _criticised(self, params, memory, x, y, begun):
    """(gradient, averages of its logits, scalars) of the critic's parameters."""

    def loss(params):
      logits = functools.partial(self.critic, params)
      real, fake = logits(x), logits(y)
      total = critic_loss(self.form, real, fake)
      penalty = jnp.zeros(())
      if self.penalty == 'r1':
        penalty = r1(logits, x)
      elif self.penalty == 'lecam':
        penalty = lecam(real, fake, memory)
      means = {'real': jnp.mean(real), 'fake': jnp.mean(fake)}
      return total + self.penalty_weight * penalty, (means, {'critic': total, 'penalty': penalty})

    grads, (means, told) = jax.grad(loss, has_aux=True)(params)
    moved = {
      name: jnp.where(begun > 0, _MEMORY * old + (1 - _MEMORY) * means[name], old)
      for name, old in memory.items()
    }
    told |= {f'logit_{name}': value for name, value in means.items()}
    return grads, moved, told
