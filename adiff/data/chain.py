"""Strings whose law is known exactly, so that likelihoods and samples can be judged."""

import functools
import itertools
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base
from adiff.judge.metrics import chi_square
from adiff.machine import files
from adiff.sequence import values

_SPLITS = ('train', 'test')
_MAX_CELLS = 2000


class Chain(base.Source):
  """Strings of a first-order Markov chain: tokens int32 [b, N] of `vocab` symbols, no labels.

  The initial law [V] and transition matrix [V, V] come from the seed; every entry is positive, so
  the chain mixes, and each symbol prefers another successor, so the past is informative. Splits:
  train (`size` strings) and test (size / 8), sampled independently. exact: {'nats': entropy of a
  string}.

  sides: those of a pyramid, coarse to fine; then a token's predecessor is not the token before it
  but the cell above it, one scale up, so that the tokens of a scale are independent given the
  coarser ones: what next-scale prediction in one pass assumes. () for a chain.
  """

  def __init__(
    self, num_tokens: values.Count = 6, vocab: Annotated[values.Count, values.at_least(2)] = 3,
    size: Annotated[values.Count, values.at_least(8)] = 65536, seed: values.Seed = 0,
    sides: tuple[values.Count, ...] = (),
  ):
    if num_tokens < 1 or vocab < 2 or size < 8:
      raise ValueError(
        f'a chain of {num_tokens} tokens, {vocab} symbols and {size} strings is too small; '
        'use at least 1, 2 and 8'
      )
    values.check_row(num_tokens)
    values.check_memory(
      f'a chain of {num_tokens} tokens, {vocab} symbols and {size} strings',
      8 * vocab * (4 * vocab + num_tokens) + size * (8 * num_tokens + 16 * vocab),
      'write smaller ones',
    )
    if sides and sum(side**2 for side in sides) != num_tokens:
      raise ValueError(
        f'the sides {values.shown(sides)} make {sum(side**2 for side in sides)} tokens but the '
        f'chain has {num_tokens}; let them agree'
      )
    self.num_tokens, self.vocab, self.seed, self.sides = num_tokens, vocab, seed, tuple(sides)
    self._sizes = {'train': size, 'test': size // 8}

  @functools.cached_property
  def parents(self) -> np.ndarray:
    """Index of each token's predecessor, int [N]; -1 where there is none."""
    if not self.sides:
      return np.arange(self.num_tokens) - 1
    parents, start = [-1] * self.sides[0] ** 2, 0
    for coarse, fine in itertools.pairwise(self.sides):
      above = np.arange(fine) * coarse // fine
      parents.extend((start + above[:, None] * coarse + above).ravel())
      start += coarse**2
    return np.array(parents)

  @functools.cached_property
  def _marginals(self):
    """p(x_i), [N, V]."""
    initial, transition = self.law
    marginals = []
    for parent in self.parents:
      marginals.append(initial if parent < 0 else marginals[parent] @ transition)
    return np.stack(marginals)

  @functools.cached_property
  def law(self) -> tuple[np.ndarray, np.ndarray]:
    """(initial [V], transition [V, V]) in float64; transition[v] is the law of what follows v."""
    rng = np.random.default_rng([self.seed, 0])
    logits = 0.5 * rng.normal(size=(self.vocab + 1, self.vocab))
    logits[1:] += 2.5 * np.roll(np.eye(self.vocab), 1, axis=1)
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    probs = 0.9 * probs + 0.1 / self.vocab
    return probs[0], probs[1:]

  @functools.cached_property
  def facts(self):
    coords = None
    if self.sides:  # scale, and the cell's corner in cells of the finest scale
      finest = self.sides[-1]
      coords = np.array([
        (scale, y * finest // side, x * finest // side)
        for scale, side in enumerate(self.sides)
        for y in range(side)
        for x in range(side)
      ])
    return codec_base.Facts('law', (self.num_tokens,), self.vocab, coords=coords)

  @property
  def splits(self):
    return _SPLITS

  @functools.cached_property
  def exact(self):
    initial, transition = self.law
    first = -np.sum(initial * np.log(initial))
    following = -np.sum(transition * np.log(transition), 1)  # [V], after each symbol
    nats = [first if parent < 0 else self._marginals[parent] @ following for parent in self.parents]
    return {'nats': float(sum(nats))}

  @functools.cached_property
  def fingerprint(self):
    return files.digest(*(self._tokens[split] for split in self.splits))

  @functools.cached_property
  def _tokens(self):
    return {
      split: self.sample(size, seed=index)
      for index, (split, size) in enumerate(self._sizes.items())
    }

  def sample(self, num, *, seed) -> np.ndarray:
    """Exact samples: int32 [num, N]; independent for different seeds (splits use 0, 1)."""
    rng = np.random.default_rng([self.seed, 1, seed])
    initial, transition = (np.cumsum(p, -1)[..., :-1] for p in self.law)
    tokens = np.empty((num, self.num_tokens), np.int32)
    for i, parent in enumerate(self.parents):
      bounds = initial if parent < 0 else transition[tokens[:, parent]]
      tokens[:, i] = np.sum(rng.random((num, 1)) >= bounds, 1)
    return tokens

  def size(self, split):
    return self._sizes[base.check_split(split, self.splits)]

  def examples(self, split, indices):
    tokens = self._tokens[base.check_split(split, self.splits)][indices]
    return {'example': tokens, 'label': np.full(len(tokens), -1, np.int32)}

  def log_prob(self, tokens) -> np.ndarray:
    """log p in nats, float64 [b], of strings int [b, N]."""
    tokens = np.asarray(tokens)
    initial, transition = self.law
    roots = self.parents < 0
    steps = np.log(transition)[tokens[:, self.parents[~roots]], tokens[:, ~roots]]
    return np.log(initial)[tokens[:, roots]].sum(1) + steps.sum(1)

  def law_test(self, samples, told=None) -> dict:
    """Chi-square test of strings int [b, N] against the law: {'statistic', 'dof', 'p_value'}.

    Compares the joint law of all V^N strings when these are at most 2,000. Longer ones are judged
    by groups of up to three tokens (a pyramid: a cell and two neighbours below it): string j
    contributes the one group j mod (number of groups), so that counts are independent and the sum
    over groups is again chi-square. Cells expected less than five times are pooled.
    """
    del told  # nothing can be
    samples = np.asarray(samples)
    groups, before = self._groups
    transition, width = self.law[1], groups.shape[1]
    strings = np.indices((self.vocab,) * width).reshape(width, -1)
    tail = np.prod(transition[strings[before], strings[1:]], 0)
    statistic, dof = 0.0, 0
    for index, group in enumerate(groups):
      own = samples[index::len(groups), group]
      cells = np.ravel_multi_index(tuple(own.T), (self.vocab,) * width)
      counts = np.bincount(cells, minlength=self.vocab**width)
      law = self._marginals[group[0]][strings[0]] * tail
      part, part_dof = chi_square.goodness_of_fit(counts, law)
      statistic, dof = statistic + part, dof + part_dof
    return chi_square.verdict(statistic, dof)

  @functools.cached_property
  def _groups(self):
    """Tokens that are tested together [G, w], and the place of each one's predecessor in them."""
    if self.sides:
      parents = self.parents
      pairs = [i for i in range(1, len(parents)) if parents[i] == parents[i - 1] >= 0]
      return np.array([(parents[i], i - 1, i) for i in pairs]), np.zeros(2, int)
    width = min(self.num_tokens, 3)
    if self.vocab**self.num_tokens <= _MAX_CELLS:
      width = self.num_tokens
    while width > 1 and self.vocab**width > _MAX_CELLS:
      width -= 1
    starts = np.arange(self.num_tokens - width + 1)
    return starts[:, None] + np.arange(width), np.arange(width - 1)

  def _messages(self, evidence):
    """p(x_i = v, evidence elsewhere) up to a factor per token, by forward-backward; [B, N, V].

    For chains alone."""
    initial, transition = (jnp.asarray(p, evidence.dtype) for p in self.law)

    def sweep(first, matrix, evidence):
      def step(message, seen):
        after = jnp.matmul(message * seen, matrix, precision='highest')
        return after / after.sum(-1, keepdims=True), message

      return jax.lax.scan(step, first, evidence)[1]

    seen = evidence.swapaxes(0, 1)
    first = jnp.broadcast_to(initial[None], seen.shape[1:])
    forward = sweep(first, transition, seen)
    backward = sweep(jnp.ones_like(first), transition.T, seen[::-1])[::-1]
    return (forward * backward).swapaxes(0, 1)

  def posterior(self, xt, mask_id, *, dtype=jnp.float32) -> jax.Array:
    """Exact p(x0_i | unmasked tokens) [B, N, V] of strings int [B, N], mask_id where masked."""
    known = xt[..., None] == jnp.arange(self.vocab, dtype=xt.dtype)[None, None]
    evidence = (known | (xt == mask_id)[..., None]).astype(dtype)
    joint = self._messages(evidence) * evidence
    return joint / joint.sum(-1, keepdims=True)

  def posterior_uniform(self, xt, t) -> jax.Array:
    """Exact leave-one-out p(x0_i | xt_j, j != i) [B, N, V] under uniform corruption.

    xt int [B, N]; t float [B, N]: each token was replaced by a uniform symbol with probability t.
    """
    same = xt[..., None] == jnp.arange(self.vocab, dtype=xt.dtype)[None, None]
    level = t[..., None]
    evidence = (1 - level) * same.astype(t.dtype) + level / self.vocab
    joint = self._messages(evidence)
    return joint / joint.sum(-1, keepdims=True)
