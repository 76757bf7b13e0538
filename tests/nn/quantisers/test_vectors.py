"""A codebook of running means, and its dead codes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import cluster, datasets

from adiff.nn.quantisers import codebook

VOCAB, DIM, NUM = 6, 2, 40
DECAY = 0.8


def book(restart=0.0, cosine=False):
  return codebook.Codebook(VOCAB, DIM, DECAY, restart, cosine)


def features(seed, num=NUM):
  return np.random.default_rng(seed).normal(size=(num, DIM)).astype(np.float32)


@functools.cache
def step(of):
  """(state, z, seed) -> (codes, state) of a codebook."""

  def run(state, z, seed):
    codes = of.codes_of(state, z)
    return codes, of.moved(state, z, codes, jax.random.key(seed))

  return jax.jit(run)


@pytest.mark.parametrize('cosine', [False, True])
def test_vectors_are_running_means_of_the_features_nearest_to_them(cosine):
  of = book(cosine=cosine)
  state = of.begin()
  vectors = np.asarray(state['vectors'], np.float64)
  count, total = np.zeros(VOCAB), np.zeros((VOCAB, DIM))
  for seed in range(3):
    z = features(seed, 5).repeat(8, 0) if seed == 0 else features(seed)  # few codes at first
    z = np.asarray(codebook.unit(z)) if cosine else z
    codes, state = step(of)(state, z, 0)
    count, total = DECAY * count, DECAY * total
    for row, code in zip(z.astype(np.float64), codes, strict=True):
      distances = ((row - vectors) ** 2).sum(-1)
      assert code == distances.argmin()
      count[code] += 1 - DECAY
      total[code] += (1 - DECAY) * row
    for code in np.flatnonzero(count):
      vectors[code] = total[code] / count[code]
      vectors[code] /= np.linalg.norm(vectors[code]) if cosine else 1
    np.testing.assert_allclose(state['vectors'], vectors, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state['count'], count, rtol=1e-5)


def seen(unused):
  """State in which all codes are in use, but a few that lie far from all features."""
  unused = np.isin(np.arange(VOCAB), unused)
  vectors = np.where(unused[:, None], 90, np.asarray(book().begin()['vectors']))
  count = np.where(unused, 0.01, 2.0).astype(np.float32)
  return {'vectors': vectors, 'count': count, 'sum': vectors * count[:, None]}


@pytest.mark.parametrize('restart, dead', [(0.0, ()), (0.05, (4, 5))])
def test_codes_below_a_share_of_an_even_use_begin_at_features_with_an_even_count(restart, dead):
  state, z = seen((4, 5)), features(0)
  moved = jax.device_get(step(book(restart))(state, z, 1)[1])
  begun = [code for code in range(VOCAB) if np.all(moved['vectors'][code] == z, -1).any()]
  assert tuple(begun) == dead
  if dead:
    kept = np.asarray(step(book())(state, z, 1)[1]['count'])
    np.testing.assert_allclose(moved['count'], [*kept[:4], kept.mean(), kept.mean()], rtol=1e-6)
    np.testing.assert_allclose(
      moved['sum'][4:], moved['count'][4:, None] * moved['vectors'][4:], rtol=1e-6
    )


def test_where_they_begin_is_the_keys_alone_and_never_twice_the_same():
  state, z = seen((1, 2, 3)), features(0)
  moved = [jax.device_get(step(book(0.05))(state, z, seed)[1]) for seed in (1, 1, 2)]
  first, again, other = (one['vectors'][1:4] for one in moved)
  np.testing.assert_array_equal(first, again)
  assert np.any(first != other)
  assert len(np.unique(first, axis=0)) == 3


def test_with_fewer_features_than_dead_codes_the_others_wait():
  z = features(0, 2)
  moved = jax.device_get(step(book(0.05))(seen((1, 2, 3, 4)), z, 1)[1])
  assert {*map(tuple, moved['vectors'][1:3])} == {*map(tuple, z)}
  np.testing.assert_allclose(moved['vectors'][3:5], 90, rtol=1e-6)


def test_codes_begin_where_the_error_is_in_proportion_to_its_square():
  state = seen((0,))
  state['vectors'] = np.float32([[99, 99], [0, 0], [77, 0], [0, 77], [-77, 0], [0, -77]])
  z = np.float32([[0, 0], [1, 0], [2, 0], [0, 3]])
  moved = lambda state, key: book(0.05).moved(state, z, book().codes_of(state, z), key)
  run = jax.jit(jax.vmap(moved, (None, 0)))
  begun = np.asarray(run(state, jax.random.split(jax.random.key(0), 4000))['vectors'][:, 0])
  share = [np.mean(np.all(begun == one, -1)) for one in z]
  np.testing.assert_allclose(share, [0, 1 / 14, 4 / 14, 9 / 14], atol=0.03)


def test_the_first_batch_places_all_codes_that_it_does_not_use():
  z = 1000 + features(0)
  codes, moved = step(book(0.05))(book().begin(), z, 3)
  assert len(np.unique(codes)) < VOCAB
  assert np.all(moved['vectors'] > 900)


def test_a_feature_of_length_zero_has_no_direction_and_no_infinite_gradient():
  value, gradient = jax.value_and_grad(lambda z: jnp.sum(codebook.unit(z)))(np.zeros(3, np.float32))
  assert value == 0 and np.isfinite(gradient).all()


@pytest.mark.soak
def test_in_the_end_all_codes_are_in_use_and_nearly_as_good_as_those_of_k_means():
  pictures = datasets.load_digits().images.astype(np.float32) / 16
  patches = pictures.reshape(-1, 4, 2, 4, 2).swapaxes(2, 3).reshape(len(pictures), 16, 4)
  rng = np.random.default_rng(0)
  patches += 0.02 * rng.normal(size=patches.shape).astype(np.float32)
  rows, held_out = patches[:1500].reshape(-1, 4), patches[1500:].reshape(-1, 4)
  means = cluster.KMeans(256, n_init=1, max_iter=50, random_state=0).fit(rows)
  best = np.mean((means.cluster_centers_[means.predict(held_out)] - held_out) ** 2)
  found = {}
  for restart in (0.0, 0.1):
    of = codebook.Codebook(256, 4, 0.99, restart)
    state = of.begin()
    for seed in range(1500):
      batch = patches[rng.integers(0, 1500, 64)].reshape(-1, 4)
      state = step(of)(state, batch, seed)[1]
    codes = of.codes_of(state, held_out)
    error = float(np.mean((of.values_of(state, codes) - held_out) ** 2))
    found[restart] = len(np.unique(np.asarray(codes))) / 256, error / best
  assert found[0.1][0] > 0.95 and found[0.1][1] < 1.1
  assert found[0.0][0] < 0.5 and found[0.0][1] > 2
