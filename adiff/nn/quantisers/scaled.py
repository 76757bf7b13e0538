"""Quantisers of several scales: each one tells what the coarser ones have left.

  f_0 = 0,   codes_k = Q(down_k(z - f_k)),   f_{k+1} = f_k + up_k(values of codes_k),   zhat = f_K

(Lee et al. 2022, arXiv:2203.01941; with scales of several sizes Tian et al. 2024,
arXiv:2404.02905, algorithms 1 and 2.) The encoder is drawn to every partial sum,

  commitment * mean over k of mean |z - sg(f_{k+1})|^2.

A generator is shown, for the tokens of scale k, down_k(f_k): all that is known before they are
made.
"""

import abc
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.nn.quantisers import base, codebook, signs

Code = codebook.Codebook | signs.Signs


class Step(NamedTuple):
  """A scale of the walk."""

  left: jax.Array  # [B, *shape, C] what coarser scales have left, at this scale's size
  codes: jax.Array  # int32 [B, n] the nearest
  shown: jax.Array  # int32 [B, n] those that were added
  total: jax.Array  # [B, *grid, C] the sum with this scale


class Scaled(base.Quantiser):
  """Subclasses say how many scales there are, what they are told in, and how they meet; extra is
  the state of `code`, with a leading axis of books."""

  commitment: float

  @property
  @abc.abstractmethod
  def code(self) -> Code:
    """What a scale is told in."""

  @property
  @abc.abstractmethod
  def books(self) -> tuple[int, ...]:
    """Which state of `code` each scale has, 0 first."""

  @abc.abstractmethod
  def down(self, z, shape) -> jax.Array:
    """[B, *grid, C] -> [B, *shape, C]."""

  @abc.abstractmethod
  def up(self, params, scale, z, grid) -> jax.Array:
    """[B, *shape, C] of a scale -> [B, *grid, C]."""

  def init_extra(self):
    num = max(self.books) + 1
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * num), self.code.begin())

  def __call__(self, params, extra, z, key, train):
    steps = self.steps(params, extra, z)
    losses = self._losses(params, z, steps) if train else {}
    moved = self._moved(extra, steps, key) if train else extra
    quantised = base.straight_through(z, steps[-1].total)
    return base.Quantised(quantised, _joined(step.codes for step in steps), losses, moved)

  def codes_of(self, params, extra, z):
    return _joined(step.codes for step in self.steps(params, extra, z))

  def dequantise(self, params, extra, codes, grid):
    return self._sums(params, extra, codes, grid)[-1]

  def hints(self, params, extra, codes, grid):
    """{'coarser': [B, N, C]}: down_k(f_k), 0 for the first scale."""
    before = self._sums(params, extra, codes, grid)[:-1]
    pairs = zip(before, self.scales(grid), strict=True)
    return {'coarser': _joined(base.flat(self.down(total, shape), 1) for total, shape in pairs)}

  def requantise(self, params, extra, z, key, share):
    grid = z.shape[1:-1]
    num = sum(int(np.prod(shape)) for shape in self.scales(grid))
    shares = self._split(jnp.broadcast_to(jnp.asarray(share, jnp.float32), (len(z), num)), grid)
    keys = jax.random.split(key, len(shares))

    def go_over(scale, codes):
      return self.corrupt(keys[scale], codes, shares[scale])

    steps = self.steps(params, extra, z, go_over)
    return _joined(step.codes for step in steps), _joined(step.shown for step in steps)

  def steps(
    self, params, extra, z, go_over: Callable[[int, jax.Array], jax.Array] = lambda _, codes: codes
  ) -> list[Step]:
    """The walk over the scales; go_over(scale, codes [B, n]) -> those that are added instead."""
    self.check(z)
    z, grid, done = jax.lax.stop_gradient(z), z.shape[1:-1], []
    total = jnp.zeros_like(z)
    for scale, shape in enumerate(self.scales(grid)):
      left = self.down(z - jax.lax.stop_gradient(total), shape)
      rows = left.reshape(-1, left.shape[-1])
      codes = self.code.codes_of(self._state(extra, scale), rows).reshape(len(z), -1)
      shown = go_over(scale, codes)
      total = total + self._told(params, extra, scale, shown, shape, grid)
      done.append(Step(left, codes, shown, total))
    return done

  def _losses(self, params, z, steps):
    """{name: scalar}; where parameters stand between the codes and the sum, they are drawn to z."""
    fixed, totals = jax.lax.stop_gradient, [step.total for step in steps]
    losses = {'commitment': self.commitment * _distance(z, map(fixed, totals)) / len(steps)}
    if jax.tree.leaves(params):
      losses['sums'] = _distance(fixed(z), totals) / len(steps)
    return losses

  def _moved(self, extra, steps, key):
    """extra after a batch: each book has seen what was left for its scales."""
    states = []
    for book in range(max(self.books) + 1):
      own = [step for scale, step in enumerate(steps) if self.books[scale] == book]
      rows = jnp.concatenate([step.left.reshape(-1, step.left.shape[-1]) for step in own])
      codes = jnp.concatenate([step.codes.reshape(-1) for step in own])
      state = jax.tree.map(lambda leaf, book=book: leaf[book], extra)
      states.append(self.code.moved(state, rows, codes, jax.random.fold_in(key, book)))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

  def _sums(self, params, extra, codes, grid):
    """[f_0, .., f_K] of codes [B, N]."""
    totals = [jnp.zeros((len(codes), *grid, self.num_channels), jnp.float32)]
    pairs = zip(self._split(codes, grid), self.scales(grid), strict=True)
    for scale, (own, shape) in enumerate(pairs):
      totals.append(totals[-1] + self._told(params, extra, scale, own, shape, grid))
    return totals

  def _told(self, params, extra, scale, codes, shape, grid):
    """What a scale's codes [B, n] add."""
    values = self.code.values_of(self._state(extra, scale), codes)
    return self.up(params, scale, values.reshape(len(codes), *shape, -1), grid)

  def _state(self, extra, scale):
    return jax.tree.map(lambda leaf: leaf[self.books[scale]], extra)

  def _split(self, codes, grid):
    """[B, N] -> [B, n] a scale."""
    sizes = [int(np.prod(shape)) for shape in self.scales(grid)]
    return jnp.split(codes, np.cumsum(sizes)[:-1].tolist(), axis=1)


def _distance(z, totals):
  """The sum over scales of the mean squared distance of z and what stands after each."""
  return sum(jnp.mean((z - total) ** 2) for total in totals)


def _joined(parts) -> jax.Array:
  return jnp.concatenate(list(parts), axis=1)
