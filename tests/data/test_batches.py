"""Batches are a pure function of (seed, step)."""

import itertools
import threading

import numpy as np
import pytest

from adiff.codec import none
from adiff.data import base, batches
from adiff.data import chain as chain_lib
from adiff.sequence import blocks as blocks_lib


def moving(*order):
  """Blocks of one token in this order."""
  return blocks_lib.Blocks((1,) * len(order), order)


@pytest.fixture(scope='module')
def source():
  return coded(chain_lib.Chain(num_tokens=4, vocab=3, size=24))


def coded(source):
  return source.coded(none.AsTheyAre())


def assert_same(a, b):
  assert a.keys() == b.keys()
  for name in a:
    np.testing.assert_array_equal(a[name], b[name])


def test_a_batch_depends_on_seed_and_step_alone(source):
  one = batches.Batches(source, 'train', 8, seed=3)
  two = batches.Batches(source, 'train', 8, seed=3)
  later = two.batch_at(17)
  for step in (5, 0, 17):
    one.batch_at(step)
  assert_same(one.batch_at(17), later)
  other = batches.Batches(source, 'train', 8, seed=4)
  assert not np.array_equal(other.indices_at(17), one.indices_at(17))


def test_every_epoch_shows_every_example_once_in_a_new_order(source):
  stream = batches.Batches(source, 'train', 8, seed=0)
  epochs = [np.concatenate([stream.indices_at(3 * e + i) for i in range(3)]) for e in range(3)]
  for epoch in epochs:
    np.testing.assert_array_equal(np.sort(epoch), np.arange(24))
  assert not np.array_equal(epochs[0], epochs[1])


