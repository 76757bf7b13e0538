"""Captions of scenes: drawn, a pure function of (seed, split, index), where of all skills that a
scene lets ask for one is chosen by chance; or full, which name all that there is."""

import itertools

import numpy as np

from adiff.data import chance as chance_lib
from adiff.data import scenes as scenes_lib
from adiff.judge.shapes import grammar, scene

LENGTH = 20  # words of the longest caption
_CLEAR = 1.5 * scene.APART  # of the relations that are told, so that no one is in doubt of them
_STREAM = len(scenes_lib.SPLITS)  # beside those that scenes are drawn from
_TRIES = 16  # drawn at a time
_DETAILS = ((0, 0, 1), (0, 1, 1), (1, 1, 1), (0, 1, 0), (1, 0, 1))  # of a thing that are named
_COUNTED = ((0, 0, 1), (0, 1, 1), (0, 1, 0))


def describe(seed, split, indices, scenes) -> list[grammar.Meaning]:
  """A true caption of each of the scenes that `scenes.sample` made with the same arguments: in the
  unseen split it names what is held out, elsewhere it names nothing that is."""
  stream = _STREAM + scenes_lib.SPLITS.index(split)
  chance = chance_lib.uniforms(seed, stream, indices, np.arange(_TRIES), 8)
  return [
    _told(_Scene(scenes, row), split == 'unseen', itertools.chain(
      chance[row], _more(seed, stream, indices[row])
    )) for row in range(len(scenes))
  ]


def full(scenes) -> list[grammar.Meaning]:
  """The captions that name every object with its size, colour and shape, from top to bottom."""
  parts = np.stack([scenes.size, scenes.colour, scenes.shape], -1)
  orders = np.argsort(scenes.place[..., 1], 1, kind='stable')
  return [
    tuple(grammar.Some(grammar.Thing(*map(int, one))) for one in row[order][there[order]])
    for row, order, there in zip(parts, orders, scenes.there, strict=True)
  ]


def _more(seed, stream, index):
  """Ever further uniform numbers of an index."""
  for start in itertools.count(_TRIES, _TRIES):
    yield from chance_lib.uniforms(seed, stream, [index], np.arange(start, start + _TRIES), 8)[0]


def _told(seen, unseen, chances):
  """A caption of one of the skills that suit, by the first chance for which there is one."""
  for chance in chances:
    options = [told for skill in _SKILLS if (told := skill(seen, chance[1:].tolist()))]
    options = [told for told in options if grammar.held_out(told) == unseen]
    if options:
      return options[int(chance[0] * len(options))]
  raise AssertionError('uniform numbers came to an end')


class _Scene:
  """A scene as a list of its objects."""

  def __init__(self, scenes, row):
    self.whole = scenes[row:row + 1]
    there = scenes.there[row]
    parts = scenes.size[row], scenes.colour[row], scenes.shape[row]
    self.objects = [grammar.Thing(*map(int, one)) for one in np.stack(parts, 1)[there]]

  def pick(self, chance, num=1):
    """Different objects, in any order; None where there are fewer."""
    if len(self.objects) < num:
      return None
    orders = list(itertools.permutations(range(len(self.objects)), num))
    return orders[int(chance * len(orders))]


def _part(thing, details):
  """A thing of which only some is named."""
  return grammar.Thing(*(
    one if named else grammar.ANY for one, named in zip(thing, details, strict=True)
  ))


def _detail(chance):
  return _DETAILS[int(chance * len(_DETAILS))]


def _single(seen, chance):
  (one,) = seen.pick(chance[0])
  return (grammar.Some(_part(seen.objects[one], (chance[1] < 0.3, 0, 1))),)


def _colour(seen, chance):
  (one,) = seen.pick(chance[0])
  return (grammar.Some(_part(seen.objects[one], (chance[1] < 0.3, 1, chance[2] < 0.8))),)


def _two(seen, chance):
  chosen = seen.pick(chance[0], 2)
  return chosen and tuple(grammar.Some(_part(seen.objects[one], (0, 0, 1))) for one in chosen)


def _binding(seen, chance):
  chosen = seen.pick(chance[0], 2)
  return chosen and tuple(
    grammar.Some(_part(seen.objects[one], (chance[1] < 0.3, 1, 1))) for one in chosen
  )


def _all(seen, chance):
  """Every object with all that it is."""
  return tuple(
    grammar.Some(seen.objects[one]) for one in seen.pick(chance[0], len(seen.objects))
  )


def _counting(seen, chance):
  named = {_part(thing, details) for thing in seen.objects for details in _COUNTED}
  numbers = [(thing, int(grammar.matches(thing, seen.whole).sum())) for thing in sorted(named)]
  several = [grammar.Number(number, thing) for thing, number in numbers if number > 1]
  return (several[int(chance[0] * len(several))],) if several else None


def _position(seen, chance):
  chosen = seen.pick(chance[0], 2)
  if chosen is None:
    return None
  lie = np.flatnonzero(scene.related(seen.whole, _CLEAR)[0][:, chosen[0], chosen[1]])
  if not len(lie):
    return None
  first, second = (_part(seen.objects[one], _detail(chance[2])) for one in chosen)
  return (grammar.Related(first, int(lie[int(chance[1] * len(lie))]), second),)


def _negation(seen, chance):
  (one,) = seen.pick(chance[0])
  other = grammar.Thing(
    int(chance[1] * len(scene.SIZES)), int(chance[2] * len(scene.COLOURS)),
    int(chance[3] * len(scene.SHAPES)),
  )
  absent = grammar.No(_part(other, _detail(chance[4])))
  if not grammar.holds((absent,), seen.whole)[0]:
    return None
  return grammar.Some(_part(seen.objects[one], _detail(chance[5]))), absent


_SKILLS = (_single, _colour, _two, _binding, _all, _counting, _position, _negation)
