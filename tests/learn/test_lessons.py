"""What lessons make of a batch."""

import types

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from adiff.codec import patches
from adiff.learn import lessons
from adiff.run import build
from configs import digits

TOKENS = jnp.arange(24, dtype=jnp.int32).reshape(4, 6)


def test_a_shortened_row_keeps_its_documents_and_weights_up_to_its_end():
  segment = jnp.broadcast_to(jnp.array([0, 0, 1, 1, 2, 2])[None], (4, 6))
  weight = jnp.broadcast_to(jnp.array([0.0, 1, 1, 1, 1, 1])[None], (4, 6))
  batch = {'tokens': TOKENS, 'segment': segment, 'weight': weight, 'label': jnp.arange(4)}
  short = lessons.RandomLength(1.0)(jax.random.key(0), batch)
  kept = np.asarray(short['segment']) >= 0
  ends = kept.sum(1)
  assert ends.min() >= 1 and ends.min() < 6
  np.testing.assert_array_equal(kept, np.arange(6) < ends[:, None])
  np.testing.assert_array_equal(short['segment'], np.where(kept, segment, -1))
  np.testing.assert_array_equal(short['weight'], np.where(kept, weight, 0))
  for name in ('tokens', 'label'):
    np.testing.assert_array_equal(short[name], batch[name])


def test_rows_of_a_share_of_zero_stay_whole():
  whole = lessons.RandomLength(0.0)(jax.random.key(0), {'tokens': TOKENS})
  assert np.all(whole['segment'] == 0) and np.all(whole['weight'] == 1)


def test_only_packed_rows_say_which_documents_they_hold():
  assert lessons.documents({'tokens': TOKENS, 'weight': TOKENS}) is None
  packed = {'tokens': TOKENS, 'segment': TOKENS, 'position': TOKENS}
  assert lessons.documents(packed) == {'segment': TOKENS, 'position': TOKENS}


@pytest.mark.parametrize('discrete', [False, True])
def test_pictures_are_mirrored_and_shifted_as_pixels_whatever_the_order_of_tokens(discrete):
  shape = (4, 6, 1 if discrete else 3)
  codec = patches.Patches(shape, patch=1 if discrete else 2, discrete=discrete)
  order = np.random.default_rng(0).permutation(codec.num_tokens)
  pictures = np.random.default_rng(1).integers(0, 256, (64, *shape))
  tokens = codec.encode((), pictures)[:, order]
  taught = types.SimpleNamespace(codec=codec)
  train = dict(flip=True, crop=1, random_length=0.0)
  config = ml_collections.ConfigDict({'train': train})
  blocks = types.SimpleNamespace(order=order, num_tokens=codec.num_tokens)
  (lesson,) = build.build_lessons(config, taught, blocks)
  moved = lesson(jax.random.key(0), {'tokens': jnp.asarray(tokens), 'label': jnp.arange(64)})
  raster = np.empty_like(tokens)
  raster[:, order] = moved['tokens']
  possible = [
    np.pad(one, ((1, 1), (1, 1), (0, 0)), 'edge')[y:y + 4, x:x + 6].tobytes()
    for picture in pictures for one in (picture, picture[:, ::-1])
    for y in range(3) for x in range(3)
  ]
  which = [possible.index(one.astype(int).tobytes()) for one in codec.decode((), raster)]
  assert [place // 18 for place in which] == list(range(64))
  assert {place % 18 for place in which} == set(range(18)), 'all moves are made'
  np.testing.assert_array_equal(moved['label'], np.arange(64))


def test_pictures_that_cannot_be_moved_are_told_in_a_sentence():
  config = digits.get_config('scales').unlock()
  config.train.flip = True
  with pytest.raises(ValueError, match='flip and crop move the pixels.*codec.name=patches'):
    build.build(config)
  config = digits.get_config().unlock()
  config.train.crop = 8
  with pytest.raises(ValueError, match='crop=8 moves pictures of .8, 8. pixels out of sight'):
    build.build(config)
