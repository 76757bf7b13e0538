"""Plans say exactly what a scene shows, but for sizes and places inside a cell."""

import numpy as np
import pytest

from adiff.data import scenes as scenes_lib
from adiff.data import shapes
from adiff.judge.shapes import plans, scene

SCENES = scenes_lib.sample(0, 'test', np.arange(200))


def told(scenes):
  """Of every scene its (row, column, shape, colour), in order."""
  cell = np.floor(scenes.place * plans.CELLS).astype(int)
  parts = np.stack([cell[..., 1], cell[..., 0], scenes.shape, scenes.colour], -1)
  return [sorted(map(tuple, own[there].tolist())) for own, there in zip(parts, scenes.there)]


def test_the_symbols_of_a_plan_read_back_are_the_objects_of_its_scene_in_the_order_of_cells():
  written = plans.write(SCENES)
  found = plans.read(written)
  assert told(found) == told(SCENES) and (found.size == -1).all()
  np.testing.assert_array_equal(found.there.sum(1), SCENES.there.sum(1))
  objects = [own[there].tolist() for own, there in zip(found.place[..., ::-1], found.there)]
  assert all(own == sorted(own) for own in objects)
  np.testing.assert_array_equal(plans.write(found), written)
  assert written.max() < len(plans.WORDS) and written.shape == (200, plans.LENGTH)


def test_every_symbol_says_one_thing():
  words = plans.WORDS[1 + plans.CELLS**2:]
  assert words == (*scene.SHAPES, *scene.COLOURS) and len(set(plans.WORDS)) == len(plans.WORDS)
  one = scene.nothing(1)
  one.place[0, 0], one.shape[0, 0], one.colour[0, 0] = (0.99, 0.3), 7, 1
  assert [plans.WORDS[i] for i in plans.write(one)[0, :4]] == ['7,2', 'star', 'blue', '']


def test_what_is_no_plan_is_refused_in_words():
  plan = plans.write(SCENES[:2])
  plan[1, :3] = plan[1, [1, 0, 2]]
  with pytest.raises(ValueError, match="^plan 1, '.*, is none; write a cell, a shape and a colour"):
    plans.read(plan)
  with pytest.raises(ValueError, match='^plans are int'):
    plans.read(plan[:, 1:])


def test_plans_stand_beside_the_pictures_of_their_scenes_and_captions_may_be_told_instead():
  rows = np.array([5, 1])
  whole = shapes.Shapes(size=64, parts=('text', 'plan', 'image')).examples('test', rows)['example']
  np.testing.assert_array_equal(
    whole['plan'], plans.write(scenes_lib.sample(0, 'test', rows))
  )
  source = shapes.Shapes(size=64, parts=('image',))
  alone, memory = source.examples('test', rows), source.facts.conds['text']
  np.testing.assert_array_equal(alone['example'], whole['image'])
  np.testing.assert_array_equal(np.maximum(alone['text'], 0), whole['text'])
  assert memory.checked('text', alone['text'], 2, 64).min() == -1
  assert source.facts.medium == 'image' and not source.facts.parts


@pytest.mark.parametrize('parts', [('text',), ('image', 'image'), ('image', 'sound'), ()])
def test_pictures_are_always_a_part_and_no_other_parts_are_known(parts):
  with pytest.raises(ValueError, match='data.parts=.* must name image and may name text and plan'):
    shapes.Shapes(size=64, parts=parts)
