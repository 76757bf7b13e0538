"""Conditions: what examples may be asked for by, and what stands for "not given" in each.

  class     value of an example                      null      what a network makes of it
  Label     int []                                   -1        a row of a table, beside the level
  Features  float [C]; or [N, C], one a token        nan       a projection beside the level, or
                                                               beside the token
  Memory    float [L, C], or symbols int [L]         nan, -1   keys that cross-attention reads

A value says by itself what of it is given: a control map may cover some tokens alone, a text ends
where its symbols become -1. So to hide a condition, in training or for guidance, is to write its
null, and batches carry one array a condition. For what is not given a network has learnt vectors: a
row of the label's table, a vector beside the projection, a row of the memory that is always seen.
"""

import abc
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import blocks as blocks_lib
from adiff.sequence import values

LABEL = 'label'  # the condition that examples of every source have, -1 where they have none
# What a network that is told its guidance is asked by besides, as Features: the scale, and the two
# levels between which it acts; nan: it is not guided. No source has it.
GUIDANCE = 'guidance'


class Condition(abc.ABC):
  """Subclasses are frozen dataclasses, and final."""

  per_token = False  # does a value have one part a token, in the order of the tokens?
  most = 0  # whole numbers of a value lie below it

  @abc.abstractmethod
  def shape(self, num_tokens) -> tuple[int, ...]:
    """Of the value of one example of `num_tokens` tokens."""

  @property
  @abc.abstractmethod
  def whole(self) -> bool:
    """Are values whole numbers, and not floats?"""

  def nothing(self, num, num_tokens) -> np.ndarray:
    """The null of `num` examples."""
    dtype = np.int32 if self.whole else np.float32
    return np.full((num, *self.shape(num_tokens)), -1 if self.whole else np.nan, dtype)

  def checked(self, name, value, num, num_tokens) -> np.ndarray:
    """What a user gives under a name, for `num` examples: of all, or one each. Raises ValueError in
    words where it is something else."""
    value, wanted = np.asarray(value), self.shape(num_tokens)
    kinds, words = ('iu', 'whole numbers') if self.whole else ('f', 'floats')
    if value.dtype.kind not in kinds or value.shape not in (wanted, (num, *wanted)):
      raise ValueError(
        f'condition {name} takes {words} of the shape {list(wanted)}, or {[num, *wanted]} for one '
        f'an example, not {value.dtype} {list(value.shape)}'
      )
    if not self.whole and np.isinf(value).any():
      raise ValueError(f'condition {name} holds infinite numbers; write finite ones, nan for none')
    if self.whole and value.size and not -1 <= value.min() <= value.max() < self.most:
      raise ValueError(
        f'condition {name} holds {value.min() if value.min() < -1 else value.max()}; write '
        f'0 .. {self.most - 1}, or -1 for none'
      )
    dtype = np.int32 if self.whole else np.float32
    return np.broadcast_to(value.astype(dtype), (num, *wanted))


@dataclasses.dataclass(frozen=True)
class Label(Condition):
  """One of `num` classes, an int an example."""

  num: int
  names: tuple[str, ...] = ()  # of the classes, where they have any
  whole = True

  @property
  def most(self):
    return self.num

  def shape(self, num_tokens):
    return ()

  def checked(self, name, value, num, num_tokens):
    value = np.asarray(value)
    if value.dtype.kind == 'U':
      for word in value.ravel().tolist():
        if word not in self.names:
          raise ValueError(
            f'condition {name} holds {values.shown(word)}; write one of '
            f'{", ".join(self.names) if self.names else "its numbers, for they have no names"}'
          )
      value = np.vectorize(self.names.index, otypes=[np.int32])(value)
    return super().checked(name, value, num, num_tokens)


@dataclasses.dataclass(frozen=True)
class Features(Condition):
  """`dim` floats an example; or, per_token, a token: a map of edges, a low resolution, actions."""

  dim: values.Count
  per_token: bool = False
  whole = False

  def __post_init__(self):
    values.check_fields(self, 'features')

  def shape(self, num_tokens):
    return (num_tokens, self.dim) if self.per_token else (self.dim,)


@dataclasses.dataclass(frozen=True)
class Memory(Condition):
  """At most `length` rows that are read by cross-attention: of `dim` floats, which somebody's text
  encoder made; or symbols below `vocab`, whose encoder is trained along."""

  length: values.Count
  dim: values.Whole = 0
  vocab: values.Whole = 0

  def __post_init__(self):
    values.check_fields(self, 'memory')
    if (self.dim > 0) == (self.vocab > 0):
      raise ValueError(
        f'a memory has rows of floats (dim={self.dim}) or symbols (vocab={self.vocab}); set one of '
        'both'
      )

  @property
  def whole(self):
    return self.vocab > 0

  @property
  def most(self):
    return self.vocab

  def shape(self, num_tokens):
    return (self.length,) if self.whole else (self.length, self.dim)


