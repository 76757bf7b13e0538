"""Where the checkpoints of a workdir lie, and the digests that tell whether one is intact.

The paths are absolute: orbax's writing threads fail with a relative one, and only at the end. On a
disk orbax renames a step into place at its end; in a bucket it writes an object of its own, COMMIT.
"""

import os
import stat

from absl import logging

from adiff.machine import files, input_file, json_file, storage

COMMIT = 'commit_success.txt'  # of orbax
MOST = 2**31  # steps; processes tell each other a step in 32 bits


class Damaged(ValueError):
  """A checkpoint whose files are not what was written."""


def root(workdir) -> str:
  """Returns the folder that holds the checkpoints of a workdir."""
  return os.path.join(storage.absolute(workdir), 'checkpoints')


def folder(workdir, step: int) -> str:
  """Returns the folder of one checkpoint."""
  return os.path.join(root(workdir), str(step))


def path(workdir, step: int) -> str:
  """Returns the file that holds the digests of one checkpoint."""
  return os.path.join(root(workdir), 'digests', f'{step}.json')


def steps(workdir) -> tuple[int, ...]:
  """Returns the committed steps of a workdir, ascending; () where there are none."""
  top = root(workdir)
  found = (step_of(name) for name in storage.names(top) if committed(os.path.join(top, name)))
  return tuple(sorted(step for step in found if step is not None))


def unfinished(workdir) -> tuple[int, ...]:
  """The steps of a workdir in a bucket that were not written, or not deleted, to their end."""
  found = {step_of(name) for name in storage.names(root(workdir))} - {None}
  return tuple(sorted(found.difference(steps(workdir))))


def committed(folder) -> bool:
  """Did orbax write this folder to its end?"""
  if storage.remote(folder):
    return storage.is_file(f'{folder}/{COMMIT}')
  return os.path.isdir(folder)


def check_names(workdir) -> None:
  """Raises ValueError for a folder of digits that is no step, such as 007: orbax takes it for one,
  and refuses to save what is not newer."""
  top = root(workdir)
  for name in storage.names(top):
    if name.isdecimal() and step_of(name) is None:
      raise ValueError(
        f'{os.path.join(top, name)} is no checkpoint of this program, whose names are the steps as '
        f'they are written, below {MOST}; move it out of the workdir'
      )


def step_of(name: str) -> int | None:
  """The step that a folder's name stands for, or None: 7 is one, 007, ٧ and 23 digits are none."""
  if not (name.isascii() and name.isdecimal() and len(name) <= len(str(MOST))):
    return None
  return int(name) if str(int(name)) == name and int(name) < MOST else None


def sealed(workdir) -> tuple[int, ...]:
  """Returns those of `steps` that were written to their end, digests included."""
  return tuple(step for step in steps(workdir) if storage.exists(path(workdir, step)))


def write(workdir, step: int) -> None:
  """Writes size and sha256 of every file of a step; after a power cut all are there, or none.

  Raises OSError when the disk refuses.
  """
  target, place = path(workdir, step), folder(workdir, step)
  storage.make_folder(os.path.dirname(target), parents=False)
  sizes = _sizes(place)
  digests = {name: files.sha256(os.path.join(place, name)) for name in sizes}
  files.write_json(target, {'step': step, 'bytes': sizes, 'sha256': digests})


def verify(workdir, step: int, *, part: str = '') -> bool:
  """Returns True if a step equals its manifest, and False, with a warning, if it has none.

  A step without a manifest is complete nevertheless, because orbax renames it into place at the
  end. part: look at this folder of the step alone, without a warning. Raises Damaged, naming the
  file, when something is missing or different, or is no file.
  """
  place, digests = folder(workdir, step), path(workdir, step)
  present = _sizes(place, part)
  if not files.lies(digests):
    if not part:
      logging.warning(
        'checkpoint %s was not verified: the run ended before its digests were written', place
      )
    return False
  try:
    written = json_file.read(digests, {'sha256': {str: str}, 'bytes?': {str: int}})
  except (input_file.Unreadable, FileNotFoundError) as error:
    raise Damaged(f'checkpoint {place} is damaged: {digests} cannot be used') from error
  foreign = [name for name in present if part and name not in written['sha256']]
  if foreign:
    raise Damaged(f'checkpoint {place} is damaged: {foreign[0]} was never written')
  sizes = written.get('bytes')
  sizes = present if sizes is None else sizes  # a manifest of an earlier version has none
  for name in written['sha256']:
    if name.startswith(part) and present.get(name) != sizes.get(name, -1):  # soon told
      fault = 'is not what was written' if name in present else 'is missing'
      raise Damaged(f'checkpoint {place} is damaged: its file {name} {fault}')
  for name, digest in written['sha256'].items():
    if name.startswith(part) and files.sha256(os.path.join(place, name)) != digest:
      raise Damaged(f'checkpoint {place} is damaged: its file {name} is not what was written')
  return True


def forget(workdir, step: int) -> None:
  """Deletes the digests of a step if there are any."""
  if storage.exists(path(workdir, step)):
    files.delete(path(workdir, step))


def forget_all_but(workdir, kept) -> None:
  """Deletes the digests of all steps that are not in `kept`, and halves left by a kill.

  Raises ValueError where the folder of digests is a link.
  """
  top = os.path.dirname(path(workdir, 0))
  names = {f'{step}.json' for step in kept}
  for name in files.names(top):
    if name not in names:
      files.delete(os.path.join(top, name))


def _sizes(top, part=''):
  """{relative name: bytes} of the files below a folder, or below a part of it; raises Damaged for
  what is no file."""
  if storage.remote(top):
    start = f'{part}/' if part else ''
    found = storage.below(top)
    return {name: facts.size for name, facts in found.items() if name.startswith(start)}
  sizes = {}
  for parent, _, names in os.walk(os.path.join(top, part)):
    for name in names:
      place = os.path.join(parent, name)
      facts = os.stat(place) if os.path.exists(place) else None
      if facts is None or not stat.S_ISREG(facts.st_mode):
        raise Damaged(f'checkpoint {top} is damaged: {os.path.relpath(place, top)} is no file')
      sizes[os.path.relpath(place, top)] = facts.st_size
  return dict(sorted(sizes.items()))
