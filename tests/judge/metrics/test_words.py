"""Words, entropy and repetition on texts counted by hand."""

import math

import numpy as np
import pytest

from adiff.judge.metrics import words

CORPUS = words.words_of(['The cat sat on the mat.', "It's a Straße, isn't it?"])


def test_words_are_runs_of_three_letters_or_more_without_case_or_marks():
  assert CORPUS == {'the', 'cat', 'sat', 'mat', 'strasse', 'isn'}
  assert words.words_of(['on 3d_x été'], min_letters=1) == {'on', 'd', 'x', 'été'}


def test_known_words_are_counted_as_often_as_they_occur():
  judged = words.known_words(['he THE cat zzz the, qqq zzz mat'], CORPUS)
  # 'he' and 'mat' are the ends; the, cat, the are known; zzz, qqq, zzz are not.
  assert judged == {'share': 0.5, 'words': 6, 'examples_unknown': ['zzz', 'qqq']}


def test_the_ends_of_every_sample_are_not_judged():
  judged = words.known_words(['xxx cat yyy', ' xxx sat yyy! ', 'xxx yyy', 'xxx', ''], CORPUS)
  assert judged == {'share': 1.0, 'words': 2, 'examples_unknown': []}


def test_short_runs_at_the_ends_stand_for_the_cut_words():
  judged = words.known_words(['t xxx e'], CORPUS)
  assert judged == {'share': 0.0, 'words': 1, 'examples_unknown': ['xxx']}


def test_without_a_word_there_is_no_share():
  assert words.known_words(['12 34', 'a b c'], CORPUS)['share'] is None


def test_a_corpus_knows_all_its_own_words():
  text = 'the quick brown fox jumps over the lazy dog'
  assert words.known_words([text, text], words.words_of([text]))['share'] == 1


def test_at_most_twenty_unknown_words_are_named():
  text = ' '.join(f'qq{chr(97 + i)}' for i in range(26))
  judged = words.known_words([text], CORPUS)
  assert judged['words'] == 24 and judged['examples_unknown'] == [f'qq{c}' for c in
                                                                'bcdefghijklmnopqrstu']


@pytest.mark.parametrize('ids, entropy', [
    ([0, 1, 2, 3], math.log(4)), ([[5, 5], [5, 5]], 0.0),
    ([0, 0, 1, 2], 0.5 * math.log(2) + 0.5 * math.log(4))])
def test_the_entropy_of_shares_known_by_hand(ids, entropy):
  assert words.unigram_entropy(np.array(ids, np.int32), 8) == pytest.approx(entropy, abs=1e-12)


@pytest.mark.parametrize('ids, text', [([], 'one sample'), ([0, 8], r'0\.\.7'), ([-1], r'0\.\.7')])
def test_ids_outside_the_vocabulary_and_none_at_all_are_refused(ids, text):
  with pytest.raises(ValueError, match=text):
    words.unigram_entropy(np.array(ids, np.int64), 8)


@pytest.mark.parametrize('samples, n, share', [
    ([[1, 2, 3, 4, 5]], 4, 0.0), ([[7] * 8], 4, 0.8), (['abcabc'], 2, 0.4),
    ([[1, 2, 1, 2], [1, 2, 3, 4], [1]], 2, (1 / 3) / 2)])
def test_repetition_is_the_share_of_runs_that_came_before_in_the_same_sample(samples, n, share):
  assert words.repetition(samples, n) == pytest.approx(share)


def test_samples_too_short_for_a_run_are_refused():
  with pytest.raises(ValueError, match='longer samples'):
    words.repetition([[1, 2, 3]])
