"""How parameters move. train.py knows only `init` and `update`."""

import dataclasses
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import optax

from adiff import blocks as blocks_lib
from adiff import levels
from adiff import loss as loss_lib
from adiff import state as state_lib
from adiff.process import base as process_base


def network(model, params, *, history_cond=False, key=None):
  """The function that floor 2 sees, its condition still open:
  (x, t, s, slots, cond, cache, commit) -> (out, cache). A key turns dropout on."""

  def apply(x, t, s, slots, cond, cache=None, commit=0):
    per_slot = blocks_lib.spread(cond, slots, history_cond)
    return model.apply({'params': params}, x, t, s, slots, per_slot, cache, commit, key)

  return apply


def conditioned(apply, cond):
  """`network` with its condition: (x, t, s, slots, cache, commit) -> (out, cache)."""
  return lambda x, t, s, slots, cache=None, commit=0: apply(x, t, s, slots, cond, cache, commit)


@dataclasses.dataclass(frozen=True, eq=False)
class Plain:
  """Gradient descent on `loss.loss`, with an average of the parameters.

  microbatches: parts of a batch, one after another, each with its own noise.
  cond_dropout: share of examples that lose their label, drawn once an example.
  """

  model: flax.linen.Module
  tx: optax.GradientTransformation
  blocks: blocks_lib.Blocks
  process: process_base.Process
  draw: levels.Draw
  coords: np.ndarray
  ema: float
  cond_dropout: float
  microbatches: int
  history_cond: bool

  def init(self, key) -> state_lib.State:
    """The state before the first step."""
    slots = self.blocks.token_slots(self.coords)
    shape = (1, self.blocks.num_tokens)
    key_params, key_x = jax.random.split(key)
    x, t = self.process.prior(key_x, shape), jnp.zeros(shape)
    cond = {'label': jnp.zeros(shape, jnp.int32)}
    init_params = lambda key: self.model.init(key, x, t, t, slots, cond)['params']
    return state_lib.create(key_params, init_params, self.tx)

  def update(self, state: state_lib.State, batch: dict[str, Any], key):
    """(state, {name: scalar or curve}) after one step on batch {'tokens' [B, N, ..], 'label'
    [B]}."""

    def part(index, rows):
      """Gradient of one micro-batch."""
      key_loss, key_cond, key_drop = jax.random.split(jax.random.fold_in(key, index), 3)
      hidden = jax.random.uniform(key_cond, rows['label'].shape) < self.cond_dropout
      cond = {'label': jnp.where(hidden, -1, rows['label'])}

      def objective(params):
        apply = network(self.model, params, history_cond=self.history_cond, key=key_drop)
        return loss_lib.loss(
          conditioned(apply, cond), key_loss, rows['tokens'],
          blocks=self.blocks, process=self.process, draw=self.draw, coords=self.coords,
        )

      grads, scalars = jax.grad(objective, has_aux=True)(state.params)
      return grads, scalars

    if self.microbatches == 1:
      grads, scalars = part(0, batch)
    else:
      # Interleaved, so that every device keeps rows of every micro-batch.
      parts = jax.tree.map(
        lambda a: jnp.swapaxes(a.reshape(-1, self.microbatches, *a.shape[1:]), 0, 1), batch
      )

      def add(total, now):
        grads, scalars = part(*now)
        return jax.tree.map(lambda a, g: a + g / self.microbatches, total, grads), scalars

      zeros = jax.tree.map(jnp.zeros_like, state.params)
      grads, scalars = jax.lax.scan(add, zeros, (jnp.arange(self.microbatches), parts))
      scalars = jax.tree.map(lambda a: jnp.nanmean(a, axis=0), scalars)

    updates, opt_state = self.tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema = state_lib.update_ema(state.ema, params, step=state.step, decay=self.ema)
    scalars['grad_norm'] = optax.global_norm(grads)
    scalars['finite'] = jnp.isfinite(scalars['loss']) & jnp.isfinite(scalars['grad_norm'])
    return state_lib.State(state.step + 1, params, ema, opt_state), scalars
