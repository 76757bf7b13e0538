"""Captions against references: BLEU and CIDEr-D, on tokens.

A caption is a list of tokens, strings or ids; whoever calls splits and folds as the others do that
he compares with. Of every picture there is one caption and one reference at least.
"""

import collections
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

Caption = Sequence[Hashable]
MOST = 4  # tokens of an n-gram
SIGMA = 6.0  # tokens, of the penalty on lengths in CIDEr-D


class Bleu(NamedTuple):
  """BLEU of a corpus, from 0 to 1, and what it is made of."""

  score: float
  precisions: tuple[float, ...]  # modified, of n-grams of 1, 2, .. tokens
  brevity: float  # the penalty on captions that are too short, at most 1


def bleu(captions: Sequence[Caption], references: Sequence[Sequence[Caption]], most=MOST) -> Bleu:
  """BLEU of captions, references[i] those of captions[i] (Papineni et al. 2002, section 2.3).

  score = brevity exp(mean log precisions): the precision of an n-gram counts it as often as it
  occurs in any one reference at most, summed over the corpus; brevity = min(1, exp(1 - r / c)) of
  the captions' length c and of that of the nearest references r, the shorter one of two equally
  near. Nothing is smoothed: without a common n-gram the score is 0. Raises ValueError as `cider_d`.
  """
  _check(captions, references)
  found, total = np.zeros(most), np.zeros(most)
  near = 0
  for caption, beside in zip(captions, references, strict=True):
    counts = _grams(caption, most)
    allowed = collections.Counter()
    for reference in beside:
      allowed |= _grams(reference, most)
    for gram, count in (counts & allowed).items():
      found[len(gram) - 1] += count
    total += [max(0, len(caption) - n) for n in range(most)]
    near += min((abs(len(one) - len(caption)), len(one)) for one in beside)[1]
  precisions = found / np.maximum(total, 1)
  length = sum(map(len, captions))
  brevity = float(np.exp(min(0.0, 1 - near / length))) if length else 0.0
  score = brevity * np.exp(np.mean(np.log(precisions))) if np.all(found) else 0.0
  return Bleu(float(score), tuple(precisions.tolist()), brevity)


def cider_d(
  captions: Sequence[Caption], references: Sequence[Sequence[Caption]], most=MOST, sigma=SIGMA
) -> np.ndarray:
  """CIDEr-D float64 [n] of captions, from 0 to 10; a corpus has their mean.

  Vedantam et al. 2015, arXiv:1411.5726, equation 4, as COCO's evaluation has it: ten times the mean
  over n and over references of the cosine between counts of n-grams, a caption's cut to the
  reference's and each weighed by log(pictures / pictures in whose references it occurs), times
  exp(-(difference of lengths)^2 / 2 sigma^2). Nothing is stemmed. Rarity is that among these very
  references: scores of other pictures, or of fewer, are of another kind. Raises ValueError unless
  every caption has a reference, and for fewer than two pictures, among which nothing is rare.
  """
  _check(captions, references)
  if len(captions) < 2:
    raise ValueError('CIDEr weighs n-grams by how few pictures have them; give two or more')
  known = [[_grams(one, most) for one in beside] for beside in references]
  seen = collections.Counter(gram for beside in known for gram in set().union(*beside))
  scores = []
  for caption, lines, beside in zip(captions, references, known, strict=True):
    ours = _Weighed(_grams(caption, most), seen, len(captions), most)
    alike = [
      ours.like(_Weighed(other, seen, len(captions), most))
      * np.exp(-(_pairs(caption) - _pairs(line)) ** 2 / (2 * sigma**2))
      for line, other in zip(lines, beside, strict=True)
    ]
    scores.append(10 * np.mean(alike))
  return np.array(scores)


class _Weighed:
  """The vectors of a text, one for each length of n-grams."""

  def __init__(self, counts, seen, pictures, most):
    self._weights = [{} for _ in range(most)]
    for gram, count in counts.items():
      self._weights[len(gram) - 1][gram] = count * np.log(pictures / max(1, seen[gram]))
    self._norms = [np.sqrt(sum(w * w for w in part.values())) for part in self._weights]

  def like(self, other) -> float:
    """Mean cosine, with no weight of ours above the other's."""
    cosines = []
    for ours, theirs, norms in zip(
      self._weights, other._weights, zip(self._norms, other._norms, strict=True), strict=True
    ):
      dot = sum(min(weight, theirs[gram]) * theirs[gram]
                for gram, weight in ours.items() if gram in theirs)
      cosines.append(dot / np.prod(norms) if all(norms) else 0.0)
    return float(np.mean(cosines))


def _grams(text, most):
  """Counts of the n-grams of 1 to `most` tokens, as tuples."""
  text = tuple(text)
  return collections.Counter(
    text[i:i + n] for n in range(1, most + 1) for i in range(len(text) - n + 1)
  )


def _pairs(text):
  """The length of a text in pairs, as COCO's evaluation counts it."""
  return max(0, len(text) - 1)


def _check(captions, references):
  if not len(captions) or len(captions) != len(references) or not all(map(len, references)):
    raise ValueError(
      f'{len(captions)} captions and references of {len(references)} pictures do not pair; give '
      'one caption a picture and one reference or more'
    )
  if any(isinstance(one, str) for one in captions):
    raise ValueError('a caption is a list of tokens, not a string; split it first')
