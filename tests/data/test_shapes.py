"""Pictures of shapes with captions: two parts that belong together, whatever is asked for."""

import numpy as np
import pytest

from adiff.data import drawn, sentences, shapes
from adiff.data import scenes as scenes_lib
from adiff.judge.shapes import grammar, read, render


def test_captions_and_pictures_are_those_of_one_scene():
  source = shapes.Shapes(size=64)
  for split in source.splits:
    example = source.examples(split, np.array([5, 1]))['example']
    scenes = scenes_lib.sample(0, split, np.array([5, 1]))
    np.testing.assert_array_equal(example['image'], render.pictures(scenes))
    for caption, picture in zip(grammar.decode(example['text']), example['image'], strict=True):
      assert grammar.holds(grammar.parse(caption), read.read(picture[None]).scenes)[0]
  assert example['text'].shape == (2, sentences.LENGTH)
  assert shapes.Shapes(side=64, size=64).examples('test', [0])['example']['image'].shape[1] == 64


def test_captions_are_full_where_they_are_asked_to_be():
  source = shapes.Shapes(size=64, captions='full')
  told = grammar.decode(source.examples('test', np.arange(8))['example']['text'])
  wanted = sentences.full(scenes_lib.sample(0, 'test', np.arange(8)))
  assert list(told) == [grammar.write(meaning) for meaning in wanted]


def test_a_part_is_a_source_by_itself_with_the_facts_of_its_tokens():
  source = shapes.Shapes(size=64)
  for name, levels in (('text', len(grammar.WORDS)), ('image', 256)):
    part = source.part(name)
    assert part.facts.levels == levels and part.size('unseen') == 8
    example = part.examples('train', np.arange(3))['example']
    assert example.shape[1:] == part.facts.shape and example.max() < levels


def test_pictures_alone_are_those_of_the_captions():
  source, alone = shapes.Shapes(size=64, seed=2), drawn.Drawn(size=64, seed=2)
  for split in source.splits:
    wanted, found = (one.examples(split, [3, 1])['example'] for one in (source, alone))
    np.testing.assert_array_equal(found, wanted['image'])
  assert alone.facts.shape == (32, 32, 3) and alone.size('unseen') == 8
  assert alone.fingerprint != drawn.Drawn(size=64).fingerprint != drawn.Drawn(size=72).fingerprint


def test_another_seed_size_or_side_is_other_data():
  told = [shapes.Shapes(**one).fingerprint for one in (
    dict(size=64), dict(size=72), dict(size=64, side=64), dict(size=64, seed=1),
    dict(size=64, captions='full'),
  )]
  assert len(set(told)) == 5 and shapes.Shapes(size=64).fingerprint == told[0]


@pytest.mark.parametrize('arguments, words', [
  (dict(side=48), '48 pixels a side; use at least 8, of 32 or of 64'),
  (dict(size=4), '^4 pictures'),
])
def test_sides_that_cannot_be_read_back_are_refused(arguments, words):
  with pytest.raises(ValueError, match=words):
    shapes.Shapes(**arguments)
