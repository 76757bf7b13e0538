"""Captions and what they mean: a grammar whose every sentence is read in one way.

  caption  = claim {"and" claim}
  claim    = "a" thing [("left of" | "right of" | "above" | "below") "a" thing]
           | ("two" | "three" | "four") things | "no" thing
  thing    = [size] [colour] (shape | "shape")

"a circle" is true of a picture with one or more; whatever "a" names in a caption are different
objects. Numbers are exact. `write` and `parse` are inverse.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from adiff.judge.shapes import scene

ANY = -1  # of a size, a colour or a shape
_NUMBERS = {2: 'two', 3: 'three', 4: 'four'}
_RELATIONS = ('left of', 'right of', 'above', 'below')
_SHAPE = 'shape'  # of any shape
_ONE = (*scene.SHAPES, _SHAPE)
_MANY = tuple(f'{name}es' if name.endswith('s') else f'{name}s' for name in _ONE)
WORDS = ('', 'a', 'no', 'and', *_NUMBERS.values(), 'left', 'right', 'of', 'above', 'below',
         *scene.SIZES, *scene.COLOURS, *_ONE, *_MANY)  # '' fills up


class Thing(NamedTuple):
  """What an object may be: places in SIZES, COLOURS and SHAPES, or ANY."""

  size: int
  colour: int
  shape: int


class Some(NamedTuple):
  """There is one."""

  thing: Thing


class Related(NamedTuple):
  """There are two that lie so: the first one left of the second one."""

  first: Thing
  relation: int  # of scene.RELATIONS
  second: Thing


class Number(NamedTuple):
  """There are exactly so many."""

  number: int
  thing: Thing


class No(NamedTuple):
  """There is none."""

  thing: Thing


Claim = Some | Related | Number | No
Meaning = tuple[Claim, ...]


def write(meaning) -> str:
  """The caption of a meaning."""
  return ' and '.join(map(_written, meaning))


def _written(claim):
  match claim:
    case Some(thing):
      return f'a {_phrase(thing)}'
    case Related(first, relation, second):
      return f'a {_phrase(first)} {_RELATIONS[relation]} a {_phrase(second)}'
    case Number(number, thing):
      return f'{_NUMBERS[number]} {_phrase(thing, _MANY)}'
    case No(thing):
      return f'no {_phrase(thing)}'


def _phrase(thing, nouns=_ONE):
  words = [scene.SIZES[thing.size]] * (thing.size != ANY)
  words += [scene.COLOURS[thing.colour]] * (thing.colour != ANY)
  return ' '.join([*words, nouns[thing.shape]])  # the last one is any


def parse(caption) -> Meaning:
  """What a caption means; raises ValueError where it is none of the grammar."""
  words = caption.split(' ')
  claims, start = [], 0
  while not claims or (start < len(words) and words[start] == 'and'):
    claim, start = _claim(words, start + bool(claims), caption)
    claims.append(claim)
  if start < len(words):
    raise _wrong(caption, words, start)
  return tuple(claims)


def _claim(words, start, caption):
  """(the claim that begins there, where it ends)."""
  first = words[start] if start < len(words) else ''
  if first == 'no':
    thing, end = _thing(words, start + 1, _ONE, caption)
    return No(thing), end
  for number, word in _NUMBERS.items():
    if first == word:
      thing, end = _thing(words, start + 1, _MANY, caption)
      return Number(number, thing), end
  if first != 'a':
    raise _wrong(caption, words, start)
  thing, end = _thing(words, start + 1, _ONE, caption)
  for relation, told in enumerate(told.split() for told in _RELATIONS):
    if words[end:end + len(told)] == told:
      end += len(told)
      if words[end:end + 1] != ['a']:
        raise _wrong(caption, words, end)
      second, end = _thing(words, end + 1, _ONE, caption)
      return Related(thing, relation, second), end
  return Some(thing), end


def _thing(words, start, nouns, caption):
  """(the thing that begins there, where it ends)."""
  found = []
  for names in (scene.SIZES, scene.COLOURS):
    there = start < len(words) and words[start] in names
    found.append(names.index(words[start]) if there else ANY)
    start += there
  if start >= len(words) or words[start] not in nouns:
    raise _wrong(caption, words, start)
  noun = nouns.index(words[start])
  return Thing(*found, noun if noun < len(scene.SHAPES) else ANY), start + 1


def _wrong(caption, words, start):
  where = repr(words[start]) if start < len(words) else 'its end'
  return ValueError(
    f'{caption[:80]!r} is no caption of shapes, at {where}; write as in "a small red circle left '
    'of a star and no ring"'
  )


def things(claim) -> tuple[Thing, ...]:
  """All that a claim names."""
  return tuple(part for part in claim if isinstance(part, Thing))


def matches(thing, scenes) -> np.ndarray:
  """bool [n, MOST]: which objects of scenes are such a thing?"""
  fits = scenes.there
  for wanted, are in zip(thing, (scenes.size, scenes.colour, scenes.shape), strict=True):
    fits = fits & ((are == wanted) | (wanted == ANY))
  return fits


def holds(meaning, scenes) -> np.ndarray:
  """bool [n]: is it true of each of the scenes?"""
  true = np.ones(len(scenes), bool)
  mentions, links = [], []
  for claim in meaning:
    match claim:
      case Number(number, thing):
        true &= matches(thing, scenes).sum(1) == number
      case No(thing):
        true &= ~matches(thing, scenes).any(1)
      case _:
        if isinstance(claim, Related):
          links.append((claim.relation, len(mentions), len(mentions) + 1))
        mentions += things(claim)
  if not mentions:
    return true
  fits = np.stack([matches(thing, scenes) for thing in mentions], 1)
  lie = scene.related(scenes) if links else None
  possible = np.zeros(len(scenes), bool)
  for chosen in itertools.permutations(range(scenes.shape.shape[1]), len(mentions)):
    good = fits[:, range(len(mentions)), chosen].all(1)
    for relation, first, second in links:
      good &= lie[:, relation, chosen[first], chosen[second]]
    possible |= good
  return true & possible


def held_out(meaning) -> bool:
  """Does it name a pair, a number or a relation that training never shows?"""
  return any(_held_out(claim) for claim in meaning)


def _held_out(claim):
  if any(scene.held_out_pair(thing.colour, thing.shape) for thing in things(claim)):
    return True
  match claim:
    case Number(number, thing) if thing.shape != ANY:
      return bool(scene.held_out_count(thing.shape, number))
    case Related(first, relation, second) if ANY not in (first.shape, second.shape):
      return bool(scene.held_out_relation(relation, first.shape, second.shape))
  return False


SKILLS = ('single', 'two objects', 'counting', 'colour', 'position', 'attribute binding',
          'negation', 'unseen combination')  # as GenEval (arXiv:2310.11513) lays them out, and two


def skill(meaning) -> str:
  """Which one of SKILLS a caption asks for: the rarest of what it says."""
  kinds = {type(claim) for claim in meaning}
  named = [thing for claim in meaning for thing in things(claim)]
  coloured = any(thing.colour != ANY for thing in named)
  if held_out(meaning):
    return 'unseen combination'
  for kind, name in ((No, 'negation'), (Number, 'counting'), (Related, 'position')):
    if kind in kinds:
      return name
  if len(named) == 1:
    return 'colour' if coloured else 'single'
  return 'attribute binding' if coloured else 'two objects'


def encode(captions, length) -> np.ndarray:
  """int32 [n, length]: places in WORDS, 0 behind the end; raises ValueError for longer ones."""
  index = {word: place for place, word in enumerate(WORDS)}
  rows = [[index[word] for word in caption.split(' ')] for caption in captions]
  longest = max(map(len, rows), default=0)
  if longest > length:
    raise ValueError(f'a caption has {longest} words, and there are places for {length}')
  return np.array([row + [0] * (length - len(row)) for row in rows], np.int32).reshape(-1, length)


def decode(tokens) -> Iterator[str]:
  """The captions of such rows, up to the first 0; what they say may be no caption."""
  for row in np.asarray(tokens):
    end = np.flatnonzero(row == 0)
    yield ' '.join(WORDS[word] for word in row[:end[0] if len(end) else None])
