"""A lock in a bucket: an object that names its owner, who writes it anew as long as it lives.

  WORKDIR/lock   {"owner": "process 17 on tpu-3", "machine": .., "pid": 17, "token": ..}

It is taken by making the object where there is none, or by replacing the one generation of it that
gave no sign of life for STALE seconds; the service lets one of two that try it through. Clocks of
two machines are never compared: who finds a lock watches it, and knows at once only of a process of
its own machine whether that is alive. An owner whose lock was taken, because it could not reach the
bucket for so long, writes nothing any more: bucket.check_held.
"""

import contextlib
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator

from adiff.machine import bucket, input_file, json_file, storage

BEAT, STALE = 15.0, 60.0  # seconds between two signs of life, and without one
_PAUSE = 1.0  # between two looks at a lock of somebody else
_FORM = {'owner': str, 'machine': str, 'pid': int, 'token': str}
_NOBODY = {'owner': 'another process', 'machine': '', 'pid': 0, 'token': ''}


class Held(ValueError):
  """Another process holds a lock, here or in a folder of a disk."""


@contextlib.contextmanager
def held(folder, what) -> Iterator[None]:
  """Holds FOLDER/lock of a bucket while the block runs.

  Raises Held, '{folder} {what} by {owner}; ..', where another process holds it, after up to
  STALE seconds where it may be dead; OSError where the bucket cannot be written.
  """
  lock = _Lock(f'{storage.absolute(folder)}/lock')
  lock.take(folder, what)
  beat = threading.Thread(target=lock.beat, args=(folder,), name='adiff-lock', daemon=True)
  beat.start()
  try:
    yield
  finally:
    lock.ended.set()
    beat.join()
    lock.leave()


class _Lock:
  """One process's hold of a lock."""

  def __init__(self, path):
    self._path, self.ended = path, threading.Event()
    self._mine = {
      'owner': f'process {os.getpid()} on {platform.node()}', 'machine': _machine(),
      'pid': os.getpid(), 'token': secrets.token_hex(8),
    }
    self._generation = 0

  def take(self, folder, what):
    """Returns once the lock is ours."""
    end, watched = None, 0
    while not self._put(watched):
      found, generation = self._look()
      refusal = Held(
        f'{folder} {what} by {found["owner"]}; stop that one, or choose another --workdir'
      )
      if found['machine'] == _machine():
        if _alive(found['pid']):
          raise refusal
        watched = generation
      elif end is None:
        print(
          f'{folder} {what} by {found["owner"]}, or was: waiting {STALE:.0f} seconds for a sign of '
          'life', flush=True,
        )
        end, seen = time.monotonic() + STALE, generation
      elif generation not in (0, seen):
        raise refusal
      elif time.monotonic() > end:
        watched = generation
      if not watched and generation:
        time.sleep(min(_PAUSE, STALE / 4))

  def _put(self, generation):
    """Writes the lock in the place of a generation of it; False where that is another by now."""
    try:
      self._generation = bucket.put(self._path, json.dumps(self._mine).encode(), generation)
    except FileExistsError:
      found, generation = self._look()
      if found['token'] != self._mine['token']:  # else the answer to our own write was lost
        return False
      self._generation = generation
    return True

  def _look(self):
    """(what the lock says, its generation), 0 where there is none."""
    generation = bucket.generation(self._path)
    try:
      return json_file.read(self._path, _FORM), generation
    except (FileNotFoundError, input_file.Unreadable):
      return _NOBODY, generation

  def beat(self, folder):
    """Gives signs of life until the end, or until the lock is somebody else's."""
    while not self.ended.wait(BEAT):
      with contextlib.suppress(OSError):  # tried again; the generation tells what happened
        if not self._put(self._generation):
          owner = self._look()[0]['owner']
          bucket.lose(folder, (
            f'{folder} was taken by {owner} while this process could not reach it; this one writes '
            'nothing more: stop one of them'
          ))
          return

  def leave(self):
    """Deletes the lock if it is still ours."""
    with contextlib.suppress(OSError):  # it goes stale
      bucket.delete(self._path, self._generation)


def _alive(pid):
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  except PermissionError:
    pass
  return True


def _machine():
  """What a number of a process counts on: this start of the machine, and this container."""
  start = input_file.read('/proc/sys/kernel/random/boot_id', limit=100).decode().strip()
  return f'{platform.node()} {start} {os.readlink("/proc/self/ns/pid")}'
