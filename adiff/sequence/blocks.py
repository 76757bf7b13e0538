"""Blocks: how a sequence is cut, what is denoised together, and in which order.

N tokens are cut into K blocks. While a block is denoised it reads the blocks before it, its
*history*. In training the network sees two streams at once,

    slots    = [ working copy of blocks 1..K | history copy of blocks 1..K-1 ]
    levels   = [ t_1 .. t_K, one a block     | history, the same everywhere  ]

so that every block is trained in one pass. The history copy of the last block is never read and
never made. With `history=None` there is one stream: a block reads its past exactly as noisy as that
past itself is (diffusion forcing).

A slot is one place of the network's input. All that attention must know about it stands in `Slots`:
small integer arrays (a host-made [S, S] mask would be baked into the program). A *copy* of a block,
its slots in one stream, shares level and condition (copies.py).
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import tokens as tokens_lib
from adiff.sequence import values


class Slots(NamedTuple):
  """Who a slot is. Leaves are [S], or [B, S] where examples differ; coords has one more
  axis, [.., A]."""

  block: jax.Array  # index of the slot's block
  stream: jax.Array  # 0 working copy, 1 history copy
  readable: jax.Array  # bool: may later blocks read it?
  segment: jax.Array  # other segments are invisible (a document, padding, an empty cache place)
  coords: jax.Array  # position of the token on A axes, of floats too; both copies of it share it
  # int: place of the token in a history copy that is read token by token (`causal`); 0 elsewhere
  rank: jax.Array
  token: jax.Array | None = None  # index of the slot's token; None in a cache, where nobody asks


@dataclasses.dataclass(frozen=True)
class Blocks:
  """K blocks of `sizes` tokens; hashable, static under jit.

  sizes: tokens per block, in the order in which blocks are made.
  order: order[i] is the raster index of token i of the block order, a permutation of range(N).
  history: level in [0, 1) at which a block reads its past (0.0 clean, 0.02 "stabilised"), or a
  tuple of them, that of each block where it is read; None: as noisy as it is.
  causal: the history copy reads its own block token by token, not as a whole, so that its outputs
  can carry a next-token loss; then the last block's copy is made too.
  kinds: the kind of each block's tokens, where there are several (tokens.py); raster order has all
  tokens of one kind before those of the next.
  """

  sizes: tuple[int, ...]
  order: tuple[int, ...]
  history: float | tuple[float, ...] | None = 0.0
  causal: bool = False
  kinds: tuple[str, ...] | None = None

  def __post_init__(self):
    if not self.sizes or any(size < 1 for size in self.sizes):
      raise ValueError(f'block sizes must be positive integers, not {values.shown(self.sizes)}')
    if sum(self.sizes) != len(self.order):
      raise ValueError(
        f'blocks sum to {sum(self.sizes)} tokens but the sequence has {len(self.order)}; '
        'choose sizes whose sum is the number of tokens'
      )
    if sorted(self.order) != list(range(len(self.order))):
      raise ValueError('blocks.order must be a permutation of 0..N-1')
    levels = self.history if isinstance(self.history, tuple) else (self.history,)
    if self.history is not None and not all(0 <= level < 1 for level in levels):
      raise ValueError(f'blocks.history must be None or a level in [0, 1), not {self.history}')
    for name, own in (('levels of history', self.history), ('kinds', self.kinds)):
      if isinstance(own, tuple) and len(own) != len(self.sizes):
        raise ValueError(f'{len(self.sizes)} blocks need as many {name}, not {len(own)}')
    if self.causal and self.history is None:
      raise ValueError('a token-causal history copy needs a copy; set history=0.0')

  @property
  def num_tokens(self) -> int:
    return len(self.order)

  @property
  def num_blocks(self) -> int:
    return len(self.sizes)

  @property
  def num_slots(self) -> int:
    return self.num_tokens + self._num_history

  @property
  def kind_of_block(self) -> tuple[str | None, ...]:
    return (None,) * self.num_blocks if self.kinds is None else self.kinds

  @functools.cached_property
  def runs(self) -> tokens_lib.Runs:
    """Which kinds the tokens are of, in block order."""
    return tokens_lib.merged(zip(self.kind_of_block, self.sizes, strict=True))

  @property
  def runs_of_blocks(self) -> tokens_lib.Runs:
    """As `runs`, of an axis with one entry a block."""
    return tokens_lib.merged((kind, 1) for kind in self.kind_of_block)

  def shape(self, batch) -> tuple[int, int | tokens_lib.Runs]:
    """(B, N), or (B, runs) of several kinds: what a process makes noise of."""
    return batch, self.num_tokens if self.kinds is None else self.runs

  @functools.cached_property
  def blocks_of(self) -> dict[str | None, np.ndarray]:
    """{kind: int [k], its blocks}."""
    return tokens_lib.places(self.runs_of_blocks)

  def only(self, kind) -> 'Blocks':
    """The blocks of one kind by themselves."""
    sizes = tuple(self.sizes[k] for k in self.blocks_of[kind])
    return Blocks(sizes, _raster(sum(sizes)))

  def past(self, shape, dtype, *, first=0, a_block=False) -> jax.Array:
    """Levels [B, n] at which the tokens from `first` on, which may be traced, are read by later
    blocks, where history is not None; a_block: the first n blocks instead."""
    if not isinstance(self.history, tuple):
      return jnp.full(shape, self.history, dtype)
    levels = jnp.asarray(self.history, dtype)
    levels = levels if a_block else self.per_token(levels)
    levels = jax.lax.dynamic_slice_in_dim(levels, first, shape[1])
    return jnp.broadcast_to(levels[None], shape)

  @property
  def _num_history(self) -> int:
    if self.history is None:
      return 0
    return self.num_tokens if self.causal else self.num_tokens - self.sizes[-1]

  @functools.cached_property
  def block_of_token(self) -> np.ndarray:
    """[N] index of each token's block."""
    return np.repeat(np.arange(self.num_blocks, dtype=np.int32), self.sizes)

  def to_raster(self, x, axis=1) -> np.ndarray | jax.Array:
    """Tokens in block order -> raster order, along `axis`."""
    return tokens_lib.taken(x, np.argsort(self.order), self.raster, axis)

  def from_raster(self, x, axis=1) -> np.ndarray | jax.Array:
    """Tokens in raster order -> block order, along `axis`."""
    return tokens_lib.taken(x, self.order, self.runs, axis)

  @functools.cached_property
  def raster(self) -> tokens_lib.Runs:
    """Which kinds the tokens are of, in raster order."""
    kind_of_token = np.repeat(np.arange(len(self.runs)), [num for _, num in self.runs])
    return tokens_lib.merged((self.runs[i][0], 1) for i in kind_of_token[np.argsort(self.order)])

  @functools.cached_property
  def first_token(self) -> np.ndarray:
    """[K + 1] first token of each block, and N."""
    return np.cumsum([0, *self.sizes]).astype(np.int32)

  def per_token(self, per_block) -> jax.Array:
    """[..., K] -> [..., N]: each token gets its block's value."""
    per_block = jnp.asarray(per_block)
    chex.assert_axis_dimension(per_block, -1, self.num_blocks)
    return per_block[..., self.block_of_token]

  def sum_per_block(self, per_token) -> jax.Array:
    """[..., N] -> [..., K]: sums over each block's tokens."""
    chex.assert_axis_dimension(per_token, -1, self.num_tokens)
    one_hot = jnp.asarray(
      self.block_of_token[:, None] == np.arange(self.num_blocks), per_token.dtype
    )
    return per_token @ one_hot

  def pack(self, xt, xh, t) -> tuple[jax.Array, jax.Array]:
    """Both streams as the network reads them: (x [B, S, ...], t [B, S] or [B, M]).

    xt [B, N, ...] is the working copy, xh its history copy (None if history is). t: levels of the
    working copy, one a token [B, N], or one a block [B, K] for levels one a copy [B, M].

      two blocks of two tokens    xt  a b | c d     xh  A B | C D     t  .7 .2 (one a block)
      pack                        x   a b   c d   A B                 t  .7 .2 history
    """
    assert xt.shape[1] == self.num_tokens, (xt.shape, self.num_tokens)
    if self.history is None:
      return xt, t
    a_block = t.shape[1] == self.num_blocks
    num_levels = self._num_history
    if a_block:
      num_levels = int(np.searchsorted(self.first_token, self._num_history))
    else:
      chex.assert_shape(t, (None, self.num_tokens))
    past = self.past((t.shape[0], num_levels), t.dtype, a_block=a_block)
    xh = tokens_lib.cut(xh, 0, tokens_lib.between(self.runs, 0, self._num_history))
    return tokens_lib.join(xt, xh), jnp.concatenate([t, past], axis=1)

  def unpack(self, out) -> jax.Array:
    """[B, S or N, ...] -> [B, N, ...]: the working copy's outputs."""
    return tokens_lib.cut(out, 0, self.runs)

  def slots(self, coords, segment=None, position=None) -> Slots:
    """Slots of a training row, [S]; coords [N, A] are in raster order.

    Packed rows: segment [B, N] in block order says which document a token belongs to (-1: padding),
    position [B, N] where in it; then leaves are [B, S], or [1, S] where all examples agree. The
    others are host arrays: attention can leave out what is known to be invisible.
    """
    work = self.token_slots(coords)
    if segment is not None:
      work = jax.tree.map(lambda leaf: leaf[None], work)._replace(segment=segment)
      work = work if position is None else work._replace(coords=position[..., None])
    if self.history is None:
      return work
    token = np.concatenate([np.arange(self.num_tokens), np.arange(self._num_history)])
    is_history = np.arange(len(token)) >= self.num_tokens
    is_history = np.broadcast_to(is_history, work.block[..., token].shape)
    return Slots(
      block=work.block[..., token],
      stream=is_history.astype(np.int32),
      readable=is_history,
      segment=work.segment[..., token],
      coords=work.coords[..., token, :],
      rank=work.rank[..., token],
      token=work.token[..., token],
    )

  def token_slots(self, coords) -> Slots:
    """Slots of a sampling row, [N]: one stream, in which finished blocks are the history."""
    coords = jnp.asarray(coords)
    chex.assert_shape(coords, (self.num_tokens, None))
    zeros = np.zeros(self.num_tokens, np.int32)
    return Slots(
      block=self.block_of_token, stream=zeros, readable=np.ones(self.num_tokens, bool),
      segment=zeros, coords=coords[np.asarray(self.order)],
      rank=np.arange(self.num_tokens, dtype=np.int32) if self.causal else zeros,
      token=np.arange(self.num_tokens, dtype=np.int32),
    )


