"""Tokens of one kind, or of several in one sequence; the only file that opens them.

A *kind* is a sort of token: symbols of text, vectors of an image. Tokens of one kind are a bare
array [B, N, ..]. Of several kinds they are `Tokens`: an array a kind, and the runs that say where
in the sequence its tokens stand:

    sequence   a b | A B C | c d        runs   (('text', 2), ('image', 3), ('text', 2))
    parts      text a b c d, image A B C

Runs are static, so that a program knows of every token what kind it is. What is the same of every
token (levels, keys, slots, weights) stays one array [B, N]. All functions here take either; of a
bare array runs are ((None, N),).
"""

import functools
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Runs = tuple[tuple[str | None, int], ...]

_FEW = 8  # pieces that are cut out one by one; more are gathered


@jax.tree_util.register_pytree_with_keys_class
class Tokens:
  """Tokens of several kinds: parts {kind: leaves [B, n, ..]} in the order of the sequence."""

  def __init__(self, parts: dict[str, Any], runs: Runs):
    self.parts, self.runs = parts, runs

  def __repr__(self):
    return f'Tokens({self.parts}, {self.runs})'

  @property
  def shape(self) -> tuple[int, int]:
    """(B, N), as far as all kinds share it."""
    leaf = jax.tree.leaves(self.parts)[0]
    return leaf.shape[0], count(self.runs)

  def __len__(self):
    return self.shape[0]

  def tree_flatten_with_keys(self):
    kinds = tuple(sorted(self.parts))  # as in dictionaries: whoever made them, it is one tree
    children = [(jax.tree_util.DictKey(kind), self.parts[kind]) for kind in kinds]
    return children, (kinds, self.runs)

  @classmethod
  def tree_unflatten(cls, static, children):
    kinds, runs = static
    return cls(dict(zip(kinds, children, strict=True)), runs)


# ---- Runs ----------------------------------------------------------------------------------------


def count(runs: Runs) -> int:
  """Tokens of the runs."""
  return sum(num for _, num in runs)


def kinds(runs: Runs) -> tuple[str, ...]:
  """Kinds of the runs, in the order of their first tokens."""
  return tuple(dict.fromkeys(kind for kind, _ in runs))


def merged(runs) -> Runs:
  """The runs of the same tokens, as few as there may be."""
  whole = []
  for kind, num in runs:
    if whole and whole[-1][0] == kind:
      num += whole.pop()[1]
    if num:
      whole.append((kind, num))
  return tuple(whole)


def between(runs: Runs, first, end) -> Runs:
  """Runs of the tokens from `first` to the one before `end`, both ints."""
  part, start = [], 0
  for kind, num in runs:
    part.append((kind, max(min(start + num, end) - max(start, first), 0)))
    start += num
  return merged(part)


@functools.lru_cache(maxsize=512)
def places(runs: Runs) -> dict[str, np.ndarray]:
  """{kind: int32 [n], where in the sequence its tokens stand}."""
  names = kinds(runs)
  of_token = np.repeat([names.index(kind) for kind, _ in runs], [num for _, num in runs])
  return {kind: np.flatnonzero(of_token == i).astype(np.int32) for i, kind in enumerate(names)}


def runs_of(x) -> Runs:
  """The runs of tokens."""
  return x.runs if isinstance(x, Tokens) else ((None, x.shape[1]),)


def is_tokens(x) -> bool:
  """A leaf, where trees are mapped token by token."""
  return isinstance(x, Tokens)


# ---- A kind at a time ----------------------------------------------------------------------------


def deal(leaf, runs: Runs, axis=1) -> dict[str, Any]:
  """{kind: its tokens of an array of all tokens, along `axis`}."""
  return {kind: _taken(leaf, index, axis) for kind, index in places(runs).items()}


def gather(parts: dict[str, jax.Array], runs: Runs, axis=1) -> jax.Array:
  """The inverse of `deal`: arrays a kind, alike in all other axes -> one of all tokens."""
  own = places(runs)
  if len(own) == 1:
    return parts[runs[0][0]]
  stacked = jnp.concatenate([parts[kind] for kind in own], axis)
  order = np.argsort(np.concatenate(list(own.values())), kind='stable')
  return _taken(stacked, order, axis)


def of_kind(kind, x, runs: Runs) -> Any:
  """What a kind has of x: Tokens, an array [B, N, ..] of all tokens, or a single key."""
  if isinstance(x, Tokens):
    return x.parts[kind]
  if x.ndim == 0:
    return fold(x, kind)
  return _taken(x, places(runs)[kind], 1)


def fold(key, kind) -> jax.Array:
  """The key of a kind, whatever other kinds there are."""
  return jax.random.fold_in(key, zlib.crc32(kind.encode()))


def each(function, runs: Runs, *args) -> dict[str, Any]:
  """{kind: function(kind, *what the kind has of args)}; args as in `of_kind`."""
  return {
    kind: function(kind, *(of_kind(kind, arg, runs) for arg in args)) for kind in kinds(runs)
  }


