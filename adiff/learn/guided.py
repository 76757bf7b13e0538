r"""Guidance that a network is told: a student needs one call where its teacher needs two (guided
distillation, Meng et al. 2023, arXiv:2210.03142, stage one; the improved form of MeanFlow,
arXiv:2512.02012, section 4.3).

Every example is learnt at a scale w of its own. With a teacher the aim is the teacher guided so.
Without one the flow's target is corrected by what the network itself says of the example with and
without its conditions, told the same guidance,

  x0 + (1 - 1 / w) (x0_hat(w, c) - x0_hat(w))    where the level lies in the interval

whose fixed point is x0_hat(w, c) = E x0_hat() + w (E[x0 | c] - E x0_hat()): guidance itself.
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from adiff.nn import embed
from adiff.sequence import conditions, values

Scale = Annotated[float, values.at_least(1)]


def sampled(key, num, scales, interval, *, of) -> jax.Array:
  """[num, 3] guidance of examples, see conditions.GUIDANCE: scales uniform between two; of SCALE:
  the interval as it is; of INTERVAL: half of them all levels, half those between any two."""
  key_scale, key_whole, key_ends = jax.random.split(key, 3)
  scale = jax.random.uniform(key_scale, (num, 1), minval=scales[0], maxval=scales[1])
  ends = jnp.broadcast_to(jnp.asarray(interval, float), (num, 2))
  if of == embed.INTERVAL:
    own = jnp.sort(jax.random.uniform(key_ends, (num, 2)), axis=1)
    ends = jnp.where(jax.random.bernoulli(key_whole, shape=(num, 1)), own, jnp.array([[0.0, 1.0]]))
  return jnp.concatenate([scale, ends], axis=1)


def target(x0, t, cond, asked, unasked) -> jax.Array:
  """x0 [B, N, D] of examples at levels t [B, N] as the target of a network without a teacher;
  asked, unasked: its x0_hat with and without conditions. Theirs are the conditions `cond`."""
  scale, low, high = jnp.split(cond[conditions.GUIDANCE], 3, axis=1)
  share = jnp.where((t >= low) & (t <= high), 1 - 1 / scale, 0)
  return x0 + share[..., None] * (asked - unasked)


def needs(recipe: Any, parts: Any) -> None:
  """Raises ValueError where the config asks for guidance that the network will not learn."""
  config, name = parts.config, parts.config.recipe.name
  low, high = recipe.scales
  if low > high:
    raise ValueError(
      f'recipe.scales={values.shown(recipe.scales)} must be (low, high) with low <= high'
    )
  if not parts.spec.conds:
    raise ValueError(
      f"recipe {name} has no condition to guide towards in {config.data.name}; write "
      "model.guided='none'"
    )
  if not recipe.teacher and not config.cond_dropout:
    raise ValueError(
      f'recipe {name} learns its guidance from what it says without conditions, and cond_dropout=0 '
      'hides none; write cond_dropout=0.1'
    )
  if config.guidance.scales:
    raise ValueError(
      'a network is told one scale of all conditions together (model.guided); write '
      'guidance.scales=()'
    )
  asked = sorted({float(scale) for scale in parts.guidance})
  if not low <= asked[0] <= asked[-1] <= high:
    raise ValueError(
      f'guidance is asked at scales from {asked[0]:g} to {asked[-1]:g}, and learnt at '
      f'recipe.scales={values.shown(recipe.scales)}; write a guidance.scale and guidance.first in '
      'that range, or a wider one'
    )
  interval = tuple(config.guidance.interval)
  if parts.model.guided == embed.SCALE and interval != (0, 1):
    raise ValueError(
      f'guidance.interval={values.shown(interval)} is nothing that a network told the scale alone '
      "can follow; write model.guided='interval', or (0.0, 1.0)"
    )
