"""Digests of what files hold."""

import numpy as np

from adiff.machine import files


def test_a_digest_sees_values_shapes_and_types():
  array = np.arange(6, dtype=np.int32)
  digests = {files.digest(a) for a in (
      array, array.reshape(2, 3), array.astype(np.int64), array[::-1], array + 1)}
  assert len(digests) == 5
  assert all(len(d) == 16 for d in digests)
  assert files.digest(array, 'a') == files.digest(array.copy(), 'a')
