"""Seams: text that is decoded piece by piece reads as what is decoded in one go."""

import numpy as np
import pytest
import vocabularies

from adiff.codec import bytes as bytes_lib
from adiff.codec import subwords

# Of these, text is decoded as it was encoded, but for what a BERT does to accents and joiners.
WORDS = ['the cat', ' sat on', ' the mat', '. a café', ' costs 3 €', ', they said']


@pytest.fixture(params=vocabularies.NAMES)
def tokenizer(request):
  return vocabularies.named(request.param)


def starts(tokenizer, text):
  """(text so far, its symbols, the others) at every place where a text can go on."""
  ids = tokenizer.symbols(text)
  for cut in range(len(ids) + 1):
    before = tokenizer.text(ids[:cut])
    if np.array_equal(tokenizer.symbols(before), ids[:cut]):
      yield before, ids[:cut], ids[cut:]


def test_a_prompt_and_its_continuation_read_as_their_symbols_do(tokenizer):
  places = list(starts(tokenizer, vocabularies.TEXT))
  assert len(places) > 10
  whole = tokenizer.text(tokenizer.symbols(vocabularies.TEXT))
  for before, _, rest in places:
    assert before + tokenizer.between(before, rest) == whole


def test_a_text_that_streams_only_grows_shows_no_half_character_and_ends_as_the_whole(tokenizer):
  for before, _, rest in starts(tokenizer, vocabularies.TEXT):
    shown = [tokenizer.between(before, rest[:made], more=True) for made in range(len(rest) + 1)]
    for early, late in zip(shown, [*shown[1:], tokenizer.between(before, rest)], strict=True):
      assert late.startswith(early) and '\ufffd' not in early


def test_symbols_of_any_kind_stream_without_taking_anything_back(tokenizer):
  rng = np.random.default_rng(0)
  for _ in range(20):
    ids = rng.integers(-1, tokenizer.vocab + 2, 12)
    shown = [tokenizer.between('the ', ids[:made], more=True) for made in range(13)]
    for early, late in zip(shown, [*shown[1:], tokenizer.between('the ', ids)], strict=True):
      assert late.startswith(early)


@pytest.mark.parametrize('middle', range(1, len(WORDS) - 1))
def test_what_fills_a_hole_joins_both_sides(tokenizer, middle):
  before, hole, after = ''.join(WORDS[:middle]), WORDS[middle], ''.join(WORDS[middle + 1:])
  parts = tokenizer.symbols(before), tokenizer.following(before, hole)
  whole = tokenizer.text(np.concatenate([*parts, tokenizer.following(before, after)]))
  said = tokenizer.between(before, parts[1], after)
  assert said.strip() == hole.strip() and whole.strip() == before + said + after
  assert tokenizer.between('', parts[0], hole).strip() == before


def test_a_space_before_the_text_behind_a_hole_belongs_to_the_hole_where_the_text_has_none():
  tokenizer = vocabularies.named('word_ends')  # which cannot write sat without one
  assert tokenizer.between('the', tokenizer.symbols('cat'), 'sat') == ' cat '
  assert tokenizer.between('the', tokenizer.symbols('cat'), ' sat') == ' cat'
  glued = vocabularies.named('llama')
  assert glued.between('the', glued.following('the', ' cat'), 'sat') == ' cat'


@pytest.mark.parametrize('name', vocabularies.NAMES)
def test_a_prompt_that_ends_in_spaces_is_followed_by_as_many_as_were_written(name):
  tokenizer = vocabularies.named(name)
  behind = tokenizer.following('the cat', ' sat')
  lost = name in ('wordpiece', 'word_ends')  # which know no space at the end of a text
  assert tokenizer.between('the cat', behind) == ' sat'
  assert tokenizer.between('the cat ', behind) == ('sat' if lost else ' sat')
  assert tokenizer.between('the  cat  ', behind) == ('sat' if lost else ' sat')


def test_behind_an_empty_prompt_a_text_begins_as_it_does_by_itself(tokenizer):
  ids = tokenizer.symbols('the cat')
  assert tokenizer.between('', ids) == tokenizer.text(ids)
  assert tokenizer.between('', []) == tokenizer.between('', [], more=True) == ''
  assert tokenizer.between('the cat', []) == ''


def test_a_word_behind_a_text_is_encoded_as_it_is_in_both_together(tokenizer):
  for place in (1, 2, 4):
    before, text = ''.join(WORDS[:place]), ''.join(WORDS[place:])
    both = np.concatenate([tokenizer.symbols(before), tokenizer.following(before, text)])
    np.testing.assert_array_equal(both, tokenizer.symbols(before + text))
  inside = np.concatenate([tokenizer.symbols('the c'), tokenizer.following('the c', 'at')])
  assert tokenizer.text(inside).endswith('at')


def test_an_unknown_symbol_does_not_swallow_the_space_behind_it(tokenizer):
  ids = tokenizer.symbols('the cat')
  parts = ids, [-1, tokenizer.vocab + 5], tokenizer.following('the cat', ' sat')
  assert tokenizer.text(np.concatenate(parts)).strip() == 'the cat\ufffd\ufffd sat'
  assert tokenizer.text(np.concatenate(parts[1:])) == '\ufffd\ufffd sat'


def test_pieces_are_the_text_and_a_character_is_with_its_last_symbol(tokenizer):
  ids = tokenizer.symbols(vocabularies.TEXT)
  pieces = tokenizer.pieces(ids)
  assert len(pieces) == len(ids) and ''.join(pieces) == tokenizer.text(ids)
  assert not any('\ufffd' in piece for piece in pieces)
  assert ' sat' in ''.join(pieces) and tokenizer.pieces([]) == []


def test_pieces_of_what_is_no_text_are_the_text_too():
  tokenizer = bytes_lib.Bytes()
  ids = [0xE2, 0x82, 0xAC, 0xC3, 0x21, 300, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xE2, 0x82]
  pieces = tokenizer.pieces(ids)
  assert pieces[:3] == ['', '', '€'] and ''.join(pieces) == tokenizer.text(ids)


def test_bytes_that_may_yet_make_another_character_are_held_back():
  tokenizer = vocabularies.named('llama')
  ids = tokenizer.symbols('é€')[-5:]
  assert tokenizer.text(ids[:2]) == 'é' and '\ufffd' in tokenizer.text(ids[:3])
  assert isinstance(tokenizer, subwords.Subwords)
  assert tokenizer.between('the', ids[:2], more=True) == ''
  assert tokenizer.between('the', ids) == 'é€'
