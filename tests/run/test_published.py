"""Rows of published codecs make the codes that the papers tell of."""

import pytest
import tiny_data

from adiff.run import build
from adiff.sequence import spec as spec_lib
from configs import tokenizer


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
