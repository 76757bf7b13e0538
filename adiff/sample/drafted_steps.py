r"""Speculation of gaussian tokens: some steps of a block are drafted, and one call of the network,
whose law counts, accepts or replaces them (De Bortoli et al. 2025, arXiv:2501.05370).

A reverse step of a block samples N(p, s^2 I), p its mean by the network's estimate of the data and
s its deviation, which is the process's. The *draft* is the same step with the last answer's
estimate held, so its mean is q and its deviation the same, and it costs no call (their frozen
target draft). Steps j, j+1, .. are drafted one behind another, and one call answers at all of their
beginnings (stacked.py). With y = q + s z the drafted end of a step and d = (p - q) / s, step by
step:

  y stands with probability min(1, N(y; p, s^2) / N(y; q, s^2)) = min(1, exp(z d - |d|^2 / 2)),
  else it becomes p + s (z - 2 e (e z)), e = d / |d|, and the steps drafted behind it are dropped.

This is the reflection coupling of the two normals (their algorithm 2): what a step becomes follows
N(p, s^2 I) exactly, whatever was drafted, and drafts stand as often as any coupling lets them,
2 Phi(-|d| / 2). So *the samples follow exactly the law of the sequential walk of the same plan*;
they are not the same samples. A block stands or is replaced as a whole, for its tokens share the
call. Its last step has s = 0: it is made, never drafted. A round advances by one step or more.

z and the number that decides are functions of (example key, token, step): each is used for the one
step that comes of it, for what is dropped decided nothing that stands.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adiff.process import base as process_base
from adiff.sample import capacity, parallel, stacked, walk
from adiff.sequence import turns

_NOISE, _ACCEPT = 0, 1  # what a step's key is folded with


def needs(parts: Any) -> None:
  """Raises ValueError where steps are no normal law, or cannot be asked for together."""
  told, off = f'speculative.steps={parts.speculative.steps}', 'speculative.steps=0'
  stacked.needs(parts, told, off)
  if not parts.solver.as_process or parts.process.eta == 0:
    raise ValueError(
      f'{told} drafts steps that have a normal law and needs solver first_order with process.eta '
      f'above 0, as process.eta=1.0; set them, or {off}'
    )
  if parts.parallel.method != parallel.NONE:
    raise ValueError(
      f'{told} and parallel.method={parts.parallel.method} are two ways of asking for steps '
      f'together; set parallel.method=none, or {off}'
    )


def coupled(p, q, deviation, z, u) -> tuple[jax.Array, jax.Array]:
  """(ends [B, n, D] ~ N(p, deviation^2) each, bool [B]: are they the drafted q + deviation z?)

  p, q, z [B, n, D], z normal; deviation [B, n, 1], 0 for an end that is p; u [B] uniform.
  """
  moves = deviation > 0
  gap = jnp.where(moves, (p - q) / jnp.where(moves, deviation, 1), 0)
  square, along = (jnp.sum(gap * leaf, axis=(1, 2), keepdims=True) for leaf in (gap, z))
  accepted = jnp.log(u) < (along - square / 2)[:, 0, 0]
  accepted &= jnp.any(moves, axis=(1, 2))
  mirrored = z - 2 * gap * along / jnp.where(square > 0, square, 1)
  ends = jnp.where(accepted[:, None, None], q + deviation * z, p + deviation * mirrored)
  return ends, accepted


class At(NamedTuple):
  """How far a walk is."""

  x: jax.Array  # [B, N, D]: finished blocks, and the noise of the others
  known: None  # nothing is given
  keys: jax.Array  # [B]
  cache: Any
  head: jax.Array  # int32 []: the block that is made
  written: jax.Array  # int32 []: blocks whose keys are in the cache
  now: jax.Array  # [B, n, D] its tokens
  held: jax.Array  # [B, n, D] their last estimate
  made: jax.Array  # int32 [B] steps that it has made
  calls: jax.Array  # int32 [B] network calls, one after another
  accepted: jax.Array  # int32 [B] drafted steps that stand


@dataclasses.dataclass(frozen=True, eq=False)
class Session(stacked.Stacked):
  """A walk that is made as a whole, from noise: `finish` alone."""

  drafted: int  # steps
  caches: int = 1

  def start(self, keys, given=None, given_mask=None) -> At:
    """Before the first round; keys [B]."""
    if given is not None or given_mask is not None:
      raise ValueError(
        'speculative.steps makes whole samples, without prompts or given tokens; set '
        'speculative.steps=0, or leave them away'
      )
    walk.check(self.plan, self.blocks, self.process, self.solver, given)
    x, known = walk.initial(keys, self.blocks, self.process)
    places = capacity.each(self.plan, self.blocks, self.network.reads)
    cache = self.network.empty_cache(self.caches * len(keys), places, self.coords.shape[-1])
    none, none_of_all = jnp.int32(0), jnp.zeros(len(keys), jnp.int32)
    now = self._block(x, none)
    return At(
      x, known, keys, cache, none, none, now, jnp.zeros_like(now), none_of_all, none_of_all,
      none_of_all,
    )

  def finish(self, params, at: At) -> At:
    """The end of the walk."""
    denoise = self.bind(params)

    def going(at):
      return at.head < self.blocks.num_blocks

    with turns.loop('rounds', self.plan.num_rows):
      return jax.lax.while_loop(going, lambda at: self._shifted(self._round(denoise, at)), at)

  @property
  def _in_flight(self):
    return 1

  def _round(self, denoise, at: At) -> At:
    """Drafts, one call, and what stands then."""
    index = at.made[None] + jnp.arange(self.drafted)[:, None]  # [W, B]
    real = index < self._steps
    index = jnp.minimum(index, self._steps - 1)
    levels = jnp.asarray(self.plan.matrix[:self._steps + 1, 0], float)
    t, s = levels[index], levels[index + 1]
    z, u = self._chance(at, index)
    begun, q, deviation = self._draft(at, t, s, z)
    out, cache = self._call(denoise, at, at.now, begun, t, s)
    x0 = jax.vmap(self.process.estimate)(out, begun, self._wide(t))
    p, _ = jax.vmap(self.process.reverse)(x0, begun, self._wide(t), self._wide(s))
    ends, stands = jax.vmap(coupled)(p, q, deviation, z, u)
    count = jnp.sum(jnp.cumprod(stands & real, axis=0), axis=0).astype(jnp.int32)
    last = jnp.minimum(count, self.drafted - 1)  # the step that ends the round

    def chosen(leaf):
      return jnp.take_along_axis(leaf, last[None, :, None, None], axis=0)[0]

    moving = real[0]
    now, held = (
      jnp.where(moving[:, None, None], chosen(new), old)
      for new, old in ((ends, at.now), (x0, at.held))
    )
    return at._replace(
      cache=cache, written=at.head, now=now, held=held,
      made=at.made + jnp.where(moving, last + 1, 0), calls=at.calls + moving.astype(jnp.int32),
      accepted=at.accepted + jnp.where(moving, count, 0),
    )

  def _draft(self, at, t, s, z):
    """(begun, means, deviations), each [W, B, n, ..]: steps one behind another with the estimate
    held; z [W, B, n, D]."""

    def draft(x, step):
      t, s, z = step
      mean, deviation = self.process.reverse(at.held, x, t, s)
      return mean + deviation * z, (x, mean, deviation)

    return jax.lax.scan(draft, at.now, (self._wide(t), self._wide(s), z))[1]

  def _chance(self, at, index):
    """(normal numbers [W, B, n, D], uniform ones [W, B]) of steps index [W, B]."""
    keys = walk.token_keys(at.keys, at.head * self._size, self._size)
    of_token = jax.vmap(jax.random.fold_in, in_axes=(0, None))

    def of_steps(index):
      keys_of_step = jax.vmap(of_token)(keys, index)
      normal = process_base.sampled(
        jax.random.normal, walk.fold(keys_of_step, _NOISE), at.now.shape
      )
      deciding = walk.fold(keys_of_step[:, :1], _ACCEPT)[:, 0]
      return normal, process_base.sampled(jax.random.uniform, deciding, deciding.shape)

    return jax.vmap(of_steps)(index)

  def _wide(self, level):
    """[W, B] -> [W, B, n]: the same for all tokens of a block."""
    return jnp.broadcast_to(level[..., None], (*level.shape, self._size))

  def _shifted(self, at: At) -> At:
    """Where the block is made in every example, the next one begins."""
    return jax.lax.cond(jnp.all(at.made == self._steps), self._next, lambda at: at, at)

  def _next(self, at):
    x = jax.lax.dynamic_update_slice_in_dim(at.x, at.now, at.head * self._size, axis=1)
    head = at.head + 1
    return at._replace(
      x=x, head=head, now=self._block(x, head), held=jnp.zeros_like(at.held),
      made=jnp.zeros_like(at.made),
    )
