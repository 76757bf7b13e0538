"""How fast devices are: what this one does here and now, and what data sheets say of others."""

import dataclasses
import math
import os
import time

import jax
import jax.numpy as jnp

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
  """An accelerator as its data sheet describes it."""

  memory: float  # bytes
  rate: float  # FLOP/s in bfloat16
  bandwidth: float  # of the memory, bytes/s
  links: float  # of all links to other chips together, bytes/s


# What jax calls a device. Source: cloud.google.com/tpu/docs, the page of each generation.
CHIPS = {
  'TPU v4': Chip(32 * GIB, 275e12, 1228e9, 300e9),
  'TPU v5 lite': Chip(16 * GIB, 197e12, 819e9, 200e9),
  'TPU v5': Chip(95 * GIB, 459e12, 2765e9, 600e9),
  'TPU v6 lite': Chip(32 * GIB, 918e12, 1640e9, 448e9),
}
# What a topology, such as v5e:16x16, calls it.
KINDS = {'v4': 'TPU v4', 'v5e': 'TPU v5 lite', 'v5p': 'TPU v5', 'v6e': 'TPU v6 lite'}


def memory() -> int:
  """Bytes of memory of all devices here: of accelerators what they say, of a CPU the host's."""
  devices = jax.local_devices()
  limits = [(device.memory_stats() or {}).get('bytes_limit') for device in devices]
  if None in limits:
    return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  return sum(limits)


def matmul_rate(seconds: float = 0.3, *, size: int = 1024, dtype: str = 'float32') -> float:
  """Measures products of matrices [size, size] of `dtype` on the default device; returns FLOP/s.

  A peak that was reached here and now, to set the model's FLOP/s against; on an accelerator with
  faster low-precision units the utilisation may exceed 1. Raises ValueError without a time.
  """
  x = jnp.full((size, size), 1 / size, dtype)
  multiply = jax.jit(lambda x: x @ x)
  multiply(x).block_until_ready()
  best, start = math.inf, time.perf_counter()
  while time.perf_counter() - start < seconds:
    begun = time.perf_counter()
    y = x
    for _ in range(4):
      y = multiply(y)
    y.block_until_ready()
    best = min(best, (time.perf_counter() - begun) / 4)
  if not math.isfinite(best):
    raise ValueError(f'seconds is {seconds}; use a positive time')
  return 2 * size**3 / best


def bandwidth(seconds: float = 0.3, *, megabytes: int = 256) -> float:
  """Measures a copy that is too large for caches on the default device; returns bytes/s, read and
  written ones together."""
  x = jnp.zeros(megabytes * 2**18, jnp.float32)
  copy = jax.jit(lambda x: x + 1)
  copy(x).block_until_ready()
  best, start = math.inf, time.perf_counter()
  while time.perf_counter() - start < seconds:
    begun = time.perf_counter()
    copy(x).block_until_ready()
    best = min(best, time.perf_counter() - begun)
  return 2 * x.size * 4 / best
