"""Checkpoints that are complete, verified and bounded in number; with
checkpoint_reader.py the only modules that know orbax.

  workdir/checkpoints/STEP              one committed state; orbax renames it into place at the end
  workdir/checkpoints/digests/STEP.json sha256 of every file of that step, written after the commit
  workdir/checkpoints/damaged/STEP      what failed verification, moved aside, never deleted
  workdir/checkpoints/measured.json     how good they are, see measured.py

Orbax stores no checksum: a flipped byte comes back as a wrong number without an error. So every
file is digested right after the commit, in the background, and compared before it is used.
"""

import errno
import functools
import logging
import os
import pathlib
import threading
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging as absl_logging
from orbax.checkpoint import checkpoint_managers

from adiff.learn import base
from adiff.machine import (
  bucket,
  checkpoint_reader,
  files,
  hosts,
  manifest,
  measured,
  storage,
  weights,
)

NONE, ALL_DAMAGED = -1, -2


class _OrbaxIsQuiet(logging.Filter):
  """Drops orbax's own log lines: every error it logs is also raised, and told here once."""

  def filter(self, record):
    return f'{os.sep}orbax{os.sep}' not in record.pathname


logging.getLogger('absl').addFilter(_OrbaxIsQuiet())


class Checkpoints:
  """Writes the checkpoints of one run and finds the newest sound one.

  Keeps the `keep` newest steps, those that `every` divides (0: none), and, where `best` names a
  metric, the step of which `rate` said that this metric is best (`mode` 'min' or 'max'). Raises
  ValueError for contradictory arguments or folders that are no steps and OSError when the folder
  cannot be written. Use from one thread; call close() at the end.
  """

  def __init__(
    self, workdir, *, keep: int = 2, every: int = 0, best: str | None = None, mode: str = 'min'
  ):
    if keep < 1 or every < 0 or mode not in ('min', 'max'):
      raise ValueError(
        f'keep is {keep}, every {every} and mode {mode!r}; use keep >= 1, every >= 0 and '
        "'min' or 'max'"
      )
    self._workdir = workdir
    self._thread, self._error = None, None
    manifest.check_names(workdir)
    self._measured = measured.Measured(workdir, best, mode)
    kept = [checkpoint_managers.LatestN(keep), self._measured]
    if every:
      kept.append(checkpoint_managers.EveryNSteps(every))
    options = ocp.CheckpointManagerOptions(
      preservation_policy=checkpoint_managers.AnyPreservationPolicy(kept),
      # Rename, then delete: no kill leaves half a step behind. In a bucket nothing is renamed.
      todelete_subdir=None if storage.remote(workdir) else 'trash',
      # There it takes every folder without its mark for half a step, our digests included.
      cleanup_tmp_directories=not storage.remote(workdir),
    )
    try:
      hosts.agree(self._begin)
      self._manager = ocp.CheckpointManager(
        manifest.root(workdir), options=options, item_names=(checkpoint_reader.ITEM,)
      )
      self._tidy()
    except OSError as error:
      raise _cannot_write(workdir, error) from error

  def save(self, step: int, state) -> None:
    """Starts writing `state` as checkpoint `step`; returns as soon as the arrays are copied.

    The caller may donate or overwrite the state at once. Errors of the write surface at the next
    save, wait or close. Raises ValueError for a step that is not newer than all others, OSError
    when the disk refuses.
    """
    self.wait()
    steps = self.steps()
    if steps and step <= steps[-1]:
      raise ValueError(
        f'checkpoint {step} cannot be saved in {manifest.root(self._workdir)} because step '
        f'{steps[-1]} is there already; continue from the newest step or use a new workdir'
      )
    try:
      bucket.check_held(manifest.root(self._workdir))
      if not _is_there(self._workdir):  # orbax would make half a workdir of it
        raise FileNotFoundError(errno.ENOENT, 'the folder is gone')
      if hosts.first():
        manifest.forget(self._workdir, step)  # Left by a run that was killed or cleaned by hand.
      self._measured.forget(step)
      hosts.saving(functools.partial(manifest.committed, manifest.folder(self._workdir, step)))
      args = ocp.args.Composite(**{checkpoint_reader.ITEM: ocp.args.StandardSave(state)})
      accepted = self._manager.save(step, args=args)
    except Exception as error:
      raise self._explained(error) from error
    if not accepted:
      raise ValueError(f'orbax refused to save checkpoint {step}; use a new workdir')
    self._thread = threading.Thread(target=self._seal, args=(step,), name='adiff-seal')
    self._thread.start()

  def rate(self, step: int, metrics: dict[str, float]) -> None:
    """Writes down how good checkpoint `step` is, once it is saved. Raises ValueError for metrics
    without the one named by `best`, OSError when the disk refuses."""
    try:
      self._measured.add(step, metrics)
    except OSError as error:
      raise _cannot_write(self._workdir, error) from error

  def rated(self, step: int) -> bool:
    """Was `rate` told of this step?"""
    return step in self._measured

  def restore(self, abstract_state, step: int | None = None) -> tuple[int, Any] | None:
    """Returns (step, state) of the newest sound checkpoint, or None where there is none.

    abstract_state: the tree of `jax.ShapeDtypeStruct` with shardings that `jax.eval_shape` and
    `sharding.state_shardings` give; the checkpoint may come from another mesh. Damaged steps are
    named in a warning and moved aside. Raises ValueError when all are damaged, when an explicit
    `step` is damaged or missing, or when shapes differ from those of the checkpoint.
    """
    self.wait()
    if step is not None:
      _check_exists(self._workdir, step)
      return step, checkpoint_reader.read(self._workdir, step, abstract_state)
    while True:
      chosen = self._newest_sound()
      if chosen == NONE:
        return None
      if chosen == ALL_DAMAGED:
        raise ValueError(
          f'every checkpoint in {manifest.root(self._workdir)} was damaged and moved to its folder '
          '"damaged"; start again in a new workdir, or bring the files back from a backup'
        )
      try:
        state = checkpoint_reader.read(self._workdir, chosen, abstract_state)
      except manifest.Damaged as error:  # Only a step without a manifest gets here.
        if jax.process_count() > 1:
          raise  # The processes may disagree about it; nobody moves files then.
        self._move_aside(chosen, error)
        continue
      if hosts.first() and chosen not in manifest.sealed(self._workdir):
        manifest.write(self._workdir, chosen)  # A follower waits for it.
      return chosen, state

  def steps(self) -> tuple[int, ...]:
    """Returns the steps of the committed checkpoints, ascending."""
    return manifest.steps(self._workdir)

  def wait(self) -> None:
    """Returns when the last save is committed and sealed; raises what went wrong in it."""
    if self._thread is not None:
      self._thread.join()
      self._thread = None
    error, self._error = self._error, None
    if error is not None:
      raise self._explained(error) from error

  def close(self) -> None:
    """Waits as wait() does, and releases orbax's threads in any case."""
    try:
      self.wait()
    finally:
      try:
        self._manager.close()
      except Exception as error:  # Orbax tells the failure of the last write a second time.
        raise self._explained(error) from error

  def _seal(self, step):
    """Runs beside the training: waits for the commit, then writes the manifest."""
    try:
      self._manager.wait_until_finished()
      if hosts.first():
        manifest.write(self._workdir, step)
      self._tidy()
    except BaseException as error:  # Handed to wait(), on the thread that can act on it.
      self._error = error

  def _tidy(self):
    """Empties the trash, which orbax never does, and forgets manifests of deleted steps."""
    if hosts.first():
      trash = os.path.join(manifest.root(self._workdir), 'trash')
      if files.names(trash):
        files.delete(trash)
      manifest.forget_all_but(self._workdir, self.steps())

  def _newest_sound(self):
    """Process 0 verifies and moves aside; all processes learn the step it chose."""
    chosen = NONE
    if hosts.first():
      for step in reversed(self.steps()):
        try:
          manifest.verify(self._workdir, step)
        except manifest.Damaged as error:
          self._move_aside(step, error)
        else:
          chosen = step
          break
      else:
        damaged = os.path.join(manifest.root(self._workdir), 'damaged')
        chosen = ALL_DAMAGED if storage.is_folder(damaged) else NONE
    chosen = hosts.told(chosen)
    self._manager.reload()  # Orbax remembers the steps that were moved away.
    return chosen

  def _begin(self):
    """Clears away what a kill left in a bucket, and looks at the metrics of earlier versions."""
    if storage.remote(self._workdir):
      for step in manifest.unfinished(self._workdir):
        files.delete(manifest.folder(self._workdir, step))
    self._check_metrics()

  def _check_metrics(self):
    """Moves steps aside whose metrics are damaged, which earlier versions kept in them: orbax reads
    those of all steps, unverified."""
    for step in self.steps():
      try:
        manifest.verify(self._workdir, step, part='metrics')
      except manifest.Damaged as error:
        self._move_aside(step, error)

  def _move_aside(self, step, error):
    folder = os.path.join(manifest.root(self._workdir), 'damaged')
    storage.make_folder(folder)
    target, copies = os.path.join(folder, str(step)), 1
    while storage.exists(target):
      copies += 1
      target = os.path.join(folder, f'{step}-{copies}')
    absl_logging.warning('%s; it is moved to %s, the step before is tried', error, target)
    storage.move(manifest.folder(self._workdir, step), target)
    digests = manifest.path(self._workdir, step)
    if storage.exists(digests):
      storage.move(digests, f'{target}.json')

  def _explained(self, error):
    """Turns a disk's refusal, which tensorstore reports as ValueError, into an OSError."""
    refusals = ('os_error_code', 'No space left', 'Permission denied', 'Read-only file system')
    if storage.remote(self._workdir) and bucket.refused(error):
      error = OSError(*bucket.reason(error))
    if isinstance(error, OSError) or any(text in str(error) for text in refusals):
      return _cannot_write(self._workdir, error)
    return error


