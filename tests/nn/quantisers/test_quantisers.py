"""What is true of every quantiser."""

import math
import pathlib
import re

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn.quantisers import base
from adiff.run import choose

SYMBOLS = [name for name in cases.ROWS if name != 'vae']
STRAIGHT = [name for name in SYMBOLS if name not in ('fsq', 'bits on a sphere', 'vq, cosine')]


@pytest.fixture(params=cases.ROWS)
def case(request):
  return cases.case(request.param)


def test_there_is_a_case_of_every_choice():
  assert {type(of).__name__.lower() for of in cases.ROWS.values()} == {*choose.names('quantiser')}


def test_the_page_tells_the_bits_of_every_choice():
  page = pathlib.Path(choose.__file__).parents[2] / 'docs/tokenizers.md'
  rows = re.findall(r'^\| `(\w+)` \|.*\| (\d+) \| (\S+) \| (\S+) \|$', page.read_text(), re.M)
  assert [name for name, *_ in rows] == ['vae', 'vq', 'fsq', 'bits', 'residual', 'multiscale']
  for name, *told in rows:
    of = choose.resolve('quantiser', {'name': name})
    num, bits = sum(int(np.prod(shape)) for shape in of.scales((7, 7))), ['floats', 'floats']
    if of.kind.discrete:
      each = math.log2(of.kind.vocab)
      bits = [f'{each:.2f}', f'{num * each:.0f}']
    assert told == [str(num), *bits]


def test_codes_stand_scale_by_scale_and_give_what_the_decoder_reads(case):
  num = sum(int(np.prod(shape)) for shape in case.of.scales(cases.GRID))
  assert case.made.codes.shape[:2] == (cases.BATCH, num)
  assert case.made.z.dtype == jnp.float32
  assert case.made.z.shape == (cases.BATCH, *cases.GRID, case.of.dim)
  assert case.made.codes.dtype == (jnp.int32 if case.of.kind.discrete else jnp.float32)
  np.testing.assert_allclose(case.again, case.made.z, atol=1e-6)


@pytest.mark.parametrize('name', SYMBOLS)
def test_codes_are_those_of_training_and_within_the_vocabulary(name):
  case = cases.case(name)
  np.testing.assert_array_equal(case.codes, case.made.codes)
  assert case.codes.min() >= 0 and case.codes.max() < case.of.kind.vocab
  assert len(np.unique(np.asarray(case.codes))) > case.of.kind.vocab / 2


def test_outside_training_nothing_is_lost_or_moved(case):
  assert case.plain.losses == {}
  jax.tree.map(np.testing.assert_array_equal, case.plain.extra, case.extra)
  np.testing.assert_array_equal(case.plain.codes, case.codes)
  if case.of.kind.discrete:
    np.testing.assert_allclose(case.plain.z, case.made.z, atol=1e-6)


@pytest.mark.parametrize('name', STRAIGHT)
def test_the_gradient_goes_straight_through(name):
  case = cases.case(name)
  np.testing.assert_allclose(case.passed, cases.weights(case.z), rtol=1e-6)


def test_codes_and_state_have_no_gradient(case):
  assert case.leaked.shape == case.z.shape and not np.any(case.leaked)


@pytest.mark.parametrize('name', ['bits', 'fsq', 'multiscale of signs'])
def test_of_every_code_its_share_is_corrupted(name):
  of, codes = cases.ROWS[name], np.tile(np.asarray(cases.case(name).codes), (40, 1))
  share = np.where(np.arange(codes.shape[1]) < 8, np.float32(0.3), 0) + np.zeros(codes.shape, 'f')
  run = jax.jit(lambda codes, share: of.corrupt(jax.random.key(7), codes, share))
  found = np.asarray(run(codes, share))
  np.testing.assert_array_equal(found[:, 8:], codes[:, 8:])
  changed = np.mean(found[:, :8] != codes[:, :8])
  assert 0.2 < changed < 0.9 and found.min() >= 0 and found.max() < of.kind.vocab


@pytest.mark.parametrize('name', ['multiscale', 'vq'])
def test_a_batch_on_eight_devices_gives_what_one_device_gives(name):
  of, params, extra, z, expected, *_ = cases.case(name)
  mesh = jax.make_mesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
  rows = jax.device_put(z, jax.NamedSharding(mesh, jax.P('data')))
  found = jax.jit(of.__call__, static_argnums=4)(params, extra, rows, jax.random.key(13), True)
  np.testing.assert_array_equal(found.codes, expected.codes)
  for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_another_grid_needs_no_other_parameters():
  of, params, extra, *_ = cases.case('multiscale')

  @jax.jit
  def run(z):
    made = of(params, extra, z, None, False)
    return made.z, of.dequantise(params, extra, made.codes, (6, 3))

  z, again = run(cases.features(of, 8, (6, 3), 2))
  assert z.shape == (2, 6, 3, z.shape[-1])
  np.testing.assert_allclose(again, z, atol=1e-6)


@pytest.mark.parametrize('name', cases.ROWS)
def test_features_of_other_channels_or_types_are_refused(name):
  of, params, extra, z, *_ = cases.case(name)
  for wrong in (z[..., :1], z.astype(jnp.bfloat16)):
    with pytest.raises(AssertionError):
      of(params, extra, wrong, None, False)
    with pytest.raises(AssertionError):
      of.codes_of(params, extra, wrong)


def test_codes_are_replaced_by_any_symbol_with_the_same_chance():
  corrupt = jax.jit(lambda codes: cases.ROWS['fsq'].corrupt(jax.random.key(0), codes, 0.5))
  found = np.asarray(corrupt(np.zeros((1, 80_000), np.int32)))[0]
  counts = np.bincount(found, minlength=60)
  assert abs(counts[0] - 40_000 * (1 + 1 / 60)) < 5 * np.sqrt(20_000)
  assert np.abs(counts[1:] - 40_000 / 60).max() < 5 * np.sqrt(40_000 / 60)


def test_places_are_made_one_axis():
  assert base.flat(jnp.zeros((2, 3, 4, 5))).shape == (2, 60)
  assert base.flat(jnp.zeros((2, 3, 4, 5)), 1).shape == (2, 12, 5)
