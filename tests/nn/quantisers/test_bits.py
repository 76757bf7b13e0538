"""Signs of channels as codes."""

import cases
import jax
import numpy as np
import pytest

from adiff.nn.quantisers import bits


@pytest.mark.parametrize('name', ['bits', 'bits on a sphere'])
def test_codes_are_signs_and_the_losses_those_of_all_codes(name):
  of, _, _, z, made, *_ = cases.case(name)
  rows = np.asarray(z, np.float64).reshape(-1, 5)
  step = 1.0
  if of.sphere:
    rows, step = rows / np.linalg.norm(rows, axis=-1, keepdims=True), 1 / np.sqrt(5)
  every = step * (2.0 * (np.arange(32)[:, None] >> np.arange(5)[::-1] & 1) - 1)
  squared = ((rows[:, None] - every[None]) ** 2).sum(-1)
  codes = squared.argmin(-1)
  np.testing.assert_array_equal(made.codes.reshape(-1), codes)
  np.testing.assert_allclose(made.z.reshape(-1, 5), every[codes], rtol=1e-5)
  expected = of.commitment * ((rows - every[codes]) ** 2).mean()
  np.testing.assert_allclose(made.losses['commitment'], expected, rtol=1e-5)
  if of.group >= of.bits:
    p = np.exp(-squared / (step**2 * of.temperature))
    p /= p.sum(-1, keepdims=True)
    each, mean = -(p * np.log(p)).sum(-1).mean(), -(p.mean(0) * np.log(p.mean(0))).sum()
    np.testing.assert_allclose(made.losses['entropy'], of.entropy * (each - mean), rtol=1e-4)


@pytest.mark.parametrize('sphere', [False, True])
def test_every_code_is_that_of_its_own_signs(sphere):
  of, every = bits.Bits(7, sphere=sphere), np.arange(2**7, dtype=np.int32)[None]
  back = jax.jit(lambda codes: of.codes_of({}, {}, of.dequantise({}, {}, codes, (2**7,))))
  np.testing.assert_array_equal(back(every), every)


def test_the_highest_of_thirty_bits_fits():
  codes, signs = jax.jit(lambda signs: (
    bits.packed(signs), bits.unpacked(bits.packed(signs), 30)
  ))(np.ones((1, 1, 30), bool))
  assert codes[0, 0] == 2**30 - 1 and signs.all()


def test_on_a_sphere_the_gradient_has_no_part_along_z():
  _, _, _, z, _, _, _, _, passed, _ = cases.case('bits on a sphere')
  lengths = np.linalg.norm(z, axis=-1) * np.linalg.norm(passed, axis=-1)
  np.testing.assert_allclose(np.sum(np.asarray(z * passed), -1) / lengths, 0, atol=1e-5)


def test_each_bit_is_flipped_by_itself():
  codes = np.random.default_rng(0).integers(0, 2**6, (4, 20_000)).astype(np.int32)
  flipped = jax.jit(lambda codes: bits.Bits(6).corrupt(jax.random.key(1), codes, 0.2))(codes)
  flips = np.asarray(flipped) ^ codes
  each = flips.reshape(-1)[:, None] >> np.arange(6) & 1
  np.testing.assert_allclose(each.mean(0), 0.2, atol=0.01)
  np.testing.assert_allclose(np.cov(each.T), 0.16 * np.eye(6), atol=0.01)
