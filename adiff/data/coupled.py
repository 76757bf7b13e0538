"""Symbols and floats that depend on each other, with a law that is known: examples of two parts."""

import functools
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from adiff.codec import base as codec_base
from adiff.data import base, chain, mixture
from adiff.judge.metrics import chi_square
from adiff.machine import files
from adiff.sequence import values

SYMBOLS, FLOATS = 'symbols', 'floats'
_SPLITS = ('train', 'test')
_STRINGS = 2**12  # at most: all of them are gone through
_RINGS = 4  # of the law test


class Coupled(base.Source):
  """Examples {'symbols': int [b, N], 'floats': float32 [b, M, D]}, no labels.

  Symbols are a string of a Markov chain (data/chain.py). Floats are of a component of a Gaussian
  mixture (data/mixture.py), which the string names: (first symbol + last symbol) mod components. So
  the joint law, both conditionals and both marginals are sums over all strings.

  exact: {'nats': of an example, 'nats_symbols', 'nats_floats': of a part by itself,
  'nats_floats_given_symbols', 'nats_symbols_given_floats'}, and their standard errors '.._se' where
  they are estimates.
  """

  def __init__(
    self, num_symbols: values.Count = 4, vocab: Annotated[values.Count, values.at_least(2)] = 3,
    num_floats: values.Count = 2, dim: values.Count = 1, components: values.Count = 3,
    size: Annotated[values.Count, values.at_least(8)] = 65536, seed: values.Seed = 0,
  ):
    if vocab**num_symbols > _STRINGS:
      raise ValueError(
        f'{num_symbols} symbols of {vocab} make more than {_STRINGS} strings, too many to go '
        'through; write fewer'
      )
    self.chain = chain.Chain(num_symbols, vocab, size, seed)
    self.mixture = mixture.Mixture(num_floats, dim, components, size, seed)
    self.seed, self._sizes = seed, {'train': size, 'test': size // 8}

  @property
  def facts(self):
    parts = {SYMBOLS: self.chain.facts, FLOATS: codec_base.Facts('law', self.mixture.facts.shape)}
    return codec_base.Facts('law', (), parts=parts)

  @property
  def splits(self):
    return _SPLITS

  @functools.cached_property
  def fingerprint(self):
    return files.digest(*(part for split in _SPLITS for part in self._data[split].values()))

  def size(self, split):
    return self._sizes[base.check_split(split, _SPLITS)]

  def examples(self, split, indices):
    data = self._data[base.check_split(split, _SPLITS)]
    example = {name: part[indices] for name, part in data.items()}
    return {'example': example, 'label': np.full(len(example[SYMBOLS]), -1, np.int32)}

  @functools.cached_property
  def _data(self):
    return {
      split: self.sample(size, seed=index)
      for index, (split, size) in enumerate(self._sizes.items())
    }

  # ---- The law -----------------------------------------------------------------------------------

  def component(self, symbols) -> np.ndarray:
    """int [b], the component that strings int [b, N] name."""
    return (symbols[:, 0] + symbols[:, -1]) % self.mixture.components

  def sample(self, num, *, seed) -> dict[str, np.ndarray]:
    """Exact samples; independent for different seeds (splits use 0 and 1)."""
    symbols = self.chain.sample(num, seed=seed)
    return {SYMBOLS: symbols, FLOATS: self.sample_floats(symbols, seed=seed)}

  def sample_floats(self, symbols, *, seed) -> np.ndarray:
    """float32 [b, M, D]: exact samples given strings."""
    _, means, std = self.mixture.law
    rng, which = np.random.default_rng([self.seed, 3, seed]), self.component(symbols)
    flat = means[which] + std[which, None] * rng.normal(size=(len(which), means.shape[1]))
    return flat.reshape(len(which), *self.mixture.facts.shape).astype(np.float32)

  @functools.cached_property
  def strings(self) -> tuple[np.ndarray, np.ndarray]:
    """(all strings int [S, N], their log p float64 [S])."""
    vocab, num = self.chain.vocab, self.chain.num_tokens
    strings = np.indices((vocab,) * num).reshape(num, -1).T
    return strings, self.chain.log_prob(strings)

  @functools.cached_property
  def _log_weights(self):
    """log p(component) [C]."""
    strings, log_p = self.strings
    which = self.component(strings)
    return np.array([
      scipy.special.logsumexp(log_p[which == c]) if np.any(which == c) else -np.inf
      for c in range(self.mixture.components)
    ])

  def _log_floats(self, floats):
    """log p(floats | component) [b, C]."""
    _, means, std = self.mixture.law
    flat = np.asarray(floats, np.float64).reshape(len(floats), -1)
    squares = np.square(flat[:, None] - means[None]).sum(-1) / std**2
    return -0.5 * squares - means.shape[1] * (np.log(std) + 0.5 * np.log(2 * np.pi))

  def nats(self, example) -> dict[str, np.ndarray]:
    """-log p, float64 [b], of examples: 'symbols', 'floats', and of each given the other."""
    symbols = -self.chain.log_prob(example[SYMBOLS])
    log_p = self._log_floats(example[FLOATS])
    given = -np.take_along_axis(log_p, self.component(example[SYMBOLS])[:, None], 1)[:, 0]
    floats = -scipy.special.logsumexp(log_p + self._log_weights, axis=1)
    return {
      'symbols': symbols, 'floats': floats, 'floats_given_symbols': given,
      'symbols_given_floats': symbols + given - floats,
    }

  @functools.cached_property
  def exact(self):
    _, means, std = self.mixture.law
    own = np.exp(self._log_weights) @ (
      means.shape[1] * (np.log(std) + 0.5 * np.log(2 * np.pi * np.e))
    )
    symbols, floats = self.chain.exact['nats'], self.nats(self.sample(2**19, seed=2))['floats']
    mean, error = float(floats.mean()), float(floats.std() / len(floats) ** 0.5)
    return {
      'nats': float(symbols + own), 'nats_symbols': symbols, 'nats_floats': mean,
      'nats_floats_se': error, 'nats_floats_given_symbols': float(own),
      'nats_symbols_given_floats': float(symbols + own - mean),
      'nats_symbols_given_floats_se': error,
    }

  def law_test(self, examples, told=None):
    """Chi-square test of examples against the joint law: of the strings, together with where the
    floats lie about the mean of the component that the string names: how far (quarters of the law
    of the distance), and on which side of its first coordinate."""
    del told  # nothing can be
    symbols, floats = np.asarray(examples[SYMBOLS]), np.asarray(examples[FLOATS], np.float64)
    _, means, std = self.mixture.law
    which = self.component(symbols)
    miss = (floats.reshape(len(floats), -1) - means[which]) / std[which, None]
    inside = scipy.special.gammainc(means.shape[1] / 2, np.square(miss).sum(1) / 2)
    ring = np.minimum((_RINGS * inside).astype(int), _RINGS - 1)
    shape = (self.chain.vocab,) * self.chain.num_tokens
    string = np.ravel_multi_index(tuple(symbols.T), shape)
    cells = (string * _RINGS + ring) * 2 + (miss[:, 0] > 0)
    law = np.repeat(np.exp(self.strings[1]) / (2 * _RINGS), 2 * _RINGS)
    counts = np.bincount(cells, minlength=len(law))
    return chi_square.verdict(*chi_square.goodness_of_fit(counts, law))

  # ---- What a perfect network says ---------------------------------------------------------------

  def posterior(self, symbols, mask_id, floats, alpha, sigma):
    """What is known of an example at given levels: (p(symbol) [B, N, V], E[floats] [B, M, D]) given
    symbols int [B, N], mask_id where masked, and floats = alpha x0 + sigma eps [B, M, D], alpha
    and sigma [B, M]; alpha = 0: they say nothing."""
    strings, log_p = (jnp.asarray(leaf) for leaf in self.strings)
    _, means, std = self.mixture.law
    means = jnp.asarray(means.reshape(len(std), *self.mixture.facts.shape), floats.dtype)
    std = jnp.asarray(std, floats.dtype)
    fits = (symbols[:, None] == strings[None]) | (symbols[:, None] == mask_id)
    log_w = jnp.where(fits.all(-1), log_p[None].astype(floats.dtype), -jnp.inf)  # [B, S]
    a, s = (scale[:, None, :, None] for scale in (alpha, sigma))  # [B, 1, M, 1]
    width = jnp.sqrt((a * std[None, :, None, None]) ** 2 + s**2)  # [B, C, M, 1]
    miss = floats[:, None] - a * means[None]  # [B, C, M, D]
    log_x = jnp.sum(jax.scipy.stats.norm.logpdf(miss, scale=width), axis=(2, 3))
    which = jnp.asarray(self.component(self.strings[0]))
    log_w = jax.nn.log_softmax(log_w + log_x[:, which])  # [B, S]
    one_hot = jax.nn.one_hot(strings, self.chain.vocab, dtype=floats.dtype)
    p_symbols = jnp.einsum('bs,snv->bnv', jnp.exp(log_w), one_hot, precision='highest')
    of_component = jax.nn.one_hot(which, len(std), dtype=floats.dtype)
    p = jnp.matmul(jnp.exp(log_w), of_component, precision='highest')  # [B, C]
    x0 = means[None] + a * std[None, :, None, None] ** 2 / width**2 * miss  # [B, C, M, D]
    return p_symbols, jnp.einsum('bc,bcmd->bmd', p, x0, precision='highest')
