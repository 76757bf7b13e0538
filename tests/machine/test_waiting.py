"""Time in which devices wait for data is told, and only that."""

import pytest
from absl import logging

from adiff.machine import waiting


class Clock:
  """Time that passes as a test says."""

  def __init__(self):
    self.now = 100.0

  def perf_counter(self):
    return self.now

  def batches(self, *seconds):
    """Each takes so long to come."""
    for number, one in enumerate(seconds):
      self.now += one
      yield number


@pytest.fixture
def clock(monkeypatch):
  made = Clock()
  monkeypatch.setattr(waiting, 'time', made)
  return made


@pytest.fixture
def said(monkeypatch):
  """What was warned of."""
  lines = []
  monkeypatch.setattr(logging, 'warning', lambda text, *words: lines.append(text % words))
  return lines


def shares(clock, watch, batches, *, step, busy=lambda: False, every=2):
  """The share after every so many steps of so many seconds."""
  found = []
  for number in watch.watched(batches, busy):
    clock.now += step
    if (number + 1) % every == 0:
      found.append(watch.share())
  return found


def test_the_share_of_the_time_is_told_that_idle_devices_waited(clock, said):
  found = shares(clock, waiting.Waiting(), clock.batches(50, 1, 1, 1, 0, 0), step=3)
  # The first one is not counted as waiting.
  assert found == [pytest.approx(1 / 57), pytest.approx(2 / 8), 0]
  assert len(said) == 1 and '25% of the last 8.0 seconds' in said[0]
  assert 'adiff.data.prepare' in said[0]


def test_a_batch_that_comes_while_a_step_is_computed_costs_nothing(clock, said):
  computing = iter([True, True, False])
  found = shares(
    clock, waiting.Waiting(), clock.batches(0, 1, 1, 1), step=1, busy=lambda: next(computing))
  assert found == [0, pytest.approx(1 / 4)]


def test_it_is_warned_of_once_in_a_while(clock, said):
  watch = waiting.Waiting()
  shares(clock, watch, clock.batches(*[1] * 6), step=1)
  assert len(said) == 1
  clock.now += waiting.AGAIN
  watch.restart()
  shares(clock, watch, clock.batches(*[1] * 6), step=1)
  assert len(said) == 2


def test_an_evaluation_is_not_counted(clock, said):
  watch = waiting.Waiting()
  shares(clock, watch, clock.batches(0, 5, 5), step=1, every=100)
  clock.now += 100
  watch.restart()
  clock.now += 10
  assert watch.share() == 0 and not said
