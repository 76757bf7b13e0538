"""What lessons make of a batch."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
import tiny

from adiff.codec import patches
from adiff.data import chain as chain_lib
from adiff.judge import likelihood
from adiff.learn import lessons, loss
from adiff.process import gaussian, masked
from adiff.run import build
from adiff.run import taught as taught_lib
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import copies
from adiff.sequence import draw as draw_lib
from configs import digits

TOKENS = jnp.arange(24, dtype=jnp.int32).reshape(4, 6)


def test_a_shortened_row_keeps_its_documents_and_weights_up_to_its_end():
  segment = jnp.broadcast_to(jnp.array([0, 0, 1, 1, 2, 2])[None], (4, 6))
  weight = jnp.broadcast_to(jnp.array([0.0, 1, 1, 1, 1, 1])[None], (4, 6))
  batch = {'tokens': TOKENS, 'segment': segment, 'weight': weight, 'label': jnp.arange(4)}
  short = lessons.RandomLength(1.0)(jax.random.key(0), batch)
  kept = np.asarray(short['segment']) >= 0
  ends = kept.sum(1)
  assert ends.min() >= 1 and ends.min() < 6
  np.testing.assert_array_equal(kept, np.arange(6) < ends[:, None])
  np.testing.assert_array_equal(short['segment'], np.where(kept, segment, -1))
  np.testing.assert_array_equal(short['weight'], np.where(kept, weight, 0))
  for name in ('tokens', 'label'):
    np.testing.assert_array_equal(short[name], batch[name])


def test_rows_of_a_share_of_zero_stay_whole():
  whole = lessons.RandomLength(0.0)(jax.random.key(0), {'tokens': TOKENS})
  assert np.all(whole['segment'] == 0) and np.all(whole['weight'] == 1)


def test_only_packed_rows_say_which_documents_they_hold():
  assert lessons.documents({'tokens': TOKENS, 'weight': TOKENS}) is None
  packed = {'tokens': TOKENS, 'segment': TOKENS, 'position': TOKENS}
  assert lessons.documents(packed) == {'segment': TOKENS, 'position': TOKENS}


@pytest.mark.parametrize('discrete', [False, True])
def test_pictures_are_mirrored_and_shifted_as_pixels_whatever_the_order_of_tokens(discrete):
  shape = (4, 6, 1 if discrete else 3)
  codec = patches.Patches(shape, patch=1 if discrete else 2, discrete=discrete)
  order = np.random.default_rng(0).permutation(codec.num_tokens)
  pictures = np.random.default_rng(1).integers(0, 256, (64, *shape))
  tokens = codec.encode((), pictures)[:, order]
  taught = types.SimpleNamespace(codec=codec)
  train = dict(flip=True, crop=1, random_length=0.0, requantise=0.0, given=0.0)
  config = ml_collections.ConfigDict({'train': train})
  blocks = types.SimpleNamespace(order=order, num_tokens=codec.num_tokens)
  (lesson,) = taught_lib.lessons_of(config, taught, blocks)
  moved = lesson(jax.random.key(0), {'tokens': jnp.asarray(tokens), 'label': jnp.arange(64)})
  raster = np.empty_like(tokens)
  raster[:, order] = moved['tokens']
  possible = [
    np.pad(one, ((1, 1), (1, 1), (0, 0)), 'edge')[y:y + 4, x:x + 6].tobytes()
    for picture in pictures for one in (picture, picture[:, ::-1])
    for y in range(3) for x in range(3)
  ]
  which = [possible.index(one.astype(int).tobytes()) for one in codec.decode((), raster)]
  assert [place // 18 for place in which] == list(range(64))
  assert {place % 18 for place in which} == set(range(18)), 'all moves are made'
  np.testing.assert_array_equal(moved['label'], np.arange(64))


def test_pictures_that_cannot_be_moved_are_told_in_a_sentence():
  config = digits.get_config('scales').unlock()
  config.train.flip = True
  with pytest.raises(ValueError, match='flip and crop move the pixels.*codec.name=patches'):
    build.build(config)
  config = digits.get_config().unlock()
  config.train.crop = 8
  with pytest.raises(ValueError, match='crop=8 moves pictures of .8, 8. pixels out of sight'):
    build.build(config)


# ---- Given tokens --------------------------------------------------------------------------------

GRID = np.stack(np.divmod(np.arange(12), 4), 1)  # 3 x 4 places
ORDER = np.random.default_rng(2).permutation(12)
BOXES = blocks_lib.Blocks((4, 4, 4), tuple(ORDER.tolist()))


@functools.cache
def taught(share=1.0, num=2000):
  lesson = lessons.Given(share, BOXES.block_of_token, GRID[ORDER])
  batch = {'tokens': jnp.zeros((num, 12), jnp.int32), 'label': jnp.arange(num)}
  return jax.jit(lesson)(jax.random.key(0), batch)


def shape_of(given):
  """Which of the ways may have shown these tokens, bool [12]."""
  where = GRID[ORDER][given]
  low, high = (where.min(0), where.max(0)) if given.any() else (np.ones(2), np.zeros(2))
  inside = np.all((GRID[ORDER] >= low) & (GRID[ORDER] <= high), 1)
  ways = {'box'} if given.any() and np.array_equal(inside, given) else set()
  if not given[int(given.sum()):].any():
    ways.add('prefix')
  if all(given[4 * k:4 * k + 4].all() or not given[4 * k:4 * k + 4].any() for k in range(3)):
    ways.add('blocks')
  return ways


def test_given_tokens_are_prefixes_blocks_boxes_holes_and_scattered_ones():
  given = np.asarray(taught()['given'])
  found = [shape_of(row) for row in given]
  holes = ['box' in shape_of(~row) for row in given]
  alone = {way: np.mean([ways == {way} for ways in found]) for way in ('prefix', 'blocks', 'box')}
  assert min(alone.values()) > 0.02 and np.mean(holes) > 0.15
  assert np.mean([not ways and not hole for ways, hole in zip(found, holes, strict=True)]) > 0.1
  assert 0.3 < given.mean() < 0.7 and given.any(0).all() and not given.all(0).any()


def test_a_box_of_several_kinds_is_one_of_the_places_of_one_kind():
  grids = [np.pad(np.arange(5)[:, None], ((0, 0), (0, 2))), np.pad(GRID, ((0, 0), (1, 0)))]
  kind = np.repeat([0, 1], [5, 12])
  lesson = lessons.Given(1.0, kind, np.concatenate(grids), kind)
  box = np.asarray(lesson._box(jax.random.key(6), 2000))
  words, patches_of = box[:, kind == 0], box[:, kind == 1]
  assert box.any(1).all() and not (words.any(1) & patches_of.any(1)).any()
  assert 0.45 < words.any(1).mean() < 0.55 and words.any(0).all() and patches_of.any(0).all()
  for row in patches_of[patches_of.any(1)]:
    where = GRID[row]
    inside = (GRID >= where.min(0)) & (GRID <= where.max(0))
    np.testing.assert_array_equal(inside.all(1), row)


def test_given_tokens_have_no_weight_and_a_share_of_rows_shows_none():
  some = taught(share=0.25)
  given = np.asarray(some['given'])
  np.testing.assert_array_equal(some['weight'], ~given)
  assert 0.17 < given.any(1).mean() < 0.27  # some of the prefixes and boxes are empty
  np.testing.assert_array_equal(some['label'], np.arange(2000))
  padded = lessons.Given(1.0, BOXES.block_of_token, GRID[ORDER])(jax.random.key(1), {
    'tokens': jnp.zeros((2, 12), jnp.int32), 'weight': jnp.zeros((2, 12))})
  assert not np.any(padded['weight'])


@pytest.mark.parametrize('history', [0.0, None])
def test_the_network_is_shown_given_tokens_as_the_bound_shows_them(history):
  process, asked = gaussian.Gaussian(1), []
  blocks = dataclasses.replace(BOXES, history=history)
  x0 = jax.random.normal(jax.random.key(3), (8, 12, 1))
  given = jax.random.bernoulli(jax.random.key(4), 0.5, (8, 12))

  def spy(ask):
    asked.append(ask)
    return jnp.zeros(ask.x.shape)

  how = dict(blocks=blocks, process=process, coords=GRID)
  denoise = ask_lib.from_outputs(spy)
  loss.loss(denoise, jax.random.key(5), x0, draw=draw_lib.uniform(low=0.1), given=given, **how)
  likelihood.bound(denoise, jax.random.key(5), x0, known=given, **how)
  for ask in asked:
    x, t = ask.x[:, :12], copies.levels(ask.t, ask.slots)[:, :12]
    np.testing.assert_array_equal(x[given], x0[given])
    assert np.all(t[given] == 0) and np.all(t[~given] > 0) and np.all(x[~given] != x0[~given])
  if history is not None:
    assert np.all(copies.levels(asked[0].t, asked[0].slots)[:, 12:] == history)


def test_what_a_perfect_network_loses_beside_given_tokens_is_their_conditional_entropy():
  chain, process = chain_lib.Chain(4, 3, size=8), masked.Masked(3)
  blocks, num = blocks_lib.equal(4, 2), 2**14
  lesson = lessons.Given(1.0, blocks.block_of_token, np.arange(4)[:, None])
  rows = lesson(jax.random.key(0), {'tokens': jnp.asarray(chain.sample(num, seed=3))})
  x0, given = np.asarray(rows['tokens']), np.asarray(rows['given'])
  law = np.exp(chain.log_prob(np.indices((3,) * 4).reshape(4, -1).T)).reshape((3,) * 4)
  exact = np.zeros(num)
  for free in np.ndindex(2, 2, 2, 2):  # each block, given the blocks before it and what it shows
    here = np.all(~given == np.array(free, bool), 1)
    for end in (2, 4):
      unknown = [i for i in range(4) if i >= end or (i >= end - 2 and free[i])]
      joint = law.sum(tuple(range(end, 4)), keepdims=True)
      known = law.sum(tuple(unknown), keepdims=True)
      place = tuple((x0[here] * [i < end for i in range(4)]).T)
      other = tuple((x0[here] * [i not in unknown for i in range(4)]).T)
      exact[here] += np.log(known[other]) - np.log(joint[place])

  @jax.jit
  def lost(key, rows):
    denoise = tiny.exact_masked(chain, blocks, process)
    _, means = loss.loss(
      denoise, key, rows['tokens'], blocks=blocks, process=process, draw=draw_lib.uniform(),
      coords=np.arange(4)[:, None], weight=rows['weight'], given=rows['given'])
    return means['loss'].total

  parts = jax.tree.map(lambda leaf: leaf.reshape(16, -1, 4), rows)
  total = np.array([
    lost(jax.random.key(i), jax.tree.map(lambda leaf, i=i: leaf[i], parts)) for i in range(16)])
  gap = total / (num / 16) - exact.reshape(16, -1).mean(1)
  assert abs(gap.mean()) < 4 * gap.std(ddof=1) / 4 and gap.std(ddof=1) / 4 < 0.05 * exact.mean()
