"""Several scales: each one tells what the coarser ones have left."""

import dataclasses
import functools

import cases
import jax
import numpy as np
import pytest

from adiff.nn.quantisers import multiscale, resize

NAMES = ('multiscale', 'multiscale of signs', 'residual')
DRAWN = 0.3  # how far the convolutions of the slow walk are from doing nothing


def convolved(h, kernel, bias):
  """float64 [B, H, W, C], 3x3 and with zeros around, as one loop over the window."""
  padded = np.pad(h, ((0, 0), (1, 1), (1, 1), (0, 0)))
  height, width = h.shape[1:3]
  windows = ((i, j, padded[:, i:i + height, j:j + width]) for i in range(3) for j in range(3))
  return sum(window @ kernel[i, j] for i, j, window in windows) + bias


def slow(case, params):
  """[(codes, total)] of every scale, by the papers' algorithm in float64."""
  of, z = case.of, np.asarray(case.z, np.float64)
  extra = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), case.extra)
  total, done = np.zeros_like(z), []
  for k, (height, width) in enumerate(of.scales(cases.GRID)):
    down = (resize.area(4, height), resize.area(4, width))
    left = np.einsum('ih,jw,bhwc->bijc', *down, z - total)
    book = of.books[k]
    if 'vectors' in extra:
      distances = ((left[..., None, :] - extra['vectors'][book]) ** 2).sum(-1)
      codes = distances.argmin(-1)
      told = extra['vectors'][book][codes]
    else:
      codes = (left > 0) @ (2 ** np.arange(of.dim)[::-1])
      told = np.where(left > 0, 1, -1) * extra['sum'][book] / extra['weight'][book]
    up = (resize.bicubic(height, 4), resize.bicubic(width, 4))
    told = np.einsum('hi,wj,bijc->bhwc', *up, told)
    if params:
      which = of.convolution(k)
      kernel, bias = (np.asarray(params[name][which], np.float64) for name in ('kernel', 'bias'))
      told = (1 - of.phi) * told + of.phi * convolved(told, kernel, bias)
    total = total + told
    done.append((codes.reshape(len(z), -1), total))
  return done


def drawn(params):
  """Convolutions that change something."""
  leaves, tree = jax.tree.flatten(params)
  rng = np.random.default_rng(4)
  moved = [leaf + DRAWN * rng.normal(size=leaf.shape).astype(np.float32) for leaf in leaves]
  return jax.tree.unflatten(tree, moved)


def smooth(of, seed):
  """Random fields [B, *GRID, C] whose neighbours are alike, of deviation 1."""
  z = np.random.default_rng(seed).normal(size=(cases.BATCH, 2, 2, of.num_channels))
  z = np.einsum('hi,wj,bijc->bhwc', *[resize.bicubic(2, size) for size in cases.GRID], z)
  return (z / z.std()).astype(np.float32)


@functools.cache
def compiled(name, method, *static):
  """A method of a row's quantiser, jitted; static: what stands behind its arrays."""
  of = cases.ROWS[name]
  return jax.jit(lambda *arrays: getattr(of, method)(*arrays, *static))


@pytest.mark.parametrize('name', NAMES)
def test_every_scale_tells_what_the_coarser_ones_have_left(name):
  case = cases.case(name)
  params = drawn(case.params)
  made, *_ = cases.everything(name)(params, case.extra, case.z, jax.random.key(13))
  scales = slow(case, params)
  np.testing.assert_array_equal(made.codes, np.concatenate([codes for codes, _ in scales], 1))
  np.testing.assert_allclose(made.z, scales[-1][1], rtol=1e-4, atol=1e-5)
  error = np.mean([((case.z - total) ** 2).mean() for _, total in scales])
  np.testing.assert_allclose(made.losses['commitment'], case.of.commitment * error, rtol=1e-4)
  assert ('sums' in made.losses) == bool(params)
  if params:
    np.testing.assert_allclose(made.losses['sums'], error, rtol=1e-4)


def test_one_loss_draws_the_convolutions_to_z_and_the_other_the_encoder_to_the_sums():
  of, params, extra, z, *_ = cases.case('multiscale')

  def losses(params, z):
    return of(params, extra, z, jax.random.key(1), True).losses

  gradients = jax.jit(jax.jacrev(losses, (0, 1)))(params, z)
  moves = lambda gradient: [bool(np.any(leaf)) for leaf in jax.tree.leaves(gradient)]
  moved = {name: moves(gradient) for name, gradient in gradients.items()}
  assert moved == {'commitment': [False, False, True], 'sums': [True, True, False]}


