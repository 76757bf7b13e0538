"""Directions: some kinds of tokens given, the others made or scored.

  model = adiff.load('runs/shapes')
  given = model.given(text=captions)
  pictures = given.sample()                     # one for each caption
  given.score(image=pictures.examples['image'])

A direction is an order of blocks that the network has learnt (config.blocks.order, train.orders) in
which the given kinds come first: then what is made or scored follows the conditional law.
"""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import numpy as np
import tqdm

from adiff.judge import likelihood
from adiff.learn import state
from adiff.machine import array_file, sharding
from adiff.nn import network
from adiff.run import asked as asked_lib
from adiff.run import build, examples, generate, sequences
from adiff.sequence.tokens import Tokens


def toward(parts: build.Parts, kinds) -> build.Parts:
  """The parts of a run in the order of blocks in which `kinds` come first, given. Raises ValueError
  for kinds that there are not, or an order that the network has not learnt."""
  names = tuple(parts.spec.by_kind)
  unknown = [kind for kind in kinds if kind not in names]
  if unknown or not kinds or set(kinds) == set(names):
    wrong = ', '.join(map(repr, unknown if unknown else kinds))
    raise ValueError(
      f'{wrong or "nothing"} cannot be given; give some, not all, of '
      f'{", ".join(names) or "several kinds of tokens, which this run has not"}'
    )
  for geometry in parts.geometries:
    blocks, _ = geometry
    given = sum(len(blocks.blocks_of[kind]) for kind in kinds)
    if set(blocks.kinds[:given]) == set(kinds):
      plan = dataclasses.replace(sequences.plan(parts.config, blocks), given=given)
      return dataclasses.replace(parts, geometries=(geometry,), plan=plan)
  orders = ' or '.join(', '.join(_order(blocks)) for blocks, _ in parts.geometries)
  raise ValueError(
    f'this network has learnt {orders}; to give {", ".join(kinds)} train it with an order that '
    'begins so, config.blocks.order or config.train.orders, and kinds one after another'
  )


def _order(blocks):
  """The kinds of blocks one after another, a run of blocks of one kind once."""
  return [kind for kind, _ in itertools.groupby(blocks.kinds)]


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
  """A model with some kinds of each of `num` examples given; make it with Model.given."""

  parts: build.Parts  # as `toward` made them
  params: Any
  tokens: dict[str, np.ndarray]  # of the given kinds, in raster order

  @property
  def num(self) -> int:
    """Examples."""
    return len(next(iter(self.tokens.values())))

  def sample(self, *, seed=0, batch=64, progress=True) -> dict[str, Any]:
    """Examples {kind: [num, ..]}, given parts and made ones. Example i of a seed is the same
    whatever batch is."""
    alone = sharding.make_mesh(data=1, devices=jax.devices()[:1])
    made = generate.Sampler(
      self.parts, self.params, alone, seed=asked_lib.seed(seed),
      given=held(self.parts, self.tokens),
      batch_size=min(asked_lib.count('batch', batch), self.num),
    )
    with tqdm.tqdm(total=self.num, unit='sample', delay=2, disable=not progress) as bar:
      tokens, *_ = made.sample(0, self.num, progress=bar)
    return self.parts.coded.decode(tokens)

  def score(self, *, samples=16, seed=0, batch=64, **made) -> np.ndarray:
    """-log p(made | given) in nats [num, samples], each an unbiased sample of a bound on it (or it
    itself, where blocks are made in one call); made: {kind: [num, ..]}, all that is not given."""
    parts, blocks = self.parts, self.parts.blocks
    wanted = set(parts.spec.by_kind) - set(self.tokens)
    if set(made) != wanted:
      raise ValueError(f'score what is made: {", ".join(sorted(wanted))}')
    tokens = {**self.tokens, **examples.of_kinds(parts, made)}
    if len({len(part) for part in tokens.values()}) != 1:
      raise ValueError(f'there are {self.num} given examples; score one for each')
    x0 = blocks.from_raster(Tokens(tokens, parts.spec.runs))
    nats, samples = [], asked_lib.count('samples', samples)
    batch = min(asked_lib.count('batch', batch), self.num)
    for first in range(0, self.num, batch):
      index = np.minimum(np.arange(first, first + batch), self.num - 1)
      here = jax.tree.map(lambda leaf, index=index: leaf[index], x0)
      stream = state.stream(asked_lib.seed(seed), 'score', first)
      keys = [jax.random.fold_in(stream, n) for n in range(samples)]
      nats.append(np.stack([self._bound(self.params, key, here) for key in keys], 1))
    return np.concatenate(nats)[:self.num]

  @functools.cached_property
  def _bound(self):
    parts = self.parts

    def bound(params, key, x0):
      nothing = generate.asked_for(parts, np.full(len(x0), -1, np.int32))
      denoise = network.condition(
        parts.recipe.network(params), nothing, history_cond=parts.history_cond
      )
      nats, *_ = likelihood.bound(
        denoise, key, x0, blocks=parts.blocks, process=parts.process, coords=parts.spec.coords,
        reveals=parts.reveals,
      )
      return nats[:, parts.plan.given:].sum(1)

    return jax.jit(bound)


def held(parts: build.Parts, given: dict[str, np.ndarray]) -> generate.Held:
  """Tokens {kind: [n, ..]} in raster order of the kinds that `parts` take as given (see `toward`),
  all others zeros."""
  blocks, num = parts.blocks, len(next(iter(given.values())))
  tokens = {
    name: given[name] if name in given
    else np.zeros((num, size), np.int32) if parts.spec.by_kind[name].discrete
    else np.zeros((num, size, parts.spec.by_kind[name].dim), np.float32)
    for name, size in parts.spec.runs
  }
  known = blocks.to_raster(blocks.block_of_token < parts.plan.given, axis=0)
  known = np.broadcast_to(known, (num, blocks.num_tokens))
  return generate.Held(Tokens(tokens, parts.spec.runs), known)


def read(path, parts: build.Parts) -> tuple[build.Parts, dict[str, np.ndarray]]:
  """(parts of the direction, tokens of the given kinds) of an .npz with an array [n, ..] for each
  kind that is given, as the data has it. Raises ValueError, FileNotFoundError."""
  found = array_file.npz(path)
  toward_parts = toward(parts, tuple(found))
  return toward_parts, examples.of_kinds(toward_parts, found, f'{path}: ')
