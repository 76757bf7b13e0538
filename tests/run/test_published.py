"""Rows of published codecs and networks have the codes and parameters that the papers tell of."""

import math

import jax
import pytest
import tiny_data

from adiff.machine import cost
from adiff.run import build
from adiff.sequence import spec as spec_lib
from configs import imagenet256, tokenizer


@pytest.mark.parametrize('row, grid, codes, kind', [
  ('sd', (32, 32), 32 * 32, spec_lib.Vectors(4)),
  ('mar', (16, 16), 16 * 16, spec_lib.Vectors(16)),
  ('llamagen', (16, 16), 16 * 16, spec_lib.Symbols(16_384)),
  ('var', (16, 16), 680, spec_lib.Symbols(4096)),
  ('infinity', (16, 16), 521, spec_lib.Symbols(2**16)),
])
def test_a_published_codec_has_the_published_codes(row, grid, codes, kind, few):
  config = tokenizer.get_config(f'imagenet256_{row}')
  tiny_data.point(config, few)
  model = build.build(config).model
  assert (model.coder.code_grid, model.num_codes, model.quantiser.kind) == (grid, codes, kind)


@pytest.mark.soak
@pytest.mark.parametrize('row, millions', [
  ('mar_b', 208),  # arXiv:2406.11838, with the head
  ('adm', 554),  # arXiv:2105.05233, table 4
])
def test_a_published_network_has_the_published_parameters(row, millions, few):
  config = imagenet256.get_config(row)
  tiny_data.point(config, few)
  with jax.numpy_dtype_promotion('standard'):  # flax's own layers promote bfloat16
    leaves = jax.tree.leaves(cost.params(build.build(config)))
  found = sum(math.prod(leaf.shape) for leaf in leaves) / 1e6
  assert found == pytest.approx(millions, rel=0.02)
