"""What waits in the host's memory between updates is as if it had stayed on the devices."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.machine import checkpoint, sharding
from adiff.run import build, train
from configs import toy

pytestmark = pytest.mark.skipif(jax.device_count() != 8, reason='needs 8 devices')
ROWS, STEPS = 16, 3


def trained(offload, workdir):
  """(state, shardings) of a run that is saved and restored before its last step."""
  config = tiny.config('block-masked')
  config.train.batch_size, config.train.offload = ROWS, offload
  config.mesh.data, config.mesh.fsdp = 2, 4
  parts = build.build(config)
  mesh = build.build_mesh(parts)
  examples = parts.coded.examples('train', np.arange(ROWS))
  batch = {name: examples[name] for name in ('tokens', 'label')}
  with jax.set_mesh(mesh), contextlib.closing(checkpoint.Checkpoints(workdir)) as keeper:
    key = jax.random.key(0)
    abstract = jax.eval_shape(parts.recipe.init, key)
    shardings = sharding.state_shardings(
      mesh, abstract, tensor_axes=parts.model.tensor_axes(), offload=offload, min_size=64
    )
    state = sharding.born(parts.recipe.init, shardings, key)
    update = train.make_update(parts, mesh, shardings)
    for step in range(STEPS):
      if step == STEPS - 1:
        keeper.save(step, state)
        state = keeper.restore(sharding.placed(abstract, shardings))[1]
      state, _ = update(state, sharding.put_batch(mesh, batch, ROWS))
  return state, shardings


def on_host(tree):
  return {leaf.sharding.memory_kind == sharding.HOST for leaf in jax.tree.leaves(tree)}


@pytest.mark.soak
def test_what_waits_on_the_host_is_trained_and_saved_bit_for_bit_as_without(tmp_path):
  plain, _ = trained('none', tmp_path / 'plain')
  state, shardings = trained('both', tmp_path / 'both')
  jax.tree.map(np.testing.assert_array_equal, state, plain)
  assert on_host(state.params) == {False} and True in on_host(state.ema)
  fetched = sharding.fetch(state.ema, shardings.ema)
  assert on_host(fetched) == {False}
  jax.tree.map(np.testing.assert_array_equal, fetched, plain.ema)


@pytest.mark.parametrize('offload', sharding.OFFLOAD)
def test_large_leaves_of_what_is_named_wait_on_the_host_and_no_others(offload):
  leaves = lambda: {'small': jnp.zeros(4), 'large': jnp.zeros((64, 64))}
  tree = {role: leaves() for role in ('params', 'ema', 'opt')}
  placed = sharding.state_shardings(sharding.make_mesh(2, 4), tree, offload=offload, min_size=64)
  away = {role for role in tree if placed[role]['large'].memory_kind == sharding.HOST}
  assert away == set(sharding.OFFLOAD[offload])
  assert all(placed[role]['small'].memory_kind != sharding.HOST for role in tree)


def test_an_unknown_part_is_refused_with_the_list():
  config = toy.get_config('block-masked')
  config.train.offload = 'parameters'
  with pytest.raises(ValueError, match='none, average, optimiser, both'):
    build.build(config)
