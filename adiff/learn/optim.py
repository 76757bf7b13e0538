"""The optimiser and its learning rate: warm-up, then cosine, trapezoid ("wsd") or constant.

AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) after clipping by the global norm. The clip
sees the gradient averaged over micro-batches, because averaging happens before the transformation.
"""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax

from adiff.sequence import values

NAMES = ('adamw',)
SCHEDULES = ('cosine', 'wsd', 'constant')


def make(
  name: Annotated[str, values.one_of(*NAMES)] = 'adamw',
  learning_rate: values.Positive = 1e-3,
  *,
  schedule: Annotated[str, values.one_of(*SCHEDULES)] = 'cosine',
  warmup: values.Whole = 100,
  total_steps: values.Count,
  final: values.Share = 0.0,
  decay_fraction: Annotated[values.Share, values.ABOVE_0] = 0.2,
  b1: values.ShareBelow1 = 0.9,
  b2: values.ShareBelow1 = 0.99,
  eps: values.Positive = 1e-8,
  weight_decay: values.NotNegative = 0.01,
  clip: values.Positive | None = 1.0,
) -> tuple[optax.GradientTransformation, Callable]:
  """Returns (tx, lr_fn): an optax transformation and the function step -> learning rate.

  warmup: steps of linear rise, the first one already above 0. final: the learning rate of the last
  step as a fraction of the peak, of cosine and wsd, where a step follows the first one at the peak.
  decay_fraction: share of total_steps in which 'wsd' falls linearly (Hu et al. 2024,
  arXiv:2404.06395). weight_decay: applied to leaves named 'kernel' only, never to biases, norms or
  embeddings. clip: largest global norm of the gradient, None for no clipping.

  Raises ValueError for values outside their ranges, and for those that contradict each other.
  """
  values.check_arguments(make, locals(), 'optim')
  lr_fn = learning_rate_fn(
    learning_rate,
    schedule=schedule,
    warmup=warmup,
    total_steps=total_steps,
    final=final,
    decay_fraction=decay_fraction,
  )
  parts = [] if clip is None else [optax.clip_by_global_norm(clip)]
  parts.append(optax.scale_by_adam(b1=b1, b2=b2, eps=eps))
  if weight_decay > 0:
    parts.append(optax.add_decayed_weights(weight_decay, mask=decayed))
  parts.append(optax.scale_by_learning_rate(lr_fn))
  return _promoting(optax.chain(*parts)), lr_fn


def learning_rate_fn(peak, *, schedule, warmup, total_steps, final, decay_fraction) -> Callable:
  """Returns step -> learning rate, float32 [], for a step that may be traced.

  Raises ValueError where its lengths do not fit into total_steps.
  """
  if warmup > total_steps:
    raise ValueError(
      f'optim.warmup is {warmup} but the run has {total_steps} steps; use 0..{total_steps}'
    )
  decay = max(1, round(decay_fraction * total_steps))
  if schedule == 'wsd' and warmup + decay > total_steps:
    raise ValueError(
      f'optim.warmup ({warmup}) and the decay ({decay} steps) exceed the {total_steps} steps of '
      'the run; shorten optim.warmup or optim.decay_fraction'
    )

  def lr_fn(step):
    step = jnp.asarray(step, jnp.float32)
    rise = jnp.minimum(1.0, (step + 1) / (warmup + 1))
    if schedule == 'constant':
      fall = jnp.float32(1)
    elif schedule == 'cosine':
      done = jnp.clip((step - warmup) / max(1, total_steps - 1 - warmup), 0, 1)
      fall = final + (1 - final) * 0.5 * (1 + jnp.cos(jnp.pi * done))
    else:
      done = jnp.clip((step + 1 - (total_steps - decay)) / decay, 0, 1)
      fall = 1 - (1 - final) * done
    return peak * rise * fall

  return lr_fn


def decayed(params) -> Any:
  """Returns a tree of bools: True where weight decay applies, which is on leaves named 'kernel'.

  The name decides, not the rank: a scan over layers gives every bias a second axis.
  """

  def is_kernel(path, _):
    return jax.tree_util.keystr(path[-1:], simple=True) == 'kernel'

  return jax.tree_util.tree_map_with_path(is_kernel, params)


def _promoting(tx):
  """Lets optax mix float32 with its int32 counter where strict dtype promotion is on."""

  def update(updates, opt_state, params=None):
    with jax.numpy_dtype_promotion('standard'):
      return tx.update(updates, opt_state, params)

  return optax.GradientTransformation(tx.init, update)
