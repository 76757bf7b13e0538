"""Several processes, one program: how they find each other, agree, and notice that one is gone."""

import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from adiff.machine import manifest

UNFINISHED = 75  # exit code: "run me again"; 0 means finished
HEARTBEAT = 20  # seconds without a sign of life until a process counts as dead
AUTO = 'auto'
_LONGEST = 2000  # characters of a sentence that all processes hear
_checkpoints: list[str] = []  # of this attempt: folders that appear once they are complete


def start(text: str, gather: int = 1800) -> None:
  """Joins the others. text: 'auto' where JAX can ask the cluster (a TPU pod, Slurm), else
  INDEX/COUNT@HOST:PORT of the first process. gather: seconds until the last one must be there;
  hosts of a pod come one by one.

  Raises ValueError for another text. Ends the process in a sentence, exit code 1, where not all are
  there in time. To be called before any device is asked for.
  """
  if text == AUTO:
    _join(gather)
    return
  parts = re.fullmatch(r'(\d+)/(\d+)@([^@]+:\d+)', text)
  if not parts or int(parts[1]) >= int(parts[2]):
    raise ValueError(
      f'--processes={text} is not understood; write auto, or INDEX/COUNT@HOST:PORT of the first '
      'process, for example 0/4@10.0.0.1:8476, with INDEX below COUNT'
    )
  index, count, address = int(parts[1]), int(parts[2]), parts[3]
  _join(gather, coordinator_address=address, num_processes=count, process_id=index)


def _join(gather, **where):
  """jax.distributed.initialize, which would end a process that waits in vain with a stack of C++:
  so the clock here runs out before that one."""
  clock = threading.Timer(gather, _absent, [gather])
  clock.daemon = True
  clock.start()
  jax.distributed.initialize(
    **where, initialization_timeout=gather + 60, heartbeat_timeout_seconds=HEARTBEAT
  )
  clock.cancel()


def _absent(gather):
  """Ends this process, on a thread: the main one waits."""
  os.write(2, (
    f'adiff: after --gather={gather} seconds not all processes are there; look for those that are '
    'missing, then run all of them again\n'
  ).encode())
  os._exit(1)


def first() -> bool:
  """Is this the one process that writes files and talks?"""
  return jax.process_index() == 0


@contextlib.contextmanager
def on_signals(names, handler) -> Iterator[None]:
  """Installs a signal handler for a while. In a job of several processes it is JAX's own that
  listens: see `preempted`."""
  names = names if jax.process_count() == 1 else ()
  before = {name: signal.signal(name, handler) for name in names}
  try:
    yield
  finally:
    for name, old in before.items():
      signal.signal(name, old)


def exit_unfinished(number, frame) -> NoReturn:
  """A handler for times when nothing is to be saved: the last checkpoint holds all there is."""
  sys.exit(UNFINISHED)


def say(text: str) -> None:
  """Prints it once."""
  if first():
    print(text, flush=True)


def agree(act) -> None:
  """Calls act() in the first process; a ValueError or OSError of it is raised in all."""
  error, text = None, b''
  if first():
    try:
      act()
    except (ValueError, OSError) as caught:
      error, text = caught, str(caught).encode()[:_LONGEST]
  if jax.process_count() > 1:
    letters = np.zeros(_LONGEST, np.uint8)
    letters[:len(text)] = np.frombuffer(text, np.uint8)
    letters = multihost_utils.broadcast_one_to_all(letters)
    text = bytes(np.asarray(letters)).rstrip(b'\0')
  if error is not None:
    raise error
  if text:
    raise ValueError(text.decode(errors='replace'))


def told(value: int) -> int:
  """What the first process says, in all of them."""
  return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def most(value: float) -> float:
  """The largest of what the processes say, in all of them."""
  if jax.process_count() == 1:
    return value
  return float(np.max(multihost_utils.process_allgather(np.float32(value))))


def lost(error) -> bool:
  """Does an error of JAX say that the processes cannot reach each other any more? (It gives no
  kind of its own to that; too little memory is what else a running program fails with.)"""
  is_jax = isinstance(error, jax.errors.JaxRuntimeError)
  return is_jax and jax.process_count() > 1 and 'RESOURCE_EXHAUSTED' not in str(error)


def saving(folder: str) -> None:
  """To be called when a checkpoint is begun: once `folder` is there, this attempt has saved
  something, and is worth being run again. The disk is asked, because the thread that waits for the
  write may hear of its end later than of another process's."""
  _checkpoints.append(folder)


def leave(reason: str) -> NoReturn:
  """Ends this process, which has lost the others; at once, as an orderly end would wait for them.

  The exit code is UNFINISHED only where this attempt has saved something, so that being run again
  and again for a fault that comes back ends by itself.
  """
  saved = False
  with contextlib.suppress(OSError):  # of a bucket
    saved = any(map(manifest.committed, reversed(_checkpoints)))
  again = 'run all of them again' if saved else (
    'this attempt has saved no checkpoint, so look for the cause before you run all of them again'
  )
  os.write(2, (  # on a line of its own, below a progress bar
    '\nadiff: the processes lost each other, most likely because another task died; '
    f'{again} ({reason})\n'
  ).encode())
  os._exit(UNFINISHED if saved else 1)


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _leave(number):
  leave('JAX says above what it noticed')


def outlive() -> None:
  """Makes the processes that survive one that died `leave`, where JAX would abort them.

  JAX does so on a thread of its own and without an exception. The handler runs on that thread; one
  of Python's would wait for the main thread, which waits for the dead. To be called once there are
  devices: TPUs bring a handler of their own.
  """
  if jax.process_count() > 1:
    ctypes.CDLL(None).signal(signal.SIGABRT, _leave)


def preempted(step: int) -> bool:
  """Shall all processes save and stop after this step? True for all at the same step, soon after
  SIGTERM reached one of them; to be asked after every step."""
  return jax.process_count() > 1 and multihost_utils.reached_preemption_sync_point(step)
