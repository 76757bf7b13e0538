"""What a model answers: examples that it made, and how likely others are to it. Both are shown in a
notebook."""

import dataclasses
from typing import Any

import numpy as np

from adiff.codec import base as codec_base
from adiff.judge import likelihood
from adiff.run import shown


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
  """Examples that a model made."""

  examples: Any  # [n, ..] as the data has them, or a list of texts; {kind: it} of several parts
  labels: np.ndarray  # int32 [n], -1 where unlabelled
  calls: np.ndarray  # [n] network calls, one after another
  facts: codec_base.Facts  # of the examples

  def __len__(self):
    return len(self.labels)

  def __getitem__(self, index):
    return self.examples[index]

  def __array__(self, dtype=None, copy=None):
    return np.array(self.examples, dtype)

  def _caption(self):
    label = self.facts.conds.get('label')
    names = label.names if label else ()
    called = [names[n] if names and n >= 0 else str(n) for n in self.labels[:10]]
    labels = '' if np.all(self.labels < 0) else f', labels {", ".join(called)}'
    return f'{len(self)} samples, {self.calls.mean():.3g} network calls each{labels}'

  def _repr_png_(self):
    return shown.png(self.facts, self.examples)

  def _repr_html_(self):
    return shown.as_html(self.facts, self.examples, self._caption())


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
  """How likely examples are to a model."""

  nats: np.ndarray  # [n]: -log p of each, or a bound on it from above
  # [n] half width of the 95% interval of each; 0 where it is exact, nan after one draw of noise
  ci95: np.ndarray
  exact: bool  # are these likelihoods, not bounds?
  dims: np.ndarray  # [n] values that each has

  @property
  def mean(self) -> float:
    """Nats an example."""
    return float(self.nats.mean())

  @property
  def mean_ci95(self) -> float:
    """Half width of the 95% interval of the mean; nan for one example."""
    return float(likelihood.interval(self.nats)[1])

  @property
  def bits_per_dim(self) -> float:
    """Bits a value."""
    return float(self.nats.sum() / np.sum(self.dims) / np.log(2))

  def __str__(self):
    what = 'nats an example' if self.exact else 'nats an example at most, on average'
    return f'{self.mean:.4g} +- {self.mean_ci95:.2g} {what} ({len(self.nats)} examples)'

  def _repr_html_(self):
    return f'<p>{self}</p>'
