"""One token a call, every one as likely as the others. (Its law: test_unmasking.)"""

import jax
import jax.numpy as jnp
import numpy as np

from adiff.process import masked
from adiff.sample.solvers import first_hitting

MASK = 3


def test_it_reveals_one_masked_token_of_each_row_uniformly():
  x = jnp.tile(jnp.array([[MASK, 0, MASK, MASK], [1, MASK, 1, 1], [2, 2, 2, 2]]), (1000, 1))
  t, s = jnp.ones(x.shape), jnp.full(x.shape, 0.5)
  out, keys = jnp.zeros((*x.shape, 3)), jax.random.split(jax.random.key(0), x.shape)
  after = first_hitting.FirstHitting().step(None, out, masked.Masked(3), keys, x, t, s, ())[0]
  revealed = (np.asarray(after) != np.asarray(x)).reshape(1000, 3, 4)
  np.testing.assert_array_equal(revealed.sum(-1), np.broadcast_to([1, 1, 0], (1000, 3)))
  np.testing.assert_allclose(revealed[:, 0].mean(0), [1 / 3, 0, 1 / 3, 1 / 3], atol=0.06)
