"""What a network is to everybody else, and what may stand between it and an Ask.

A `Network` is a frozen description without parameters; `init` makes those, and `denoise` binds them
to the Denoise that loss and walk hold. All that other rooms read of a network is declared here.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions, copies
from adiff.sequence import head as head_lib

ESTIMATE = 'estimate'  # the hint of self-conditioning
NOISE = 'noise'  # that of tokens which their noise decides, see process/code_flow.py
# Parameters that others must know: of the head, computed in float32 at least; and of layers that
# are stacked, [layers, ..].
HEAD, STACK = 'out', 'layers'

# x [B, N, ..] in block order -> {name: [B, N, C]}: what is shown of tokens besides. What it gives
# block k depends on blocks before k alone, so that noise elsewhere in x does not matter.
Hints = Callable[[Any], dict[str, jax.Array]]


class Reads(NamedTuple):
  """How far back the layers of a cache read."""

  reach: int | None = None  # earlier blocks that a block reads; None: all, 0: its own alone
  sinks: int = 0  # the first blocks, which are read from everywhere


class Group(NamedTuple):
  """Layers, one after another, that read as far back; the next two as in Reads."""

  first: int  # layer
  end: int  # the layer behind its last one
  reach: int | None
  sinks: int

  @property
  def keeps(self) -> bool:
    """Has it a cache? Layers that reach nothing keep nothing."""
    return self.reach != 0 or self.sinks > 0


class Network(abc.ABC):
  """Subclasses are frozen dataclasses, and final; the config's arguments are their fields."""

  # one a cache, where groups of layers have several; (): there is none, or one of a size of its own
  reads: tuple[Reads, ...]
  shifted: bool  # does a token's slot carry the token before it? See shifted.py
  heads: int  # what the mesh's tensor times sequence must divide
  dtype: str  # of activations
  remat: str  # what the backward pass recomputes, one of block.REMAT
  head: head_lib.Head  # what it turns features into outputs with
  num_hints: int  # features of the hint ESTIMATE that it can be shown; 0: none
  hinted: str  # how it is shown what the codec tells of its tokens, one of hinting.WAYS
  told: str = 't'  # which levels it is told, one of embed.TOLD
  guided: str = 'none'  # what it is told of its guidance, one of embed.GUIDED
  conds: dict[str, conditions.Condition]  # what it can be asked for by
  several_kinds: ClassVar[bool] = False  # does it take tokens of several kinds? See tokens.py

  @property
  def maps(self) -> bool:
    """Is it told the level that it is asked for? Then it can be a flow map."""
    return self.told != 't'

  @property
  def hears_guidance(self) -> bool:
    """Is it told how it is guided? Then it needs one call, see conditions.GUIDANCE."""
    return self.guided != 'none'

  def needs(self, parts: Any) -> None:
    """Raises ValueError where the rest of the config does not suit it."""
    del parts

  @abc.abstractmethod
  def init(self, key, ask: ask_lib.Ask) -> Any:
    """Its parameters, float32, for asks like this one."""

  @abc.abstractmethod
  def denoise(self, params, *, key=None, loops=False) -> ask_lib.Denoise:
    """The network with its parameters.

    key: turns dropout on. loops: it is called in loops of a compiled program, so what can be made
    of the parameters once is made before them.
    """

  @abc.abstractmethod
  def recomputing(self, policy) -> 'Network':
    """The same network whose backward pass recomputes as another `remat` says."""

  @abc.abstractmethod
  def empty_cache(self, batch, places, axes) -> Any:
    """A cache of `places` empty places for `batch` examples and positions on `axes` axes; places
    here and below: a number, or one for each of `reads`."""

  @abc.abstractmethod
  def cache_bytes(self, batch, places) -> int:
    """Bytes of what a cache keeps of tokens."""

  @abc.abstractmethod
  def grow(self, cache, places) -> Any:
    """The cache with empty places up to `places`; one that has been full stays as it is."""

  @abc.abstractmethod
  def shorten(self, cache, places, *, least) -> Any:
    """The cache with at most the first `places` places filled, where place i holds token i of the
    block order. Raises ValueError where it has fewer than `least` places, or holds other tokens."""

  @abc.abstractmethod
  def tensor_axes(self) -> dict[str, int]:
    """{what a parameter's path ends with: which of its axes the mesh's tensor splits}."""

  @abc.abstractmethod
  def exchanged(self) -> dict[str, int]:
    """{tensor, sequence: floats a slot that a training step exchanges over that axis}, the forward
    and the backward pass, what is recomputed included; data: floats a slot of the gradients of
    activations that all examples share."""


def condition(denoise: ask_lib.Denoise, cond, *, history_cond=False) -> ask_lib.Denoise:
  """`denoise` under conditions {name: value of examples}, see conditions.over_slots; what a network
  makes of a Memory is made here, once for all calls."""
  cond = denoise.remember(cond)

  def trunk(ask):
    told = {
      name: conditions.over_slots(value, ask.slots, history_cond=history_cond)
      for name, value in cond.items()
    }
    return denoise.trunk(dataclasses.replace(ask, cond={**ask.cond, **told}))

  return denoise._replace(trunk=trunk)


def hinted(denoise: ask_lib.Denoise, hints: Hints | None, x) -> ask_lib.Denoise:
  """`denoise` that is shown hints of all tokens x [B, N, ..], in block order, where there are any:
  both copies of a token carry its own."""
  if hints is None:
    return denoise
  known = hints(x)

  def trunk(ask):
    token = ask.slots.token
    index = jnp.broadcast_to(token, ask.x.shape[:2])[..., None]
    told = {name: jnp.take_along_axis(value, index, axis=1) for name, value in known.items()}
    return denoise.trunk(dataclasses.replace(ask, hint={**ask.hint, **told}))

  return denoise._replace(trunk=trunk)


def self_condition(denoise: ask_lib.Denoise, estimate, process, key) -> ask_lib.Denoise:
  """`denoise` that is shown x0_hat of `estimate` in half of the examples, where a working token is
  noisy; no gradient flows through it (Chen et al. 2023, arXiv:2208.04202, algorithm 1).

  estimate: the Denoise that is asked first. process: whose x0_hat turns outputs into an estimate.
  """

  def trunk(ask):
    out, _ = estimate(ask)
    count, level = out.shape[1], copies.levels(ask.t, ask.slots)
    hint = jax.lax.stop_gradient(process.x0_hat(out, ask.x[:, :count], level[:, :count]))
    hint = jnp.pad(hint, ((0, 0), (0, ask.x.shape[1] - count), (0, 0)))
    half = jax.random.bernoulli(key, 0.5, (len(level), 1))
    seen = half & (jnp.broadcast_to(ask.slots.stream, level.shape) == 0) & (level > 0)
    hint = jnp.where(seen[..., None], hint, 0)
    return denoise.trunk(dataclasses.replace(ask, hint={**ask.hint, ESTIMATE: hint}))

  return denoise._replace(trunk=trunk)


def wanted(slots: blocks_lib.Slots, keep) -> tuple[int, int]:
  """(first, last) of the slots whose outputs anybody may want: those behind the kept ones, if any;
  and without a history copy that is known as such, unless it is read token by token."""
  num_slots = slots.block.shape[-1]
  if keep:
    return keep if keep < num_slots else 0, num_slots
  if all(isinstance(leaf, np.ndarray) for leaf in (slots.stream, slots.rank)):
    stream = slots.stream.reshape(-1)
    work = int(np.argmax(np.append(stream, 1)))
    if work and stream[work:].all() and not slots.rank.any():
      return 0, work
  return 0, num_slots