class Recall(NamedTuple):
  """A Memory as a network has made it its own (`Denoise.remember`); not of `num` examples alone:
  of P examples, which serve B = P, 2 P, .. asks in turn."""

  keys: Any  # opaque outside nn/
  mask: jax.Array  # bool [B, L] which rows are given; over slots [B, S, L]


def nothing(conds, num, num_tokens) -> dict[str, np.ndarray]:
  """{name: null} of `num` examples; conds {name: Condition}."""
  return {name: cond.nothing(num, num_tokens) for name, cond in conds.items()}


def checked(conds, given, num, num_tokens) -> dict[str, np.ndarray]:
  """{name: value} of all conditions, what is not `given` as null; as Condition.checked."""
  for name in given:
    if name not in conds:
      there = f'it has {", ".join(conds)}' if conds else 'it has none'
      raise ValueError(f'there is no condition {values.shown(name)} to ask for; {there}')
  return {
    name: cond.checked(name, given[name], num, num_tokens)
    if name in given else cond.nothing(num, num_tokens)
    for name, cond in conds.items()
  }


def of(batch, conds) -> dict[str, jax.Array]:
  """The conditions among what a batch holds; the label is told whether the data has one or not."""
  return {name: batch[name] for name in dict.fromkeys((LABEL, *conds))}


def null(value) -> Any:
  """"Not given", like a value of examples or of slots."""
  if isinstance(value, Recall):
    return value._replace(mask=jnp.zeros_like(value.mask))
  return jnp.full_like(value, -1 if jnp.issubdtype(value.dtype, jnp.integer) else jnp.nan)


def hide(value, hidden) -> jax.Array:
  """The value of examples [B, ..] with null where hidden [B]."""
  hidden = hidden.reshape(hidden.shape + (1,) * (value.ndim - 1))
  return jnp.where(hidden, null(value), value)


def over_slots(value, slots: blocks_lib.Slots, *, history_cond=False) -> Any:
  """A value of examples as each slot sees it: labels int [B], or [B, K] one a block, as [B, S];
  features [B, C], or [B, N, C] one a token, as [B, S, C]; a Recall with its mask [B, S, L].

  History slots get the null unless history_cond: then the guided and the unguided branch read the
  same history and can share one cache.
  """
  hidden = jnp.asarray((slots.stream == 1) & (not history_cond))
  hidden = hidden if hidden.ndim == 2 else hidden[None]  # [1, S] or [B, S]
  if isinstance(value, Recall):
    return value._replace(mask=value.mask[:, None] & ~hidden[..., None])
  batch = len(value)
  if jnp.issubdtype(value.dtype, jnp.integer):
    per, index = value.ndim == 2, slots.block
  else:
    per, index = value.ndim == 3, slots.token
  shape = (batch, hidden.shape[1])
  if per:
    index = jnp.broadcast_to(index, shape).reshape(*shape, *(1,) * (value.ndim - 2))
    value = jnp.take_along_axis(value, index, axis=1)
  else:
    value = jnp.broadcast_to(value[:, None], (*shape, *value.shape[1:]))
  hidden = hidden.reshape(*hidden.shape, *(1,) * (value.ndim - 2))
  return jnp.where(hidden, null(value), value)


def leading(value) -> jax.Array:
  """What of a value over slots leads with [B, S]."""
  return value.mask if isinstance(value, Recall) else value


def at(cond, index) -> dict[str, Any]:
  """Conditions over slots, of the slots `index` alone."""
  return {
    name: value._replace(mask=value.mask[:, index]) if isinstance(value, Recall)
    else value[:, index]
    for name, value in cond.items()
  }


def branches(cond, hidden) -> dict[str, Any]:
  """Conditions over slots of several copies of a batch, one behind the other; hidden: the names
  whose condition is null in each copy, a set a copy."""

  def stacked(name, value):
    own = [null(value) if name in names else value for names in hidden]
    if isinstance(value, Recall):  # whose keys serve all copies
      return value._replace(mask=jnp.concatenate([copy.mask for copy in own]))
    return jnp.concatenate(own)

  return {name: stacked(name, value) for name, value in cond.items()}
