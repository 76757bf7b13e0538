"""Speculative decoding: a draft proposes some tokens at once, and the target, whose law counts,
accepts or replaces them after one call (Leviathan et al. 2023, arXiv:2211.17192, algorithm 1).

The *target* is a network of masked tokens asked as autoregression: token i is its own block,
masked, behind the clean tokens before it. One call on

  [ clean copies of the draft's tokens | a masked slot for each of them and for the one behind ]

gives its law p of each of them, given the draft's own tokens before. The *draft* is any network of
masked tokens: its call unmasks the next `tokens` of its current block independently of each other,
given all that stands, with law q; and one more call writes the keys of a block that stands. Token
by token, x ~ q is accepted with probability min(1, p(x) / q(x)); the first that is not is replaced
by a sample of max(p - q, 0) / sum, and ends the round; where all are, one more is sampled from p.
What is accepted has the law p whatever q is: the output follows the target's law exactly, and no
more than speed depends on the draft.

Temperature and other cuts are part of the law p: `narrow` is applied to both. Of gaussian tokens
steps are drafted: drafted_steps.py.
"""

import dataclasses
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from adiff.nn import network as network_lib
from adiff.process import base as process_base
from adiff.sample import drafted_steps
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import turns, values

_DRAFT, _ACCEPT, _MORE = 0, 1, 2  # what a token's key is folded with


@dataclasses.dataclass(frozen=True)
class Speculative:
  """How tokens are drafted; the section `speculative` of a config."""

  draft: values.Path  # workdir of the network that drafts; '': none does
  tokens: Annotated[int, values.between(1, 256)]  # drafted in a call, at most
  steps: Annotated[int, values.between(0, 256)]  # of gaussian noise, drafted in a call; 0: none

  def needs(self, parts: Any) -> None:
    """Raises ValueError where the config has no autoregressive law to speculate about."""
    if self.draft and (
      not parts.process.absorbing or parts.process.by_law or parts.spec.by_kind
      or set(parts.blocks.sizes) != {1} or parts.model.shifted
      or parts.blocks.history != 0 or parts.blocks.causal or parts.model.num_hints
      or parts.spec.conds or parts.hints is not None
      or any(one.reach is not None for one in parts.model.reads)
    ):
      raise ValueError(
        'speculative.draft needs a target that is asked token by token: process masked of one kind '
        'of tokens, blocks.name=tokens (or --block_size=1 of a network that learnt it), '
        'history=0.0, no conditions, model.shifted, model.reach or self-conditioning; set '
        "speculative.draft=''"
      )
    if self.steps:
      drafted_steps.needs(parts)


class Reader(NamedTuple):
  """A network as it is asked here; its cache serves one example."""

  network: network_lib.Network
  denoise: ask_lib.Denoise
  blocks: blocks_lib.Blocks
  coords: jax.Array  # [N, A]
  process: process_base.Process


class Counts(NamedTuple):
  """What a walk took, of each example."""

  calls: jax.Array  # int32 [B] of the target
  drafts: jax.Array  # int32 [B] calls of the draft, those for keys of finished blocks included
  accepted: jax.Array  # int32 [B] drafted tokens that stand


class At(NamedTuple):
  """One example on its way."""

  x: jax.Array  # int [N + tokens]: those that stand, behind them nothing that counts
  length: jax.Array  # int32 [] tokens that stand
  target: Any  # a cache of the tokens before the last one that stands
  draft: Any  # a cache of the draft's blocks before the current one
  counts: Counts


def sample(
  target: Reader, draft: Reader, keys, tokens, *, narrow=solvers_base.uncut
) -> tuple[jax.Array, Counts]:
  """(x [B, N] in block order, what it took): the target's autoregressive law; keys [B], one an
  example.

  draft: its blocks are equal, and in the same order; a call drafts inside one of them.
  """
  check(target, draft)
  one = Speculation(target, draft, min(tokens, draft.blocks.sizes[0]), narrow)
  return jax.vmap(one.walk)(keys)


def check(target: Reader, draft: Reader) -> None:
  """Raises ValueError where the draft makes other tokens."""
  sizes = set(draft.blocks.sizes)
  if draft.blocks.order != target.blocks.order or len(sizes) > 1 or 1 in sizes:
    raise ValueError(
      'the draft must make the same tokens in the same order, in equal blocks of two or more; name '
      'a workdir of such a network as speculative.draft'
    )
  if draft.process != target.process:
    raise ValueError(
      'the draft must know the same symbols as its target; train it on the same data, or set '
      "speculative.draft=''"
    )


