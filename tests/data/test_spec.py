"""What a data set promises."""

import numpy as np
import pytest

from adiff.codec import patches
from adiff.data import spec


def test_a_spec_repeats_the_facts_of_its_codec():
  codec = patches.Patches((8, 8, 3), patch=2)
  facts = spec.of_codec(codec, num_classes=7)
  assert (facts.num_tokens, facts.grid, facts.dim, facts.vocab) == (16, (4, 4), 12, 0)
  assert (facts.num_classes, facts.dims, facts.image_levels) == (7, 192, 256)
  assert facts.decode(np.zeros((2, 16, 12), np.float32)).shape == (2, 8, 8, 3)


def test_an_unknown_split_is_answered_with_the_names():
  with pytest.raises(ValueError, match='train, test'):
    spec.check_split('valid', ('train', 'test'))
