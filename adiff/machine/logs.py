"""What a run says while it runs: a progress bar, metrics.jsonl, TensorBoard and pictures.

metrics.jsonl has one JSON object a line, {"step": 100, "loss": 3.2, "time/ms": 41.0, ...}. Only
keys that begin with "time/" may differ between two runs of one config on one machine.

A bucket takes no lines: both files are then written on this machine's disk, and copied whole before
every checkpoint (Logs.keep) and once a minute.
"""

import errno
import json
import math
import os
import tempfile
import time

import numpy as np
import tqdm
from absl import logging
from PIL import Image
from tensorboardX import event_file_writer, summary
from tensorboardX.proto import event_pb2

from adiff.machine import files, input_file, json_file, manifest, storage

FILE = 'metrics.jsonl'
KEEP_SECONDS = 60.0  # between two copies into a bucket
READ_BYTES = 64 * 2**20  # of a file that is kept in memory whole


class Logs:
  """Writes the metrics of one run to its workdir.

  total_steps and start_step: the bar's length and where it starts. Lines of an earlier attempt
  behind start_step are dropped, so a resumed run has every step once. tokens_per_step: of the whole
  batch. flops_per_step and peak_flops: of the model and of all devices; None hides the utilisation.
  silent: nothing is written or shown, whatever is called: for every process but the first. Raises
  OSError when the workdir cannot be written.
  """

  def __init__(
    self,
    workdir,
    *,
    total_steps: int,
    start_step: int = 0,
    tokens_per_step: int,
    flops_per_step: float | None = None,
    peak_flops: float | None = None,
    progress: bool = True,
    silent: bool = False,
  ):
    self._silent = silent
    if silent:
      return
    self._workdir = self._place = os.fspath(workdir)
    if storage.remote(workdir):
      self._spool = tempfile.TemporaryDirectory(prefix='adiff')
      self._place, self._kept = self._spool.name, time.monotonic()
    self._tokens, self._flops, self._peak = tokens_per_step, flops_per_step, peak_flops
    try:
      storage.make_folder(self._workdir)
      _truncate(self._workdir, self._place, start_step)
      self._file = open(os.path.join(self._place, FILE), 'a')
      self._board = _Board(os.path.join(self._place, 'tensorboard'), start_step + 1)
    except OSError as error:
      raise self._cannot_write(error) from error
    self._bar = tqdm.tqdm(
      total=total_steps,
      initial=start_step,
      disable=not progress,
      dynamic_ncols=True,
      unit='step',
      bar_format='{desc} {percentage:3.0f}%|{bar}| {n}/{total} [{elapsed}<{remaining}]{postfix}',
    )
    self._step = self._last = start_step
    self._clock = time.perf_counter()
    self._ticked_step, self._ticked = start_step, self._clock

  def tick(self, step: int, loss) -> None:
    """Moves the bar; cheap, and waits for `loss` only when the bar is redrawn (ten times a second).

    step: number of updates made so far.
    """
    if self._silent:
      return
    self._last = step
    now = time.perf_counter()
    if self._bar.disable or now - self._ticked < 0.1:
      return
    loss = float(loss)  # Waits for the device, so the clock is read again.
    now = time.perf_counter()
    if step > self._ticked_step:
      speed = self._speed(step - self._ticked_step, now - self._ticked)
      text = f'loss {loss:.4g}, {speed["time/ms"]:.3g} ms, '
      text += f'{_short(speed["time/tokens_per_s"])} tok/s'
      if 'time/utilisation' in speed:
        text += f', {100 * speed["time/utilisation"]:.1f}% MFU'
      self._bar.set_postfix_str(text, refresh=False)
    self._ticked_step, self._ticked = step, now
    self._bar.update(step - self._bar.n)

  def write(self, step: int, scalars: dict) -> None:
    """Appends one line and the TensorBoard scalars; floats, ints or arrays of any shape.

    Adds the mean speed since the last write: time/ms, time/tokens_per_s, time/utilisation, and
    time/at in seconds since 1970. Arrays become lists in the file and 'name/index' scalars on the
    board; numbers that are not finite become null in the file, as JSON has none.
    """
    if self._silent:
      return
    now = time.perf_counter()
    line = {name: np.asarray(value).tolist() for name, value in scalars.items()}
    if step > self._step:
      line.update(self._speed(step - self._step, now - self._clock))
    line['time/at'] = time.time()
    self._step, self._clock = step, now
    try:
      if not os.path.exists(self._file.name):  # else it would go on writing into nowhere
        raise FileNotFoundError(errno.ENOENT, 'the folder is gone')
      self._file.write(json.dumps({'step': step} | _finite(line), allow_nan=False) + '\n')
      self._file.flush()
      for name, value in line.items():
        if name == 'time/at':
          continue
        flat = np.ravel(np.asarray(value))
        for index, scalar in enumerate(flat):
          tag = name if flat.size == 1 else f'{name}/{index}'
          if not math.isnan(scalar):  # an empty bin of a curve
            self._board.add(summary.scalar(tag, float(scalar)), step)
    except OSError as error:
      raise self._cannot_write(error) from error
    if self._place != self._workdir and time.monotonic() - self._kept > KEEP_SECONDS:
      self.keep()

  def keep(self) -> None:
    """Returns once a bucket has all that was written; on a disk it is there already."""
    if self._silent or self._place == self._workdir:
      return
    self._kept = time.monotonic()
    try:
      self._board.flush()
      for parent, _, names in os.walk(self._place):
        for name in names:
          path = os.path.join(parent, name)
          inside = os.path.relpath(path, self._place)
          storage.put(path, os.path.join(self._workdir, inside))
    except OSError as error:
      raise self._cannot_write(error) from error

  def pause(self) -> None:
    """Restarts the clock, so that an evaluation or a save is not counted as training time."""
    if self._silent:
      return
    self._clock = self._ticked = time.perf_counter()

  def images(self, step: int, name: str, image) -> str | None:
    """Writes one uint8 picture [H, W], [H, W, 1] or [H, W, 3]; returns the path of the PNG.

    Raises ValueError for other shapes or types.
    """
    if self._silent:
      return None
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[-1] == 1:
      image = image[..., 0]
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
      raise ValueError(
        f'picture {name!r} is {image.dtype} {list(image.shape)}; use uint8 [H, W] or [H, W, 3]'
      )
    folder = os.path.join(self._workdir, 'pictures')
    path = os.path.join(folder, f'{name}_{step:08d}.png')
    layout = 'HW' if image.ndim == 2 else 'HWC'
    try:
      storage.make_folder(folder, parents=False)
      with files.whole(path, 'wb') as file:
        Image.fromarray(image).save(file, format='PNG')
      self._board.add(summary.image(name, image, dataformats=layout), step)
    except OSError as error:
      raise self._cannot_write(error) from error
    return path

  def close(self) -> None:
    """Flushes and closes everything."""
    if self._silent:
      return
    self._bar.update(self._last - self._bar.n)
    self._bar.close()
    self.keep()
    try:
      self._file.close()
      self._board.close()
    except OSError as error:
      raise self._cannot_write(error) from error
    if self._place != self._workdir:
      self._spool.cleanup()

  def _cannot_write(self, error):
    return files.unwritable(f'metrics cannot be written to {self._workdir}', error)

  def _speed(self, steps, seconds):
    seconds = max(seconds, 1e-9) / steps
    speed = {'time/ms': 1000 * seconds, 'time/tokens_per_s': self._tokens / seconds}
    if self._flops is not None and self._peak is not None:
      speed['time/utilisation'] = self._flops / seconds / self._peak
    return speed


