"""Locks in a bucket: one owner, who is told from a dead one without comparing clocks."""

import concurrent.futures
import json
import os
import threading
import time

import pytest

from adiff.machine import bucket as bucket_lib
from adiff.machine import bucket_lock, files, json_file, storage


@pytest.fixture(autouse=True)
def fast(monkeypatch):
  monkeypatch.setattr(bucket_lock, 'BEAT', 0.03)
  monkeypatch.setattr(bucket_lock, 'STALE', 0.25)
  monkeypatch.setattr(bucket_lib, '_lost', {})


def left(folder, **facts):
  """What an owner leaves that says nothing any more."""
  facts = {'owner': 'process 7 on tpu-3', 'machine': 'tpu-3', 'pid': 7, 'token': 'x', **facts}
  return bucket_lib.put(f'{folder}/lock', json.dumps(facts).encode())


def test_a_lock_names_its_owner_and_is_gone_when_it_is_left(bucket):
  with bucket_lock.held(bucket, 'is being trained'):
    assert json_file.read(f'{bucket}/lock')['pid'] == os.getpid()
    with pytest.raises(ValueError, match=f'is being trained by process {os.getpid()} on '):
      with bucket_lock.held(bucket, 'is being trained'):
        pass
    first = bucket_lib.generation(f'{bucket}/lock')
    time.sleep(0.12)
    assert bucket_lib.generation(f'{bucket}/lock') > first  # signs of life
  assert not storage.exists(f'{bucket}/lock')


def test_the_lock_of_a_dead_process_of_this_machine_is_taken_at_once(bucket, monkeypatch):
  left(bucket, machine=bucket_lock._machine(), pid=2**22 + 1)
  monkeypatch.setattr(bucket_lock, 'STALE', 1000.0)
  with bucket_lock.held(bucket, 'is being trained'):
    assert json_file.read(f'{bucket}/lock')['pid'] == os.getpid()


def test_a_lock_of_another_machine_is_taken_when_it_gives_no_sign_of_life(bucket, capsys):
  left(bucket)
  begun = time.monotonic()
  with bucket_lock.held(bucket, 'is being trained'):
    assert time.monotonic() - begun > 0.25
  assert 'by process 7 on tpu-3, or was: waiting 0 seconds for a sign' in capsys.readouterr().out


def test_a_lock_of_another_machine_that_lives_is_refused_with_its_owner(bucket, monkeypatch):
  ended = threading.Event()

  def live():
    while not ended.wait(0.03):
      left(bucket)

  left(bucket)
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    pool.submit(live)
    try:
      with pytest.raises(ValueError, match='is being written by process 7 on tpu-3; stop that one'):
        with bucket_lock.held(bucket, 'is being written'):
          pass
    finally:
      ended.set()


def test_of_many_that_try_one_holds_a_stale_lock(bucket, monkeypatch):
  left(bucket)
  machines = iter(range(100))
  monkeypatch.setattr(bucket_lock, '_machine', lambda: f'host {next(machines)}')

  def attempt(number):
    try:
      with bucket_lock.held(bucket, 'is being trained'):
        time.sleep(0.6)
        return True
    except ValueError:
      return False

  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert sum(pool.map(attempt, range(4))) == 1


def test_who_lost_its_lock_writes_nothing_more(bucket):
  with bucket_lock.held(bucket, 'is being trained'):
    left(bucket)
    end = time.monotonic() + 5
    while not bucket_lib._lost and time.monotonic() < end:
      time.sleep(0.01)
    with pytest.raises(OSError, match='was taken by process 7 on tpu-3 while this process could'):
      files.write_json(f'{bucket}/eval.json', {})
    files.write_json(f'{bucket}_beside/eval.json', {})
  assert json_file.read(f'{bucket}/lock')['pid'] == 7  # is not ours to delete


def test_a_damaged_lock_counts_as_one_of_another_process(bucket):
  bucket_lib.put(f'{bucket}/lock', b'no JSON')
  with bucket_lock.held(bucket, 'is being trained'):
    assert json_file.read(f'{bucket}/lock')['pid'] == os.getpid()
