"""Signs of channels as the code of a residual, with the size that fits them.

Of a symmetric value r, sign(r) E|r| is the best that one bit can tell (Max 1960), and residuals
shrink from scale to scale: the size is the running mean of |r|, one a scale.
"""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.nn.quantisers import bits


@dataclasses.dataclass(frozen=True)
class Signs:
  """2^dim codes of `dim` floats; its state is {sum [], weight []}. It is used as a Codebook is."""

  dim: int
  decay: float

  def begin(self) -> dict[str, jax.Array]:
    """State before anything was seen."""
    return {'sum': jnp.zeros((), jnp.float32), 'weight': jnp.zeros((), jnp.float32)}

  def codes_of(self, state, z) -> jax.Array:
    """z [n, C] -> int32 [n]."""
    del state
    return bits.packed(z > 0)

  def values_of(self, state, codes) -> jax.Array:
    """Codes [..] -> [.., C]."""
    seen = state['weight'] > 0
    size = jnp.where(seen, state['sum'] / jnp.where(seen, state['weight'], 1), 1)
    return jnp.where(bits.unpacked(codes, self.dim), size, -size)

  def moved(self, state, z, codes, key) -> dict[str, jax.Array]:
    """State after features z [n, C]."""
    del codes, key
    size = jnp.mean(jnp.abs(jax.lax.stop_gradient(z)))
    new = {'sum': size, 'weight': jnp.ones_like(size)}
    return {name: self.decay * state[name] + (1 - self.decay) * new[name] for name in new}