class Speculation(NamedTuple):
  """How one example is walked."""

  target: Reader
  draft: Reader
  tokens: int  # drafted in a call, at most the draft's block
  narrow: solvers_base.Narrow = solvers_base.uncut

  def start(self) -> At:
    """Before the first token."""
    num, zero = self.target.blocks.num_tokens, jnp.int32(0)

    def cache(reader, places):
      return reader.network.empty_cache(1, places, reader.coords.shape[-1])

    return At(
      jnp.zeros(num + self.tokens, jnp.int32), zero, cache(self.target, num + self.tokens + 1),
      cache(self.draft, num), Counts(zero, zero, zero),
    )

  def walk(self, key) -> tuple[jax.Array, Counts]:
    num, size = self.target.blocks.num_tokens, self.draft.blocks.sizes[0]

    def block(index, at):
      first = index * size
      with turns.loop('rounds', size):
        at = jax.lax.while_loop(
          lambda at: at.length < first + size, lambda at: self._round(key, first, at), at
        )
      return self.written(first, at)

    at = jax.lax.fori_loop(0, num // size, block, self.start())
    return at.x[:num], at.counts

  def _round(self, key, first, at: At) -> At:
    """Drafts in the block that begins at token `first`, verifies, and what stands then."""
    drafted, q, real = self.drafted(key, first, at)
    p, cache_target = self.verified(at, drafted)
    index = at.length + jnp.arange(self.tokens)
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.fold_in(key, i), _ACCEPT))(index)
    u = jax.vmap(jax.random.uniform)(keys)
    ratio = _of(p[:-1], drafted) / _of(q, drafted)
    stands = jnp.cumprod((u < ratio) & real)
    count = jnp.sum(stands).astype(jnp.int32)
    # Of the token behind the accepted ones: what q had too much of, if it was drafted.
    was_drafted = jnp.append(real, False)[count]
    rest = jnp.where(was_drafted, jnp.maximum(p - jnp.pad(q, ((0, 1), (0, 0))), 0), p)[count]
    # Where p = q but for rounding, nothing was too much.
    rest = jnp.where(jnp.sum(rest) > 0, rest, p[count])
    more = self._sampled(key, at.length + count, _MORE, rest)
    x = jax.lax.dynamic_update_slice_in_dim(at.x, drafted, at.length, 0)
    x = x.at[at.length + count].set(more, mode='drop')
    room = self.target.blocks.num_tokens - at.length
    length = at.length + jnp.minimum(count + 1, room)
    # Token i has place i + 1; the last one has none yet.
    cache_target = self.target.network.shorten(cache_target, length, least=0)
    counts = at.counts
    counts = Counts(counts.calls + 1, counts.drafts + 1, counts.accepted + count)
    return at._replace(x=x, length=length, target=cache_target, counts=counts)

  def _sampled(self, key, index, fold, law):
    """A symbol ~ law [V] by the key of token `index`."""
    key = jax.random.fold_in(jax.random.fold_in(key, index), fold)
    return process_base.categorical(key, jnp.log(law))

  def _law(self, out):
    """Outputs [.., V] -> probabilities in float32 at least."""
    wide = jnp.promote_types(out.dtype, jnp.float32)
    return jax.nn.softmax(self.narrow(out.astype(wide)), axis=-1)

  def drafted(self, key, first, at):
    """(symbols [tokens], their laws [tokens, V], bool: was it drafted?)."""
    draft, size = self.draft, self.draft.blocks.sizes[0]
    masked = first + jnp.arange(size) >= at.length
    own = jax.lax.dynamic_slice_in_dim(at.x, first, size)
    own = jnp.where(masked, draft.process.mask_id, own)
    level = jnp.mean(masked.astype(float))
    slots = _slots(draft, first, size)
    out = draft.denoise(ask_lib.Ask(own[None], level[None, None], slots, cache=at.draft)).out
    begin = at.length - first
    padded = jnp.pad(out[0], ((0, self.tokens), (0, 0)))
    law = self._law(jax.lax.dynamic_slice_in_dim(padded, begin, self.tokens))
    index = at.length + jnp.arange(self.tokens)
    symbols = jax.vmap(lambda i, law: self._sampled(key, i, _DRAFT, law))(index, law)
    return symbols, law, begin + jnp.arange(self.tokens) < size

  def written(self, first, at):
    """At with the block that begins at token `first` in the draft's cache."""
    size = self.draft.blocks.sizes[0]
    x = jax.lax.dynamic_slice_in_dim(at.x, first, size)[None]
    slots = _slots(self.draft, first, size, past=True)
    ask = ask_lib.Ask(x, jnp.zeros((1, 1)), slots, cache=at.draft, keep=size)
    counts = at.counts._replace(drafts=at.counts.drafts + 1)
    return at._replace(draft=self.draft.denoise(ask).cache, counts=counts)

  def verified(self, at, drafted):
    """(the target's laws [tokens + 1, V] of the tokens drafted and the one behind, its cache with
    the last token and the drafted ones)."""
    target, num = self.target, self.tokens
    last = jnp.maximum(at.length - 1, 0)
    past = jnp.append(at.x[last], drafted)  # the last token that stands has no keys yet
    work = jnp.full(num + 1, target.process.mask_id, past.dtype)
    slots_past = _slots(target, at.length - 1, num + 1, past=True)
    slots_work = _slots(target, at.length, num + 1)
    slots = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), slots_past, slots_work)
    t = jnp.append(jnp.zeros(num + 1), jnp.ones(num + 1))[None]
    x = jnp.concatenate([past, work])[None]
    out, cache = target.denoise(
      ask_lib.Ask(x, t, slots, cache=at.target, keep=num + 1)
    )
    return self._law(out[0, -(num + 1):]), cache


def _slots(reader, first, size, *, past=False):
  """Slots [size] of the tokens from `first` on; what is none of the sequence is seen by nobody."""
  num = reader.blocks.num_tokens
  index = first + jnp.arange(size)
  there = (index >= 0) & (index < num)
  slots = reader.blocks.token_slots(reader.coords)
  slots = jax.tree.map(lambda leaf: jnp.asarray(leaf)[jnp.clip(index, 0, num - 1)], slots)
  return slots._replace(
    stream=jnp.full(size, int(past), jnp.int32), readable=there & past,
    segment=jnp.where(there, slots.segment, 1 + jnp.arange(size)),
  )


def _of(law, symbols):
  """law [n, V] at symbols [n]."""
  return jnp.take_along_axis(law, symbols[:, None], axis=-1)[:, 0]
