"""Bits: the law of a symbol is the product of those of its bits, or their chain."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn.heads import bits
from adiff.process import base as process_base
from adiff.run import build
from configs import base

NUM, WIDTH = 3, 4
PARAMS = {
  'kernel': jax.random.normal(jax.random.key(2), (WIDTH, NUM)),
  'bias': jax.random.normal(jax.random.key(3), (NUM,)),
}
H = jax.random.normal(jax.random.key(0), (2, 5, WIDTH))
LOGITS = np.asarray(H) @ np.asarray(PARAMS['kernel']) + np.asarray(PARAMS['bias'])
HEAD = bits.Bits(PARAMS, jnp.dtype('float32'))


def test_the_law_of_a_symbol_is_the_product_of_those_of_its_bits():
  p = 1 / (1 + np.exp(-LOGITS))
  law = np.asarray(jax.nn.softmax(HEAD.read(H, None)))
  for last_first in itertools.product((0, 1), repeat=NUM):
    own = np.array(last_first[::-1])
    symbol = int((own * 2 ** np.arange(NUM)).sum())
    expected = np.prod(np.where(own, p, 1 - p), axis=-1)
    np.testing.assert_allclose(law[..., symbol], expected, rtol=2e-5)


def test_its_loss_is_the_sum_of_the_cross_entropies_of_bits():
  x0 = jax.random.randint(jax.random.key(1), (2, 5), 0, 2**NUM)
  share = jnp.full((2, 5), 0.1)
  total, value = HEAD.loss(H, None, None, process_base.cross_entropy, share, x0)
  own = bits.bits_of(NUM).T[np.asarray(x0)]
  expected = (np.logaddexp(0, LOGITS) - own * LOGITS).sum(-1)
  np.testing.assert_allclose(value, expected, rtol=1e-5)
  np.testing.assert_allclose(total, 0.1 * expected.sum(), rtol=1e-5)


def test_a_network_has_one_output_a_bit():
  params = bits.Bits().init(None, WIDTH, 2**NUM)
  assert params['kernel'].shape == (WIDTH, NUM)


def test_chained_a_bit_has_its_law_given_those_before_it():
  chain = np.asarray(jax.random.normal(jax.random.key(4), (NUM, NUM)))
  head = bits.Bits({**PARAMS, bits.CHAIN: jnp.asarray(chain)}, jnp.dtype('float32'), chained=True)
  law = np.exp(np.asarray(head.read(H, None), np.float64))
  np.testing.assert_allclose(law.sum(-1), 1, rtol=1e-6)
  for own in itertools.product((0, 1), repeat=NUM):
    expected = 1.0
    for i, bit in enumerate(own):
      p = 1 / (1 + np.exp(-LOGITS[..., i] - sum(chain[j, i] * own[j] for j in range(i))))
      expected = expected * (p if bit else 1 - p)
    symbol = int((np.array(own) * 2 ** np.arange(NUM)).sum())
    np.testing.assert_allclose(law[..., symbol], expected, rtol=2e-5)


def test_a_chain_begins_with_independent_bits():
  params = bits.Bits(chained=True).init(None, WIDTH, 2**NUM)
  chained = bits.Bits({**params, **PARAMS}, jnp.dtype('float32'), chained=True)
  both = [np.asarray(jax.nn.softmax(head.read(H, None))) for head in (chained, HEAD)]
  np.testing.assert_allclose(*both, rtol=2e-5)


@pytest.mark.parametrize('data, words', [('chain', '2.n symbols, .* 3 symbols'),
                                         ('mixture', '2.n symbols, .* floats')])
def test_what_has_no_bits_is_refused(data, words):
  c = base.get_config()
  base.choose(c, 'data', data)
  base.choose(c, 'head', 'bits')
  if data == 'mixture':
    base.choose(c, 'process', 'gaussian')
  with pytest.raises(ValueError, match=words):
    build.build(c.lock())
