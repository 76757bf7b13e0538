"""A session, block by block or in one program, comes to the walk as it is defined."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from fakes import BLOCKS, COORDS, MASKED, MIXED_LOGITS, ZERO_LOGITS, Counter, keys, prompt, sure_of

from adiff.nn import network
from adiff.process import uniform
from adiff.sample import capacity, guidance, session, truncation, walk
from adiff.sample.solvers import base, first_hitting, first_order, threshold
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib

SOLVER = first_hitting.FirstHitting()


@dataclasses.dataclass(frozen=True, eq=False)
class Sessions:
  """Sessions of a tiny random network, guided, and the walk that each is to come to."""

  name: str
  solver: base.Solver
  narrow: base.Narrow = base.uncut
  programs: dict = dataclasses.field(default_factory=dict)

  @property
  def regime(self):
    return tiny.regime(self.name)

  @property
  def how(self):
    regime = self.regime
    return dict(
      blocks=regime.blocks, process=regime.process, solver=self.solver, coords=regime.coords,
      narrow=self.narrow,
    )

  def bind(self, params):
    denoise = guidance.guide(self.regime.model.denoise(params, loops=True), scale=2.0)
    return network.condition(
      denoise, {'label': jnp.asarray(tiny.LABELS)}, history_cond=self.regime.parts.history_cond)

  def make(self, plan=None, stop=None):
    return session.Session(
      self.regime.model, self.bind, plan or self.regime.parts.plan, stop=stop,
      caches=2 if self.regime.parts.history_cond else 1, programs=self.programs, **self.how)

  def step_by_step(self, plan=None, stop=None, **given):
    """(state at the end, [tokens of every window], windows walked)."""
    one_walk = self.make(plan, stop)
    at, parts = one_walk.start(keys(), **given), []
    while not one_walk.ended(at):
      at, part = one_walk.advance(self.regime.params, at)
      parts.append(np.asarray(part))
    return at.state, parts, at.made

  def in_one_program(self, plan=None, stop=None, **given):
    """The state at the end."""
    one_walk = self.make(plan, stop)
    run = jax.jit(
      lambda params, keys, given: one_walk.finish(params, one_walk.start(keys, **given)))
    return run(self.regime.params, keys(), given)

  def defined(self, plan=None, stop=None, **given):
    plan = plan or self.regime.parts.plan
    run = jax.jit(lambda params, keys, given: walk.sample(
      self.bind(params), keys, plan, stop=stop, **self.how, **given))
    return np.asarray(run(self.regime.params, keys(), given))


@pytest.fixture(autouse=True)
def many_rooms(monkeypatch):
  """The cache grows whenever it has to."""
  monkeypatch.setattr(capacity, 'SMALL', 1)


TOP_TWO = truncation.narrow(top_k=2)


@pytest.mark.parametrize('name, solver, narrow', [
  ('block-masked', threshold.Threshold(0.5), TOP_TWO),
  *(pytest.param(name, first_order.FirstOrder(), base.uncut, marks=pytest.mark.soak)
    for name in ('block-gaussian', 'forcing-uniform', 'forcing-gaussian'))])
def test_step_by_step_in_one_program_and_by_definition_the_samples_are_the_same(
  name, solver, narrow
):
  of = Sessions(name, solver, narrow)
  plain = of.defined()
  state, parts, _ = of.step_by_step()
  whole = of.in_one_program()
  compare = np.testing.assert_array_equal
  if not of.regime.process.discrete:
    compare = functools.partial(np.testing.assert_allclose, atol=2e-4)
  compare(state.x, plain)
  compare(whole.x, plain)
  np.testing.assert_array_equal(state.calls, whole.calls)
  if of.regime.parts.plan.sequential:
    compare(np.concatenate(parts, axis=1), plain)


@functools.cache
def hitting():
  return Sessions('block-masked', SOLVER)


def test_the_cache_grows_from_room_to_room():
  one_walk = hitting().make()
  assert [room.places for room in one_walk.rooms] == [(0,), (2,), (4,)]
  assert [following.places for following in one_walk.windows] == [(0,), (2,), (4,)]
  at, places = one_walk.start(keys()), []
  while not one_walk.ended(at):
    at, _ = one_walk.advance(hitting().regime.params, at)
    (cache,) = at.state.cache
    places.append((one_walk.stand(at), cache.k[0].shape[2], int(cache.length)))
  assert places == [(2, 0, 0), (4, 2, 2), (6, 4, 4)]


@pytest.mark.soak
@pytest.mark.parametrize('lengths', [[0, 1, 3, 5], [2, 2, 4, 3]])
def test_prompts_of_any_length_are_continued_as_the_definition_does(lengths):
  of, given = hitting(), prompt(lengths)
  plan = plan_lib.Plan(3, 2, given=min(lengths) // 2)
  plain = of.defined(plan, **given)
  state, parts, made = of.step_by_step(plan, **given)
  whole = of.in_one_program(plan, **given)
  np.testing.assert_array_equal(state.x, plain)
  np.testing.assert_array_equal(whole.x, plain)
  np.testing.assert_array_equal(np.concatenate(parts, axis=1), plain[:, 2 * plan.given:])
  np.testing.assert_array_equal(state.calls, whole.calls)
  mask = given['given_mask']
  np.testing.assert_array_equal(state.x[mask], given['given'][mask])
  assert made == 3 - plan.given


def test_sessions_that_differ_in_the_given_blocks_alone_share_their_programs():
  of, given = Sessions('block-masked', SOLVER), prompt([4, 2, 5, 3])
  of.step_by_step(plan_lib.Plan(3, 2), **given)
  programs = dict(of.programs)
  assert len(programs) == 3
  plan = plan_lib.Plan(3, 2, given=1)
  state, _, made = of.step_by_step(plan, **given)
  assert made == 2 and of.programs == programs
  np.testing.assert_array_equal(state.x, of.defined(plan, **given))


def test_with_a_stop_symbol_the_samples_are_those_of_the_definition():
  of, given = hitting(), prompt([0, 1, 3, 0])
  plain = of.defined(stop=1, **given)
  assert np.any(plain != of.defined(**given))
  state, _, _ = of.step_by_step(stop=1, **given)
  np.testing.assert_array_equal(state.x, plain)
  np.testing.assert_array_equal(of.in_one_program(stop=1, **given).x, plain)


# ---- With functions for networks ----------------------------------------------------------------


class Cacheless:
  """What a session reads of a network that needs no cache."""

  reads = ()

  def empty_cache(self, batch, places, axes):
    del batch, places, axes

  def grow(self, cache, places):
    del cache, places


def simple(denoise, plan, *, blocks=BLOCKS, process=MASKED, solver=SOLVER, stop=None):
  return session.Session(
    Cacheless(), lambda params: denoise, plan, blocks, process, solver, COORDS, stop=stop)


def walked(one_walk, at):
  """(state at the end, windows walked)."""
  while not one_walk.ended(at):
    at, _ = one_walk.advance(None, at)
  return at.state, at.made


def test_it_ends_early_when_every_example_has_met_its_stop_symbol():
  one_walk = simple(sure_of(1), plan_lib.Plan(3, 2), stop=1)
  state, made = walked(one_walk, one_walk.start(keys()))
  assert made == 1
  np.testing.assert_array_equal(state.x, 1)
  np.testing.assert_array_equal(state.calls, 2)
  endless = simple(sure_of(1), plan_lib.Plan(3, 2), stop=2)
  assert walked(endless, endless.start(keys()))[1] == 3


def test_a_prompt_with_a_stop_symbol_has_not_ended():
  one_walk = simple(sure_of(1), plan_lib.Plan(3, 2), stop=1)
  state, made = walked(one_walk, one_walk.start(keys(), **prompt([0, 2, 2, 3])))
  assert made == 2  # the stop symbols of the prompts, all ones, do not count
  np.testing.assert_array_equal(state.x, 1)


@pytest.mark.parametrize('delay', [None, 1])
def test_noise_that_looks_like_the_stop_symbol_is_none(delay):
  process, plan = uniform.Uniform(3), plan_lib.Plan(3, 3, delay)
  blocks = blocks_lib.equal(6, 2, history=None)
  how = dict(blocks=blocks, process=process, solver=first_order.FirstOrder(), stop=1)
  denoise, some = sure_of(0), keys(8)[3:]
  one_walk = simple(denoise, plan, **how)
  at = one_walk.start(some)
  assert np.all(np.any(np.asarray(at.state.x)[:, 2:] == 1, axis=1))
  state, made = walked(one_walk, at)
  assert made == len(one_walk.windows)
  np.testing.assert_array_equal(
    state.x, walk.sample(denoise, some, plan, coords=COORDS, **how))


def test_what_was_prepared_is_not_compiled_again():
  counter = Counter(MIXED_LOGITS)
  one_walk = simple(counter.denoise, plan_lib.Plan(3, 2))
  at = one_walk.prepare(None, one_walk.start(keys()))
  traces = counter.traces
  assert traces > 0 and counter.calls == 0
  at, _ = one_walk.advance(None, at)
  assert counter.traces == traces and counter.calls == 2


def test_keys_and_masks_of_the_caller_can_be_used_again():
  one_walk = simple(ZERO_LOGITS, plan_lib.Plan(3, 2))
  own, given = keys(), prompt([1, 0, 3, 2])
  first, again = (walked(one_walk, one_walk.start(own, **given))[0].x for _ in range(2))
  np.testing.assert_array_equal(first, again)
  np.testing.assert_array_equal(given['given_mask'].sum(axis=1), [1, 0, 3, 2])
