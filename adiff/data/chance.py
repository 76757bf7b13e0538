"""Random numbers of made-up data: any of them at once, each a function of what it is for alone."""

import numpy as np


def _mixed(x):
  """A permutation of uint64 that looks random (splitmix64: Steele, Lea and Flood 2014)."""
  x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
  x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  return x ^ (x >> np.uint64(31))


def uniforms(seed, stream, indices, rounds, num) -> np.ndarray:
  """Uniform numbers in [0, 1), float64 [len(indices), len(rounds), num]: functions of the seed, the
  stream (a whole number), the index, the round and the place alone, whatever else is asked for."""
  indices, rounds = (np.asarray(part, np.uint64) for part in (indices, rounds))
  state = _mixed(np.array([seed], np.uint64) + np.uint64(0x9E3779B97F4A7C15))
  state = _mixed(state ^ np.uint64(stream))
  state = _mixed(_mixed(state ^ indices)[:, None] ^ rounds)
  state = state[..., None] + np.arange(1, num + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
  return (_mixed(state) >> np.uint64(11)) * 2.0**-53