def test_a_share_of_the_split_is_the_same_examples_for_every_seed_spread_over_it(source):
  seen = [
    np.concatenate([
      batches.Batches(source, 'train', 3, seed=seed, share=0.25).indices_at(step)
      for step in range(2)
    ]) for seed in (0, 1)
  ]
  assert np.array_equal(*map(np.sort, seen)) and not np.array_equal(*seen)
  np.testing.assert_array_equal(np.sort(seen[0]) // 4, np.arange(6))  # one of every four
  alone = batches.Batches(source, 'train', 2, seed=0, share=1e-9)
  assert len(set(alone.indices_at(0))) == 1


def test_the_places_of_a_huge_split_are_not_all_written_down(source, monkeypatch):
  small = batches.Batches(source, 'train', 8, seed=0)
  np.testing.assert_array_equal(small.indices_at(0), small._chosen[small.indices_at(0)])
  monkeypatch.setattr(type(source), 'size', lambda self, split: 2**40)
  assert batches.Batches(source, 'train', 8, seed=0).indices_at(0).max() > 2**32


def test_a_batch_larger_than_the_split_wraps_around(source):
  stream = batches.Batches(source, 'train', 60, seed=0)
  counts = np.bincount(stream.indices_at(0), minlength=24)
  assert set(counts) == {2, 3}
  np.testing.assert_array_equal(stream.indices_at(1), stream.indices_at(1))


def test_tokens_come_in_block_order(source):
  plain = batches.Batches(source, 'train', 6, seed=0).batch_at(2)
  moved = batches.Batches(source, 'train', 6, seed=0, blocks=moving(2, 0, 3, 1)).batch_at(2)
  np.testing.assert_array_equal(moved['tokens'], plain['tokens'][:, [2, 0, 3, 1]])
  np.testing.assert_array_equal(moved['label'], plain['label'])


def test_processes_share_out_the_global_batch(source):
  whole = batches.Batches(source, 'train', 8, seed=1).batch_at(9)
  parts = [batches.Batches(source, 'train', 8, seed=1, rows=slice(i, i + 4)).batch_at(9)
           for i in (0, 4)]
  assert_same(whole, {k: np.concatenate([p[k] for p in parts]) for k in whole})


def test_iteration_yields_the_batches_from_its_start(source):
  stream = batches.Batches(source, 'train', 8, seed=1)
  for step, batch in itertools.islice(batches.in_turn([stream], 5), 10):
    assert_same(batch, stream.batch_at(step))
  steps = [step for step, _ in itertools.islice(batches.in_turn([stream], 5), 10)]
  assert steps == list(range(5, 15))


def test_several_streams_take_turns_by_the_number_of_the_step(source):
  several = [batches.Batches(source, 'train', size, seed=1) for size in (8, 4, 6)]
  for step, batch in itertools.islice(batches.in_turn(several, 4), 7):
    assert_same(batch, several[step % 3].batch_at(step))


def test_an_error_in_the_background_reaches_the_reader(source):
  class Broken(chain_lib.Chain):
    def examples(self, split, indices):
      raise OSError('the disk is gone')
  stream = batches.Batches(coded(Broken(num_tokens=4, vocab=3, size=24)), 'train', 8, seed=1)
  with pytest.raises(OSError, match='disk is gone'):
    next(batches.in_turn([stream]))


def test_evaluation_sees_every_example_once_and_in_order(source):
  seen = list(batches.once(source, 'train', 10, moving(3, 2, 1, 0)))
  assert [batch['tokens'].shape for batch in seen] == [(10, 4)] * 3
  tokens = np.concatenate([batch['tokens'] for batch in seen])
  index = np.minimum(np.arange(30), 23)  # copies of the last example fill up
  np.testing.assert_array_equal(tokens[:, ::-1], source.examples('train', index)['tokens'])


def test_evaluation_batches_are_shared_out_too(source):
  whole = list(batches.once(source, 'train', 10))
  parts = [list(batches.once(source, 'train', 10, rows=slice(i, i + 5))) for i in (0, 5)]
  for a, b, c in zip(whole, *parts, strict=True):
    assert_same(a, {k: np.concatenate([b[k], c[k]]) for k in a})


def test_mistakes_are_answered_in_words(source):
  with pytest.raises(ValueError, match='train, test'):
    batches.Batches(source, 'valid', 8, seed=0)
  with pytest.raises(ValueError, match='at least one'):
    batches.Batches(source, 'train', 0, seed=0)
  with pytest.raises(ValueError, match='3 tokens, and examples have 4'):
    batches.Batches(source, 'train', 8, seed=0, blocks=moving(0, 1, 2))


def test_storage_that_stalls_is_told_with_the_step_it_stalls_at(source, monkeypatch):
  held, read = threading.Event(), batches.Batches.batch_at

  def stalls(self, step):
    if step == 2:
      held.wait()
    return read(self, step)

  monkeypatch.setattr(batches.Batches, 'batch_at', stalls)
  monkeypatch.setattr(batches, '_STALLED', 0.2)
  steps = batches.in_turn([batches.Batches(source, 'train', 8, seed=0)])
  assert [next(steps)[0] for _ in range(2)] == [0, 1]
  with pytest.raises(OSError, match='batch of step 2'):
    next(steps)
  held.set()


class Slow(chain_lib.Chain):
  """Examples that are said to take long; so many threads must read them at a time."""

  decodes, together = True, threading.Barrier(1)

  def examples(self, split, indices):
    self.together.wait(10)
    return super().examples(split, indices)


@pytest.mark.parametrize('order', [None, moving(2, 0, 3, 1)])
@pytest.mark.parametrize('workers', [1, 3, 100])
def test_several_threads_decode_a_batch_which_does_not_depend_on_their_number(
  source, monkeypatch, order, workers
):
  monkeypatch.setattr(Slow, 'together', threading.Barrier(min(workers, 8)))
  slow = coded(Slow(num_tokens=4, vocab=3, size=24))
  several, one = (
    batches.Batches(data, 'train', 8, seed=3, blocks=order, workers=workers).batch_at(5)
    for data in (slow, source)
  )
  assert_same(several, one)
  everything = zip(batches.once(slow, 'train', 8, order, workers=workers),
                   batches.once(source, 'train', 8, order), strict=True)
  for several, one in everything:
    assert_same(several, one)


def test_what_fits_into_memory_is_read_by_one_thread(source):
  made = batches.Batches(coded(chain_lib.Chain(num_tokens=4, vocab=3, size=24)), 'train', 8, seed=3)
  assert made._reader._parts == 1 and base.threads(7) == 7
  assert 1 <= base.threads() <= base.MOST_THREADS
