"""How parameters move. train.py knows only `init` and `update`."""

import dataclasses
import functools
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import optax

from adiff.learn import loss as loss_lib
from adiff.learn import state as state_lib
from adiff.nn import shifted
from adiff.process import base as process_base
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies
from adiff.sequence import plan as plan_lib


def network(model, params, *, history_cond=False, key=None, loops=False):
  """The function that floor 2 sees, its condition still open:
  (x, t, s, slots, cond, cache, commit, target) -> (out, cache). A key turns dropout on.

  loops: it is called in loops. A layer's parameters are then cut out of their stack once, before
  them: a compiler would copy them in every call, a tenth of a rollout on a CPU.
  """
  if loops and model.remat == 'none' and model.depth > 1:
    layers = params['layers']
    each = [jax.tree.map(lambda leaf, i=i: leaf[i], layers) for i in range(model.depth - 1)]
    whole = lambda: {**params, 'layers': jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)}
  else:
    whole = lambda: params

  def apply(x, t, s, slots, cond, cache=None, commit=0, target=None):
    per_slot = copies.condition(cond, slots, history_cond)
    return model.apply({'params': whole()}, x, t, s, slots, per_slot, cache, commit, key, target)

  return apply


def conditioned(apply, cond):
  """`network` with its condition: (x, t, s, slots, cache, commit, target) -> (out, cache)."""
  return lambda x, t, s, slots, *more, **asked: apply(x, t, s, slots, cond, *more, **asked)


