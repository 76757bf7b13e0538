"""A shard of a set of tokens: read, moved, encoded, summed up. Who makes which: encode.py."""

from collections.abc import Iterator
from concurrent import futures
from typing import NamedTuple

import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base as data_base
from adiff.data import encoded, moved
from adiff.judge.metrics import codebook

SUMS = ('counts', 'moments')
_MOST_COUNTED = 2**20  # symbols; the use of a larger codebook is not told


class Moves(NamedTuple):
  """What is kept of a training example: itself, and further copies that are moved."""

  copies: int = 1
  flip: bool = False
  crop: int = 0  # pixels by which a copy is shifted at most
  seed: int = 0


class Shard(NamedTuple):
  """Which one."""

  split: str
  index: int
  first: int  # example
  size: int  # examples
  copies: int  # of each


class Work(NamedTuple):
  """What shards are made of."""

  source: data_base.Source
  codec: codec_base.Codec
  batch: int  # examples that are encoded together
  moves: Moves


def shards(work: Work) -> Iterator[Shard]:
  """The shards of a set: 16 batches each, or fewer where hosts would have too few to share, or
  copies are many. Raises ValueError for a split without examples."""
  for number, split in enumerate(work.source.splits):
    num, copies = work.source.size(split), 1 if number else work.moves.copies
    if not num:
      raise ValueError(f'the split {split!r} is empty; add examples to it')
    batches = min(max(num // (64 * work.batch), 1), max(16 // copies, 1))
    for index, first in enumerate(range(0, num, size := work.batch * batches)):
      yield Shard(split, index, first, min(size, num - first), copies)


def threads(work: Work) -> int:
  """How many read examples."""
  return data_base.threads() if work.source.decodes else 1


def made(work: Work, shard: Shard, pool: futures.Executor, progress) -> tuple[dict, dict]:
  """(arrays of its tokens, what the examples have besides), as data/token_file.py has them.

  pool: of `threads`; progress: a bar that counts examples and copies. Raises ValueError for tokens
  that are not what the codec says of them, and what the source raises.
  """
  tokens, beside = [], []
  for indices, found in _batches(work, shard, pool):
    tokens.append(_tokens(work, shard, indices, found.pop('example')))
    beside.append(found)
    progress.update(len(indices) * shard.copies)
  arrays = {name: np.concatenate([one[name] for one in tokens]) for name in tokens[0]}
  rest = {name: np.concatenate([one[name] for one in beside]) for name in beside[0]}
  return {**arrays, **_summed(work, arrays['tokens'])}, rest


def _batches(work, shard, pool):
  """(indices, examples) of each batch; the next one is read meanwhile."""

  def asked(first):
    indices = np.arange(first, min(first + work.batch, end))
    parts = np.array_split(indices, min(threads(work), len(indices)))
    return indices, [pool.submit(work.source.examples, shard.split, part) for part in parts]

  end, waiting = shard.first + shard.size, None
  for first in [*range(shard.first, end, work.batch), None]:
    before, waiting = waiting, None if first is None else asked(first)
    if before is not None:
      indices, parts = before
      found = [part.result() for part in parts]
      yield indices, {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def _tokens(work, shard, indices, examples):
  """{'tokens': [n * copies, N(, D)], the copies of an example one after another} of a batch; of
  texts [T], and their lengths."""
  copies = [work.codec.encode((), examples)]
  for copy in range(1, shard.copies):
    copies.append(work.codec.encode((), moved.copies(
      examples, indices, split=shard.split, copy=copy, flip=work.moves.flip, crop=work.moves.crop,
      seed=work.moves.seed,
    )))
  if isinstance(copies[0], list):
    (texts,) = copies
    ended = [np.append(text, work.codec.eos) for text in texts]
    lengths = np.array([len(text) for text in ended], np.int64)
    return {'tokens': _stored(work, np.concatenate(ended)), 'lengths': lengths}
  tokens = np.stack(copies, 1)  # from the devices, where they were made there
  return {'tokens': _stored(work, tokens.reshape(-1, *tokens.shape[2:]))}


def _kind(work):
  return work.codec.spec(work.source.facts).kind


def _stored(work, tokens):
  """Tokens as they are stored: float32, or the smallest whole numbers that the symbols fit."""
  kind = _kind(work)
  if not kind.discrete:
    if not np.isfinite(tokens).all():
      raise ValueError(
        f'the codec {encoded.words(work.codec)} makes tokens that are not finite; encode with '
        'another one'
      )
    return tokens.astype(np.float32)
  if tokens.min() < 0 or tokens.max() >= kind.vocab:
    raise ValueError(
      f'the codec {encoded.words(work.codec)} makes symbols of {tokens.min()} to {tokens.max()}, '
      f'and says that they are below {kind.vocab}; correct it'
    )
  return tokens.astype(np.min_scalar_type(kind.vocab - 1))


def _summed(work, tokens):
  """What the statistics of a set are the sum of."""
  kind = _kind(work)
  if kind.discrete:
    few = kind.vocab <= _MOST_COUNTED
    return {'counts': np.bincount(tokens.reshape(-1), minlength=kind.vocab)} if few else {}
  values = tokens.reshape(-1, tokens.shape[-1]).astype(np.float64)
  num = np.full(values.shape[-1], len(values))
  return {'moments': np.stack([num, values.sum(0), (values**2).sum(0)])}


def statistics(summed: dict[str, np.ndarray]) -> dict:
  """What is told of tokens: of symbols how many there are, and codebook.Use, where they can be
  counted; of floats the mean and the deviation of each of a token's values.

  summed: the sum of what the shards of a split have of SUMS.
  """
  if not summed:
    return {}
  if 'counts' in summed:
    counts = summed['counts']
    return {'symbols': len(counts), **codebook.of_counts(counts, len(counts))._asdict()}
  num, total, squares = summed['moments']
  mean = total / num
  std = np.sqrt(np.maximum(squares / num - mean**2, 0))
  return {'mean': mean.tolist(), 'std': std.tolist()}
