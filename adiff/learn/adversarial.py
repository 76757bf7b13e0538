"""An autoencoder whose pictures a critic must not tell from data (VQGAN, arXiv:2012.09841)."""

import dataclasses
import functools
from typing import Annotated

import jax
import jax.numpy as jnp
import optax

from adiff.learn import base, microbatches, reconstruction
from adiff.learn import critic as critic_lib
from adiff.learn import state as state_lib
from adiff.nn import conv
from adiff.sequence import values

_traced_once = functools.partial(jax.jit, static_argnums=0)  # as in plain.py


def adaptive_weight(distance, adversarial) -> jax.Array:
  """|distance| / (|adversarial| + 1e-4), at most 1e4, of two gradients in the last kernel of the
  decoder (VQGAN, equation 7): then both pull at it alike. No gradient flows through it."""
  size = lambda gradient: jnp.sqrt(jnp.sum(jnp.square(gradient)))
  ratio = size(distance) / (size(adversarial) + 1e-4)
  return jax.lax.stop_gradient(jnp.clip(ratio, 0, 1e4))


@dataclasses.dataclass(frozen=True, eq=False)
class Adversarial(reconstruction.Reconstructing):
  """As autoencoder.py, and from step `start` on against a critic of patches, which learns from the
  same reconstructions and never sees the distance."""

  l1: values.NotNegative = 1.0
  l2: values.NotNegative = 0.0
  form: Annotated[str, values.one_of(*critic_lib.FORMS)] = 'hinge'
  weight: values.NotNegative = 0.5  # of the adversarial term, times the adaptive weight
  start: values.Whole = 1000  # step before which there is no critic
  penalty: Annotated[str, values.one_of(*critic_lib.PENALTIES)] = 'lecam'  # on the critic
  penalty_weight: values.NotNegative = 0.001
  critic_widths: tuple[values.Count, ...] = (32, 64)  # see conv.Critic
  critic_blocks: values.Count = 1

  @property
  def critic(self) -> conv.Critic:
    """The other network."""
    coder = self.autoencoder.coder
    return conv.Critic(coder.grid, coder.dim, self.critic_widths, self.critic_blocks)

  @property
  def contest(self) -> critic_lib.Contest:
    """How that is trained."""
    return critic_lib.Contest(self.critic, self.form, self.penalty, self.penalty_weight)

  @_traced_once
  def init(self, key):
    params = {self.role: self.autoencoder.init(key)}
    params[base.CRITIC] = self.critic.init(jax.random.fold_in(key, 1))
    state = state_lib.create(params, {role: self.tx for role in params})
    return state.replace(ema={self.role: state.ema[self.role]}, extra={
      self.role: self.autoencoder.init_extra(),
      base.CRITIC: self.contest.memory(),
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
    scalars['finite'] = critic_lib.all_finite(scalars['loss'], *norms.values())
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
    real = self.critic(params[base.CRITIC], x)
    adversarial, push = jax.value_and_grad(self.contest.maker(params[base.CRITIC], real))(y)
    last = lambda cotangent: back_head(cotangent)[0]['kernel']
    weight = begun * self.weight * adaptive_weight(last(pull), last(push))
    of_head, of_h = back_head(pull + weight * push)
    (grads,) = back((of_h, jnp.ones(())))
    grads = {**grads, 'coder': {**grads['coder'], 'head': of_head}}

    # 2. The critic, on the same reconstructions.
    critic, memory, told = self.contest.judged(
      params[base.CRITIC], extra[base.CRITIC], x, y, begun=begun
    )
    scalars = {
      'loss': distance + losses, **terms, **quantised.losses, **told,
      'adversarial': adversarial, 'adversarial_weight': weight,
    }
    return (
      {self.role: grads, base.CRITIC: critic},
      {self.role: quantised.extra, base.CRITIC: memory}, scalars,
    )
