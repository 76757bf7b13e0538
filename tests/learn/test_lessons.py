"""What lessons make of a batch."""

import jax
import jax.numpy as jnp
import numpy as np

from adiff.learn import lessons

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
