"""What turns features into outputs: the half of a Denoise (ask.py) behind the trunk.

Everywhere `ask` is the Ask that features were made for.
"""

import abc
import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp

from adiff.sequence import tokens as tokens_lib


class Head(abc.ABC):
  """Subclasses are frozen dataclasses, and final; the config's arguments are their fields, besides
  `params` and `dtype`, which `bind` sets.

  Some heads are a law by themselves: a small network that samples a token given its features. Their
  outputs are features still; only `loss`, `bound` and `law` make more of them.
  """

  is_law: bool = False

  def needs(self, parts: Any) -> None:
    """Raises ValueError where the rest of the config does not suit it."""
    if self.is_law != parts.process.by_law:
      name = type(self).__name__.lower()
      raise ValueError(
        f'head {name} samples vectors itself and needs process masked_vectors; write '
        'process.name=masked_vectors, or head.name=chunked' if self.is_law else
        f'process masked_vectors needs a head that samples vectors, and {name} does not; write '
        'head.name=diffusion'
      )

  def init(self, key, width, num_outputs) -> Any:
    """Its parameters for features [.., width] and outputs [.., num_outputs]; some have none."""
    del key, width, num_outputs
    return {}

  def bind(self, params, dtype) -> 'Head':
    """The head with parameters, which computes in `dtype`."""
    return dataclasses.replace(self, params=params, dtype=dtype)

  def chunks(self, num_outputs) -> int:
    """Parts of a device's tokens of which `loss` skips those without any; 1: it skips none."""
    del num_outputs
    return 1

  @abc.abstractmethod
  def read(self, h, ask) -> jax.Array:
    """Features h [B, T, W] -> outputs [B, T, O]."""

  @abc.abstractmethod
  def loss(self, h, key, ask, objective, weight, *tokens) -> tuple[jax.Array, jax.Array]:
    """(sum of weight * value [], value [B, T]), value = objective(read(h), *tokens) [B, T].

    weight [B, T], tokens [B, T, ..]; of several kinds an objective a kind. The sum carries the
    gradient; where weight is 0, value may be 0 instead. key: for heads that sample.
    """

  def bound(self, h, key, ask, x0) -> Any:
    """What the process's bound is made of: outputs [B, T, O]; of a law one sample of its own bound
    [B, T] on -log p(x0), in nats."""
    del key, x0
    return self.read(h, ask)

  def combined(self, out, weights) -> Any:
    """Outputs of one question from those of its branches [(1 + n) B, T, O]: those of the last one,
    and what each adds to the one behind it times a weight [B, T], n of them from the last on."""
    num = len(weights) + 1
    outs = [jax.tree.map(lambda leaf, i=i: jnp.split(leaf, num)[i], out) for i in range(num)]
    total = outs[-1]
    for weight, more, less in zip(weights, outs[-2::-1], outs[:0:-1], strict=True):
      total = tokens_lib.map_kinds(_moved, weight, total, more, less)
    return total

  @property
  def often(self) -> dict[str, float]:
    """What sequence/turns.py does not know of the loops and branches in `law`: {name: average}."""
    return {}

  def turns(self, wanted, num) -> int:
    """How often what `law` gives is made, of chunks, where `wanted` of `num` tokens are."""
    del wanted, num
    return 1

  def law(self, out) -> Any:
    """What a solver is given of outputs [B, n, O]: themselves. Of a law: (key [B, n], wanted bool
    [B, n]) -> x0 [B, n, D], anything where it is not wanted."""
    return out


def _moved(weight, out, more, less):
  """Outputs [B, n, O] moved by what more conditions add to less, at a weight [B, n]."""
  return out + weight[..., None] * (more - less)


class Outputs(Head):
  """The head of a trunk whose features are outputs already."""

  def read(self, h, ask):
    return h

  def loss(self, h, key, ask, objective, weight, *tokens):
    return weighted(self.read(h, ask), objective, weight, *tokens)


def weighted(out, objective, weight, *tokens) -> tuple[jax.Array, jax.Array]:
  """`Head.loss` of outputs that are all there."""
  if isinstance(out, tokens_lib.Tokens):
    values = tokens_lib.each(lambda kind, *own: objective[kind](*own), out.runs, out, *tokens)
    value = tokens_lib.gather(values, out.runs)
  else:
    value = objective(out, *tokens)
  chex.assert_equal_shape([value, weight])
  return jnp.sum(weight * value), value
