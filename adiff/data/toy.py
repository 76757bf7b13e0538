"""Two toy sources whose law is known exactly, so that likelihoods and samples can be judged.

`Chain` is discrete (a Markov chain), `Mixture` continuous (Gaussians over whole sequences). Both
give the entropy, the log density, the posterior that a perfect denoiser would return, and a
chi-square test of samples against the law.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special, stats

from adiff.data import spec

_SPLITS = ('train', 'test')
_MAX_CELLS = 2000
_MIN_EXPECTED = 5.0


def _goodness_of_fit(counts, probs):
  """Chi-square statistic and dof of counts against cell probabilities; rare cells are pooled."""
  expected = probs * counts.sum()
  rank = np.argsort(expected)
  counts, expected = counts[rank], expected[rank]
  rare = int(np.sum(expected < _MIN_EXPECTED))
  while 0 < rare < len(expected) and expected[:rare].sum() < _MIN_EXPECTED:
    rare += 1  # The pool itself must be common enough: let it swallow the next rarest cell.
  if rare:
    counts = np.append(counts[rare:], counts[:rare].sum())
    expected = np.append(expected[rare:], expected[:rare].sum())
  return float(np.sum((counts - expected) ** 2 / expected)), len(expected) - 1


def _verdict(statistic, dof):
  if dof < 1:
    raise ValueError('too few samples for a test of the law; pass at least a few thousand')
  return {'statistic': statistic, 'dof': dof, 'p_value': float(stats.chi2.sf(statistic, dof))}


def _sequence_spec(num_tokens, *, vocab, dim, num_classes):
  return spec.Spec(
      num_tokens=num_tokens, grid=(num_tokens,), vocab=vocab, dim=dim,
      coords=np.arange(num_tokens, dtype=np.int32)[:, None], num_classes=num_classes,
      dims=num_tokens * max(dim, 1), bin=None, decode=np.asarray, image_levels=0)


class Chain(spec.Source):
  """Strings of a first-order Markov chain: tokens int32 [b, N] of `vocab` symbols, no labels.

  The initial law [V] and transition matrix [V, V] come from the seed; every entry is positive, so
  the chain mixes, and each row prefers another symbol, so the past is informative. Splits: train
  (`size` strings) and test (size / 8), independent draws. exact: {'nats': entropy of a string}.
  """

  def __init__(self, num_tokens=6, vocab=3, size=65536, seed=0):
    if num_tokens < 1 or vocab < 2 or size < 8:
      raise ValueError(
          f'a chain of {num_tokens} tokens, {vocab} symbols and {size} strings is too small; '
          'use at least 1, 2 and 8')
    self.num_tokens, self.vocab, self.seed = num_tokens, vocab, seed
    self._sizes = {'train': size, 'test': size // 8}

  @functools.cached_property
  def law(self):
    """(initial [V], transition [V, V]) in float64; rows sum to one."""
    rng = np.random.default_rng([self.seed, 0])
    logits = 0.5 * rng.normal(size=(self.vocab + 1, self.vocab))
    logits[1:] += 2.5 * np.roll(np.eye(self.vocab), 1, axis=1)
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    probs = 0.9 * probs + 0.1 / self.vocab
    return probs[0], probs[1:]

  @functools.cached_property
  def spec(self):
    return _sequence_spec(self.num_tokens, vocab=self.vocab, dim=0, num_classes=0)

  @property
  def splits(self):
    return _SPLITS

  @functools.cached_property
  def exact(self):
    initial, transition = self.law
    marginal, nats = initial, -np.sum(initial * np.log(initial))
    row_nats = -np.sum(transition * np.log(transition), 1)
    for _ in range(self.num_tokens - 1):
      nats += marginal @ row_nats
      marginal = marginal @ transition
    return {'nats': float(nats)}

  @functools.cached_property
  def fingerprint(self):
    return spec.digest(*(self._tokens[split] for split in self.splits))

  @functools.cached_property
  def _tokens(self):
    return {split: self.draw(size, seed=index)
            for index, (split, size) in enumerate(self._sizes.items())}

  def draw(self, num, *, seed):
    """Exact samples: int32 [num, N]; independent for different seeds (splits use 0, 1)."""
    rng = np.random.default_rng([self.seed, 1, seed])
    initial, transition = (np.cumsum(p, -1)[..., :-1] for p in self.law)
    tokens = np.empty((num, self.num_tokens), np.int32)
    tokens[:, 0] = np.sum(rng.random((num, 1)) >= initial, 1)
    for i in range(1, self.num_tokens):
      tokens[:, i] = np.sum(rng.random((num, 1)) >= transition[tokens[:, i - 1]], 1)
    return tokens

  def size(self, split):
    return self._sizes[spec.check_split(split, self.splits)]

  def rows(self, split, indices):
    tokens = self._tokens[spec.check_split(split, self.splits)][indices]
    return {'tokens': tokens, 'label': np.full(len(tokens), -1, np.int32)}

  def log_prob(self, tokens):
    """log p in nats, float64 [b], of strings int [b, N]."""
    tokens = np.asarray(tokens)
    initial, transition = self.law
    steps = np.log(transition)[tokens[:, :-1], tokens[:, 1:]]
    return np.log(initial)[tokens[:, 0]] + steps.sum(1)

  def law_test(self, samples):
    """Chi-square test of strings int [b, N] against the law: {'statistic', 'dof', 'p_value'}.

    Compares the joint law of all V^N strings when these are at most 2,000. Longer strings are cut
    into windows of up to three tokens: string j contributes the one window that starts at
    j mod (number of windows), so that counts are independent and the sum over windows is again
    chi-square. Cells expected less than five times are pooled.
    """
    samples = np.asarray(samples)
    width = min(self.num_tokens, 3)
    if self.vocab ** self.num_tokens <= _MAX_CELLS:
      width = self.num_tokens
    while width > 1 and self.vocab ** width > _MAX_CELLS:
      width -= 1
    initial, transition = self.law
    strings = np.indices((self.vocab,) * width).reshape(width, -1)
    tail = np.prod(transition[strings[:-1], strings[1:]], 0)
    starts = self.num_tokens - width + 1
    statistic, dof = 0.0, 0
    for start in range(starts):
      windows = samples[start::starts, start:start + width]
      cells = np.ravel_multi_index(tuple(windows.T), (self.vocab,) * width)
      counts = np.bincount(cells, minlength=self.vocab ** width)
      part, part_dof = _goodness_of_fit(counts, initial[strings[0]] * tail)
      statistic, dof = statistic + part, dof + part_dof
      initial = initial @ transition
    return _verdict(statistic, dof)

  def _messages(self, evidence):
    """p(x_i = v, evidence elsewhere) up to a factor per token, by forward-backward; [B, N, V]."""
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

  def posterior(self, xt, mask_id, *, dtype=jnp.float32):
    """Exact p(x0_i | unmasked tokens) [B, N, V] of strings int [B, N], mask_id where masked."""
    known = xt[..., None] == jnp.arange(self.vocab, dtype=xt.dtype)[None, None]
    evidence = (known | (xt == mask_id)[..., None]).astype(dtype)
    joint = self._messages(evidence) * evidence
    return joint / joint.sum(-1, keepdims=True)

  def posterior_uniform(self, xt, t):
    """Exact leave-one-out p(x0_i | xt_j, j != i) [B, N, V] under uniform corruption.

    xt int [B, N]; t float [B, N]: each token was replaced by a uniform symbol with probability t.
    """
    same = xt[..., None] == jnp.arange(self.vocab, dtype=xt.dtype)[None, None]
    level = t[..., None]
    evidence = (1 - level) * same.astype(t.dtype) + level / self.vocab
    joint = self._messages(evidence)
    return joint / joint.sum(-1, keepdims=True)


class Mixture(spec.Source):
  """Gaussian mixture over whole sequences: tokens float32 [b, N, D], label = component.

  Component c is N(mean_c, std_c^2 I) on the flattened N * D values, with means in [-1, 1] that lie
  far apart and std 0.25..0.4: tokens depend on each other through the component alone. Splits:
  train (`size` rows) and test (size / 8), independent draws. exact: {'nats', 'nats_se'}, the
  differential entropy (negative is legal: it is a density) and the standard error of its estimate.
  """

  def __init__(self, num_tokens=4, dim=2, components=3, size=65536, seed=0):
    if num_tokens < 1 or dim < 1 or components < 1 or size < 8:
      raise ValueError(
          f'a mixture of {components} components, {num_tokens} tokens of {dim} values and {size} '
          'rows is too small; use at least 1, 1, 1 and 8')
    self.num_tokens, self.dim, self.components, self.seed = num_tokens, dim, components, seed
    self._sizes = {'train': size, 'test': size // 8}

  @functools.cached_property
  def law(self):
    """(weights [C], means [C, N * D], std [C]) in float64."""
    rng = np.random.default_rng([self.seed, 0])
    draws = rng.uniform(-1, 1, (64, self.components, self.num_tokens * self.dim))
    apart = np.sum((draws[:, :, None] - draws[:, None]) ** 2, -1)
    apart += np.where(np.eye(self.components, dtype=bool), np.inf, 0)
    means = draws[np.argmax(apart.min((1, 2)))]
    weights = 1 + rng.random(self.components)
    return weights / weights.sum(), means, np.linspace(0.25, 0.4, self.components)

  @functools.cached_property
  def spec(self):
    return _sequence_spec(self.num_tokens, vocab=0, dim=self.dim, num_classes=self.components)

  @property
  def splits(self):
    return _SPLITS

  @functools.cached_property
  def exact(self):
    # Antithetic pairs mean +- std * z, one sample size per component: -log p averages by stratum.
    weights, means, std = self.law
    rng = np.random.default_rng([self.seed, 2])
    chunk, chunks = 2**14, -(-2**20 // (2**15 * self.components))
    nats = variance = 0.0
    for c in range(self.components):
      pairs = []
      for _ in range(chunks):
        noise = std[c] * rng.normal(size=(chunk, means.shape[1]))
        pairs.append(-0.5 * (self._log_flat(means[c] + noise) + self._log_flat(means[c] - noise)))
      pairs = np.concatenate(pairs)
      nats += weights[c] * pairs.mean()
      variance += weights[c] ** 2 * pairs.var() / len(pairs)
    dims = means.shape[1]
    given_label = weights @ (dims / 2 * np.log(2 * np.pi * np.e * std**2))
    return {
      'nats': float(nats),
      'nats_se': float(np.sqrt(variance)),
      'nats_given_label': float(given_label),
    }

  @functools.cached_property
  def fingerprint(self):
    return spec.digest(*(array for split in self.splits for array in self._data[split]))

  @functools.cached_property
  def _data(self):
    return {split: self.draw(size, seed=index)
            for index, (split, size) in enumerate(self._sizes.items())}

  def draw(self, num, *, seed):
    """Exact samples: (float32 [num, N, D], labels int32 [num]); splits use the seeds 0 and 1."""
    weights, means, std = self.law
    rng = np.random.default_rng([self.seed, 1, seed])
    labels = rng.choice(self.components, num, p=weights).astype(np.int32)
    flat = means[labels] + std[labels, None] * rng.normal(size=(num, means.shape[1]))
    return flat.reshape(num, self.num_tokens, self.dim).astype(np.float32), labels

  def size(self, split):
    return self._sizes[spec.check_split(split, self.splits)]

  def rows(self, split, indices):
    tokens, labels = self._data[spec.check_split(split, self.splits)]
    return {'tokens': tokens[indices], 'label': labels[indices]}

  def _log_joint(self, flat):
    weights, means, std = self.law
    squares = np.stack([np.sum((flat - mean) ** 2, 1) for mean in means], 1)
    log_norm = means.shape[1] * (np.log(std) + 0.5 * np.log(2 * np.pi))
    return np.log(weights) - log_norm - 0.5 * squares / std**2

  def _log_flat(self, flat):
    return special.logsumexp(self._log_joint(flat), axis=1)

  def log_prob(self, x):
    """Log density in nats, float64 [b], of x [b, N, D]."""
    return self._log_flat(np.asarray(x, np.float64).reshape(len(x), -1))

  def posterior(self, x):
    """p(component | x), float64 [b, C], of clean x [b, N, D]."""
    return special.softmax(self._log_joint(np.asarray(x, np.float64).reshape(len(x), -1)), axis=1)

  def _cells(self, flat):
    # Component times quartile of one projection, measured from the mean of that component.
    _, means, std = self.law
    direction = np.random.default_rng([self.seed, 3]).normal(size=means.shape[1])
    direction /= np.linalg.norm(direction)
    component = np.argmax(self._log_joint(flat), 1)
    score = np.sum((flat - means[component]) * direction, 1) / std[component]
    quartile = np.searchsorted(stats.norm.ppf([0.25, 0.5, 0.75]), score)
    return np.bincount(component * 4 + quartile, minlength=4 * self.components)

  def law_test(self, samples):
    """Chi-square test of samples [b, N, D] against the law: {'statistic', 'dof', 'p_value'}.

    Cells are the likeliest component times the quartile of one random projection around its mean;
    what to expect in them comes from 2^19 exact samples, so this is a two-sample test.
    """
    samples = np.asarray(samples, np.float64).reshape(len(samples), -1)
    counts = self._cells(samples)
    reference = sum(
        self._cells(self.draw(2**16, seed=2 + i)[0].reshape(2**16, -1)) for i in range(8))
    common = reference / reference.sum() * counts.sum() >= _MIN_EXPECTED
    table = np.stack([counts, reference])
    table = np.concatenate([table[:, common], table[:, ~common].sum(1, keepdims=True)], 1)
    table = table[:, table.sum(0) > 0]
    if table.shape[1] < 2:
      return _verdict(0.0, 0)
    result = stats.chi2_contingency(table, correction=False)
    return _verdict(float(result.statistic), result.dof)

  def denoise(self, x, alpha, sigma):
    """Exact E[x0 | xt] for xt = alpha x0 + sigma eps: [B, N, D] in the dtype of x; jittable.

    x [B, N, D]; alpha, sigma [B, N], one level per token. Given the component the values are
    independent Gaussians; the component's posterior uses all tokens.
    """
    weights, means, std = (jnp.asarray(p, x.dtype) for p in self.law)
    alpha, sigma = alpha[:, :, None, None], sigma[:, :, None, None]
    means = means.T.reshape(1, self.num_tokens, self.dim, self.components)
    var = std[None, None, None] ** 2
    total = alpha**2 * var + sigma**2
    error = x[..., None] - alpha * means
    log_joint = jnp.log(weights)[None] - 0.5 * jnp.sum(error**2 / total + jnp.log(total), (1, 2))
    component = jax.nn.softmax(log_joint, -1)[:, None, None]
    return jnp.sum(component * (means + alpha * var / total * error), -1)