def _is_there(workdir):
  """Is the folder of the checkpoints there? In a bucket it is, as soon as something is written."""
  return True if storage.remote(workdir) else os.path.isdir(manifest.root(workdir))


def latest_step(workdir) -> int | None:
  """Returns the newest committed step of a workdir, or None; files are not verified."""
  if weights.there(workdir):
    return weights.step(workdir)
  steps = manifest.steps(workdir)
  return steps[-1] if steps else None


def copy(workdir, step, folder) -> None:
  """Copies one sound checkpoint, or weights, into another workdir, which lies on a disk; raises
  ValueError for a damaged one, OSError where it cannot be written."""
  if weights.there(workdir):
    return weights.copy(workdir, folder)
  manifest.verify(workdir, step)
  target = manifest.folder(folder, step)
  draft = f'{target}.orbax-checkpoint-tmp'
  storage.fetch(manifest.folder(workdir, step), draft)
  for place in (draft, os.path.join(draft, checkpoint_reader.ITEM)):
    pathlib.Path(place, manifest.COMMIT).touch()  # should it go on to a bucket
  os.rename(draft, target)
  manifest.write(folder, step)


def restore_params(
  workdir, abstract_params=None, *, ema: bool = True, role: str = base.DENOISER,
  step: int | None = None, part: str | None = None,
) -> tuple[int, Any]:
  """Returns (step, params) of a role without reading the optimiser's state; changes nothing on
  disk.

  With abstract_params (a tree of `jax.ShapeDtypeStruct`, shardings optional) the result has its
  structure; without, it is the stored tree as nested dicts of numpy arrays, whatever its shapes.
  ema chooses the average instead of the last parameters, part another part of the state. Damaged
  steps are passed over with a warning. Raises FileNotFoundError without a checkpoint, ValueError
  where none is sound, `step` is missing or damaged, or shapes differ. Reads weights.py's, too.
  """
  if weights.there(workdir):
    return weights.read(workdir, abstract_params, role, ema=ema, step=step)
  place = ('ema' if ema else 'params') if part is None else part, role

  def read(step):
    wanted = None if abstract_params is None else {place[0]: {role: abstract_params}}
    return step, checkpoint_reader.read(workdir, step, wanted, place=place)[place[0]][role]

  if step is not None:
    _check_exists(workdir, step)
    return read(step)
  steps = manifest.steps(workdir)
  if not steps:
    raise FileNotFoundError(
      f'no checkpoint in {manifest.root(workdir)}; train first, or correct --workdir'
    )
  for candidate in reversed(steps):
    try:
      return read(candidate)
    except manifest.Damaged as error:
      absl_logging.warning('%s; the step before is tried', error)
  raise ValueError(
    f'every checkpoint in {manifest.root(workdir)} is damaged; train again or use a backup'
  )


def restore_arrays(workdir, step: int | None = None) -> tuple[int, Any]:
  """Returns (step, state) as nested containers of numpy arrays, whatever was stored; None: the
  newest step. Raises FileNotFoundError without a checkpoint, ValueError for a damaged one."""
  step = latest_step(workdir) if step is None else step
  if step is None:
    raise FileNotFoundError(f'no checkpoint in {manifest.root(workdir)}')
  return step, checkpoint_reader.read(workdir, step, None)


def _check_exists(workdir, step):
  steps = manifest.steps(workdir)
  if step not in steps:
    raise ValueError(
      f'no checkpoint {step} in {manifest.root(workdir)}; the steps there are {list(steps)}'
    )


def _cannot_write(workdir, error):
  return files.unwritable(f'checkpoints cannot be written to {manifest.root(workdir)}', error)
