"""The tokens of a micro-batch, and how networks are asked about them at any levels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from adiff.learn import lessons as lessons_lib
from adiff.learn import loss as loss_lib
from adiff.learn import plain as plain_lib
from adiff.process import base as process_base
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import tokens as tokens_lib


class Setting(NamedTuple):
  """Levels are [B, K], one a block; tokens [B, N, D] in block order. Networks are asked about all
  blocks at once, each with the same history."""

  x0: jax.Array  # [B, N, D]
  xh: jax.Array | None  # their history copy, as later blocks read it
  blocks: blocks_lib.Blocks
  process: process_base.Process
  slots: blocks_lib.Slots
  weight: jax.Array  # [B, N] of the loss
  given: jax.Array | None = None  # bool [B, N]: shown as they are, at level 0

  @classmethod
  def of(cls, plain: plain_lib.Plain, rows, key, index=0) -> 'Setting':
    """That of rows that were `taught`, cut into blocks[index]; key: of the history's noise."""
    blocks, x0 = plain.blocks[index], rows['tokens']
    xh = None
    if blocks.history is not None:
      past = blocks.past(x0.shape[:2], float)
      xh = plain.process.add_noise(key, rows.get('history', x0), past)
    weight = rows.get('weight')
    weight = jnp.ones(x0.shape[:2]) if weight is None else weight.astype(float)
    slots = blocks.slots(plain.coords, **(lessons_lib.documents(rows) or {}))
    return cls(x0, xh, blocks, plain.process, slots, weight, rows.get('given'))

  @property
  def shape(self) -> tuple[int, int]:
    """(B, K), of levels."""
    return len(self.x0), self.blocks.num_blocks

  def out(self, denoise: ask_lib.Denoise, x, t, s=None) -> jax.Array:
    """Outputs [B, N, O] for tokens x [B, N, D] at levels t [B, K], asked for levels s [B, K]; None:
    s = t. History is asked for as it is."""
    if self.given is not None:
      x = tokens_lib.pick(self.given, self.x0, x)
    levels = [self._told(level) for level in ((t,) if s is None else (t, s))]
    x, *_ = self.blocks.pack(x, self.xh, levels[0])
    levels = [self.blocks.pack(self.x0, self.xh, level)[1] for level in levels]
    answer = denoise(ask_lib.Ask(x, levels[0], self.slots, *levels[1:]))
    return self.blocks.unpack(answer.out)

  def _told(self, level):
    """Levels [B, K], or [B, N] where some tokens are given."""
    return level if self.given is None else jnp.where(self.given, 0, self.blocks.per_token(level))

  def moved(self, x0, x, t, s) -> jax.Array:
    """Tokens x [B, N, D] moved from levels t to s [B, K] with x0 as the estimate."""
    return self.process.move(x, x0, self.blocks.per_token(t), self.blocks.per_token(s))

  def noised(self, key, t) -> jax.Array:
    """The tokens at levels t [B, K]."""
    return self.process.add_noise(key, self.x0, self.blocks.per_token(t))

  def between(self, x, end, t, s) -> jax.Array:
    """The estimate with which x `moved` from t to s is `end`, where s < t: a step is linear."""
    moves = self.blocks.per_token(s < t)[..., None]
    per_x0 = self.moved(jnp.ones_like(x), jnp.zeros_like(x), t, s)
    return (end - self.moved(jnp.zeros_like(x), x, t, s)) / jnp.where(moves, per_x0, 1)

  def estimate(self, denoise, process, x, t, s=None) -> jax.Array:
    """The estimate of a network whose process it is, as sampling uses it; arguments as in `out`."""
    return process.estimate(self.out(denoise, x, t, s), x, self.blocks.per_token(t))

  def step(self, denoise, process, x, t, s, *, ahead=False) -> jax.Array:
    """x moved from t to s by `estimate`; ahead: the network is a flow map, and is asked for s."""
    return self.moved(self.estimate(denoise, process, x, t, s if ahead else None), x, t, s)

  def x0_hat(self, denoise, x, t, s=None) -> jax.Array:
    """What a student says, unclipped; arguments as in `out`."""
    return self.process.x0_hat(self.out(denoise, x, t, s), x, self.blocks.per_token(t))

  def velocity(self, x, x0, t) -> jax.Array:
    """dx/dt of the flow at levels t [B, K], with x0 as the estimate."""
    return self.process.velocity(x, x0, self.blocks.per_token(t))

  def straight(self, x, t) -> tuple[jax.Array, jax.Array]:
    """(z [B, N, D], tau [B, N, 1]): the same point of the straight path (1 - tau) x0 + tau eps."""
    alpha, sigma = self.process.scales(self.blocks.per_token(t))
    return x / (alpha + sigma), sigma / (alpha + sigma)

  def speed(self, t) -> jax.Array:
    """dtau/dt [B, N, 1] of `straight`."""
    return jax.jvp(lambda t: self.straight(self.x0, t)[1], (t,), (jnp.ones_like(t),))[1]

  def where(self, blocks, yes, no) -> jax.Array:
    """Tokens of `yes` in these blocks, bool [B, K], else of `no`."""
    return tokens_lib.pick(self.blocks.per_token(blocks), yes, no)

  def error(self, out, target, x, t) -> jax.Array:
    """The process's loss [B, N] of outputs for tokens x at levels t [B, K], with `target` in the
    place of x0; no gradient flows through it."""
    target = jax.lax.stop_gradient(target)
    return self.process.loss(out, target, x, self.blocks.per_token(t))

  def mean(self, error, t, whole=None) -> tuple[jax.Array, dict[str, loss_lib.Mean]]:
    """(loss [], {name: Mean}) of errors [B, N] at levels t [B, K]; whole: see loss.loss."""
    loss = loss_lib.Mean(jnp.sum(self.weight * error), jnp.sum(self.weight))
    over = loss.count if whole is None else whole['loss']
    curves = loss_lib.curves(error, self.weight, t, self.blocks)
    some = over > 0
    return jnp.where(some, loss.total / jnp.where(some, over, 1), 0), {'loss': loss, **curves}
