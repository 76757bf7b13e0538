"""One step of a checkpoint, read in part: by role, by what is wanted, as it is stored."""

import contextlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adiff.learn import state
from adiff.machine import checkpoint, checkpoint_reader


def params(value):
  return {'layer': {'kernel': jnp.full((4, 3), value)}}


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """A workdir whose state has a trained role and a frozen one."""
  place = tmp_path_factory.mktemp('roles')
  saved = state.create({'net': params(1.0), 'frozen': params(2.0)}, {'net': optax.adam(1e-3)})
  with contextlib.closing(checkpoint.Checkpoints(place)) as keeper:
    keeper.save(1, saved.replace(ema=jax.tree.map(lambda leaf: 10 * leaf, saved.params)))
  return place


@pytest.mark.parametrize('role, value', [('net', 1.0), ('frozen', 2.0)])
def test_each_role_is_read_alone(workdir, role, value):
  for part, times in (('params', 1), ('ema', 10)):
    stored = checkpoint_reader.read(workdir, 1, None, place=(part, role))
    expected = jax.tree.map(np.array, params(times * value))
    chex.assert_trees_all_equal(stored[part][role], expected)
    wanted = {part: {role: jax.eval_shape(lambda: params(0.0))}}
    placed = checkpoint_reader.read(workdir, 1, wanted, place=(part, role))[part][role]
    chex.assert_trees_all_equal(placed, expected)
    assert isinstance(placed['layer']['kernel'], jax.Array)


def test_a_role_that_was_not_saved_is_named(workdir):
  with pytest.raises(ValueError, match="no parameters of the role 'denoiser'.*launch.convert"):
    checkpoint.restore_params(workdir)


def test_all_arrays_are_read_as_they_are_stored(workdir):
  step, stored = checkpoint.restore_arrays(workdir)
  assert step == 1 and set(stored['params']) == set(stored['ema']) == {'net', 'frozen'}
  assert set(stored['opt']) == {'net'} and int(stored['step']) == 0


def test_an_array_that_is_missing_or_superfluous_is_named(workdir):
  shape = jax.ShapeDtypeStruct((4, 3), jnp.float32)
  for leaves, words in (
    ({'kernel': shape, 'bias': shape}, r'bias as nothing where this config builds \[4, 3\]'),
    ({}, r'kernel as \[4, 3\] where this config builds nothing'),
  ):
    with pytest.raises(ValueError, match=words):
      wanted = {'ema': {'net': {'layer': leaves}}}
      checkpoint_reader.read(workdir, 1, wanted, place=('ema', 'net'))
