"""The mesh and the rules that place arrays on it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from adiff.machine import sharding
from adiff.nn import layout

pytestmark = pytest.mark.skipif(jax.device_count() != 8, reason='needs 8 devices')


@pytest.mark.parametrize(
  'sizes, shape',
  [
    ((-1, 1), (1, 8, 1, 1, 1)), ((2, -1), (1, 2, 4, 1, 1)), ((4, 2), (1, 4, 2, 1, 1)),
    ((-1, 2, 2), (1, 2, 2, 2, 1)), ((2, 1, 1, -1), (1, 2, 1, 1, 4)),
    ((-1, 2, 1, 1, 2), (2, 2, 2, 1, 1)),
  ],
)
def test_minus_one_takes_what_is_left(sizes, shape):
  mesh = sharding.make_mesh(*sizes)
  assert mesh.axis_names == layout.AXES and mesh.devices.shape == shape
  assert set(mesh.axis_types) == {AxisType.Auto}


def test_a_slice_is_devices_that_follow_each_other():
  mesh = sharding.make_mesh(fsdp=2, slices=2)
  assert [[one.id for one in group.flat] for group in mesh.devices] == [[0, 1, 2, 3], [4, 5, 6, 7]]


@dataclasses.dataclass(frozen=True)
class Tpu:
  """A device that says in which slice it lies."""

  slice_index: int
  platform: str = 'tpu'


@pytest.mark.parametrize('slices, lie_in', [(1, 2), (4, 2), (2, 1)])
def test_the_slices_of_tpus_are_those_that_they_lie_in(slices, lie_in):
  tpus = [Tpu(index % lie_in) for index in range(8)]
  with pytest.raises(ValueError, match=f'TPUs lie in {lie_in} slices; write mesh.slices={lie_in}$'):
    sharding.make_mesh(slices=slices, devices=tpus)


@pytest.mark.parametrize('sizes', [
  (3, 1), (-1, 3), (2, 2), (-1, -1), (0, 8), (-1, 16), (-2, -4), (-1, 1, 1, 1, 3),
])
def test_sizes_that_do_not_fit_are_told_in_a_sentence(sizes):
  with pytest.raises(ValueError, match='mesh.data'):
    sharding.make_mesh(*sizes)


def test_large_leaves_are_split_along_their_largest_divisible_axis():
  mesh = sharding.make_mesh(2, 4)
  shapes = {
    'wide': (64, 128),
    'square': (64, 64),
    'odd': (129, 64),
    'none': (129, 127),
    'small': (4, 4),
    'scalar': (),
  }
  tree = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
  specs = {k: s.spec for k, s in sharding.state_shardings(mesh, tree, min_size=1024).items()}
  assert specs == {
    'wide': PartitionSpec(None, 'fsdp'),
    'square': PartitionSpec(None, 'fsdp'),
    'odd': PartitionSpec(None, 'fsdp'),
    'none': PartitionSpec(),
    'small': PartitionSpec(),
    'scalar': PartitionSpec(),
  }
  alone = sharding.state_shardings(sharding.make_mesh(8, 1), tree, min_size=1)
  assert all(s.spec == PartitionSpec() for s in alone.values())


def test_a_batch_is_split_by_rows_over_all_devices():
  mesh = sharding.make_mesh(2, 4)
  batch = {'tokens': np.arange(48, dtype=np.int32).reshape(16, 3), 'label': np.arange(16)}
  placed = sharding.put_batch(mesh, batch, 16)
  assert placed['tokens'].sharding == sharding.batch_sharding(mesh)
  assert {s.data.shape for s in placed['tokens'].addressable_shards} == {(2, 3)}
  np.testing.assert_array_equal(placed['tokens'], batch['tokens'])


@pytest.mark.parametrize('rows', [12, 7])
def test_a_batch_that_cannot_be_split_is_told_in_a_sentence(rows):
  with pytest.raises(ValueError, match='multiple of 8'):
    sharding.put_batch(sharding.make_mesh(), {'tokens': np.zeros((rows, 3))}, rows)


def test_a_sharded_step_equals_the_step_on_one_device():
  def step(w, x):
    return w - jax.grad(lambda w: jnp.mean((x @ w) ** 2))(w)

  mesh = sharding.make_mesh(2, 4)
  abstract = jax.ShapeDtypeStruct((16, 32), jnp.float32)
  shardings = sharding.state_shardings(mesh, abstract, min_size=1)
  w = sharding.born(lambda key: jax.random.normal(key, (16, 32)), shardings, jax.random.key(0))
  assert w.sharding == shardings and {s.data.shape for s in w.addressable_shards} == {(16, 8)}
  x = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)
  many = jax.jit(step, out_shardings=shardings)(w, sharding.put_batch(mesh, x, len(x)))
  one = jax.jit(step)(jnp.asarray(np.asarray(w)), jnp.asarray(x))
  np.testing.assert_allclose(np.asarray(many), np.asarray(one), rtol=1e-5, atol=1e-6)
