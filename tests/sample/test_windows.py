"""Windows: every move of the plan once, a new one where a block starts."""

import numpy as np
import pytest

from adiff.sample import windows as windows_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import plan as plan_lib


@pytest.mark.parametrize('delay, given', [(None, 0), (None, 1), (1, 0), (2, 0), (0, 0)])
def test_windows_hold_every_move_of_the_matrix_once(delay, given):
  sizes = (1, 2, 3)
  plan = plan_lib.Plan(3, (2, 3, 2), delay, given=given)
  block_of_token = np.repeat(np.arange(3), sizes)
  moves, finished = np.zeros(6, int), 0
  for shape, window in windows_lib.listed(plan, blocks_lib.Blocks(sizes, tuple(range(6)))):
    assert window.pending == finished
    finished += shape.num_pending
    where = slice(window.start, window.start + shape.num_tokens)
    for t, s, index in zip(window.t, window.s, window.index, strict=True):
      moves[where] += s < t
      waits = index < 0
      assert np.all(t[waits] == 1) and np.all(s[waits] == 1)
  budgets = np.where(np.arange(3) < given, 0, plan.budgets)
  np.testing.assert_array_equal(moves, budgets[block_of_token])


def test_the_picture_of_the_module_is_its_spans():
  one_by_one, pyramid = plan_lib.Plan(2, 3), plan_lib.Plan(2, 3, delay=1)
  assert windows_lib.spans(one_by_one) == [(0, 3, 0, 1), (3, 6, 1, 2)]
  assert windows_lib.spans(pyramid) == [(0, 1, 0, 1), (1, 4, 0, 2)]


def test_the_widest_window_holds_all_blocks_in_full_sequence_diffusion_and_one_block_by_block():
  assert windows_lib.widest(plan_lib.Plan(3, 4, delay=0)) == 3
  assert windows_lib.widest(plan_lib.Plan(3, 4)) == 1
  assert windows_lib.widest(plan_lib.Plan(3, 4, delay=2)) == 2


def test_windows_of_equal_shape_are_one_stretch_and_parts_of_it_are_its_windows():
  first, rest = windows_lib.stretches(plan_lib.Plan(4, 2), blocks_lib.equal(8, 2))
  (alone,), (shape,), (windows,) = first.shapes, rest.shapes, rest.windows
  assert (alone.num_pending, shape.num_pending, shape.num_tokens, rest.periods) == (0, 2, 2, 3)
  np.testing.assert_array_equal(windows.start, [2, 4, 6])
  part = windows_lib.part(rest, slice(1, None))
  assert part.shapes == rest.shapes
  for some, every in zip(part.windows[0], windows, strict=True):
    np.testing.assert_array_equal(some, every[1:])


def test_shapes_that_take_turns_are_one_stretch_however_many_there_are():
  kinds = {'a': blocks_lib.equal(24, 2), 'b': blocks_lib.equal(12, 1)}
  blocks = blocks_lib.joint(kinds, turns=True)
  listed = windows_lib.listed(plan_lib.Plan(24, 2), blocks)
  first, turns, last = windows_lib.grouped(listed)
  assert [len(stretch.shapes) for stretch in (first, turns, last)] == [1, 2, 1]
  assert (first.periods, turns.periods, last.periods) == (1, 11, 1)
  again = [first.shapes[0], *turns.shapes * 11, last.shapes[0]]
  assert again == [shape for shape, _ in listed]
  np.testing.assert_array_equal(turns.windows[0].start[:3], [2, 5, 8])
