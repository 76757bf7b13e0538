"""Words, entropy and repetition: does generated text look like its corpus?

None of them needs a judge. Each alone can be fooled (by one right word for ever, or by the corpus's
letters in any order), so read them together and beside the corpus's own numbers.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

_RUN = re.compile(r'[^\W\d_]+')  # Letters of any script.
_EXAMPLES = 20


def _kept(runs, min_letters):
  return [run.casefold() for run in runs if len(run) >= min_letters]


def words_of(texts: Iterable[str], min_letters: int = 3) -> frozenset[str]:
  """The words of a corpus: its maximal runs of at least `min_letters` letters, case folded."""
  return frozenset(word for text in texts for word in _kept(_RUN.findall(text), min_letters))


def known_words(samples: Iterable[str], corpus_words, min_letters: int = 3) -> dict:
  """How many generated words occur in the corpus.

  corpus_words: the set that `words_of` returns at the same `min_letters`. The first and the last
  run of letters of each sample are not judged, since its ends may cut them. Returns 'share' (of
  words, each counted as often as it occurs; None where there is no word), 'words' (their number)
  and 'examples_unknown' (up to 20 different ones, the first to occur first).
  """
  words = [w for text in samples for w in _kept(_RUN.findall(text)[1:-1], min_letters)]
  unknown = [w for w in words if w not in corpus_words]
  return {
    'share': 1 - len(unknown) / len(words) if words else None,
    'words': len(words),
    'examples_unknown': list(dict.fromkeys(unknown))[:_EXAMPLES],
  }


def unigram_entropy(ids, vocab: int) -> float:
  """Entropy in nats of the empirical distribution of token ids, an int array of any shape.

  The plug-in estimate: with n tokens of m kinds it is low by about (m - 1) / 2n (Miller 1955), so
  compare equal numbers of tokens. Raises ValueError without ids or for ids outside 0..vocab-1.
  """
  ids = np.asarray(ids).ravel()
  if not ids.size:
    raise ValueError('no token ids: pass one sample at least')
  if ids.min() < 0 or ids.max() >= vocab:
    raise ValueError(
      f'token ids run from {ids.min()} to {ids.max()}: pass decoded ids in 0..{vocab - 1}'
    )
  share = np.bincount(ids) / ids.size
  share = share[share > 0]
  return float(-(share * np.log(share)).sum()) + 0.0  # No negative zero.


def repetition(samples: Iterable[Sequence], n: int = 4) -> float:
  """Share of the n-grams of a sample that repeat another one of it, averaged over samples.

  1 - distinct / total, seq-rep-n of Welleck et al. 2019, arXiv:1908.04319. samples: sequences of
  tokens (ids or strings); those shorter than n count for nothing. Raises ValueError where n < 1 or
  every sample is shorter.
  """
  shares = []
  for sample in samples:
    grams = [tuple(sample[i:i + n]) for i in range(len(sample) - n + 1)] if n > 0 else []
    if grams:
      shares.append(1 - len(set(grams)) / len(grams))
  if not shares:
    raise ValueError(f'no sample has a run of {n} tokens: pass longer samples or a smaller n >= 1')
  return float(np.mean(shares))
