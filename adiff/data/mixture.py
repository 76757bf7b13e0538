"""A Gaussian mixture over sequences: its law is known, to judge likelihoods and samples."""

import functools
import math
import statistics
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base
from adiff.judge.metrics import chi_square
from adiff.machine import files
from adiff.sequence import conditions, values

_SPLITS = ('train', 'test')


class Mixture(base.Source):
  """Gaussian mixture over whole sequences: tokens float32 [b, N, D], label = component.

  Component c is N(mean_c, std_c^2 I) on the flattened N * D values, with means in [-1, 1] that lie
  far apart and std 0.25..0.4: tokens depend on each other through the component alone. grid: they
  are a square grid of the plane instead, equally likely, with std 0.1 over its side (25 of them as
  in VEEGAN, arXiv:1705.07761). labelled=False: labels are not told. Splits:
  train (`size` examples) and test (size / 8), sampled independently. exact: {'nats', 'nats_se'},
  the differential entropy (negative is legal: it is a density) and the standard error of its
  estimate.
  """

  def __init__(
    self, num_tokens: values.Count = 6, dim: values.Count = 1, components: values.Count = 3,
    size: Annotated[values.Count, values.at_least(8)] = 65536, seed: values.Seed = 0,
    grid: bool = False, labelled: bool = True,
  ):
    if num_tokens < 1 or dim < 1 or components < 1 or size < 8:
      raise ValueError(
        f'a mixture of {components} components, {num_tokens} tokens of {dim} values and {size} '
        'examples is too small; use at least 1, 1, 1 and 8'
      )
    values.check_row(num_tokens)
    values.check_memory(
      f'a mixture of {components} components, {num_tokens} tokens of {dim} values and {size} '
      'examples', 8 * num_tokens * dim * (3 * size + 2**17 + 200 * components**2),
      'write smaller ones',
    )
    if grid and (num_tokens * dim != 2 or math.isqrt(components) ** 2 != components):
      raise ValueError(
        f'data.grid=True lays a square number of components on a plane, not {components} of '
        f'{num_tokens} x {dim} values; write for example num_tokens=1, dim=2, components=25'
      )
    self.num_tokens, self.dim, self.components, self.seed = num_tokens, dim, components, seed
    self._grid, self._labelled = grid, labelled
    self._sizes = {'train': size, 'test': size // 8}

  @functools.cached_property
  def law(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weights [C], means [C, N * D], std [C]) in float64."""
    if self._grid:
      side = math.isqrt(self.components)
      places = np.linspace(-1, 1, side) if side > 1 else np.zeros(1)
      means = np.stack(np.meshgrid(places, places, indexing='ij'), -1).reshape(-1, 2)
      return np.full(side**2, 1 / side**2), means, np.full(side**2, 0.1 / side)
    rng = np.random.default_rng([self.seed, 0])
    candidates = rng.uniform(-1, 1, (64, self.components, self.num_tokens * self.dim))
    apart = np.sum((candidates[:, :, None] - candidates[:, None]) ** 2, -1)
    apart += np.where(np.eye(self.components, dtype=bool), np.inf, 0)
    means = candidates[np.argmax(apart.min((1, 2)))]
    weights = 1 + rng.random(self.components)
    return weights / weights.sum(), means, np.linspace(0.25, 0.4, self.components)

  @functools.cached_property
  def facts(self):
    return codec_base.Facts(
      'law', (self.num_tokens, self.dim),
      conds={'label': conditions.Label(self.components)} if self._labelled else {},
    )

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
    return files.digest(*(array for split in self.splits for array in self._data[split]))

  @functools.cached_property
  def _data(self):
    return {
      split: self.sample(size, seed=index)
      for index, (split, size) in enumerate(self._sizes.items())
    }

  def sample(self, num, *, seed) -> tuple[np.ndarray, np.ndarray]:
    """Exact samples: (float32 [num, N, D], labels int32 [num]); splits use the seeds 0 and 1."""
    weights, means, std = self.law
    rng = np.random.default_rng([self.seed, 1, seed])
    labels = rng.choice(self.components, num, p=weights).astype(np.int32)
    flat = means[labels] + std[labels, None] * rng.normal(size=(num, means.shape[1]))
    return flat.reshape(num, self.num_tokens, self.dim).astype(np.float32), labels

  def size(self, split):
    return self._sizes[base.check_split(split, self.splits)]

  def examples(self, split, indices):
    tokens, labels = self._data[base.check_split(split, self.splits)]
    labels = labels[indices] if self._labelled else np.full(len(indices), -1, np.int32)
    return {'example': tokens[indices], 'label': labels}

  def _log_joint(self, flat):
    """log p(x, component) [b, C] of x [b, N * D]."""
    weights, means, std = self.law
    squares = np.stack([np.sum((flat - mean) ** 2, 1) for mean in means], 1)
    log_norm = means.shape[1] * (np.log(std) + 0.5 * np.log(2 * np.pi))
    return np.log(weights) - log_norm - 0.5 * squares / std**2

  def _log_flat(self, flat):
    return np.logaddexp.reduce(self._log_joint(flat), axis=1)

  def log_prob(self, x) -> np.ndarray:
    """Log density in nats, float64 [b], of x [b, N, D]."""
    return self._log_flat(np.asarray(x, np.float64).reshape(len(x), -1))

  def posterior(self, x) -> np.ndarray:
    """p(component | x), float64 [b, C], of clean x [b, N, D]."""
    joint = self._log_joint(np.asarray(x, np.float64).reshape(len(x), -1))
    return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))

  def _cells(self, flat):
    """Counts of component times quartile of one projection, measured from the component's mean."""
    _, means, std = self.law
    direction = np.random.default_rng([self.seed, 3]).normal(size=means.shape[1])
    direction /= np.linalg.norm(direction)
    component = np.argmax(self._log_joint(flat), 1)
    score = np.sum((flat - means[component]) * direction, 1) / std[component]
    quartile = np.searchsorted(statistics.NormalDist().quantiles(4), score)
    return np.bincount(component * 4 + quartile, minlength=4 * self.components)

  def law_test(self, samples, told=None) -> dict:
    """Chi-square test of samples [b, N, D] against the law: {'statistic', 'dof', 'p_value'}, and
    `modes`: how many components have a sample within three deviations of their mean, `of` how many,
    and the `share` of samples that lie within three of any.

    Cells are the likeliest component times the quartile of one random projection around its mean;
    what to expect in them comes from 2^19 exact samples, so this is a two-sample test.
    """
    del told  # samples of all components together
    samples = np.asarray(samples, np.float64).reshape(len(samples), -1)
    counts = self._cells(samples)
    reference = sum(
      self._cells(self.sample(2**16, seed=2 + i)[0].reshape(2**16, -1)) for i in range(8)
    )
    return {**chi_square.two_samples(counts, reference), 'modes': self._modes(samples)}

  def _modes(self, flat):
    """Signs of collapse (Srivastava et al. 2017, arXiv:1705.07761, section 4.1)."""
    _, means, std = self.law
    far = np.sqrt(np.stack([np.sum((flat - mean) ** 2, 1) for mean in means], 1)) / std
    near, within = far.argmin(1), far.min(1) <= 3
    return {
      'covered': len(np.unique(near[within])), 'of': self.components, 'share': float(within.mean())
    }

  def denoise(self, x, alpha, sigma) -> jax.Array:
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