@pytest.mark.parametrize('name', NAMES)
def test_hints_are_the_sum_of_coarser_scales_at_a_scales_size(name):
  case = cases.case(name)
  params = drawn(case.params)
  made, *_ = cases.everything(name)(params, case.extra, case.z, jax.random.key(13))
  hints = compiled(name, 'hints', cases.GRID)(params, case.extra, made.codes)['coarser']
  totals = [np.zeros_like(case.z), *(total for _, total in slow(case, params))][:-1]
  pairs = zip(totals, case.of.scales(cases.GRID), strict=True)
  expected = [
    np.einsum('ih,jw,bhwc->bijc', *(resize.area(4, size) for size in shape), total)
    .reshape(cases.BATCH, -1, case.of.dim) for total, shape in pairs
  ]
  np.testing.assert_allclose(hints, np.concatenate(expected, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', NAMES)
def test_hints_of_a_scale_depend_on_coarser_scales_and_on_no_others(name):
  of, params, extra = cases.case(name)[:3]
  codes = np.asarray(cases.case(name).codes)
  hints = compiled(name, 'hints', cases.GRID)
  before = np.asarray(hints(params, extra, codes)['coarser'])
  sizes = [int(np.prod(shape)) for shape in of.scales(cases.GRID)]
  for scale, start in enumerate(np.cumsum([0, *sizes[:-1]])):
    end = start + sizes[scale]
    other = np.array(codes)
    other[:, start:end] = (other[:, start:end] + 5) % of.kind.vocab
    after = np.asarray(hints(params, extra, other)['coarser'])
    np.testing.assert_array_equal(after[:, :end], before[:, :end])
    assert scale == len(sizes) - 1 or np.all(np.any(after[:, end:] != before[:, end:], -1))


@pytest.mark.parametrize('name', NAMES)
def test_uncorrupted_codes_are_those_of_the_quantiser(name):
  case = cases.case(name)
  run = compiled(name, 'requantise')
  share = np.zeros(case.codes.shape, np.float32)
  for found in run(case.params, case.extra, case.z, jax.random.key(0), share):
    np.testing.assert_array_equal(found, case.codes)


@pytest.mark.parametrize('name', NAMES)
def test_codes_make_up_for_what_is_shown_corrupted_of_coarser_scales(name):
  of, params, extra, *_ = cases.case(name)
  for seed in range(10):
    made, *_ = cases.everything(name)(params, extra, smooth(of, seed), jax.random.key(seed))
    extra = made.extra
  z = smooth(of, 10)
  plain = np.asarray(cases.everything(name)(params, extra, z, jax.random.key(10))[2])
  last = int(np.prod(of.scales(cases.GRID)[-1]))
  share = np.full(plain.shape, 0.2, np.float32)
  share[:, -last:] = 0
  run = compiled(name, 'requantise')
  codes, shown = map(np.asarray, run(params, extra, z, jax.random.key(1), share))
  assert np.any(shown[:, :-last] != codes[:, :-last])
  np.testing.assert_array_equal(shown[:, -last:], codes[:, -last:])
  first = int(np.prod(of.scales(cases.GRID)[0]))
  np.testing.assert_array_equal(codes[:, :first], plain[:, :first])
  assert np.any(codes != plain)
  # The same codes corrupted, and the others as they were.
  left = np.where(shown != codes, shown, plain)
  decode = compiled(name, 'dequantise', cases.GRID)
  error = lambda codes: np.mean((np.asarray(decode(params, extra, codes)) - z) ** 2)
  assert error(plain) < error(shown) < 0.7 * error(left)


def test_convolutions_change_nothing_at_first():
  of = cases.ROWS['multiscale']
  plain, told = dataclasses.replace(of, phi=0.0), smooth(of, 0)[:, :2, :2]

  @jax.jit
  def run(told):
    params = of.init(jax.random.key(0))
    return of.up(params, 1, told, cases.GRID), plain.up({}, 1, told, cases.GRID)

  np.testing.assert_allclose(*run(told), atol=1e-6)


# ---- Sizes of scales and places of convolutions --------------------------------------------------


def test_scales_grow_with_the_grid():
  of = multiscale.Multiscale((1, 2, 3, 4, 6, 8))
  assert of.scales((8, 8)) == tuple((side, side) for side in of.sides)
  assert of.scales((16, 8)) == ((2, 1), (4, 2), (6, 3), (8, 4), (12, 6), (16, 8))
  assert of.scales((4, 2)) == ((1, 1), (1, 1), (2, 1), (2, 1), (3, 2), (4, 2))


def test_neighbouring_scales_share_a_convolution():
  six = multiscale.Multiscale(tuple(range(1, 7)))
  assert [six.convolution(scale) for scale in range(6)] == [0, 0, 1, 2, 3, 3]
  assert multiscale.Multiscale((4,), phis=1).convolution(0) == 0
  two = multiscale.Multiscale((1, 2, 3, 4), phis=2)
  assert [two.convolution(scale) for scale in range(4)] == [0, 0, 1, 1]


@pytest.mark.parametrize('arguments, words', [
  (dict(sides=()), 'quantiser.sides=.* must grow'), (dict(sides=(2, 1)), 'must grow'),
  (dict(sides=(1, 1)), 'must grow'), (dict(signs=True), 'vocab=1024 must be 2.*write vocab=256'),
  (dict(signs=True, dim=31, vocab=2**30), 'dim at most 30; write vocab=1073741824, dim=30'),
])
def test_what_makes_no_scales_is_refused(arguments, words):
  with pytest.raises(ValueError, match=words):
    multiscale.Multiscale(**arguments)


def test_scales_are_of_pictures():
  with pytest.raises(ValueError, match='multiscale has scales of pictures, not of a grid'):
    multiscale.Multiscale().scales((4, 4, 4))
