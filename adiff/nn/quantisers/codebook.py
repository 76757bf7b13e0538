"""A codebook that is moved by what it is shown, not by a gradient.

Every vector e_v is a running mean of the features that were nearest to it (van den Oord et al.
2017, arXiv:1711.00937, appendix A.1):

  count_v <- decay count_v + (1 - decay) n_v,   sum_v <- decay sum_v + (1 - decay) sum of those z,
  e_v = sum_v / count_v.

A code that is hardly ever nearest is dead: it begins again at one of the features of the batch,
sampled by its squared error (k-means++, Arthur and Vassilvitskii 2007), and with the count of an
even use, so that it has its time to be found useful. Counts begin at 0: the first batch places
nearly all vectors.
"""

import dataclasses

import jax
import jax.numpy as jnp

_TINY = 1e-12  # of a count, or of a squared length


@dataclasses.dataclass(frozen=True)
class Codebook:
  """`vocab` vectors of `dim` floats; its state is {vectors [V, C], count [V], sum [V, C]}."""

  vocab: int
  dim: int
  decay: float  # of the running means
  restart: float  # share of an even use below which a code is dead; 0: none ever is
  cosine: bool = False  # vectors have length 1, as features must

  def begin(self) -> dict[str, jax.Array]:
    """State before anything was seen."""
    vectors = jax.random.normal(jax.random.key(0), (self.vocab, self.dim), jnp.float32)
    return {
      'vectors': unit(vectors) if self.cosine else vectors,
      'count': jnp.zeros(self.vocab, jnp.float32), 'sum': jnp.zeros_like(vectors),
    }

  def affinity(self, state, z) -> jax.Array:
    """z [n, C] -> [n, V]: minus the squared distances, less what all codes have in common."""
    products = jnp.matmul(z, state['vectors'].T, precision=jax.lax.Precision.HIGHEST)
    return 2 * products - jnp.sum(state['vectors'] ** 2, -1)[None]

  def codes_of(self, state, z) -> jax.Array:
    """z [n, C] -> int32 [n], the nearest; of equal ones the first."""
    return jnp.argmax(self.affinity(state, jax.lax.stop_gradient(z)), -1).astype(jnp.int32)

  def values_of(self, state, codes) -> jax.Array:
    """Codes [..] -> vectors [.., C]."""
    return jnp.take(state['vectors'], codes, axis=0, mode='clip')

  def moved(self, state, z, codes, key) -> dict[str, jax.Array]:
    """State after features z [n, C] with these codes; which code begins where is the key's."""
    z = jax.lax.stop_gradient(z)
    blend = lambda old, new: self.decay * old + (1 - self.decay) * new
    count = blend(state['count'], jax.ops.segment_sum(jnp.ones_like(z[:, 0]), codes, self.vocab))
    total = blend(state['sum'], jax.ops.segment_sum(z, codes, self.vocab))
    known = count[:, None] > _TINY
    vectors = jnp.where(known, total / jnp.maximum(count, _TINY)[:, None], state['vectors'])
    vectors = unit(vectors) if self.cosine else vectors
    even = jnp.mean(count)
    error = jnp.sum((z - self.values_of(state, codes)) ** 2, -1)
    begun, fresh = _begun(key, count < self.restart * even, z, error)
    return {
      'vectors': jnp.where(begun[:, None], fresh, vectors),
      'count': jnp.where(begun, even, count),
      'sum': jnp.where(begun[:, None], even * fresh, total),
    }


def unit(z, eps=1e-6) -> jax.Array:
  """z [.., C] at length 1; what is shorter than eps becomes shorter than 1."""
  return z / jnp.sqrt(jnp.maximum(jnp.sum(z**2, -1, keepdims=True), eps**2))


def _begun(key, dead, z, error):
  """(bool [V], [V, C]): which of the dead codes begin again, and where. No two of them begin at the
  same feature: with fewer features than dead codes, the others wait."""
  most = min(len(z), len(dead))
  _, chosen = jax.lax.top_k(jnp.log(error + _TINY) + jax.random.gumbel(key, error.shape), most)
  rank = jnp.cumsum(dead) - 1
  return dead & (rank < most), z[chosen[jnp.clip(rank, 0, most - 1)]]
