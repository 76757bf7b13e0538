"""What files hold, in a few hex digits."""

import hashlib

import numpy as np


def digest(*parts) -> str:
  """First 16 hex digits of the sha256 over arrays (dtype, shape and bytes) and strings."""
  sha = hashlib.sha256()
  for part in parts:
    if isinstance(part, str):
      sha.update(part.encode())
    else:
      part = np.ascontiguousarray(part)
      sha.update(f'{part.dtype} {part.shape} '.encode())
      sha.update(part.data)
  return sha.hexdigest()[:16]