class _Board:
  """A TensorBoard event file, written at once.

  tensorboardX's own writer hands events to a thread; on a full disk that thread dies, and the next
  call waits for it forever. Events of an earlier attempt from `first_step` on are hidden.
  """

  def __init__(self, folder, first_step):
    os.makedirs(folder, exist_ok=True)
    prefix = os.path.join(folder, 'events')
    self._writer = event_file_writer.EventsWriter(prefix, f'.{os.getpid()}')
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self._write(step=first_step, session_log=start)

  def add(self, values, step):
    self._write(step=step, summary=values)

  def _write(self, **event):
    self._writer.write_event(event_pb2.Event(wall_time=time.time(), **event))

  def flush(self):
    self._writer.flush()

  def close(self):
    self._writer.close()


def read(workdir) -> list[dict]:
  """Returns the lines of metrics.jsonl in order; a torn last line, left by a kill, is dropped.

  Of more than READ_BYTES every second line, third, .. is kept, with a warning. Raises
  FileNotFoundError where there is no file, ValueError for a damaged line.
  """
  path = os.path.join(os.fspath(workdir), FILE)
  if not storage.exists(path):
    raise FileNotFoundError(f'there is no {path}; train first, or correct --workdir')
  every = -(-storage.size(path) // READ_BYTES)
  if every > 1:
    logging.warning('%s is long: one line of %d is read', path, every)
  return [line for number, line in _lines(path) if number % every == 0]


def _lines(path):
  """(number from 0, line) of a file, each checked: a whole step, and numbers or lists of them, of
  one shape in all lines."""
  shapes = {}
  for number, line in json_file.lines(path, {'step': int}):
    for key, value in line.items():
      try:
        shape = _shape(value)
      except TypeError as error:
        raise input_file.Unreadable(
          f'line {number} of {path}: {key} is neither a number nor a list of them; delete that line'
        ) from error
      if shapes.setdefault(key, shape) != shape:
        raise input_file.Unreadable(
          f'line {number} of {path}: {key} is of another length than before; delete that line'
        )
    if not 0 <= line['step'] <= manifest.MOST:
      raise input_file.Unreadable(
        f'line {number} of {path}: there is no step {line["step"]}; delete that line'
      )
    yield number - 1, line


def _shape(value):
  """The sides of nested lists of numbers; raises TypeError for anything else."""
  if isinstance(value, list):
    inner = {_shape(item) for item in value}
    if len(inner) > 1:
      raise TypeError
    return (len(value), *(inner.pop() if inner else ()))
  if isinstance(value, str | dict):
    raise TypeError
  return ()


def has(workdir, step: int, name: str) -> bool:
  """Is there a line of that step with that number?"""
  path = os.path.join(os.fspath(workdir), FILE)
  return storage.exists(path) and any(
    line['step'] == step and name in line for _, line in _lines(path)
  )


def _truncate(workdir, place, start_step):
  """Writes the lines up to start_step into the folder `place`, in one go: a kill in the middle
  leaves the old file or the new one."""
  path = os.path.join(workdir, FILE)
  if not storage.exists(path):
    return
  with files.whole(os.path.join(place, FILE)) as file:
    file.writelines(
      json.dumps(line) + '\n' for _, line in _lines(path) if line['step'] <= start_step
    )


def _finite(value):
  if isinstance(value, dict):
    return {name: _finite(item) for name, item in value.items()}
  if isinstance(value, list):
    return [_finite(item) for item in value]
  return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(number):
  for unit in ('', 'k', 'M', 'G'):
    if number < 1000:
      return f'{number:.3g}{unit}'
    number /= 1000
  return f'{number:.3g}T'
