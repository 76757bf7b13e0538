"""How much of its codebook a codec uses."""

from typing import NamedTuple

import numpy as np


class Use(NamedTuple):
  """How codes are spread over a codebook."""

  share: float  # of the codes that occur at all
  perplexity: float  # exp of the entropy: as many codes, equally often, would be as hard to guess
  most_frequent: float  # the share of the places that bear the most frequent code
  share_others: float | None  # of the other codes that occur; None where the codebook has no other
  perplexity_others: float | None  # of what bears another code; None where nothing does
  bits: float  # entropy of a code: what an ideal coder pays that knows how often each occurs


def use(codes, size) -> Use:
  """How codes [..], integers 0..size-1, are spread over a codebook of `size`.

  Pictures with a plain ground spend most of their places on one code, which hides how the others
  are used: so both are said, with it and without. All are plug-in estimates: n places can show n
  codes at most, and entropies are low by about (codes seen - 1) / 2n nats (Miller 1955). Raises
  ValueError without codes and for codes that are not in the codebook.
  """
  codes = np.asarray(codes)
  if not codes.size or codes.dtype.kind not in 'iu':
    raise ValueError(f'no codes: give integers, one at least, not {codes.dtype} {codes.shape}')
  if codes.min() < 0 or codes.max() >= size:
    raise ValueError(
      f'codes run from {codes.min()} to {codes.max()}, and the codebook has 0..{size - 1}; give '
      'the size of the codebook that they are of'
    )
  return of_counts(np.unique(codes, return_counts=True)[1], size)


def of_counts(counts, size) -> Use:
  """As `use`, of how often codes occur, int [n], those that never do or not."""
  counts = np.sort(counts[counts > 0])
  others = counts[:-1]
  nats = _entropy(counts)
  return Use(
    share=len(counts) / size, perplexity=float(np.exp(nats)),
    most_frequent=float(counts[-1] / counts.sum()),
    share_others=len(others) / (size - 1) if size > 1 else None,
    perplexity_others=float(np.exp(_entropy(others))) if len(others) else None,
    bits=float(nats / np.log(2)),
  )


def _entropy(counts):
  """In nats."""
  shares = counts / counts.sum()
  return float(-(shares * np.log(shares)).sum()) + 0.0  # no negative zero
