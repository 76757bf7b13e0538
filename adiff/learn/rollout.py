"""Self-rollout: what a student makes by itself, block after block with its cache, and the gradient
of any loss of that, at the activation memory of one block.

Self Forcing (Huang et al. 2025, arXiv:2506.08009, algorithm 1): every block walks the plan's steps
without a gradient up to one *exit* step, the same for all blocks; there its x0_hat is the block,
and later blocks read that. Keys and values are held constant, so a block's gradient goes through
its exit step alone:

  blocks, cache = the walk, without a gradient           [B, N, D], keys of all blocks
  cotangents    = d loss / d blocks, however it is made  [B, N, D]
  gradient      = sum over blocks of the VJP of its exit step, asked again against the cache

The last line is a scan, so what is kept for the backward pass is one block's. It is exact: a block
sees no place of later blocks in the cache, by the rule of attention, nor its own finished copy,
which is of another stream, or hidden where there is one stream alone. Where keys are not to be
constant, `Rollout.made` is differentiated as it stands, with through=True.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adiff.sample import walk as walk_lib
from adiff.sample import walker
from adiff.sample import windows as windows_lib
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import tokens as tokens_lib
from adiff.sequence import turns


class Made(NamedTuple):
  """What was made, and what its gradient needs besides the parameters."""

  x0: jax.Array  # [B, N, D]
  xt: jax.Array  # [B, N, D] what the exit steps were asked
  exit: jax.Array  # int32 [] step of its plan at which each block was left
  cache: Any  # of all blocks


class _Carry(NamedTuple):
  """What goes from block to block."""

  x0: jax.Array
  xt: jax.Array
  cache: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Rollout(walker.Walker):
  """How one is made; `bind` without dropout.

  The value of x0 is what sampling uses, clipped where process.clip says so; its gradient is that of
  x0_hat as it is, or nothing would pull back what has left the range.
  """

  def made(self, params, keys, exit, *, through=False) -> Made:
    """The rollout of keys [B], one an example; exit: int [], a step of the plan from 0 on; a block
    with fewer leaves at its last.

    Where it is differentiated: through exit steps alone, and with `through` also through the keys
    and values that later blocks read.
    """
    free, frozen = self.bind(params), self.bind(jax.lax.stop_gradient(params))
    x, _ = walk_lib.initial(keys, blocks=self.blocks, process=self.process)
    cache = self.network.empty_cache(len(keys), self.blocks.num_tokens, self.coords.shape[-1])

    def make_block(carry, shape, window):
      here, row = self._here(keys, shape, window), self._exit_row(window, exit)
      constant = jax.lax.stop_gradient(carry.cache)
      xt = tokens_lib.cut(x, here.start, here.runs)

      def before(index, xt):
        leaves = (jnp.asarray(leaf)[index] for leaf in (window.t, window.s, window.index))
        return self._step(frozen, here, walk_lib.Row(*leaves), xt, constant)

      with turns.loop('before_exit', len(window.t) - 1):
        xt = jax.lax.stop_gradient(jax.lax.fori_loop(0, row.index[0], before, xt))
      x0 = self._exit(free, here, row, xt, carry.cache if through else constant)
      cache = self._written(free if through else frozen, here, x0, carry.cache)
      cache = cache if through else jax.lax.stop_gradient(cache)
      put = tokens_lib.put((carry.x0, carry.xt), (x0, xt), here.start)
      return _Carry(*put, cache)

    zeros = jnp.zeros_like(x)
    carry = self._over_blocks(make_block, _Carry(zeros, zeros, cache))
    return Made(carry.x0, carry.xt, jnp.asarray(exit, jnp.int32), carry.cache)

  def tokens(self, params, keys, exit) -> jax.Array:
    """x0 [B, N, D] of `made`, whose gradient by params is `gradient`."""

    @jax.custom_vjp
    def tokens(params):
      return self.made(params, keys, exit).x0

    def forward(params):
      made = self.made(params, keys, exit)
      return made.x0, (params, made)

    def backward(kept, cotangent):
      return (self.gradient(*kept, cotangent, keys),)

    tokens.defvjp(forward, backward)
    return tokens(params)

  def gradient(self, params, made: Made, cotangent, keys) -> Any:
    """The gradient, as a tree like params, of a loss whose derivative by made.x0 is `cotangent`
    [B, N, D], keys and values held constant."""

    def add_block(total, shape, window):
      here, row = self._here(keys, shape, window), self._exit_row(window, made.exit)
      xt, own = (tokens_lib.cut(leaf, here.start, here.runs) for leaf in (made.xt, cotangent))
      cache = self._before(made.cache, window.start)

      def exit_step(params):
        return self._exit(self.bind(params), here, row, xt, cache)

      _, back = jax.vjp(exit_step, params)
      return jax.tree.map(jnp.add, total, back(own)[0])

    return self._over_blocks(add_block, jax.tree.map(jnp.zeros_like, params))

  def _over_blocks(self, of_block, carry):
    """carry after of_block(carry, shape, window) of every block; alike ones are scanned."""
    listed = windows_lib.listed(self.plan, self.blocks)
    alike = [(shape._replace(pending=()), window) for shape, window in listed]
    for shapes, windows in windows_lib.grouped(alike):

      def advance(carry, windows, shapes=shapes):
        for shape, window in zip(shapes, windows, strict=True):
          carry = of_block(carry, shape, window)
        return carry, None

      carry, _ = jax.lax.scan(advance, carry, tuple(map(windows_lib.on_device, windows)))
    return carry

  def _here(self, keys, shape, window) -> '_Here':
    keys = walk_lib.token_keys(keys, window.start, shape.num_tokens)
    slots = self.blocks.token_slots(self.coords)
    slots = tokens_lib.cut(slots, window.start, shape.flight, axis=0)
    return _Here(window.start, shape.flight, keys, slots)

  def _exit_row(self, window, exit) -> walk_lib.Row:
    """The row at which a block is left: to level 0."""
    index = jnp.minimum(exit, len(window.t) - 1)
    t = jnp.asarray(window.t)[index]
    return walk_lib.Row(t, jnp.zeros_like(t), jnp.full(t.shape, index, jnp.int32))

  def _exit(self, denoise, here, row, xt, cache) -> jax.Array:
    """x0 [B, n, D] of a block."""
    t, s = walk_lib.levels(row, here.keys)
    out = self._call(denoise, here, row, xt, cache)(xt, t, self.solver.ahead(xt, t, s))
    x0 = self.process.x0_hat(out, xt, t)
    return x0 + jax.lax.stop_gradient(self.process.estimate(out, xt, t) - x0)

  def _step(self, denoise, here, row, xt, cache) -> jax.Array:
    """A block after a row of its plan."""
    t, s = walk_lib.levels(row, here.keys)
    call = self._call(denoise, here, row, xt, cache)
    level = self.solver.level(self.process, xt, t, s)
    out = call(xt, level, self.solver.ahead(xt, level, s))
    flight = walk_lib.Flight(xt, self.solver.init(xt))
    return walk_lib.step(self._fixed, flight, row, None, here.keys, out, call).x

  def _call(self, denoise, here, row, xt, cache):
    """(y, t, s) -> out."""
    flight = walk_lib.Flight(xt, self.solver.init(xt))

    def call(y, t, s):
      view = walk_lib.in_flight(self._fixed, flight, row, None, y, t, s)
      return denoise(walk_lib.make_ask(self.blocks, None, view, here.slots, cache)).out

    return call

  def _before(self, cache, start):
    """The cache of all blocks as one that starts at a token may read it."""
    if self.blocks.history is not None:
      return cache
    return self.network.shorten(cache, start, least=0)  # its copy there is of its own stream

  def _written(self, denoise, here, x0, cache):
    """The cache with a finished block behind it."""
    view = walk_lib.finished(self._fixed, here.keys, x0, here.start)
    past = self.blocks.history is not None
    slots = here.slots._replace(stream=jnp.full_like(here.slots.stream, past))
    keep = x0.shape[1]
    return denoise(walk_lib.make_ask(self.blocks, None, view, slots, cache, keep=keep)).cache

  @property
  def _fixed(self):
    return walk_lib.Fixed(self.blocks, self.process, self.solver, solvers_base.uncut)


class _Here(NamedTuple):
  """Where a block is."""

  start: jax.Array  # int32 [] its first token
  runs: tokens_lib.Runs
  keys: jax.Array  # [B, n] of its tokens
  slots: blocks_lib.Slots  # [n]


def check(plan, blocks, process, solver) -> None:
  """Raises ValueError where there is no rollout of it, in words."""
  if not process.has_ode or blocks.kinds is not None:
    raise ValueError(
      'a rollout is of one kind of floats; write process gaussian, or states from data'
    )
  if not plan.sequential or plan.given:
    raise ValueError('a rollout makes one block after another; write plan.delay=None')
  memory = jax.tree.leaves(jax.eval_shape(solver.init, jnp.zeros((1, 1, 1))))
  if solver.adaptive or solver.keeps or memory:
    raise ValueError(
      f'solver {type(solver).__name__} remembers steps that an exit forgets; write solver '
      'first_order, flow_map or consistency'
    )