def _raster(num_tokens) -> tuple[int, ...]:
  values.check_row(num_tokens)
  return tuple(range(num_tokens))


def whole(num_tokens, *, history=0.0) -> Blocks:
  """One block: full-sequence diffusion."""
  return Blocks((num_tokens,), _raster(num_tokens), history)


def tokens(num_tokens, *, history=0.0) -> Blocks:
  """Blocks of one token: autoregression."""
  order = _raster(num_tokens)
  return Blocks((1,) * num_tokens, order, history)


def equal(num_tokens, size: values.Count = 2, *, history=0.0) -> Blocks:
  """Blocks of `size` consecutive tokens."""
  if size < 1 or num_tokens % size:
    raise ValueError(f'blocks.size={size} does not divide {num_tokens} tokens; choose a divisor')
  order = _raster(num_tokens)
  return Blocks((size,) * (num_tokens // size), order, history)


def shuffled(num_tokens, size: values.Count = 1, seed: values.Seed = 0, *, history=0.0) -> Blocks:
  """As `equal`, in a random order of tokens, the same for all examples."""
  order = tuple(np.random.default_rng(seed).permutation(num_tokens).tolist())
  return dataclasses.replace(equal(num_tokens, size, history=history), order=order)


def backwards(num_tokens, size: values.Count = 1, *, history=0.0) -> Blocks:
  """As `equal`, from the last token to the first."""
  order = tuple(reversed(_raster(num_tokens)))
  return dataclasses.replace(equal(num_tokens, size, history=history), order=order)


def cells(
  grid: tuple[values.Count, ...], cell: tuple[values.Count, ...] = (2, 2), *, history=0.0
) -> Blocks:
  """Boxes of `cell` tokens of a grid with as many axes, in raster order of boxes and raster order
  inside each. A grid of (2, 4) and a cell of (2, 2) make two blocks:

    0 1 | 2 3
    4 5 | 6 7     order = 0 1 4 5 | 2 3 6 7
  """
  grid, cell = tuple(grid), tuple(cell)
  if len(grid) != len(cell) or any(c < 1 or g % c for g, c in zip(grid, cell, strict=False)):
    raise ValueError(
      f'blocks.cell={values.shown(cell)} does not tile the grid {grid}; write divisors, one an axis'
    )
  values.check_row(math.prod(grid))
  box_and_inside = []  # the grid with every axis cut in two: which box, and where in it
  for num, side in zip(grid, cell, strict=True):
    box_and_inside += [num // side, side]
  raster = np.arange(math.prod(grid)).reshape(box_and_inside)
  axes = range(raster.ndim)
  order = raster.transpose([*axes[0::2], *axes[1::2]]).reshape(-1)
  size = math.prod(cell)
  return Blocks((size,) * (order.size // size), tuple(order.tolist()), history)


def frames(
  grid: tuple[values.Count, ...], per_block: values.Count = 1, *, history=0.0
) -> Blocks:
  """Whole frames of a (frames, height, width, ...) grid, `per_block` at a time."""
  return cells(grid, (per_block, *tuple(grid)[1:]), history=history)


def scales(sides: tuple[values.Count, ...] = (1, 2, 4), *, history=0.0) -> Blocks:
  """A pyramid of square images, coarse to fine: one block of side * side tokens a scale."""
  sizes = tuple(side * side for side in sides)
  return Blocks(sizes, _raster(sum(sizes)), history)


def joint(
  kinds: dict[str, Blocks], order: tuple[str, ...] = (), *, turns: bool = False
) -> Blocks:
  """The blocks of several kinds, {kind: its Blocks}: all of the first kind in `order` (by default
  that of `kinds`), then all of the next. turns: they take turns instead, so that kinds with fewer
  blocks have longer ones between them; at a tie the first in `order` goes first:

    turns=False   text text | frame frame | sound sound sound sound
    turns=True    text frame sound | sound | text frame sound | sound
  """
  order = tuple(order) if order else tuple(kinds)
  if sorted(order) != sorted(kinds):
    raise ValueError(
      f'blocks.order={values.shown(order)} must name every kind once: {", ".join(kinds)}'
    )
  first = dict(zip(kinds, np.cumsum([0, *(own.num_tokens for own in kinds.values())])))
  blocks = []  # (when it starts, if they take turns; its kind; which of its kind)
  for kind in order:
    num = kinds[kind].num_blocks
    blocks += [(k / num if turns else 0, kind, k) for k in range(num)]
  blocks.sort(key=lambda block: block[0])
  sizes, tokens, levels = [], [], []
  for _, kind, k in blocks:
    own = kinds[kind]
    sizes.append(own.sizes[k])
    tokens += [first[kind] + i for i in own.order[own.first_token[k]:own.first_token[k + 1]]]
    levels.append(own.history)
  history = levels[0] if len(set(levels)) == 1 else tuple(levels)
  if None in levels and history is not None:
    raise ValueError('history is None of all kinds or of none; write levels, or None of every kind')
  return Blocks(
    tuple(sizes), tuple(map(int, tokens)), history, kinds=tuple(kind for _, kind, _ in blocks)
  )
