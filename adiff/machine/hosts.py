"""Several processes, one program: how they find each other, agree, and notice that one is gone.

They work together, on devices of all (training), or each `alone`, on devices of its own, on what
the others do not (samples, evaluations): then they `claim` pieces of the work, and are `together`
again at its end. Claims and words lie in JAX's coordination service, which the first process holds:
they end with the job, so that nobody who died has claimed anything.
"""

import contextlib
import ctypes
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from adiff.machine import json_file, storage

UNFINISHED = 75  # exit code: "run me again"; 0 means finished
HEARTBEAT = 20  # seconds without a sign of life until a process counts as dead
AUTO = 'auto'
_LONGEST = 2000  # characters of a sentence that all processes hear
PATIENCE = 600.0  # seconds of waiting for another process after which that is said
SEEN = 90.0  # seconds until a shared disk shows to all what one has written
_saved: list[Callable[[], bool]] = []  # of this attempt: is what was begun complete?
_meetings = 0  # of all processes, so far
_alone = False


def start(text: str, gather: int = 1800, command: Sequence[str] = ()) -> None:
  """Joins the others. text: 'auto' where JAX can ask the cluster (a TPU pod, Slurm), else
  INDEX/COUNT@HOST:PORT of the first process. gather: seconds until the last one must be there;
  hosts of a pod come one by one. command: what all were started with, see `check_alike`.

  Raises ValueError for another text, or another command. Ends the process in a sentence, exit code
  1, where not all are there in time. To be called before any device is asked for.
  """
  where = {} if text == AUTO else _address(text)
  _join(gather, **where)
  check_alike(list(command))


def _address(text):
  """The arguments of jax.distributed.initialize that a text stands for."""
  parts = re.fullmatch(r'(\d+)/(\d+)@([^@]+:\d+)', text)
  if not parts or int(parts[1]) >= int(parts[2]):
    raise ValueError(
      f'--processes={text} is not understood; write auto, or INDEX/COUNT@HOST:PORT of the first '
      'process, for example 0/4@10.0.0.1:8476, with INDEX below COUNT'
    )
  return {
    'coordinator_address': parts[3], 'num_processes': int(parts[2]), 'process_id': int(parts[1])
  }


def _join(gather, **where):
  """jax.distributed.initialize, which would end a process that waits in vain with a stack of C++:
  so the clock here runs out before that one."""
  clock = threading.Timer(gather, _absent, [gather])
  clock.daemon = True
  clock.start()
  try:
    jax.distributed.initialize(
      **where, initialization_timeout=gather + 60, heartbeat_timeout_seconds=HEARTBEAT
    )
  except ValueError as error:  # it asked, and nobody answered
    if where:
      raise
    raise ValueError(
      f'--processes={AUTO} finds no cluster here ({error}); write INDEX/COUNT@HOST:PORT of the '
      'first process, for example 0/4@10.0.0.1:8476'
    ) from error
  finally:
    clock.cancel()


def _absent(gather):
  """Ends this process, on a thread: the main one waits."""
  os.write(2, (
    f'adiff: after --gather={gather} seconds not all processes are there; look for those that are '
    'missing, then run all of them again\n'
  ).encode())
  os._exit(1)


def count() -> int:
  """How many processes work together: 1 for one that is `alone`."""
  return 1 if _alone else jax.process_count()


def devices() -> list[jax.Device]:
  """Those that this process works on, its own or, together with others, theirs, too."""
  return jax.local_devices() if _alone else jax.devices()


def first() -> bool:
  """Is this the one process that writes files and talks?"""
  return _alone or jax.process_index() == 0


@contextlib.contextmanager
def alone() -> Iterator[None]:
  """Within, this process works by itself: it is the first, and agrees with itself."""
  global _alone
  before, _alone = _alone, True
  try:
    yield
  finally:
    _alone = before


def claim(what: str) -> bool:
  """Is a piece of work this process's? Of those that are `alone` the one that asks first gets it;
  those that work together all do."""
  if not _alone or jax.process_count() == 1:
    return True
  try:
    _service().key_value_set(f'adiff/claims/{what}', str(jax.process_index()))
  except jax.errors.JaxRuntimeError as error:
    if 'ALREADY_EXISTS' not in str(error):
      raise
    return False
  return True


def together(act: Callable[[], Any]) -> list:
  """Calls act() in every process and returns, when all have, however long one takes, what it
  returned in each, as JSON. What fails in one is told in all, as ValueError in the others."""
  error, value = None, None
  try:
    value = act()
  except Exception as caught:
    error = caught
  said = _exchange([value, None if error is None else str(error)[:_LONGEST]])
  if isinstance(error, OSError) and jax.process_count() > 1:
    raise ValueError(str(error)) from error  # which ends the program in order, with the others
  if error is not None:
    raise error
  for index, (_, fault) in enumerate(said):
    if fault is not None:
      raise ValueError(f'{fault} (so says process {index})')
  return [value for value, _ in said]


