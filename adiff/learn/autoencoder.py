"""Gradient descent on what an autoencoder loses."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from adiff.learn import base, microbatches, reconstruction
from adiff.learn import lessons as lessons_lib
from adiff.learn import state as state_lib
from adiff.nn import autoencoder as autoencoder_lib
from adiff.sequence import values

_traced_once = functools.partial(jax.jit, static_argnums=0)  # as in plain.py


@dataclasses.dataclass(frozen=True, eq=False)
class Autoencoder(base.Recipe):
  """Descends on the distance of reconstructions and the losses of the quantiser, and averages the
  parameters. What of the quantiser moves without a gradient goes through the micro-batches, one
  after another."""

  role = base.CODEC

  autoencoder: autoencoder_lib.Autoencoder
  tx: optax.GradientTransformation
  ema: float
  microbatches: int
  lessons: tuple[lessons_lib.Lesson, ...] = ()
  features: Callable | None = None
  l1: values.NotNegative = 0.0  # weights, see reconstruction.Distance
  l2: values.NotNegative = 1.0
  perceptual: values.NotNegative = 0.0
  perceptual_from: values.Path = ''  # the file that `features` were read from

  def needs(self, parts):
    base.check_microbatches(parts.config.train)
    reconstruction.check_features(self)

  @property
  def distance(self) -> reconstruction.Distance:
    """Of a reconstruction."""
    return reconstruction.Distance(self.l1, self.l2, self.perceptual, self.features)

  @_traced_once
  def init(self, key):
    params = {self.role: self.autoencoder.init(key)}
    extra = {self.role: self.autoencoder.init_extra()}
    return state_lib.create(params, {self.role: self.tx}).replace(extra=extra)

  def served(self, state):
    return {'params': state.ema[self.role], 'extra': state.extra[self.role]}

  def batch(self, size):
    return reconstruction.batch(self.autoencoder.coder, size)

  def network(self, params, role=base.CODEC, *, key=None, loops=False):
    assert role == base.CODEC, f'{role} is no role of Autoencoder'
    return self.autoencoder.bind(**params)

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
    rows = reconstruction.taught(self.lessons, rows, key_rows)

    def loss(params):
      h, quantised = self.autoencoder.features(params, extra, rows['tokens'], key_code)
      y = self.autoencoder.coder.read(params['coder']['head'], h)
      distance, terms = self.distance(rows['tokens'], y)
      total = sum(quantised.losses.values(), distance)
      return total, ({'loss': total, **terms, **quantised.losses}, quantised.extra)

    grads, (scalars, extra) = jax.grad(loss, has_aux=True)(params)
    return grads, extra, scalars
