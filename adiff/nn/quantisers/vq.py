"""Vector quantisation (van den Oord et al. 2017, arXiv:1711.00937).

A code is the nearest vector e of a codebook; the encoder is drawn to it by the commitment loss

  commitment * mean |z - sg(e)|^2   (eq. 3, a mean over channels too),

and the codebook follows the encoder by running means (codebook.py). With `cosine`, features and
vectors have length 1 (Yu et al. 2021, arXiv:2110.04627, section 3.2). With `rotation`, the gradient
is not copied from e to z but turned and scaled as z is on its way to e, by the rotation

  e = |e| / |z| R z,   R = 1 - 2 w w' + 2 e^ z^',   w = (z^ + e^) / |z^ + e^|

held fixed (Fifty et al. 2024, arXiv:2410.06424, section 4.2), so that it tells where z lies in its
cell. The entropy term is in entropy.py.
"""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.nn.quantisers import base, codebook, entropy
from adiff.sequence import spec as spec_lib
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class Vq(base.Quantiser):
  """`vocab` vectors of `dim` floats; few channels keep the whole codebook in use."""

  vocab: values.Count = 1024
  dim: values.Count = 8
  cosine: bool = False
  rotation: bool = False  # the gradient is turned, not copied
  decay: values.ShareBelow1 = 0.99  # of the codebook's running means, a step
  restart: values.ShareBelow1 = 0.1  # of an even use; codes that are used less begin again; 0: none
  commitment: values.NotNegative = 0.25
  entropy: values.NotNegative = 0.0  # weight; 0: not computed
  diversity: values.NotNegative = 1.0  # weight of all features' entropy beside that of each
  temperature: values.Positive = 1.0  # squared distance by which a code is e times less likely

  @property
  def kind(self):
    return spec_lib.Symbols(self.vocab)

  @property
  def book(self) -> codebook.Codebook:
    """Its codebook, whose state is extra."""
    return codebook.Codebook(self.vocab, self.dim, self.decay, self.restart, self.cosine)

  def init_extra(self):
    return self.book.begin()

  def __call__(self, params, extra, z, key, train):
    self.check(z)
    z = codebook.unit(z) if self.cosine else z
    rows = z.reshape(-1, self.dim)
    affinity = self.book.affinity(extra, rows)
    codes = jnp.argmax(affinity, -1).astype(jnp.int32)
    quantised = self.book.values_of(extra, codes).reshape(z.shape)
    through = rotated if self.rotation else base.straight_through
    losses = {}
    if train:
      error = jnp.mean((z - jax.lax.stop_gradient(quantised)) ** 2)
      losses['commitment'] = self.commitment * error
      if self.entropy > 0:
        soft = entropy.of_logits(affinity / self.temperature)
        losses['entropy'] = self.entropy * soft.loss(self.diversity)
      extra = self.book.moved(extra, rows, codes, key)
    return base.Quantised(through(z, quantised), codes.reshape(len(z), -1), losses, extra)

  def codes_of(self, params, extra, z):
    self.check(z)
    z = codebook.unit(z) if self.cosine else z
    return self.book.codes_of(extra, z.reshape(-1, self.dim)).reshape(len(z), -1)

  def dequantise(self, params, extra, codes, grid):
    return self.book.values_of(extra, codes).reshape(len(codes), *grid, self.dim)


def rotated(z, quantised) -> jax.Array:
  """`quantised` [.., C] as z turned and scaled; the gradient is turned and scaled back."""
  start, end = (jax.lax.stop_gradient(codebook.unit(one)) for one in (z, quantised))
  between = codebook.unit(start + end)
  along = lambda axis: jnp.sum(z * axis, -1, keepdims=True)
  turned = z - 2 * along(between) * between + 2 * along(start) * end
  lengths = [jnp.linalg.norm(one, axis=-1, keepdims=True) for one in (quantised, z)]
  return turned * jax.lax.stop_gradient(lengths[0] / jnp.maximum(lengths[1], 1e-6))
