"""What a recipe is: how parameters move. Nothing else of it is used outside learn/."""

import abc
from typing import Any, ClassVar

import jax
import numpy as np

from adiff.learn import state as state_lib

# Roles: of the network that is sampled from, of one between examples and their codes, and of one
# that tells data from what was made, and of a trained one that is asked and never moved.
DENOISER, CODEC, CRITIC, TEACHER = 'denoiser', 'codec', 'critic', 'teacher'


class Recipe(abc.ABC):
  """Subclasses are frozen dataclasses, and final. A *role* is a network of its own with parameters
  of its own: the one that is served, and whatever else a recipe trains or keeps."""

  role: ClassVar[str] = DENOISER  # of the network that the run is about
  # Does its network denoise: answer at every level, and beside given tokens? One that makes
  # examples of nothing but noise has no likelihood, and fills no holes.
  denoises: ClassVar[bool] = True
  # Does its network read what its tokens were before each earlier step? See Solver.keeps.
  keeps: ClassVar[bool] = False
  # Does its network know no levels but those of config.spacing? Then sampling takes no others.
  spaced: ClassVar[bool] = False
  guides: bool = False  # does it teach the guidance that its network is told?
  several_kinds: ClassVar[bool] = False  # does it train on tokens of several kinds?
  several_sizes: ClassVar[bool] = False  # and on pictures of several sizes, in turn?
  microbatches: int

  def needs(self, parts: Any) -> None:
    """Raises ValueError where the rest of the config does not suit it."""
    del parts

  @abc.abstractmethod
  def init(self, key) -> state_lib.State:
    """The state before the first step."""

  def born(self, key) -> Any:
    """What is served before the first step."""
    return self.served(self.init(key))

  @property
  def read_only(self) -> dict[str, str]:
    """{role: workdir} whose parameters are read from there before the first step."""
    return {}

  @abc.abstractmethod
  def update(
    self, state: state_lib.State, batch: dict[str, Any], key
  ) -> tuple[state_lib.State, dict[str, jax.Array]]:
    """(state, {name: scalar or curve}) after one step on batch {'tokens' [B, N, ..], 'label' [B]},
    of packed rows also {'segment', 'position', 'weight' [B, N]}. Among the scalars are 'loss' and
    'finite', whether loss and gradient are."""

  @abc.abstractmethod
  def network(self, params, role=DENOISER, *, key=None, loops=False) -> Any:
    """The network of a role with its parameters: a Denoise, conditions still open, see
    nn.network.Network.denoise for key and loops; or nn.autoencoder.Bound of a codec."""

  @abc.abstractmethod
  def served(self, state: state_lib.State) -> Any:
    """What evaluation, and sampling, use of the network of `role`."""

  @abc.abstractmethod
  def batch(self, size) -> dict[str, jax.ShapeDtypeStruct]:
    """What `update` takes, of `size` examples."""

  def often(self, batch) -> dict[str, float]:
    """{name: turns of a loop, or the share of the cases in which a branch is taken} on average, of
    those in an update whose own scope does not say it (sequence/turns.py); batch as `batch` gives
    it."""
    del batch
    return {}


def label(size) -> jax.ShapeDtypeStruct:
  """The labels of a batch."""
  return jax.ShapeDtypeStruct((size,), np.int32)


def check_microbatches(train) -> None:
  """Raises ValueError where config.train does not cut its batches evenly."""
  if train.batch_size % train.microbatches:
    raise ValueError(
      f'train.microbatches={train.microbatches} must divide train.batch_size={train.batch_size}'
    )
