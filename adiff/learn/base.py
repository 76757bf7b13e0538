"""What a recipe is: how parameters move. Nothing else of it is used outside learn/."""

import abc
from typing import Any

import jax

from adiff.learn import state as state_lib
from adiff.sequence import ask as ask_lib

DENOISER = 'denoiser'  # the role of the network that is sampled from


class Recipe(abc.ABC):
  """Subclasses are frozen dataclasses, and final. A *role* is a network of its own with parameters
  of its own: the denoiser, and whatever else a recipe trains or keeps."""

  def needs(self, parts: Any) -> None:
    """Raises ValueError where the rest of the config does not suit it."""
    del parts

  @abc.abstractmethod
  def init(self, key) -> state_lib.State:
    """The state before the first step."""

  @abc.abstractmethod
  def update(
    self, state: state_lib.State, batch: dict[str, Any], key
  ) -> tuple[state_lib.State, dict[str, jax.Array]]:
    """(state, {name: scalar or curve}) after one step on batch {'tokens' [B, N, ..], 'label' [B]},
    of packed rows also {'segment', 'position', 'weight' [B, N]}. Among the scalars are 'loss' and
    'finite', whether loss and gradient are."""

  @abc.abstractmethod
  def network(self, params, role=DENOISER, *, key=None, loops=False) -> ask_lib.Denoise:
    """The network of a role with its parameters, conditions still open; see
    nn.network.Network.denoise for key and loops."""

  @abc.abstractmethod
  def served(self, state: state_lib.State) -> Any:
    """The parameters of the denoiser that evaluation and sampling use."""
