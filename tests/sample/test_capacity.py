"""Places of the cache: enough for what is seen, few more, and never another sample."""

import dataclasses

import numpy as np
import pytest
import tiny

from adiff.run import generate
from adiff.sample import capacity
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

BLOCKS = blocks_lib.equal(6, 2)


def test_the_cache_has_a_place_for_all_but_the_last_blocks():
  assert capacity.places(plan_lib.Plan(3, 2), BLOCKS) == 4
  assert capacity.places(plan_lib.Plan(1, 2), blocks_lib.whole(6)) == 0
  forcing = blocks_lib.equal(6, 2, history=None)
  assert capacity.places(plan_lib.Plan(3, 2, 0), forcing) == 0


def test_a_walk_has_no_room_while_nothing_is_written_then_one_and_a_long_one_a_few():
  assert [room.places for room in capacity.rooms(plan_lib.Plan(3, 2), BLOCKS)] == [(0,), (4,)]
  blocks = blocks_lib.equal(1024, 8)
  rooms = capacity.rooms(plan_lib.Plan(128, 2), blocks)
  assert [room.places for room in rooms] == [(0,), (254,), (508,), (762,), (1016,)]
  starts = np.concatenate([room.stretch.windows[0].start for room in rooms])
  np.testing.assert_array_equal(starts, np.arange(0, 1024, 8))
  for (places,), stretch in rooms:
    (shape,), (windows,) = stretch.shapes, stretch.windows
    assert (windows.pending + shape.num_pending <= places).all()


@pytest.mark.parametrize('delay', [None, 1])
def test_with_a_reach_the_places_do_not_depend_on_the_length_of_the_walk(delay):
  history = 0.0 if delay is None else None
  places = [
    capacity.places(plan_lib.Plan(k, 2, delay), blocks_lib.equal(8 * k, 8, history=history), 3, 1)
    for k in (16, 256)
  ]
  assert places[0] == places[1] == 8 * (1 + 3)


def test_a_prompt_longer_than_the_reach_has_places():
  plan = plan_lib.Plan(16, 2, given=9)
  assert capacity.places(plan, blocks_lib.equal(128, 8), 2) == 72


def samples(regime, **limits):
  """(in rooms, of the definition) of a regime, guided, whose model reads as `limits` say."""
  model = dataclasses.replace(regime.model, **limits)
  parts = dataclasses.replace(
    regime.parts, model=model, recipe=dataclasses.replace(regime.parts.recipe, model=model),
    config=regime.parts.config.copy_and_resolve_references(),
  )
  with parts.config.unlocked():
    parts.config.guidance.scale = parts.config.guidance.first = 1.5
  keys, labels, _, _ = regime.arguments()
  cached = generate.make_sampler(parts)(regime.params, keys, labels)[0]
  trace = generate.make_sampler(parts, trace=True)(regime.params, keys, labels)
  return cached, trace[-1]


@pytest.mark.parametrize(('name', 'limits'), [
  ('block-masked', {}),
  pytest.param('forcing-gaussian', dict(reach=1), marks=pytest.mark.soak),
  pytest.param('scales_denoised-gaussian', dict(reach=1, sinks=1), marks=pytest.mark.soak),
])
def test_samples_do_not_depend_on_the_rooms_they_are_made_in(name, limits, monkeypatch):
  monkeypatch.setattr(capacity, 'SMALL', 1)
  regime = tiny.regime(name)
  cached, plain = samples(regime, **limits)
  np.testing.assert_allclose(cached, plain, atol=1e-4)


def test_a_ring_that_has_turned_many_times_gives_the_definition(monkeypatch):
  monkeypatch.setattr(capacity, 'SMALL', 1)
  regime = tiny.regime('ar-masked')
  limits = dict(reach=2, sinks=1)
  parts = regime.parts
  assert capacity.places(parts.plan, parts.blocks, **limits) < parts.blocks.num_tokens - 1
  cached, plain = samples(regime, **limits)
  np.testing.assert_array_equal(cached, plain)
