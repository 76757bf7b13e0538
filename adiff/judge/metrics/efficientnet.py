"""Features of EfficientNet-Lite0, a classifier of ImageNet whose weights a package holds.

A Fréchet distance in them is no FID of papers, which is Inception's: it says EfficientNet-Lite0. A
picture takes 0.8 GFLOP, about 0.1 s of a core.
"""

from collections.abc import Mapping

import jax
import numpy as np

from adiff.judge.metrics import published
from adiff.nn import efficientnet

NAME = 'EfficientNet-Lite0 of ImageNet'
_run = jax.jit(efficientnet.features)


class EfficientNet(published.Published):
  """The 1,280 features before the classes; made by `of`."""

  network, batch = efficientnet, 32

  def seen(self, shown):
    return _run(self.params, shown)


def of(weights: Mapping[str, np.ndarray], levels) -> EfficientNet:
  """As published.Published.of."""
  return EfficientNet.of(NAME, weights, levels)