def map_kinds(function, *args) -> Any:
  """function(*args) where all are arrays [B, N, ..]; else Tokens of what it makes of each kind's
  parts."""
  runs = next((x.runs for x in args if isinstance(x, Tokens)), None)
  if runs is None:
    return function(*args)
  return Tokens(each(lambda _, *own: function(*own), runs, *args), runs)


# ---- A stretch at a time -------------------------------------------------------------------------


def cut(tree, first, runs: Runs, axis=1) -> Any:
  """The tokens from `first` on, which may be traced, of every leaf of a tree; runs are theirs."""
  return jax.tree.map(lambda x: _cut(x, first, runs, axis), tree, is_leaf=is_tokens)


def _cut(x, first, runs, axis):
  if not isinstance(x, Tokens):
    return _slice(x, first, count(runs), axis)
  before, own = _before(x.runs, first), places(runs)
  parts = {
    kind: jax.tree.map(
      lambda leaf, kind=kind: _slice(leaf, before[kind], len(own[kind]), axis), x.parts[kind]
    )
    for kind in own
  }
  return Tokens(parts, runs)


def put(tree, part, first) -> Any:
  """The tree with the tokens from `first` on replaced by those of `part`."""
  return jax.tree.map(lambda x, own: _put(x, own, first), tree, part, is_leaf=is_tokens)


def _put(x, part, first):
  def update(whole, own, first):
    return jax.lax.dynamic_update_slice_in_dim(whole, own, first, 1)

  if not isinstance(x, Tokens):
    return update(x, part, first)
  before = _before(x.runs, first)
  replaced = {
    kind: jax.tree.map(
      lambda whole, own, kind=kind: update(whole, own, before[kind]), x.parts[kind], own
    )
    for kind, own in part.parts.items()
  }
  return Tokens({**x.parts, **replaced}, x.runs)


def join(*xs) -> Any:
  """Tokens one behind another."""
  if len(xs) == 1:
    return xs[0]
  if not any(isinstance(x, Tokens) for x in xs):
    return jnp.concatenate(xs, axis=1)
  names = tuple(dict.fromkeys(kind for x in xs for kind in x.parts))
  parts = {
    kind: jnp.concatenate([x.parts[kind] for x in xs if kind in x.parts], axis=1)
    for kind in names
  }
  return Tokens(parts, merged(run for x in xs for run in x.runs))


def pick(mask, yes, no) -> Any:
  """Tokens of `yes` where mask [B, N] or [1, N], else of `no`."""
  if not isinstance(no, Tokens):
    return _where(mask, yes, no)
  own = deal(mask, no.runs)
  parts = {kind: _where(own[kind], yes.parts[kind], no.parts[kind]) for kind in no.parts}
  return Tokens(parts, no.runs)


def taken(x, order, runs: Runs, axis=1) -> Any:
  """The tokens order[0], order[1], .. of x along `axis`; their runs are then `runs`. On the host
  and in programs."""
  order = np.asarray(order)
  if not isinstance(x, Tokens):
    return (np if isinstance(x, np.ndarray) else jnp).take(x, order, axis=axis)
  parts = {}
  for kind, index in places(x.runs).items():
    own = np.searchsorted(index, order[np.isin(order, index)])
    parts[kind] = taken(x.parts[kind], own, (), axis)
  return Tokens(parts, runs)


# ---- Arrays --------------------------------------------------------------------------------------


def _before(runs, first) -> dict[str, Any]:
  """{kind: how many of its tokens stand before token `first`}."""
  own = places(runs)
  if isinstance(first, (int, np.integer)):
    return {kind: int(np.searchsorted(index, first)) for kind, index in own.items()}
  steps = np.arange(count(runs) + 1)
  return {
    kind: jnp.asarray(np.searchsorted(index, steps).astype(np.int32))[first]
    for kind, index in own.items()
  }


def _slice(leaf, first, num, axis):
  if isinstance(first, (int, np.integer)):
    return jax.lax.slice_in_dim(leaf, int(first), int(first) + num, axis=axis)
  return jax.lax.dynamic_slice_in_dim(leaf, first, num, axis)


def _where(mask, yes, no):
  return jnp.where(mask.reshape(mask.shape + (1,) * (no.ndim - 2)), yes, no)


def _taken(leaf, index, axis):
  """leaf[index] along an axis, as a few slices where index is made of few."""
  xp = np if isinstance(leaf, np.ndarray) else jnp
  ends = np.flatnonzero(np.diff(index) != 1) + 1
  pieces = np.split(index, ends)
  if len(pieces) > _FEW:
    return xp.take(leaf, index, axis=axis)
  head = (slice(None),) * (axis % leaf.ndim)
  parts = [leaf[(*head, slice(int(piece[0]), int(piece[-1]) + 1))] for piece in pieces]
  return parts[0] if len(parts) == 1 else xp.concatenate(parts, axis=axis)
