"""Every mesh gives the loss and the gradients of one device."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.learn import base
from adiff.machine import sharding
from adiff.nn import denoiser
from adiff.nn.heads import chunked
from adiff.run import build
from configs import toy

pytestmark = pytest.mark.skipif(jax.device_count() != 8, reason='needs 8 devices')
MESHES = {
  'data 8': dict(data=8),
  'slices 2 x data 4': dict(slices=2, data=4),
  'fsdp 8': dict(data=1, fsdp=8),
  'data 2 x fsdp 2 x tensor 2': dict(data=2, fsdp=2, tensor=2),
  'sequence 4 x data 2': dict(data=2, sequence=4),
}
ROWS = 16


@functools.cache
def case(row):
  """(parts, random state, batch, loss and gradients on one device) of a row of the table."""
  config = toy.get_config(row)
  config.model.width, config.model.heads, config.model.depth = 64, 4, 3
  config.train.batch_size, config.data.num_tokens = ROWS, 16
  if config.blocks.name == 'equal':
    config.blocks.size = 4
  parts = build.build(config)
  params = jax.jit(parts.recipe.init)(jax.random.key(0)).params[base.DENOISER]
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  noise = lambda leaf, key: leaf + 0.1 * jax.random.normal(key, leaf.shape)  # opens the gates
  params = tree.unflatten(map(noise, leaves, keys))
  examples = parts.coded.examples('train', np.arange(ROWS))
  batch = {name: examples[name] for name in ('tokens', 'label')}
  return parts, params, batch, jax.jit(gradient(parts))(params, batch)


def gradient(parts):
  """(params, batch) -> (loss, gradients), noise fixed."""
  both = jax.value_and_grad(parts.recipe.objective, has_aux=True)

  def run(params, batch):
    (value, _), grads = both(params, batch, jax.random.key(2))
    return value, grads

  return run


# The head works in chunks from 1 on. The first mesh is the second with one slice.
CASES = [('block-masked', 1, name) for name in list(MESHES)[1:]]
CASES.append(('block-masked', 1024, 'data 2 x fsdp 2 x tensor 2'))
RARER = [
  (row, 1024, name) for name in MESHES
  for row in ('block-masked', 'block-gaussian', 'full-gaussian', 'full-masked')
  if (row, 1024, name) not in CASES
]


@pytest.mark.parametrize('row, least, name', [
  *CASES, *(pytest.param(*case, marks=pytest.mark.soak) for case in RARER)
])
def test_loss_and_gradients_are_those_of_one_device(row, least, name):
  parts, params, batch, (value, grads) = case(row)
  mesh = sharding.make_mesh(**MESHES[name])
  sharding.check_fits(mesh, heads=4, batch_size=ROWS, parts=1, num_slots=parts.blocks.num_slots)
  shardings = sharding.state_shardings(
    mesh, params, tensor_axes=parts.model.tensor_axes(), min_size=1
  )
  split = {axis for leaf in jax.tree.leaves(shardings) for axis in leaf.spec if axis}
  assert split == {axis for axis in ('fsdp', 'tensor') if mesh.shape[axis] > 1}
  model = dataclasses.replace(parts.model, head=chunked.Chunked(least=least))
  parts = dataclasses.replace(parts, recipe=dataclasses.replace(parts.recipe, model=model))
  with jax.set_mesh(mesh):
    run = jax.jit(gradient(parts), out_shardings=(sharding.replicated(mesh), shardings))
    ours = run(jax.device_put(params, shardings), sharding.put_batch(mesh, batch, ROWS))
  np.testing.assert_allclose(ours[0], value, rtol=1e-5)
  largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(grads))
  same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * largest)
  jax.tree.map(same, jax.device_get(ours[1]), jax.device_get(grads))


def test_stacked_layers_are_split_inside_every_layer():
  mesh = sharding.make_mesh(data=2, fsdp=2, tensor=2)
  params = {'layers': {'qkv': {'kernel': jax.ShapeDtypeStruct((64, 32, 3, 4, 8), jnp.float32)}}}
  axes = denoiser.Denoiser(1, 1).tensor_axes()
  placed = sharding.state_shardings(mesh, params, tensor_axes=axes, min_size=1)
  assert tuple(placed['layers']['qkv']['kernel'].spec) == (None, 'fsdp', None, 'tensor')


def test_every_micro_batch_must_be_split_and_every_kind_of_blocks():
  config = toy.get_config('block-masked')
  config.train.batch_size, config.train.microbatches, config.mesh.data = 16, 4, 8
  with pytest.raises(ValueError, match='batch_size=16 in 4 parts'):
    build.build_mesh(build.build(config))
  config.train.batch_size = 32
  assert build.build_mesh(build.build(config)).shape['data'] == 8


@pytest.mark.parametrize(
  'mesh, heads, told', [
    (dict(data=1, tensor=2, sequence=4), 4, 'model.heads=4'), (dict(data=8), 8, 'batch_size=12'),
    (dict(data=2, sequence=4), 4, '14 slots'),
  ],
)
def test_what_cannot_be_split_evenly_is_told_in_a_sentence(mesh, heads, told):
  mesh = sharding.make_mesh(**mesh)
  with pytest.raises(ValueError, match=told):
    sharding.check_fits(mesh, heads=heads, batch_size=12, parts=1, num_slots=14)
