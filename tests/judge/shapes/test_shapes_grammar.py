"""Captions of shapes: every sentence has one meaning, and its truth is what it says."""

import functools
import itertools

import numpy as np
import pytest

from adiff.judge.shapes import grammar, scene
from adiff.judge.shapes.grammar import ANY, No, Number, Related, Some, Thing

THINGS = [Thing(*one) for one in itertools.product(range(-1, 2), range(-1, 8), range(-1, 8))]


def meanings(num, seed=0):
  """Any meanings, sensible or not."""
  rng = np.random.default_rng(seed)
  thing = lambda: THINGS[rng.integers(len(THINGS))]
  claim = lambda: (
    Some(thing()), Related(thing(), int(rng.integers(4)), thing()),
    Number(int(rng.integers(2, 5)), thing()), No(thing()),
  )[rng.integers(4)]
  return [tuple(claim() for _ in range(rng.integers(1, 4))) for _ in range(num)]


def test_every_caption_is_parsed_to_what_it_was_written_from():
  simple = [(kind(thing),) for thing in THINGS for kind in (Some, No, lambda x: Number(3, x))]
  for meaning in (*simple, *meanings(500)):
    caption = grammar.write(meaning)
    assert grammar.parse(caption) == meaning, caption
    assert grammar.write(grammar.parse(caption)) == caption


def trees(words):
  """How many ways the grammar of the module's first lines has to derive a sentence: counted over
  all splits of it, whatever the parser does."""
  sizes, colours = scene.SIZES, scene.COLOURS
  one = (*scene.SHAPES, 'shape')
  many = 'circles squares triangles diamonds crosses rings bars stars shapes'.split()
  relations = (('left', 'of'), ('right', 'of'), ('above',), ('below',))

  def thing(part, nouns):
    return sum(
      part == front + (noun,)
      for noun in nouns if part[-1:] == (noun,)
      for front in itertools.chain(
        [()], [(size,) for size in sizes], [(colour,) for colour in colours],
        itertools.product(sizes, colours),
      )
    )

  def claim(part):
    head, rest = part[:1], part[1:]
    count = (head == ('a',)) * thing(rest, one) + (head == ('no',)) * thing(rest, one)
    count += (head in (('two',), ('three',), ('four',))) * thing(rest, many)
    for relation, at in itertools.product(relations, range(1, len(part))):
      after = part[at:]
      if head == ('a',) and after[:len(relation) + 1] == (*relation, 'a'):
        count += thing(part[1:at], one) * thing(after[len(relation) + 1:], one)
    return count

  @functools.cache
  def caption(part):
    splits = [at for at, word in enumerate(part) if word == 'and']
    return claim(part) + sum(claim(part[:at]) * caption(part[at + 1:]) for at in splits)

  return caption(tuple(words))


def test_no_caption_has_two_readings_and_what_has_none_is_refused():
  rng = np.random.default_rng(1)
  refused = 0
  for meaning in meanings(120, seed=2):
    words = grammar.write(meaning).split(' ')
    assert trees(words) == 1
    spoilt = list(words)
    spoilt[rng.integers(len(words))] = grammar.WORDS[rng.integers(1, len(grammar.WORDS))]
    if trees(spoilt):
      assert grammar.write(grammar.parse(' '.join(spoilt))) == ' '.join(spoilt)
    else:
      refused += 1
      with pytest.raises(ValueError, match='is no caption of shapes, at .*; write as in'):
        grammar.parse(' '.join(spoilt))
  assert refused > 50


@pytest.mark.parametrize('caption', ['', ' ', 'a', 'a red', 'two circle', 'a circle and', 'and',
                                     'a circle left a star', 'a circle  and a star'])
def test_fragments_are_no_captions(caption):
  with pytest.raises(ValueError, match='is no caption of shapes'):
    grammar.parse(caption)


def test_captions_are_true_of_what_they_say_and_of_nothing_else():
  made = scene.nothing(1)
  objects = [('circle', 'red', 0, 0.2, 0.2), ('circle', 'blue', 1, 0.7, 0.25),
             ('star', 'red', 0, 0.3, 0.8)]
  for slot, (shape, colour, size, x, y) in enumerate(objects):
    made.shape[0, slot] = scene.SHAPES.index(shape)
    made.colour[0, slot] = scene.COLOURS.index(colour)
    made.size[0, slot], made.place[0, slot] = size, (x, y)
  true = lambda caption: bool(grammar.holds(grammar.parse(caption), made)[0])
  for caption in (
    'a circle', 'a small red shape', 'two circles', 'three shapes', 'two red shapes', 'no square',
    'a circle and a circle and a star', 'a red circle left of a blue circle', 'no large star',
    'a star below a circle and a circle', 'a circle above a star and no bar',
  ):
    assert true(caption), caption
  for caption in (
    'a square', 'a large red shape', 'three circles', 'two shapes', 'no star', 'a star and a star',
    'a blue circle left of a red circle', 'a red circle above a blue circle',
    'a circle and a circle and a circle', 'a star below a blue circle and a blue shape',
    'a shape and a shape and a shape and a shape and a shape',
  ):
    assert not true(caption), caption


def test_nearly_level_objects_are_neither_above_nor_below_each_other():
  made = scene.nothing(1)
  made.shape[0, :2], made.colour[0, :2], made.size[0, :2] = (0, 7), 0, 0
  made.place[0, :2] = (0.2, 0.5), (0.6, 0.58)
  assert grammar.holds(grammar.parse('a circle left of a star'), made)[0]
  for relation in ('above', 'below', 'right of'):
    assert not grammar.holds(grammar.parse(f'a circle {relation} a star'), made)[0]


@pytest.mark.parametrize('caption, skill', [
  ('a large circle', 'single'), ('a shape', 'single'), ('a star and a bar', 'two objects'),
  ('three triangles', 'counting'), ('a red shape', 'colour'), ('no ring', 'negation'),
  ('a star left of a circle', 'position'), ('a red star and a green bar', 'attribute binding'),
  ('two circles', 'unseen combination'), ('a circle left of a diamond', 'unseen combination'),
  ('a diamond right of a circle', 'unseen combination'), ('a black square', 'unseen combination'),
])
def test_a_caption_asks_for_one_skill(caption, skill):
  assert grammar.skill(grammar.parse(caption)) == skill


def test_captions_are_rows_of_words_and_back():
  captions = [grammar.write(meaning) for meaning in meanings(50)]
  rows = grammar.encode(captions, 40)
  assert rows.dtype == np.int32 and list(grammar.decode(rows)) == captions
  assert len(set(grammar.WORDS)) == len(grammar.WORDS)
  with pytest.raises(ValueError, match='words, and there are places for 3'):
    grammar.encode(captions, 3)


def test_any_is_no_place_in_the_names():
  assert ANY == -1 and grammar.write((Some(Thing(ANY, ANY, ANY)),)) == 'a shape'
