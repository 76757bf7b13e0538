"""Everything said to be exact of a chain is checked by enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.data import chain as chain_lib
from adiff.data import mixture as mixture_lib


@pytest.fixture(scope='module')
def chain():
  return chain_lib.Chain(num_tokens=4, vocab=3, size=20000)


@pytest.fixture(scope='module')
def strings(chain):
  return np.array(list(itertools.product(range(chain.vocab), repeat=chain.num_tokens)))


def test_chain_probabilities_sum_to_one_and_give_the_entropy(chain, strings):
  log_prob = chain.log_prob(strings)
  np.testing.assert_allclose(np.exp(log_prob).sum(), 1, rtol=1e-12)
  np.testing.assert_allclose(-np.sum(np.exp(log_prob) * log_prob), chain.exact['nats'], rtol=1e-12)


def test_the_past_of_a_chain_is_informative(chain, strings):
  probs = np.exp(chain.log_prob(strings))
  marginals = np.stack([probs @ (strings == v) for v in range(chain.vocab)])
  assert marginals.min() > 0.1
  assert chain.exact['nats'] < 0.85 * -np.sum(marginals * np.log(marginals))


def brute_force_posterior(chain, strings, likelihood):
  """p(x0_i = v | evidence) [N, V] from likelihood [all strings, N]; own factor already removed."""
  joint = np.exp(chain.log_prob(strings))[:, None] * likelihood
  posterior = np.stack([np.where(strings == v, joint, 0).sum(0) for v in range(chain.vocab)], -1)
  return posterior / posterior.sum(-1, keepdims=True)


def test_the_masked_posterior_equals_enumeration(chain, strings):
  mask_id = chain.vocab
  xt = np.array([[3, 3, 3, 3], [0, 3, 3, 2], [3, 1, 3, 3], [2, 0, 1, 3], [0, 1, 2, 0]], np.int32)
  posterior = jax.jit(chain.posterior)(jnp.asarray(xt), mask_id)
  assert posterior.shape == (5, 4, 3)
  for row, actual in zip(xt, posterior, strict=True):
    match = np.all((row == mask_id) | (strings == row), 1).astype(float)
    expected = brute_force_posterior(chain, strings, np.repeat(match[:, None], 4, 1))
    np.testing.assert_allclose(actual, expected, atol=2e-6)


def test_the_uniform_posterior_leaves_the_token_itself_out(chain, strings):
  xt = np.array([[0, 1, 2, 0], [2, 2, 1, 0]], np.int32)
  t = np.array([[0.1, 0.9, 0.5, 1.0], [0.0, 0.3, 0.7, 0.2]], np.float32)
  posterior = jax.jit(chain.posterior_uniform)(jnp.asarray(xt), jnp.asarray(t))
  for row, levels, actual in zip(xt, t, posterior, strict=True):
    emission = (1 - levels) * (strings == row) + levels / chain.vocab
    others = np.stack([np.prod(np.delete(emission, i, 1), 1) for i in range(4)], 1)
    expected = brute_force_posterior(chain, strings, others)
    np.testing.assert_allclose(actual, expected, atol=2e-6)


@pytest.mark.parametrize('num_tokens, vocab', [(4, 3), (12, 3), (5, 20)])
def test_chain_samples_pass_their_law_test_and_others_fail(num_tokens, vocab):
  chain = chain_lib.Chain(num_tokens=num_tokens, vocab=vocab, size=40000)
  samples = chain.examples('train', np.arange(chain.size('train')))['example']
  assert chain.law_test(samples)['p_value'] > 1e-3
  shuffled = np.random.default_rng(0).permuted(samples, axis=0)
  assert chain.law_test(shuffled)['p_value'] < 1e-6


def test_a_law_test_of_true_samples_is_uniform():
  chain = chain_lib.Chain(num_tokens=8, vocab=4)
  values = [chain.law_test(chain.sample(4000, seed=10 + i))['p_value'] for i in range(200)]
  assert abs(np.mean(values) - 0.5) < 4 * np.sqrt(1 / 12 / 200)
  assert 0.01 < np.mean(np.array(values) < 0.1) < 0.2


def test_a_law_test_with_too_few_samples_is_refused(chain):
  with pytest.raises(ValueError, match='too few'):
    chain.law_test(chain.sample(3, seed=9))


@pytest.mark.parametrize('make', [chain_lib.Chain, mixture_lib.Mixture])
def test_splits_are_independent_samples_fixed_by_the_seed(make):
  one, two, other = make(size=800), make(size=800), make(size=800, seed=1)
  assert (one.size('train'), one.size('test')) == (800, 100)
  assert one.fingerprint == two.fingerprint != other.fingerprint
  train, test = (one.examples(s, np.arange(100))['example'] for s in one.splits)
  assert train.shape[1] == one.num_tokens
  assert not np.array_equal(train, test)
  with pytest.raises(ValueError, match='train, test'):
    one.examples('valid', np.arange(2))


def test_a_chain_too_small_to_exist_is_refused():
  with pytest.raises(ValueError, match='too small'):
    chain_lib.Chain(vocab=1)


# A tree: the cell above a token is its predecessor.


def test_the_predecessor_in_a_pyramid_is_the_cell_above():
  tree = chain_lib.Chain(num_tokens=21, sides=(1, 2, 4))
  scale, row, column = tree.facts.coords.T
  for token in range(1, 21):
    parent = tree.parents[token]
    assert scale[parent] == scale[token] - 1
    cell = 4 // 2 ** scale[parent]
    assert row[token] // cell * cell == row[parent]
    assert column[token] // cell * cell == column[parent]
  assert tree.parents[0] == -1


def test_tree_probabilities_sum_to_one_give_the_entropy_and_the_marginals():
  tree = chain_lib.Chain(num_tokens=5, vocab=3, sides=(1, 2), size=40000)
  strings = np.array(list(itertools.product(range(3), repeat=5)))
  log_prob = tree.log_prob(strings)
  np.testing.assert_allclose(np.exp(log_prob).sum(), 1, rtol=1e-12)
  np.testing.assert_allclose(-np.sum(np.exp(log_prob) * log_prob), tree.exact['nats'], rtol=1e-12)


def test_tree_samples_pass_their_law_test_and_strings_of_a_chain_fail():
  tree = chain_lib.Chain(num_tokens=21, sides=(1, 2, 4), size=8000)
  assert tree.law_test(tree.sample(8000, seed=5))['p_value'] > 1e-3
  chain = chain_lib.Chain(num_tokens=21)
  assert tree.law_test(chain.sample(8000, seed=5))['p_value'] < 1e-6
  rotated = tree.sample(8000, seed=5)
  rotated[:, 5:] = np.roll(rotated[:, 5:], 1, axis=1)
  assert tree.law_test(rotated)['p_value'] < 1e-6


def test_sides_that_do_not_make_the_tokens_are_refused():
  with pytest.raises(ValueError, match='21 tokens but the chain has 6'):
    chain_lib.Chain(sides=(1, 2, 4))
