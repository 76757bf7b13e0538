"""A coder and the quantiser between its two networks: what a codec is, while it is trained and
afterwards."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from adiff.nn import coder as coder_lib
from adiff.nn.quantisers import base as quantisers_base


class Bound(NamedTuple):
  """An autoencoder with its parameters; nothing in it is random."""

  encode: Callable[[jax.Array], jax.Array]  # x [B, N, D] -> codes, see quantisers.base.Quantised
  latents: Callable[[jax.Array], jax.Array]  # codes -> z [B, *code_grid, C']
  show: Callable[[jax.Array], jax.Array]  # z -> x
  hints: Callable[[jax.Array], dict[str, jax.Array]]  # codes -> see Quantiser.hints
  # (codes, key, share) -> (codes, shown), see Quantiser.requantise: of what the codes tell
  requantise: Callable[..., tuple[jax.Array, jax.Array]]

  def decode(self, codes) -> jax.Array:
    """Codes -> x."""
    return self.show(self.latents(codes))


@dataclasses.dataclass(frozen=True)
class Autoencoder:
  """Parameters {'coder', 'quantiser'}; extra: what of the quantiser moves without a gradient."""

  coder: coder_lib.Coder
  quantiser: quantisers_base.Quantiser

  def init(self, key) -> dict[str, Any]:
    """Its parameters, float32."""
    key_coder, key_quantiser = jax.random.split(key)
    return {
      'coder': self.coder.init(key_coder, self.quantiser.dim),
      'quantiser': self.quantiser.init(key_quantiser),
    }

  def init_extra(self) -> Any:
    """The extra before anything was seen."""
    return self.quantiser.init_extra()

  def tensor_axes(self) -> dict[str, int]:
    """As Network.tensor_axes: nothing is split."""
    return {}

  def exchanged(self) -> dict[str, int]:
    """As Network.exchanged: activations stay where they are, but for a codebook's means."""
    return {'data': 0, 'tensor': 0, 'sequence': 0}

  @property
  def dtype(self) -> str:
    """Of the computation."""
    return self.coder.dtype

  @property
  def num_codes(self) -> int:
    """Codes an example."""
    return sum(map(math.prod, self.quantiser.scales(self.coder.code_grid)))

  def features(
    self, params, extra, x, key
  ) -> tuple[jax.Array, quantisers_base.Quantised]:
    """(h, what the quantiser says) in training: all but the head of the decoder."""
    z = self.coder.encode(params['coder'], x)
    quantised = self.quantiser(params['quantiser'], extra, z, key, True)
    return self.coder.features(params['coder'], quantised.z), quantised

  def bind(self, params, extra) -> Bound:
    """It, with what was learnt."""

    def encode(x):
      z = self.coder.encode(params['coder'], x)
      return self.quantiser.codes_of(params['quantiser'], extra, z)

    def latents(codes):
      grid = self.coder.code_grid
      return self.quantiser.dequantise(params['quantiser'], extra, codes, grid)

    def show(z):
      return self.coder.decode(params['coder'], z)

    def hints(codes):
      return self.quantiser.hints(params['quantiser'], extra, codes, self.coder.code_grid)

    def requantise(codes, key, share):
      z = latents(codes)
      return self.quantiser.requantise(params['quantiser'], extra, z, key, share)

    return Bound(encode, latents, show, hints, requantise)
