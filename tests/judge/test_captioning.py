"""Captions that were made for pictures: real ones are true and rich, poorer ones are only true."""

import numpy as np
import pytest
from judged import made_by, sampled, subject, titles

from adiff.data import shapes
from adiff.judge import captioning, composition, section
from adiff.judge.shapes import grammar
from adiff.run import build
from adiff.sequence import tokens as tokens_lib
from configs import shapes as config_lib

SOURCE = shapes.Shapes(size=320)  # 40 for the test
TEST = SOURCE.examples('test', np.arange(40))['example']
REAL = list(grammar.decode(TEST['text']))


def test_real_captions_are_true_and_rich_and_those_of_other_pictures_rarely():
  right = captioning.scores(REAL, REAL, TEST['image'])
  assert right.parsed.all() and right.true.mean() > 0.97 and (right.rich == right.true).all()
  assert right.bleu == 1 and right.cider > 5
  wrong = captioning.scores(REAL[1:] + REAL[:1], REAL, TEST['image'])
  assert wrong.true.mean() < 0.3 and wrong.bleu < 0.6


def test_poor_captions_are_true_and_not_rich_and_nonsense_is_no_caption():
  poor = captioning.scores(['no shape and a shape', 'a a'] + ['a shape'] * 38, REAL, TEST['image'])
  assert poor.parsed.tolist() == [True, False] + [True] * 38
  assert not poor.true[:2].any() and poor.true[2:].all() and not poor.rich.any()


@pytest.mark.parametrize('caption, objects, attributes', [
  ('a shape', 1, 0), ('three red circles', 3, 6), ('a small star left of a bar', 2, 3),
  ('a ring and no large red cross', 1, 4),
])
def test_what_a_caption_names_is_counted(caption, objects, attributes):
  assert captioning.named(grammar.parse(caption)).tolist() == [objects, attributes]


def test_the_nearest_picture_is_the_one_that_was_hardly_changed():
  order = np.random.default_rng(3).permutation(40)
  noisy = np.clip(TEST['image'].astype(int) + 9, 0, 255).astype(np.uint8)
  np.testing.assert_array_equal(captioning._nearest(noisy[order], TEST['image']), order)


@pytest.mark.parametrize('judge, first, key, further', [
  (captioning.Captioning(), 'image', 'caption_true', []),
  (composition.Composition(), 'text', 'true_mean_of_the_skills', ['Variety']),
])
def test_a_judge_gives_one_part_and_looks_at_the_other(judge, first, key, further):
  whole = tokens_lib.Tokens(dict(TEST), (('text', 20), ('image', 64)))
  asked = []

  def sample(given):
    asked.append(given)
    return sampled(whole)

  own = subject(
    sampled(whole), num_tokens=84, num=40, size=SOURCE.size, examples=SOURCE.examples,
    tokens=lambda split, rows: {'tokens': whole}, decode=lambda tokens: tokens.parts,
    sample=sample,
  )
  found = made_by(judge, own)
  assert titles(found) == ['Captions', *further, 'Cost', 'Held-out bound']
  assert section.numbers(found)[key] > 0.9
  (given,) = asked
  np.testing.assert_array_equal(given[first], TEST[first])


def test_judges_of_directions_ask_for_the_data_and_the_order_that_they_need():
  config = config_lib.get_config('t2i').unlock()
  config.data.size = 64
  parts = build.build(config)
  composition.Composition().needs(parts)
  with pytest.raises(ValueError, match=r"given the image, .* write .*order=\('image', 'text'\)"):
    captioning.Captioning().needs(parts)
  config.data = {'name': 'chain', 'num_tokens': 6}
  config.codec, config.blocks = {'name': 'none'}, {'name': 'whole'}
  config.process, config.kinds = {'name': 'masked'}, {}
  with pytest.raises(ValueError, match='reads captions and pictures of shapes, which these da'):
    composition.Composition().needs(build.build(config))


def test_captions_that_are_told_are_judged_as_those_in_the_sequence():
  source = shapes.Shapes(size=320, parts=('image',))
  known, asked = source.examples('test', np.arange(40)), []

  def sample(told):
    asked.append(told)
    return sampled(known['example'])

  found = made_by(composition.Composition(), subject(
    sampled(known['example']), num_tokens=64, num=40, size=source.size, examples=source.examples,
    decode=lambda tokens: tokens, sample=sample,
  ))
  assert section.numbers(found)['true_mean_of_the_skills'] > 0.9
  np.testing.assert_array_equal(asked[0]['text'], known['text'])
