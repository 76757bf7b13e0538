"""Likelihoods of held-out examples: each an estimate of every block's nats, compiled once."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import tqdm

from adiff.data import batches
from adiff.judge import likelihood, ode, paths
from adiff.learn import lessons, state
from adiff.machine import sharding
from adiff.nn import network
from adiff.run import build
from adiff.sequence import conditions


class Estimate:
  """An estimate for the config's split, or eval.examples of it.

  make(denoise, key, batch) -> array [B, K], or several: one sample, for tokens in block order.
  """

  def __init__(self, parts: build.Parts, mesh, name, make: Callable[..., Any]):
    self._parts, self._mesh, self._name = parts, mesh, name
    self._size = sharding.round_up(mesh, parts.config.eval.batch_size)

    def sample(params, key, batch):
      denoise = network.condition(
        parts.recipe.network(params), conditions.of(batch, parts.spec.conds),
        history_cond=parts.history_cond,
      )
      return make(parts.told(denoise, batch['tokens']), key, batch)

    self._sample = jax.jit(sample, out_shardings=sharding.replicated(mesh))

  def trace(self, params) -> None:
    """Reads the first batch, and traces the program that measures it; what cannot work raises.
    params: ShapeDtypeStructs."""
    def whole(leaf):
      return jax.ShapeDtypeStruct((self._size, *leaf.shape[1:]), leaf.dtype)

    first = jax.tree.map(whole, next(self._batches()))
    key = jax.eval_shape(lambda: state.stream(0, self._name, 0))
    self._sample.trace(params, key, sharding.placed(first, sharding.batch_sharding(self._mesh)))

  @property
  def _num(self):
    """How many examples are measured."""
    config = self._parts.config
    size = self._parts.coded.size(config.eval.split)
    return min(config.eval.examples, size) if config.eval.examples else size

  def _batches(self):
    """The rows of the split, or of eval.examples of it, that are this process's."""
    parts = self._parts
    return batches.once(
      parts.coded, parts.config.eval.split, self._size, parts.blocks,
      rows=sharding.local_rows(self._mesh, self._size), num=self._num,
    )

  def samples(self, params, *, samples, progress=False) -> Any:
    """As `make`, [n, samples, K]; equal noise at every call."""
    limit, found = self._num, []
    total = -(-limit // self._size)
    rows = zip(range(total), self._batches())
    for index, batch in tqdm.tqdm(
      rows, total=total, desc=self._name, disable=not progress, leave=False
    ):
      batch = sharding.put_batch(self._mesh, batch, self._size)
      key = state.stream(self._parts.config.seed, self._name, index)
      drawn = [self._sample(params, jax.random.fold_in(key, n), batch) for n in range(samples)]
      found.append(jax.tree.map(lambda *leaves: np.stack([*map(np.asarray, leaves)], 1), *drawn))
    # What fills up the last batch comes last.
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:limit], *found)

  def of(self, params, tokens, told, *, samples) -> np.ndarray:
    """Nats [n, K], means over `samples` of noise that is equal at every call, of tokens [n, N(, D)]
    in raster order that were told {name: value [n, ..]}; their first array where `make` returns
    several."""
    found, num = [], len(tokens)
    examples = {'tokens': self._parts.blocks.from_raster(tokens), **told}
    for index, first in enumerate(range(0, num, self._size)):
      rows = np.minimum(first + np.arange(self._size), num - 1)[
        sharding.local_rows(self._mesh, self._size)]
      batch = jax.tree.map(lambda leaf, rows=rows: np.asarray(leaf)[rows], examples)
      batch = sharding.put_batch(self._mesh, batch, self._size)
      key = state.stream(self._parts.config.seed, f'{self._name} of others', index)
      drawn = [self._sample(params, jax.random.fold_in(key, n), batch) for n in range(samples)]
      found.append(np.mean([np.asarray(jax.tree.leaves(one)[0]) for one in drawn], 0))
    return np.concatenate(found)[:num]


def bound(parts: build.Parts, mesh) -> Estimate:
  """A likelihood.Sample of the process's own bound."""
  def make(denoise, key, batch):
    return likelihood.bound(
      denoise, key, batch['tokens'], reveals=parts.reveals, **_rows(batch), **_common(parts)
    )

  return Estimate(parts, mesh, 'bound', make)


def _common(parts):
  return dict(blocks=parts.blocks, process=parts.process, coords=parts.spec.coords)


def _rows(batch):
  """What an estimate must know of rows that are not examples as a whole."""
  known = batch['weight'] == 0 if 'weight' in batch else None
  return dict(known=known, documents=lessons.documents(batch))


class Weighted(Estimate):
  """The importance-weighted bound of config.eval.orders paths."""

  name, title = 'weighted', 'Importance-weighted bound'

  def __init__(self, parts: build.Parts, mesh):
    def make(denoise, key, batch):
      return paths.nats(
        denoise, key, batch['tokens'], steps=parts.config.eval.chain, **_rows(batch),
        **_common(parts),
      )

    super().__init__(parts, mesh, 'paths', make)

  def __call__(self, params, *, progress=False) -> dict:
    """paths.summary, and of what paths it is."""
    parts, config = self._parts, self._parts.config.eval
    nats = self.samples(params, samples=config.orders, progress=progress)
    of = 'orders' if parts.process.absorbing else f'trajectories of {config.chain} steps'
    return {'of': of, **paths.summary(nats, dims=parts.spec.dims)}


class Density(Estimate):
  """The likelihood by config.eval.ode steps of the probability-flow ODE."""

  name, title = 'ode', 'ODE likelihood'

  def __init__(self, parts: build.Parts, mesh):
    def make(denoise, key, batch):
      return ode.nats(
        denoise, key, batch['tokens'], steps=parts.config.eval.ode, **_common(parts)
      )

    super().__init__(parts, mesh, 'ode', make)

  def __call__(self, params, *, progress=False) -> dict:
    """likelihood.total, the steps, and whether it is a bound."""
    parts, config = self._parts, self._parts.config.eval
    nats = self.samples(params, samples=config.samples, progress=progress)
    nats = np.asarray(nats, np.float64).mean(1).sum(1)
    return {
      'steps': config.ode, 'is_bound': parts.process.bin is not None,
      **likelihood.total(nats, dims=parts.spec.dims),
    }


def check(parts: build.Parts) -> None:
  """Raises ValueError where the config asks for what the model has not."""
  paths.needs(parts)
  ode.needs(parts)


def further(parts: build.Parts, mesh) -> tuple[Weighted | Density, ...]:
  """What the config asks for besides the bound; raises as `check`."""
  check(parts)
  asked = parts.config.eval
  return (
    *((Weighted(parts, mesh),) if asked.orders > 1 else ()),
    *((Density(parts, mesh),) if asked.ode else ()),
  )
