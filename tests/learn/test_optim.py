"""The optimiser: what decays, what is clipped, how the learning rate goes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adiff.learn import optim

PARAMS = {
  'layers': {'kernel': jnp.ones((2, 3, 3)), 'bias': jnp.ones((2, 3))},  # Scanned: one more axis.
  'norm': {'scale': jnp.ones(3)},
  'embed': {'embedding': jnp.ones((5, 3))},
}


def test_weight_decay_touches_kernels_only():
  tx, _ = optim.make(
    learning_rate=0.1, schedule='constant', warmup=0, total_steps=10, weight_decay=0.5
  )
  zero = jax.tree.map(jnp.zeros_like, PARAMS)
  updates, _ = jax.jit(tx.update)(zero, tx.init(PARAMS), PARAMS)
  np.testing.assert_allclose(updates['layers']['kernel'], -0.05, rtol=1e-6)
  for leaf in (updates['layers']['bias'], updates['norm']['scale'], updates['embed']['embedding']):
    np.testing.assert_array_equal(leaf, 0)


def test_the_gradient_is_clipped_by_its_global_norm_before_adam_sees_it():
  tx, _ = optim.make(
    schedule='constant', warmup=0, total_steps=10, clip=1.0, b1=0.0, weight_decay=0.0
  )
  grads = jax.tree.map(lambda x: 100 * x, PARAMS)
  _, opt_state = tx.update(grads, tx.init(PARAMS), PARAMS)
  assert float(optax.global_norm(opt_state[1].mu)) == pytest.approx(1.0, rel=1e-5)


def test_without_clip_and_decay_the_first_step_is_adams():
  tx, lr_fn = optim.make(
    learning_rate=0.1, schedule='constant', warmup=0, total_steps=10, clip=None, weight_decay=0.0
  )
  updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
  np.testing.assert_allclose(updates['norm']['scale'], -float(lr_fn(0)), rtol=1e-5)


def test_adam_forgets_by_b1_and_b2_and_divides_by_no_less_than_eps():
  b1, b2, eps, rate = 0.8, 0.9, 0.1, 0.1
  tx, _ = optim.make(
    learning_rate=rate, schedule='constant', warmup=0, total_steps=10, clip=None,
    weight_decay=0.0, b1=b1, b2=b2, eps=eps,
  )
  params = {'w': jnp.zeros(3)}
  state, first, second = tx.init(params), np.zeros(3), np.zeros(3)
  for step, scale in enumerate((1.0, -2.0, 0.5), 1):
    grad = scale * np.array([0.01, 1.0, 5.0])
    updates, state = tx.update({'w': jnp.asarray(grad, jnp.float32)}, state, params)
    first, second = b1 * first + (1 - b1) * grad, b2 * second + (1 - b2) * grad**2
    mean, scale_ = first / (1 - b1**step), np.sqrt(second / (1 - b2**step))
    np.testing.assert_allclose(updates['w'], -rate * mean / (scale_ + eps), rtol=1e-5)


def rates(**arguments):
  _, lr_fn = optim.make(**{'learning_rate': 2.0, 'warmup': 0, 'total_steps': 100, **arguments})
  return np.asarray(jax.vmap(lr_fn)(jnp.arange(101)))


@pytest.mark.parametrize('schedule', optim.SCHEDULES)
def test_the_rate_rises_in_equal_steps_from_above_zero(schedule):
  lr = rates(schedule=schedule, warmup=9)
  np.testing.assert_allclose(lr[:10], 2.0 * np.arange(1, 11) / 10, rtol=1e-5)
  assert lr.max() == pytest.approx(2.0)


def used(**arguments):
  """The rates of the steps that a run takes."""
  return rates(**arguments)[:arguments.get('total_steps', 100)]


@pytest.mark.parametrize('final', [0.0, 0.1, 1.0])
@pytest.mark.parametrize('warmup', [0, 3])
@pytest.mark.parametrize('total_steps', [10, 37, 100])
@pytest.mark.parametrize('schedule', ['cosine', 'wsd'])
def test_the_last_rate_used_is_the_final_one(schedule, total_steps, warmup, final):
  lr = used(schedule=schedule, total_steps=total_steps, warmup=warmup, final=final)
  assert lr[-1] == pytest.approx(2.0 * final, abs=1e-6) and lr.max() == pytest.approx(2.0)
  assert len(lr) == total_steps and np.all(np.diff(lr[warmup:]) <= 1e-6)


def test_a_run_of_one_step_takes_it_at_the_peak():
  assert used(schedule='cosine', total_steps=1)[0] == pytest.approx(2.0)


def test_the_cosine_falls_to_its_final_share():
  lr = used(schedule='cosine', final=0.1, total_steps=101)
  np.testing.assert_allclose(lr[[0, 50, 100]], [2.0, 1.1, 0.2], rtol=1e-5)
  assert np.all(np.diff(lr) < 0)


def test_the_trapezoid_stays_and_then_falls_linearly():
  lr = used(schedule='wsd', decay_fraction=0.2)
  np.testing.assert_allclose(lr[:80], 2.0, rtol=1e-6)
  np.testing.assert_allclose(np.diff(lr[79:]), -0.1, rtol=1e-3)


def test_constant_is_constant():
  np.testing.assert_array_equal(rates(schedule='constant'), 2.0)


@pytest.mark.parametrize(
  'arguments, sentence',
  [
    (dict(name='adamm'), "optim.name='adamm' is unknown; choose one of adamw"),
    (dict(schedule='cosin'), 'choose one of cosine'),
    (dict(warmup=101), 'optim.warmup is 101'),
    (dict(schedule='wsd', warmup=90, decay_fraction=0.2), 'shorten optim.warmup'),
    (dict(schedule='wsd', decay_fraction=0.0), 'optim.decay_fraction=0.0 must be above 0'),
    (dict(final=2.0), 'optim.final=2.0'),
    (dict(learning_rate=0.0), 'optim.learning_rate=0.0'),
    (dict(learning_rate=float('nan')), 'optim.learning_rate=nan'),
    (dict(weight_decay=-1.0), 'optim.weight_decay=-1.0'),
    (dict(clip=0.0), 'optim.clip=0.0'),
  ],
)
def test_a_contradiction_is_told_in_a_sentence(arguments, sentence):
  with pytest.raises(ValueError, match=sentence):
    optim.make(**{'warmup': 0, **arguments}, total_steps=100)