# Whoever asks for shapes, costs or a program of one recipe shares one trace: a second of a start.
_traced_once = functools.partial(jax.jit, static_argnums=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Plain:
  """Gradient descent on `loss.loss`, with an average of the parameters.

  blocks, draw: several of each make one network that serves them all: the batch is dealt out among
  them.
  microbatches: parts of a batch, one after another, each with its own noise.
  cond_dropout: share of examples that lose their label, drawn once an example.
  random_length: share of examples that end at a random token (LLaDA, arXiv:2502.09992).
  complementary, next_token: see `loss.loss`. self_condition: see solvers/self_condition.py.
  """

  model: flax.linen.Module
  tx: optax.GradientTransformation
  blocks: tuple[blocks_lib.Blocks, ...]
  process: process_base.Process
  draw: tuple[plan_lib.Draw, ...]
  coords: np.ndarray
  ema: float
  cond_dropout: float
  microbatches: int
  history_cond: bool
  random_length: float = 0.0
  complementary: bool = False
  next_token: float = 0.0
  self_condition: bool = False

  def network(self, params, **how):
    """`network` of this model, as its blocks and their history want it."""
    apply = network(self.model, params, history_cond=self.history_cond, **how)
    return shifted.shift(apply, self.blocks[0]) if self.blocks[0].stream == 'shifted' else apply

  @_traced_once
  def init(self, key) -> state_lib.State:
    """The state before the first step."""
    slots = self.blocks[0].token_slots(self.coords)
    shape = (1, self.blocks[0].num_tokens)
    key_params, key_x = jax.random.split(key)
    x, t = self.process.prior(key_x, shape), jnp.zeros(shape)
    cond = {'label': jnp.zeros(shape, jnp.int32)}
    init_params = lambda key: self.model.init(key, x, t, t, slots, cond)['params']
    return state_lib.create(key_params, init_params, self.tx)

  @_traced_once
  def update(self, state: state_lib.State, batch: dict[str, Any], key):
    """(state, {name: scalar or curve}) after one step on batch {'tokens' [B, N, ..], 'label' [B]},
    of packed rows also {'segment', 'position', 'weight' [B, N]}; curves are those of blocks[0]."""
    grads, scalars = self.gradient(state.params, batch, key)
    updates, opt_state = self.tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema = state_lib.update_ema(state.ema, params, step=state.step, decay=self.ema)
    scalars['grad_norm'] = optax.global_norm(grads)
    scalars['finite'] = jnp.isfinite(scalars['loss']) & jnp.isfinite(scalars['grad_norm'])
    return state_lib.State(state.step + 1, params, ema, opt_state), scalars

  def gradient(self, params, batch: dict[str, Any], key):
    """(gradient, {name: scalar or curve}) of a batch, all kinds of blocks together."""
    kinds = len(self.blocks)
    if kinds == 1:
      return self._gradient(params, batch, key, 0)
    found = [
      self._gradient(
        params, jax.tree.map(lambda a, k=kind: a[k::kinds], batch),
        jax.random.fold_in(key, kind), kind,
      )
      for kind in range(kinds)
    ]
    scalars = dict(found[0][1], loss=sum(one['loss'] for _, one in found) / kinds)
    for blocks, (_, one) in zip(self.blocks, found, strict=True):
      scalars[f'loss_block{blocks.sizes[0]}'] = one['loss']
    return jax.tree.map(lambda *g: sum(g) / kinds, *(g for g, _ in found)), scalars

  def _gradient(self, params, batch, key, kind):
    """(gradient, scalars) of a batch cut into blocks[kind], averaged over micro-batches."""
    part = lambda index, rows: jax.grad(self.objective, has_aux=True)(
      params, rows, jax.random.fold_in(key, index), kind
    )
    if self.microbatches == 1:
      return part(0, batch)
    # Interleaved, so that every device keeps rows of every micro-batch.
    parts = jax.tree.map(
      lambda a: jnp.swapaxes(a.reshape(-1, self.microbatches, *a.shape[1:]), 0, 1), batch
    )

    def add(total, now):
      grads, scalars = part(*now)
      return jax.tree.map(lambda a, g: a + g / self.microbatches, total, grads), scalars

    zeros = jax.tree.map(jnp.zeros_like, params)
    grads, scalars = jax.lax.scan(add, zeros, (jnp.arange(self.microbatches), parts))
    return grads, jax.tree.map(lambda a: jnp.nanmean(a, axis=0), scalars)

  def objective(self, params, rows, key, kind=0):
    """(loss, scalars) of one micro-batch and its noise."""
    key_loss, key_cond, key_drop = jax.random.split(key, 3)
    if self.random_length:
      rows = _cut(jax.random.fold_in(key, 3), rows, self.random_length)
    if self.complementary:
      rows = jax.tree.map(lambda a: jnp.concatenate([a, a]), rows)
    hidden = jax.random.uniform(key_cond, rows['label'].shape) < self.cond_dropout
    cond = {'label': jnp.where(hidden, -1, rows['label'])}
    with_key = lambda key: conditioned(self.network(params, key=key), cond)
    denoise = with_key(key_drop)
    if self.self_condition:
      key_half = jax.random.fold_in(key_cond, 1)
      denoise = hinted(denoise, with_key(None), self.process, key_half)
    return loss_lib.loss(
      denoise, key_loss, rows['tokens'],
      blocks=self.blocks[kind], process=self.process, draw=self.draw[kind], coords=self.coords,
      weight=rows.get('weight'), documents=documents_of(rows),
      complementary=self.complementary, next_token=self.next_token,
    )


def hinted(denoise, estimate, process, key):
  """`denoise` that is shown x0_hat of `estimate` in half of the examples, where a token is noisy;
  no gradient flows through it (Chen et al. 2023, arXiv:2208.04202, algorithm 1)."""

  def twice(x, t, s, slots, **asked):
    out, _ = estimate(x, t, s, slots)
    told, level = out.shape[1], copies.levels(t, slots)
    hint = jax.lax.stop_gradient(process.x0_hat(out, x[:, :told], level[:, :told]))
    hint = jnp.pad(hint, ((0, 0), (0, x.shape[1] - told), (0, 0)))
    half = jax.random.bernoulli(key, 0.5, (len(level), 1))
    seen = half & (jnp.broadcast_to(slots.stream, level.shape) == 0) & (level > 0)
    return denoise(blocks_lib.Hinted(x, jnp.where(seen[..., None], hint, 0)), t, s, slots, **asked)

  return twice


def documents_of(rows):
  """What Blocks.slots must know of packed rows; None where rows are not packed."""
  return {name: rows[name] for name in ('segment', 'position') if name in rows} or None


def _cut(key, rows, share):
  """Rows of which a share ends at a random token: what follows is padding."""
  batch, num_tokens = rows['tokens'].shape[:2]
  key_which, key_where = jax.random.split(key)
  end = jax.random.randint(key_where, (batch, 1), 1, num_tokens + 1)
  end = jnp.where(jax.random.uniform(key_which, (batch, 1)) < share, end, num_tokens)
  kept = jnp.arange(num_tokens)[None] < end
  zeros, ones = jnp.zeros(kept.shape, jnp.int32), jnp.ones(kept.shape, jnp.float32)
  return {
    **rows,
    'segment': jnp.where(kept, rows.get('segment', zeros), -1),
    'weight': jnp.where(kept, rows.get('weight', ones), 0),
  }
