"""Use of a codebook, counted by hand."""

import numpy as np
import pytest

from adiff.judge.metrics import codebook


def test_codes_that_are_all_equally_frequent_are_all_used():
  found = codebook.use(np.arange(16).reshape(2, 8), 16)
  assert found.share == found.share_others == 1
  np.testing.assert_allclose(
    (found.perplexity, found.perplexity_others, found.bits), (16, 15, 4))


def test_without_the_most_frequent_code_the_others_are_seen():
  codes = np.array([7] * 94 + [1, 2, 3] * 2)
  found = codebook.use(codes, 8)
  assert (found.share, found.share_others, found.most_frequent) == (0.5, 3 / 7, 0.94)
  np.testing.assert_allclose(found.perplexity_others, 3)
  nats = -0.94 * np.log(0.94) - 3 * 0.02 * np.log(0.02)
  np.testing.assert_allclose((found.perplexity, found.bits), (np.exp(nats), nats / np.log(2)))


def test_a_codebook_that_has_collapsed_leaves_nothing():
  found = codebook.use(np.zeros((3, 4), int), 1024)
  assert (found.share, found.perplexity, found.bits) == (1 / 1024, 1, 0)
  assert (found.share_others, found.perplexity_others) == (0, None)
  assert codebook.use([0], 1).share_others is None


def test_a_codebook_of_many_bits_takes_no_memory():
  codes = np.array([0, 2**40 - 1, 2**40 - 1])
  assert codebook.use(codes, 2**40).share == 2 / 2**40


def test_codes_of_another_codebook_are_refused():
  with pytest.raises(ValueError, match='the codebook has 0..3'):
    codebook.use([0, 4], 4)
  with pytest.raises(ValueError, match='no codes'):
    codebook.use([0.5], 4)
