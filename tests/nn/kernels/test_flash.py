"""The kernel for GPUs: interpreted, it has the values and gradients of the definition; it visits no
tile that the rule forbids; and a model that uses it lowers for a GPU on any machine."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.machine import sharding
from adiff.nn import attention, denoiser, layout
from adiff.nn.kernels import flash
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask

ON_GPU = pytest.mark.skipif(jax.default_backend() != 'gpu', reason='needs a GPU')
# Of 144 slots each, in nine small tiles: all share one compiled program.
GEOMETRIES = {
  'one block': blocks_lib.whole(144),
  'two blocks': blocks_lib.equal(96, 48),
  'five blocks': blocks_lib.equal(80, 16),
  'unequal blocks': blocks_lib.Blocks((25, 29, 36), tuple(range(90))),
  'tokens in one stream': blocks_lib.tokens(144, history=None),
  'a token-causal copy': blocks_lib.Blocks((7, 30, 35), tuple(range(72)), causal=True),
}


@pytest.fixture
def small_tiles(monkeypatch):
  monkeypatch.setattr(flash, 'TILE_BYTES', 2**10)


def slots_of(blocks, segment=None):
  return blocks.slots(np.zeros((blocks.num_tokens, 1)), segment)


def inputs(num_queries, num_keys, dim=8, batch=2, dtype=jnp.float32):
  keys = jax.random.split(jax.random.key(0), 3)
  sizes = num_queries, num_keys, num_keys
  return tuple(
    jax.random.normal(key, (batch, 2, size, dim)).astype(dtype)
    for key, size in zip(keys, sizes, strict=True)
  )


def kernel_of(q, k, arrays, reach=None, sinks=0, *, interpret=True) -> flash.Flash:
  """As attention chooses it, its lists as long as can be."""
  head = jax.ShapeDtypeStruct(arrays[0].shape[1::2], arrays[0].dtype)
  seen = attention.visible(q, (k,), reach, sinks, head=head, interpret=interpret)
  kernel = seen.kernels['cuda']
  tiles = [len(visits.index) for visits in (kernel.kernel.keys, kernel.kernel.queries)]
  longer = lambda visits, most: visits._replace(
    index=np.pad(visits.index, ((0, 0), (0, most - visits.index.shape[1])))
  )
  return kernel._replace(kernel=kernel.kernel.replace(
    keys=longer(kernel.kernel.keys, tiles[1]), queries=longer(kernel.kernel.queries, tiles[0])
  ))


def definition(allowed, q, k, v):
  scores = jnp.einsum('bhqd,bhkd->bhqk', q, k) / q.shape[-1] ** 0.5
  weights = jax.nn.softmax(jnp.where(allowed, scores, -jnp.inf), axis=-1)
  return jnp.einsum('bhqk,bhkd->bhqd', weights, v)


@functools.partial(jax.jit, static_argnums=0)
def outcome(f, how, arrays):
  """(value, gradients) of f(how, q, k, v)."""
  def loss(arrays):
    out = f(how, *arrays)
    return jnp.sum(jnp.sin(out.astype(jnp.float32))), out
  (_, out), slopes = jax.value_and_grad(loss, has_aux=True)(arrays)
  return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (out, slopes))


def call(kernel, *arrays):
  return kernel(*arrays)


def check(q, k, arrays, reach=None, sinks=0, atol=2e-5, **how):
  ours = outcome(call, kernel_of(q, k, arrays, reach, sinks, **how), arrays)
  allowed = jnp.asarray(mask.attend(q, k, reach, sinks))
  allowed = allowed[:, None] if allowed.ndim == 3 else allowed[None, None]
  exact = tuple(array.astype(jnp.float32) for array in arrays)
  with jax.default_matmul_precision('highest'):
    theirs = outcome(definition, allowed, exact)
  for a, b in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
    np.testing.assert_allclose(a, b, atol=atol, rtol=1e-5)


@pytest.mark.usefixtures('small_tiles')
@pytest.mark.parametrize('name', GEOMETRIES)
def test_values_and_gradients_are_those_of_the_definition(name):
  slots = slots_of(GEOMETRIES[name])
  check(slots, slots, inputs(144, 144))


@pytest.mark.usefixtures('small_tiles')
@pytest.mark.parametrize('dim', [64, 80])
def test_heads_of_any_width_are_served(dim):
  slots = slots_of(blocks_lib.equal(15, 5))
  check(slots, slots, inputs(25, 25, dim))


@pytest.mark.usefixtures('small_tiles')
def test_fewer_queries_than_keys_in_unfinished_tiles_with_reach_and_sinks_are_served():
  slots = slots_of(blocks_lib.tokens(43))
  queries = jax.tree.map(lambda leaf: leaf[:43], slots)
  check(queries, slots, inputs(43, 85), reach=6, sinks=2)


@pytest.mark.usefixtures('small_tiles')
def test_documents_of_packed_rows_stay_apart_and_who_sees_nothing_gets_zero():
  segment = np.stack([np.repeat([0, 1, -1], [20, 17, 3]), np.zeros(40, int)]).astype(np.int32)
  slots, arrays = slots_of(blocks_lib.equal(40, 8), segment), inputs(72, 72)
  check(slots, slots, arrays)
  nobody = slots._replace(segment=slots.segment + 9)
  kernel = kernel_of(nobody, slots, arrays)
  for leaf in jax.tree.leaves(outcome(call, kernel, arrays)):
    np.testing.assert_array_equal(leaf, 0)


@pytest.mark.usefixtures('small_tiles')
@pytest.mark.skipif(jax.device_count() != 8, reason='needs 8 devices')
def test_on_a_mesh_every_device_computes_its_rows_and_heads():
  segment = np.repeat([[0, 1], [1, 1], [0, -1], [2, 2]], 12, axis=1).astype(np.int32)
  slots, arrays = slots_of(blocks_lib.equal(24, 8), segment), inputs(40, 40, batch=4)
  kernel = kernel_of(slots, slots, arrays)
  whole = outcome(call, kernel, arrays)
  with jax.set_mesh(sharding.make_mesh(data=4, tensor=2)):
    split = outcome(layout.on_each_device, kernel, arrays)
  assert split[0].sharding.spec[:2] == ('data', 'tensor')
  for a, b in zip(*map(jax.tree.leaves, (split, whole)), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.usefixtures('small_tiles')
def test_half_precision_is_near_the_definition():
  slots = slots_of(blocks_lib.equal(15, 5))
  arrays = inputs(25, 25, dtype=jnp.bfloat16)
  assert kernel_of(slots, slots, arrays)(*arrays).dtype == jnp.bfloat16
  check(slots, slots, arrays, atol=0.05)


@pytest.mark.parametrize('known', [True, False])
def test_every_tile_with_a_pair_that_is_seen_is_visited_once_and_no_other(known):
  blocks = blocks_lib.equal(640, 128)
  slots = slots_of(blocks, None if known else jnp.zeros((1, 640), jnp.int32))
  tiles = kernel_of(slots, slots, inputs(1152, 1152)).kernel
  pairs = np.asarray(mask.attend(*[slots_of(blocks)] * 2)).reshape(18, 64, 18, 64)
  for visits, turned in ((tiles.keys, pairs), (tiles.queries, pairs.transpose(2, 3, 0, 1))):
    for index, (whole, count), seen in zip(*visits, turned, strict=True):
      assert sorted(index[:count]) == np.flatnonzero(seen.any((0, 2))).tolist()
      wanted = np.flatnonzero(seen.all((0, 2))).tolist() if known else []
      assert sorted(index[:whole]) == wanted
  assert tiles.keys.counts[:, 1].sum() == pairs.any((1, 3)).sum() == 100  # of 324


def small_model(attention, **changes):
  model = denoiser.Denoiser(5, 4, width=32, depth=2, heads=2, attention=attention, **changes)
  blocks = blocks_lib.equal(24, 8)
  x = jnp.arange(80).reshape(2, 40) % 5
  t = jnp.linspace(0, 1, 80).reshape(2, 40)
  ask = ask_lib.Ask(x, t, slots_of(blocks))
  loss = lambda params: jnp.sum(jnp.sin(model.denoise(params)(ask).out))
  init = jax.jit(lambda: model.init(jax.random.key(0), ask))
  return jax.jit(jax.value_and_grad(loss)), init


def lowered(f, *arrays):
  """How often the program of f for a GPU calls a kernel of Triton."""
  target = '__gpu$xla.gpu.triton'
  allowed = jax.export.DisabledSafetyCheck.custom_call(target)
  program = jax.export.export(f, platforms=['cuda'], disabled_checks=[allowed])(*arrays)
  return program.mlir_module().count(target)


def test_a_training_step_lowers_for_a_gpu_to_kernels_of_triton():
  with jax.numpy_dtype_promotion('standard'):  # jax promotes bfloat16 itself
    step, init = small_model('kernel', dtype='bfloat16', remat='layers')
    # forward, forward again, and the gradients of queries and keys: the scanned layer and the last
    assert lowered(step, jax.eval_shape(init)) == 8


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize('dim', [80, 256])
def test_every_precision_and_width_lowers_for_a_gpu(dtype, dim):
  slots, arrays = slots_of(blocks_lib.equal(40, 8)), jax.eval_shape(
    functools.partial(inputs, 72, 72, dim, dtype=dtype))
  f = jax.jit(jax.grad(lambda arrays: jnp.sum(
    kernel_of(slots, slots, arrays, interpret=False)(*arrays).astype(jnp.float32))))
  assert lowered(f, arrays) == 3


def test_elsewhere_a_model_with_the_kernel_is_the_model_without():
  (kernel, init), (plain, _) = small_model('kernel'), small_model('xla')
  params = jax.tree.map(lambda leaf: leaf + 0.1, init())  # what starts as zero hides the rest
  jax.tree.map(np.testing.assert_array_equal, kernel(params), plain(params))


@ON_GPU
@pytest.mark.parametrize('dim', [64, 80])
@pytest.mark.parametrize(('dtype', 'atol'), [(jnp.float32, 1e-4), (jnp.bfloat16, 0.05)])
def test_on_a_gpu_values_and_gradients_are_those_of_the_definition(dtype, atol, dim):
  slots = slots_of(blocks_lib.equal(400, 80))
  arrays = inputs(720, 720, dim, dtype=dtype)
  with jax.default_matmul_precision('highest'):
    check(slots, slots, arrays, atol=atol, interpret=False)