def by_first(act: Callable[[], Any]) -> Any:
  """What act() returns in the first process, in all; they wait, however long it takes, where
  `agree` wants all to come within what their network waits, half a minute on CPUs."""
  return together(act if first() else lambda: None)[0]


def check_alike(command: list[str]) -> None:
  """Raises ValueError in all processes where they were not given the same words, but for those that
  say which process each is."""
  own = re.compile('--?(processes|gather)')  # a value may be the next word
  pairs = zip(['', *command], command, strict=False)
  command = [word for before, word in pairs if not (own.match(word) or own.fullmatch(before))]
  for index, theirs in enumerate(_exchange(command)):
    if theirs != command:
      shown = [' '.join(word for word in one if word not in two) or 'without that'
               for one, two in ((theirs, command), (command, theirs))]
      raise ValueError(
        f'process {index} was started with {shown[0]}, process {jax.process_index()} with '
        f'{shown[1]}; start all processes of a job with the same flags'
      )


def seen(path, what: str) -> None:
  """Returns once `path`, which another process has written, is seen by this one.

  Raises ValueError where it does not appear: then they do not share that disk.
  """
  end = time.monotonic() + SEEN
  while not storage.exists(path):
    if time.monotonic() > end:
      raise ValueError(
        f'process {jax.process_index()} does not see {path}, {what}; name a folder that all hosts '
        'share'
      )
    time.sleep(0.05)


def _exchange(value) -> list:
  """What every process says, in all of them, as JSON; signals are heard meanwhile."""
  if jax.process_count() == 1:
    return [value]
  global _meetings
  _meetings += 1
  place = f'adiff/words/{_meetings}'
  _service().key_value_set(f'{place}/of/{jax.process_index()}', json.dumps(value))
  if jax.process_index() == 0:
    said = _heard(f'{place}/of/', jax.process_count())
    found = {int(name.rpartition('/')[2]): _value(word) for name, word in said}
    everything = json.dumps([found[index] for index in sorted(found)])
    _service().key_value_set(f'{place}/all/words', everything)
  ((_, everything),) = _heard(f'{place}/all/', 1)
  return _value(everything)


def _value(word):
  """What a process has said."""
  return json_file.parse(word, object, where='what a process said')


def _heard(place, wanted) -> list[tuple[str, str]]:
  """[(name, word)] of what lies in a folder of names, which ends in /, once there are `wanted`.

  A process that died ends the wait, as JAX notices; one that only hangs does not, for nobody can
  tell that from work that takes long: so after PATIENCE, and again and again, it is said who waits
  for whom.
  """
  pause, begun, told = 0.002, time.monotonic(), 0
  while len(said := _service().key_value_dir_get(place)) < wanted:
    time.sleep(pause)
    pause = min(2 * pause, 1.0)
    if (time.monotonic() - begun) // PATIENCE > told:
      told += 1
      there = {name.rpartition('/')[2] for name, _ in said}
      missing = [str(index) for index in range(wanted) if str(index) not in there]
      logging.warning(
        'process %d has waited for %d minutes for process %s, which is alive; if nothing moves '
        'there any more, stop all processes and run them again', jax.process_index(),
        (time.monotonic() - begun) // 60, ', '.join(missing[:8]),
      )
  return said


def _service():
  """JAX's coordination service: {name: word}, each written once. JAX gives it no public name."""
  return multihost_utils.distributed.global_state.client


@contextlib.contextmanager
def on_signals(names, handler, *, several=False) -> Iterator[None]:
  """Installs a signal handler for a while. In a job of several processes it is JAX's own that
  listens, see `preempted`, unless `several` says that nobody asks it."""
  names = names if several or jax.process_count() == 1 else ()
  before = {name: signal.signal(name, handler) for name in names}
  try:
    yield
  finally:
    for name, old in before.items():
      signal.signal(name, signal.SIG_DFL if old is None else old)  # None: one of JAX's


def exit_unfinished(number, frame) -> NoReturn:
  """A handler for times when nothing is to be saved: the disk holds all there is."""
  if jax.process_count() > 1:
    os._exit(UNFINISHED)  # an orderly end would wait for the others
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
  if count() > 1:
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
  return value if count() == 1 else int(multihost_utils.broadcast_one_to_all(np.int32(value)))


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


def saving(is_there: Callable[[], bool]) -> None:
  """To be called when a checkpoint, or a file, is begun: once it is there, this attempt has saved
  something, and is worth being run again. The disk is asked, because the thread that waits for the
  write may hear of its end later than of another process's."""
  _saved.append(is_there)


def leave(reason: str) -> NoReturn:
  """Ends this process, which has lost the others; at once, as an orderly end would wait for them.

  The exit code is UNFINISHED only where this attempt has saved something, so that being run again
  and again for a fault that comes back ends by itself.
  """
  saved = False
  with contextlib.suppress(OSError):  # of a bucket
    saved = any(is_there() for is_there in reversed(_saved))
  again = 'run all of them again' if saved else (
    'this attempt has saved nothing, so look for the cause before you run all of them again'
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
