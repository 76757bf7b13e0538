"""Captions in anybody's words: read back from their bytes, and shown under both pictures."""

import judged
import numpy as np
import pytest

from adiff.judge import base, captioned
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


def test_a_caption_stands_under_its_picture_and_under_the_one_made_for_it():
  text, real = coded(*['a cat'] * 4), np.full((4, 8, 8, 3), 200, np.uint8)
  made, asked = np.full((4, 8, 8, 3), 10, np.uint8), {}

  def sample(*, given):
    asked.update(given)
    return judged.sampled(made)

  own = judged.subject(
    judged.sampled(made), size=lambda split: 4, num=4,
    tokens=lambda split, indices: {'tokens': tokens.Tokens({'text': text}, (('text', 12),))},
    examples=lambda split, indices: {'example': {'text': text, 'image': real}})
  own = own.__class__(**{**vars(own), 'sample': sample, 'decode': lambda x: {'image': x}})
  sections = base.latest(captioned.Captioned().sections(own))
  assert [one.title for one in sections][0] == 'Captions'
  np.testing.assert_array_equal(asked['text'], text)
  (figure,) = sections[0].parts
  assert figure.name == 'captions' and len(figure.picture) > 1000


def test_other_data_is_refused():
  parts = build.build(toy.get_config('joint'))
  with pytest.raises(ValueError, match='data.name=captioned_folder'):
    captioned.Captioned().needs(parts)
