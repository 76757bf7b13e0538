"""Weights for networks of others, by their published names."""

import numpy as np


def of(shapes) -> dict[str, np.ndarray]:
  """Random ones that keep the size of what passes through, float32."""
  rng, found = np.random.default_rng(0), {}
  for name, shape in shapes.items():
    part = name.rsplit('.', 1)[1]
    if len(shape) == 4:
      array = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
    elif part in ('weight', 'running_var'):
      array = rng.uniform(0.5, 1.5, shape)
    else:
      array = rng.normal(0, 0.1, shape)
    found[name] = array.astype(np.float32)
  return found
