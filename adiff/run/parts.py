"""What a config stands for, as far as training, checkpoints and evaluations ask, whatever it is
that learns: build.Parts of a denoiser, tokenizer.Parts of a codec."""

import abc
import dataclasses
from typing import Any

from adiff.data import base as data_base
from adiff.learn import base as learn_base
from adiff.run import choose, kinds, places
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import spec as spec_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts(abc.ABC):
  """Made by build.build."""

  config: Any
  coded: data_base.Coded  # the data set, seen through its codec
  model: Any  # what learns, and says how its parameters are split
  recipe: learn_base.Recipe
  counted: learn_base.Recipe  # the same recipe, of a program in which nothing is computed twice

  @property
  @abc.abstractmethod
  def arranged(self) -> blocks_lib.Blocks:
    """The blocks in whose order the tokens of a batch are."""

  @abc.abstractmethod
  def check_mesh(self, mesh) -> None:
    """Raises ValueError where a training step cannot be split over it."""

  def at(self, size) -> 'Parts':
    """The same for pictures of another size, rows and columns of pixels; (): of that of the data.
    Raises ValueError where there is no such thing."""
    if size:
      raise ValueError('other sizes are those of generators of pictures; leave them empty')
    return self

  @property
  def sampled(self) -> 'Parts':
    """Those of the size that plan.size asks samples for."""
    try:
      return self.at(self.config.plan.size)
    except ValueError as error:
      raise ValueError(f'plan.size={self.config.plan.size}: {error}') from error

  @property
  def original(self) -> 'Parts':
    """Those of the size of the data."""
    return self

  @property
  def each_size(self) -> tuple['Parts', ...]:
    """What training steps take in turn: those of the size of the data, and of train.sizes."""
    return (self,)

  @property
  def largest(self) -> 'Parts':
    """Of these those of most tokens."""
    return max(self.each_size, key=lambda one: one.spec.num_tokens)

  @property
  def source(self) -> data_base.Source:
    """The examples."""
    return self.coded.source

  @property
  def spec(self) -> spec_lib.Spec:
    """The facts about their tokens."""
    return self.coded.spec

  @property
  def contract(self) -> dict:
    """What a checkpoint means, beyond its arrays; evaluation and sampling refuse another one."""
    made_here, codec = choose.registered(self.config), self.coded.codec
    each = {
      kind: _told(kinds.own(self.config, kind, 'codec'), codec.kinds[kind])
      for kind in self.spec.by_kind
    }
    return {
      'codec': _told(self.config.codec, codec) | ({'kinds': each} if each else {}),
      'data': self.coded.fingerprint,
      **({'registered': made_here} if made_here else {}),
    }


def _told(choice, codec) -> dict:
  """What a choice of a codec means, wherever it is read from."""
  return {**places.own('codec', choice), **codec.told}
