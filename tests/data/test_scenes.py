"""Scenes and captions of shapes: what they promise, and what training never shows."""

import functools

import numpy as np
import pytest

from adiff.data import scenes as scenes_lib
from adiff.data import sentences
from adiff.judge.shapes import grammar, render, scene

NUM = 300


@functools.cache
def made(split):
  scenes = scenes_lib.sample(3, split, np.arange(NUM))
  return scenes, sentences.describe(3, split, np.arange(NUM), scenes)


@pytest.mark.parametrize('split', scenes_lib.SPLITS)
def test_an_example_is_a_function_of_seed_split_and_index_alone(split):
  scenes, told = made(split)
  some = np.array([17, 4, 250])
  again = scenes_lib.sample(3, split, some)
  for ours, theirs in zip(scene.parts(again), scene.parts(scenes[some]), strict=True):
    np.testing.assert_array_equal(ours, theirs)
  assert sentences.describe(3, split, some, again) == [told[i] for i in some]
  other = scenes_lib.sample(4, split, some)
  assert (other.place != again.place).any(1).all()


@pytest.mark.parametrize('split', scenes_lib.SPLITS)
def test_objects_overlap_partly_and_those_of_one_colour_never_touch(split):
  scenes, _ = made(split)
  covered = render.coverage(scenes, 64)
  assert render.visible(covered).min() >= scene.VISIBLE - 0.01
  assert (render.visible(covered)[scenes.there] < 0.95).mean() > 0.1
  alike = (scenes.colour[:, :, None] == scenes.colour[:, None]) & scenes.there[:, :, None]
  both = np.einsum('nixy,njxy->nij', covered > 0, covered > 0)
  assert not (both * alike * ~np.eye(scene.MOST, dtype=bool)).any()
  edge = scene.REACH * scenes.radius[..., None]
  inside = (scenes.place >= edge) & (scenes.place <= 1 - edge)
  assert inside[scenes.there].all()


def test_numbers_shapes_colours_and_sizes_are_spread_over_training():
  scenes, told = made('train')
  number = np.bincount(scenes.there.sum(1), minlength=5)[1:]
  assert number.min() > NUM / 8
  for part, names in ((scenes.shape, 8), (scenes.colour, 8), (scenes.size, 2)):
    counts = np.bincount(part[scenes.there], minlength=names)
    assert counts.min() > 0.5 * counts.mean()
  skills = {grammar.skill(meaning) for meaning in told}
  assert skills == set(grammar.SKILLS) - {'unseen combination'}


def test_what_is_held_out_is_shown_and_named_in_the_unseen_split_alone():
  for split in ('train', 'test'):
    scenes, told = made(split)
    assert not scene.held_out(scenes).any() and not any(map(grammar.held_out, told))
  scenes, told = made('unseen')
  assert (scene.held_out(scenes).mean(0) > 0.25).all() and all(map(grammar.held_out, told))


@pytest.mark.parametrize('split', scenes_lib.SPLITS)
def test_captions_are_true_of_their_pictures_and_fit_their_row(split):
  scenes, told = made(split)
  for index, meaning in enumerate(told):
    assert grammar.holds(meaning, scenes[index:index + 1])[0]
  grammar.encode(map(grammar.write, told), sentences.LENGTH)


def test_a_full_caption_names_every_object_from_top_to_bottom():
  scenes, _ = made('test')
  told = sentences.full(scenes)
  grammar.encode(map(grammar.write, told), sentences.LENGTH)
  for index, meaning in enumerate(told):
    assert grammar.holds(meaning, scenes[index:index + 1])[0]
    things = [claim.thing for claim in meaning]
    assert len(things) == scenes.there[index].sum() and grammar.ANY not in np.array(things)
    places = [np.flatnonzero(grammar.matches(one, scenes[index:index + 1])[0]) for one in things]
    if len(set(things)) == len(things):
      assert (np.diff(scenes.place[index, np.concatenate(places), 1]) >= 0).all()
