"""What is said of text: its bytes."""

import types

import numpy as np

from adiff.codec import bytes as bytes_lib
from adiff.judge import text

TOKENIZER = bytes_lib.Bytes()


def subject(tokens, **rows):
  """A subject whose every held-out row is evaluated at 1 nat a row."""
  rows = {name: np.array(value) for name, value in {'tokens': tokens, **rows}.items()}
  return types.SimpleNamespace(
    bound={'num_examples': len(tokens), 'nats': 1.0, 'ci95': 0.0}, split='test',
    tokenizer=TOKENIZER, size=lambda split: len(tokens),
    tokens=lambda split, chosen: {name: value[chosen] for name, value in rows.items()},
  )


def test_a_byte_counts_once_and_the_end_of_a_document_as_an_empty_line():
  end = TOKENIZER.eos
  numbers = text.likelihood_of_text(subject([[97, 98, end, 99], [0xC3, 0xA9, 97, 97]]))
  assert numbers['num_bytes'] == 2 + 2 + 1 + 4
  np.testing.assert_allclose(numbers['bits_per_byte'], 2 / 9 / np.log(2))


def test_what_fills_up_a_packed_row_is_no_text():
  end = TOKENIZER.eos
  rows = [[97, 98, end, 99, end, end], [100, end, end, end, end, end]]
  real = [[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0]]
  weight = [[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]
  numbers = text.likelihood_of_text(subject(rows, real=real, weight=weight))
  assert numbers['num_tokens'] == 5 + 2
  np.testing.assert_allclose(numbers['nats_per_token'], 2 / 7)
  np.testing.assert_allclose(numbers['perplexity'], np.exp(2 / 7))
  assert numbers['num_bytes'] == 2 + 2 + 1 + 2 + 1 + 2
