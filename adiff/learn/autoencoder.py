"""Gradient descent on what an autoencoder loses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax

from adiff.learn import microbatches, reconstruction
from adiff.learn import state as state_lib

_traced_once = functools.partial(jax.jit, static_argnums=0)  # as in plain.py


@dataclasses.dataclass(frozen=True, eq=False)
class Autoencoder(reconstruction.Reconstructing):
  """Descends on the distance of reconstructions and the losses of the quantiser, and averages the
  parameters. What of the quantiser moves without a gradient goes through the micro-batches, one
  after another."""

  @_traced_once
  def init(self, key):
    params = {self.role: self.autoencoder.init(key)}
    extra = {self.role: self.autoencoder.init_extra()}
    return state_lib.create(params, {self.role: self.tx}).replace(extra=extra)

  @_traced_once
  def update(self, state, batch, key):
    grads, extra, scalars = microbatches.averaged(
      self.gradient, state.params[self.role], state.extra[self.role], batch, key,
      self.microbatches,
    )
    scalars['grad_norm'] = optax.global_norm(grads)
    scalars['finite'] = jnp.isfinite(scalars['loss']) & jnp.isfinite(scalars['grad_norm'])
    state = reconstruction.moved(state, self.role, grads, self.tx, average=self.ema)
    return state.replace(step=state.step + 1, extra={self.role: extra}), scalars

  def gradient(self, params, extra, rows, key):
    """(gradient, extra, scalars) of one micro-batch."""
    key_rows, key_code = jax.random.split(key)
    rows = self.taught(rows, key_rows)

    grads, (scalars, extra) = jax.grad(self.lost, has_aux=True)(
      params, extra, rows['tokens'], key_code
    )
    return grads, extra, scalars
