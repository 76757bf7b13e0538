"""Weights of a small LPIPS network, by the names of the published one."""

import numpy as np

from adiff.nn import lpips

WIDTHS = (2, 3, 2, 3, 2)  # of the published network: 64, 128, 256, 512, 512


def published():
  """{name: array}."""
  random, found, width = np.random.default_rng(0), {}, 3
  for number, (places, wide) in enumerate(zip(lpips.STAGES, WIDTHS, strict=True)):
    for place in places:
      name = f'net.slice{number + 1}.{place}'
      found[f'{name}.weight'] = random.normal(size=(wide, width, 3, 3)).astype(np.float32)
      found[f'{name}.bias'] = random.normal(size=wide).astype(np.float32)
      width = wide
    found[f'lin{number}.model.1.weight'] = random.random((1, wide, 1, 1)).astype(np.float32)
  return found
