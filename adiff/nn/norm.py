"""What keeps activations at one size."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class Norm(nn.Module):
  """RMSNorm (arXiv:1910.07467). Its factors are applied one by one: their product, which Flax makes
  first, is as large as x and would be kept for the backward pass."""

  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x):
    scale = self.param('scale', nn.initializers.ones, (x.shape[-1],), jnp.float32)
    wide = x.astype(jnp.promote_types(self.dtype, jnp.float32))
    size = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    scale = jnp.expand_dims(scale.astype(wide.dtype), range(x.ndim - 1))
    return (wide * jax.lax.rsqrt(size + 1e-6) * scale).astype(self.dtype)
