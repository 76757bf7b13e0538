"""Captions in anybody's words: read back from their bytes, and shown under both pictures."""

import dataclasses

import judged
import numpy as np
import pytest

from adiff.judge import captioned, section
from adiff.run import build
from adiff.sequence import tokens
from configs import toy


def coded(*texts, length=12):
  rows = np.zeros((len(texts), length), np.int32)
  for row, text in zip(rows, texts, strict=True):
    own = np.frombuffer(text.encode(), np.uint8)
    row[:len(own)] = own.astype(np.int32) + 1
  return rows


def test_captions_are_their_bytes_up_to_the_end_whatever_a_network_wrote():
  assert captioned.words(coded('die Tür', '', 'twelve bytes')) == ['die Tür', '', 'twelve bytes']
  wild = coded('ab')
  wild[0, 4:] = 200  # behind the end
  assert captioned.words(wild) == ['ab']
  assert captioned.words(np.full((1, 2), 256)) == ['\ufffd\ufffd']


TEXTS = coded('a cat', 'a dog', 'a cat', 'a fish')
BRIGHT = np.array([200, 10, 200, 90], np.uint8)  # of the picture of each


def pictured(made, labels=(-1,) * 4, **more):
  """A subject of four captioned pictures, for each of which `made` [4] says how bright a sample."""
  real, made = (np.tile(of[:, None, None, None], (1, 8, 8, 3)) for of in (BRIGHT, made))
  sampled, asked = judged.sampled(made), {}

  def sample(*, given):
    asked.update(given)
    return sampled

  def examples(split, indices):
    found = {'text': TEXTS[indices], 'image': real[indices]}
    return {'example': found, 'label': np.array(labels)[indices]}

  def tokens_of(split, indices):
    parts = {'text': TEXTS[indices], 'image': real[indices]}
    return {'tokens': tokens.Tokens(parts, (('text', 12), ('image', 192)))}

  own = judged.subject(
    sampled, size=lambda split: 4, num=4, tokens=tokens_of, examples=examples, sample=sample,
    decode=lambda x: {'image': x}, **more)
  return own, asked


def numbers(sections, title):
  return {fact.key: fact for one in sections if one.title == title for part in one.parts
          if isinstance(part, section.Facts) for fact in part.facts}


def test_a_caption_stands_under_its_picture_and_under_the_one_made_for_it():
  own, asked = pictured(BRIGHT // 20)
  sections = judged.made_by(captioned.Captioned(), own)
  assert judged.titles(sections) == ['Captions', 'Cost', 'Held-out bound']
  np.testing.assert_array_equal(asked['text'], TEXTS)
  (figure,) = sections[0].parts
  assert figure.name == 'captions' and len(figure.picture) > 1000


@pytest.mark.parametrize('sign, share', [(1, 1.0), (-1, 0.0), (0, 0.5)])
def test_a_picture_is_likelier_by_its_own_caption_where_another_costs_nats(sign, share):
  def rate(tokens, labels, given):
    assert given == ('text',) and set(labels) == {-1}
    own = TEXTS[[BRIGHT.tolist().index(one[0, 0, 0]) for one in tokens.parts['image']]]
    wrong = (tokens.parts['text'] != own).any(1)
    seen.append(wrong)
    return np.stack([3 + sign * wrong, np.full(len(wrong), 2.0)], 1)

  seen = []
  own, _ = pictured(BRIGHT, rate=rate)
  found = numbers(judged.made_by(captioned.Captioned(), own), 'Own captions')
  right, wrong = seen
  assert not right.any() and 2 <= wrong.sum()  # a caption that says the same is no other one
  assert found['own_caption'].value == share
  assert found['other_caption_costs'].value == sign and found['own_caption'].kind.startswith(
    f'{wrong.sum()} pictures')


def test_where_captions_do_not_differ_the_page_says_so_and_is_whole():
  own, _ = pictured(BRIGHT, rate=lambda *_, **__: pytest.fail('there is nothing to compare'))
  own = dataclasses.replace(own, size=lambda split: 1)
  sections = judged.made_by(captioned.Captioned(), own)
  assert judged.titles(sections) == ['Captions', 'Own captions', 'Cost', 'Held-out bound']
  assert not numbers(sections, 'Own captions')


def test_where_there_is_one_category_the_page_says_so_and_is_whole():
  sections = judged.made_by(captioned.Captioned(), pictured(BRIGHT, (0,) * 4)[0])
  assert judged.titles(sections) == ['Captions', 'Categories', 'Cost', 'Held-out bound']
  assert not numbers(sections, 'Categories')


def test_the_category_asked_for_is_read_by_a_classifier_of_real_pictures():
  labels = 1, 0, 1, 0
  own, _ = pictured(np.array([200, 10, 10, 90], np.uint8), labels)
  sections = judged.made_by(captioned.Captioned(), own)
  found = numbers(sections, 'Categories')['asked_category']
  assert found.value == 0.75 and found.beside == {'real test split': 1.0, 'commonest': 0.5}


def test_other_data_is_refused():
  parts = build.build(toy.get_config('joint'))
  with pytest.raises(ValueError, match='data.name=captioned_folder'):
    captioned.Captioned().needs(parts)
