"""Tokens of several kinds: what is said of a sequence holds of a list of its tokens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.sequence import blocks as blocks_lib
from adiff.sequence import tokens
from adiff.sequence.tokens import Tokens

RUNS = (('text', 2), ('image', 3), ('text', 1), ('sound', 2), ('image', 1))
MANY = (('text', 1), ('image', 1)) * 12  # more pieces than are cut out one by one


def make(runs, first=0):
  """Tokens whose values are their places in the sequence: symbols, or vectors of two."""
  parts = {}
  for kind, index in tokens.places(runs).items():
    own = jnp.asarray(first + index)[None].astype(jnp.int32)
    parts[kind] = own if kind == 'text' else jnp.stack([own, -own], -1).astype(jnp.float32)
  return Tokens(parts, runs)


def listed(x):
  """[(kind, value)] of the first example, token by token."""
  found = [None] * x.shape[1]
  for kind, index in tokens.places(x.runs).items():
    for place, value in zip(index, np.asarray(x.parts[kind])[0], strict=True):
      found[place] = kind, tuple(np.ravel(value).tolist())
  return found


@pytest.mark.parametrize('runs', [RUNS, MANY])
def test_what_is_dealt_out_is_gathered_again(runs):
  num = tokens.count(runs)
  leaf = jnp.arange(6.0 * num).reshape(2, num, 3)
  dealt = tokens.deal(leaf, runs)
  assert {kind: part.shape[1] for kind, part in dealt.items()} == {
    kind: sum(n for own, n in runs if own == kind) for kind in dealt}
  np.testing.assert_array_equal(tokens.gather(dealt, runs), leaf)
  np.testing.assert_array_equal(
    jax.grad(lambda leaf: jnp.sum(tokens.gather(tokens.deal(leaf, runs), runs) ** 2))(leaf),
    2.0 * leaf)


@pytest.mark.parametrize('runs', [RUNS, MANY])
@pytest.mark.parametrize('traced', [False, True])
def test_a_stretch_is_cut_out_and_put_back_wherever_it_starts(runs, traced):
  x, num = make(runs), tokens.count(runs)
  for first, end in ((0, num), (1, 4), (2, 5), (num - 2, num), (3, 3)):
    part_runs = tokens.between(runs, first, end)
    cut = jax.jit(lambda x, at, runs=part_runs: tokens.cut(x, at, runs)) if traced else (
      lambda x, at, runs=part_runs: tokens.cut(x, at, runs))
    part = cut(x, first)
    assert listed(part) == listed(x)[first:end] if end > first else part.runs == ()
    if end > first:
      other = jax.tree.map(lambda leaf: leaf + 100, part)
      back = (jax.jit(tokens.put) if traced else tokens.put)(x, other, first)
      wanted = listed(x)[:first] + listed(other) + listed(x)[end:]
      assert listed(back) == wanted


def test_tokens_are_joined_one_behind_another_and_runs_that_meet_become_one():
  whole = tokens.join(make(RUNS), make((('image', 2), ('text', 1)), first=9))
  assert listed(whole) == listed(make(RUNS)) + listed(make((('image', 2), ('text', 1)), first=9))
  assert whole.runs[4] == ('image', 3)


def test_tokens_are_picked_by_a_mask_of_all_kinds():
  x, y = make(RUNS), make(RUNS, first=50)
  mask = jnp.asarray([[True, False, False, True, True, False, True, False, False]])
  wanted = [a if of else b for of, a, b in zip(mask[0], listed(x), listed(y), strict=True)]
  assert listed(tokens.pick(mask, x, y)) == wanted


def test_an_order_of_all_tokens_is_an_order_of_each_kind_and_has_an_inverse():
  x = make((('text', 3), ('image', 6)))
  order = [3, 4, 0, 8, 7, 2, 1, 6, 5]
  blocks = blocks_lib.Blocks((2, 1, 2, 2, 2), tuple(order),
                             kinds=('image', 'text', 'image', 'text', 'image'))
  moved = blocks.from_raster(x)
  assert listed(moved) == [listed(x)[i] for i in order]
  assert listed(blocks.to_raster(moved)) == listed(x)
  assert blocks.raster == x.runs


def test_whoever_makes_them_and_in_whatever_order_tokens_are_one_tree():
  x = make(RUNS)
  turned = Tokens(dict(reversed(x.parts.items())), x.runs)
  assert jax.tree.structure(x) == jax.tree.structure(turned)
  assert jax.tree.structure(x) != jax.tree.structure(make(MANY))
  assert len(x) == 1 and x.shape == (1, 9)


def test_a_bare_array_is_cut_joined_and_picked_as_it_was():
  x = jnp.arange(12.0).reshape(2, 6)
  np.testing.assert_array_equal(tokens.cut(x, 2, ((None, 3),)), x[:, 2:5])
  np.testing.assert_array_equal(tokens.put(x, x[:, :2], 4)[:, 4:], x[:, :2])
  np.testing.assert_array_equal(tokens.join(x, x), jnp.concatenate([x, x], 1))
  assert tokens.runs_of(x) == ((None, 6),)
  assert tokens.map_kinds(jnp.negative, x)[0, 1] == -1
