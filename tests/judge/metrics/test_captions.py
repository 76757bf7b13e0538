"""BLEU against the examples of its paper, CIDEr-D against sums by hand, both against other code."""

import numpy as np
import pytest

from adiff.judge.metrics import captions


def split(*texts):
  return [text.split() for text in texts]


# Papineni et al. 2002, examples 1 and 2.
REFERENCES = split(
  'it is a guide to action that ensures that the military will forever heed party commands',
  'it is the guiding principle which guarantees the military forces always being under the command '
  'of the party',
  'it is the practical guide for the army always to heed the directions of the party',
)
FIRST, SECOND = split(
  'it is a guide to action which ensures that the military always obeys the commands of the party',
  'it is to insure the troops forever hearing the activity guidebook that party direct',
)
WORDS = 'a big small red blue green ring cube above below left of right two and no'.split()


@pytest.fixture(scope='module')
def corpus():
  """(captions, references) of 40 pictures of one to three references."""
  rng = np.random.default_rng(0)
  sentence = lambda: [WORDS[i] for i in rng.zipf(1.4, rng.integers(3, 14)) % len(WORDS)]
  references = [[sentence() for _ in range(rng.integers(1, 4))] for _ in range(40)]
  made = []
  for beside in references:
    copied = list(beside[0])
    copied[rng.integers(len(copied))] = 'ring'
    made.append(copied[:len(copied) - rng.integers(0, 3)] + ['no'] * rng.integers(0, 2))
  return made, references


def test_modified_precisions_are_those_of_the_paper():
  found = captions.bleu([FIRST], [REFERENCES]), captions.bleu([SECOND], [REFERENCES])
  np.testing.assert_allclose([one.precisions[0] for one in found], [17 / 18, 8 / 14])
  np.testing.assert_allclose([one.precisions[1] for one in found], [10 / 17, 1 / 13])
  assert found[0].brevity == 1 and found[1].score == 0
  the = captions.bleu(split('the the the the the the the'), [split(
    'the cat is on the mat', 'there is a cat on the mat')])
  assert the.precisions[0] == 2 / 7 and the.precisions[1] == 0


def test_short_captions_are_penalised_over_the_whole_corpus():
  of_the = captions.bleu(split('of the'), [REFERENCES], 2)
  assert of_the.precisions == (1, 1)
  assert of_the.score == of_the.brevity == pytest.approx(np.exp(1 - 16 / 2))
  # a caption may be as long as the nearest reference, the shorter one of two
  two = captions.bleu(split('a b c', 'a b c d e'), [split('a b', 'a b c d'), split('a b c d e f')])
  assert two.brevity == 1 and captions.bleu(split('a'), [split('a b')]).brevity == np.exp(-1)


def test_perfect_captions_have_the_highest_scores():
  references = [split('two red rings above a cube'), split('no green cube left of it')]
  perfect = [beside[0] for beside in references]
  assert captions.bleu(perfect, references).score == pytest.approx(1)
  np.testing.assert_allclose(captions.cider_d(perfect, references), 10)


def test_cider_d_is_what_is_found_by_hand():
  made, references = split('a red ring', 'a cube'), [split('a blue ring'), split('a cube cube')]
  # `a` occurs with both pictures and weighs log 1 = 0, everything else weighs log 2
  single = 1 / np.sqrt(2) / np.sqrt(2)  # ring of (red, ring) and of (blue, ring)
  first = 10 * np.mean([single, 0, 0, 0])
  # cube of (cube) and of (2 cube), cut to 1; `a cube` of that and of (a cube, cube cube)
  penalty = np.exp(-1 / 72)
  second = 10 * np.mean([1 * 2 / (1 * 2), 1 / np.sqrt(2), 0, 0]) * penalty
  np.testing.assert_allclose(captions.cider_d(made, references), [first, second])


def test_bleu_is_what_sacrebleu_finds(corpus):
  made, references = corpus
  sacrebleu = pytest.importorskip('sacrebleu', reason='sacrebleu is not installed')
  most = max(map(len, references))
  columns = [[' '.join(one[i]) if i < len(one) else None for one in references]
             for i in range(most)]
  theirs = sacrebleu.corpus_bleu(
    [' '.join(one) for one in made], columns, smooth_method='none', tokenize='none', force=True)
  ours = captions.bleu(made, references)
  assert ours.score == pytest.approx(theirs.score / 100)
  np.testing.assert_allclose(ours.precisions, np.array(theirs.precisions) / 100)
  assert ours.brevity == pytest.approx(theirs.bp)


def test_cider_d_is_what_coco_finds(corpus):
  scorer = pytest.importorskip(
    'pycocoevalcap.cider.cider_scorer', reason='pycocoevalcap is not installed').CiderScorer()
  for caption, beside in zip(*corpus):
    scorer += (' '.join(caption), [' '.join(one) for one in beside])
  mean, theirs = scorer.compute_score()
  ours = captions.cider_d(*corpus)
  np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
  assert ours.mean() == pytest.approx(mean) and ours.mean() > 1


def test_empty_captions_score_nothing():
  references = [split('a b'), split('c d e')]
  np.testing.assert_array_equal(captions.cider_d([[], []], references), 0)
  assert captions.bleu([[], []], references) == (0, (0, 0, 0, 0), 0)


def test_captions_that_do_not_pair_or_are_not_split_are_refused():
  for made, references in ((split('a'), []), ([], []), (split('a'), [[]])):
    with pytest.raises(ValueError, match='do not pair'):
      captions.bleu(made, references)
  with pytest.raises(ValueError, match='split it first'):
    captions.bleu(['a ring'], [split('a ring')])
  with pytest.raises(ValueError, match='two or more'):
    captions.cider_d(split('a'), [split('a')])
