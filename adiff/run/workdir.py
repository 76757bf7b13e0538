"""What a workdir says of itself: config.json and contract.json, plain JSON that runs no code."""

import contextlib
import errno
import fcntl
import os
import platform
import shlex
from collections.abc import Iterator
from typing import Any

import ml_collections

from adiff.machine import bucket_lock, files, input_file, json_file, manifest, storage, weights
from adiff.run import choose, later, places, settings

# Keys that may change between two calls on one workdir: they do not change what the state means.
FREE = ('name', 'init_from', 'plan', 'spacing', 'solver', 'truncation', 'guidance', 'parallel',
        'speculative', 'eval', 'mesh')
OPTIONAL = {  # a number, or null
  'plan.delay': int, 'solver.edit': int, 'model.reach': int, 'quantiser.noise': float,
  'history': float,
}
VERSION = 3  # of the files; checkpoints by role since 2, head and recipe as choices since 3
DATA = 'data.json'  # what is kept of the data, see kept.py
MADE_BY = 'made_by.json'  # beside what was made: all that it follows from
# What every reader of the files needs of their form.
_CONFIG = {
  **{kind: {'name': str} for kind in choose.ROOMS if kind not in later.LATER},
  **{f'{kind}?': {'name?': str} for kind in choose.ROOMS if kind in later.LATER},
  **{
    section if set(settings.keys(section)) - set(later.LATER.get(section, ())) else f'{section}?':
    dict for section in settings.SECTIONS if section
  },
  'kinds?': {str: dict},
}
_CONTRACT = {'version?': int, 'registered?': {str: str}, 'codec?': {'name': str}, 'data?': str}
FREE_TRAIN = ('log_every', 'eval_every', 'checkpoint_every', 'keep', 'keep_every', 'offload',
              'workers')


def claim(workdir, config, contract) -> None:
  """Makes a folder ours, or checks that it is; writes both files.

  Raises ValueError when another config made it, naming the first difference, or when it holds
  checkpoints without a config; OSError when it cannot be written.
  """
  check(workdir, config, contract)
  write(workdir, config, contract)


def is_made(workdir) -> bool:
  """Did a config make this folder?"""
  return storage.exists(os.path.join(workdir, 'config.json'))


def check(workdir, config, contract) -> None:
  """Raises what `claim` would raise, and writes nothing."""
  ours, contract = as_json(config), {'version': VERSION, **contract}
  if storage.is_folder(workdir):
    files.check_inside(workdir)
  if weights.there(workdir):
    raise ValueError(
      f'{workdir} holds weights alone, which nothing can be trained on from; write '
      f'--config.init_from={workdir} and another --workdir'
    )
  if is_made(workdir):
    theirs = _stored(workdir)
    free = _free(ours)
    for key, old, new in differences(_fixed(theirs, free), _fixed(ours, free)):
      raise ValueError(
        f'workdir {workdir} was made by another config: {key} is {short(old)} there and '
        f'{short(new)} here; choose a new --workdir, or restore that value'
      )
    check_contract(workdir, contract)
  elif manifest.steps(workdir):
    raise ValueError(
      f'workdir {workdir} holds checkpoints but no config.json that says what they are; restore '
      'that file from a backup, or choose a new --workdir'
    )
  _check_writable(workdir)


def write(workdir, config, contract) -> None:
  """Writes both files, the one that makes it a workdir last; raises OSError where it cannot."""
  _write(workdir, 'contract.json', {'version': VERSION, **contract})
  _write(workdir, 'config.json', as_json(config))


def _check_writable(workdir):
  """Raises OSError where the folder, or what it would be made in, cannot be written."""
  if storage.remote(workdir):
    try:
      storage.check_writable(workdir)
    except OSError as error:
      raise _cannot_write(workdir, error) from error
    return
  place = os.path.abspath(workdir)
  while not os.path.lexists(place):
    place = os.path.dirname(place)
  error = None
  if not os.path.isdir(place):
    error = errno.ENOTDIR
  elif not os.access(place, os.W_OK | os.X_OK):
    error = errno.EROFS if os.statvfs(place).f_flag & os.ST_RDONLY else errno.EACCES
  if error is not None:
    raise _cannot_write(workdir, OSError(error, os.strerror(error)))


def _cannot_write(workdir, error):
  return files.unwritable(f'workdir {workdir} cannot be written', error)


def check_version(workdir) -> None:
  """Raises ValueError for a workdir that another version of these files wrote."""
  version = _read(workdir, 'contract.json', _CONTRACT).get('version', 1)
  if version != VERSION:
    raise ValueError(
      f'{workdir} was written by another version of adiff (files of version {version}, here '
      f'{VERSION}); convert it with `python -m launch.convert {shlex.quote(os.fspath(workdir))} '
      'NEW_WORKDIR`'
    )


@contextlib.contextmanager
def lock(workdir, what='is being trained') -> Iterator[None]:
  """Holds workdir/lock, which names its owner; released however the process ends.

  Makes the folder if there is none. Raises bucket_lock.Held where another process holds the lock,
  ValueError where a link in the folder leads out of it, OSError where it cannot be written. In a
  bucket the lock of a process that ended without a word is ours after a minute: see bucket_lock.py.
  """
  if storage.remote(workdir):
    with bucket_lock.held(workdir, what):
      yield
    return
  try:
    os.makedirs(workdir, exist_ok=True)
    files.check_inside(workdir)
    file = open(os.path.join(workdir, 'lock'), 'a+', errors='replace')
  except OSError as error:
    raise _cannot_write(workdir, error) from error
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      file.seek(0)
      owner = file.read(200).strip() or 'another process'
      raise bucket_lock.Held(
        f'{workdir} {what} by {owner}; stop that one, or choose another --workdir'
      ) from error
    file.truncate(0)
    file.write(f'process {os.getpid()} on {platform.node()}\n')
    file.flush()
    yield


def load(workdir, overrides=()) -> ml_collections.ConfigDict:
  """The config a workdir was made by, with 'key=value' overrides of the keys in FREE, of
  process.eta and clip, and of those of each kind.

  Raises ValueError for a missing or unreadable file, a link that leads out of the workdir, an
  unknown key or a value of the wrong type.
  """
  if storage.is_folder(workdir):
    files.check_inside(workdir)
  stored, path = json_file.tuples(_stored(workdir)), os.path.join(workdir, 'config.json')
  with input_file.told(path, 'is no config', 'restore it from a backup'):
    config = ml_collections.ConfigDict(stored)
  for override in overrides:
    key, separator, value = override.partition('=')
    if not separator:
      raise ValueError(f'--set={override} is no KEY=VALUE; write for example --set=plan.steps=4')
    if key.split('.')[0] == 'spacing' and 'spacing' not in _free(stored):
      raise ValueError(
        f'--set={override} asks for levels that recipe {config.recipe.name} has not learnt: it '
        'knows those of the spacing that it was trained with; leave it out'
      )
    if not _is_free(key):
      raise ValueError(
        f'--set={key} would change what the checkpoint means; it takes {", ".join(FREE)}, '
        'process.eta, process.clip'
      )
    set_key(config, key, value)
  made_with = dict(_read(workdir, 'contract.json', _CONTRACT).get('registered') or {})
  if storage.exists(os.path.join(workdir, DATA)):  # what it keeps of them is enough
    made_with.pop('data', None)
  choose.check_registered(config, made_with, workdir)
  return config.lock()


def same_codec(workdir, config) -> bool:
  """Was a workdir made by the very codec that a config has, of every kind, places included?"""
  if not is_made(workdir):
    return False
  files.check_inside(workdir)
  return places.codecs(_read(workdir, 'config.json', dict)) == places.codecs(as_json(config))


def check_contract(workdir, contract) -> None:
  """Raises ValueError where the workdir's contract differs from what its config builds here."""
  check_version(workdir)
  stored = _read(workdir, 'contract.json', _CONTRACT)
  stored = {**stored, 'registered': contract.get('registered', {})}
  if 'codec' in stored:  # of a version that kept where it was read from
    stored['codec'] = places.own('codec', stored['codec'])
  contract = json_file.plain({'version': VERSION, 'registered': {}, **contract})
  check_data(workdir, stored.get('data'), contract.get('data'))
  for key, old, new in differences(stored, contract):
    raise ValueError(
      f'the checkpoint in {workdir} was trained with {key} = {short(old)}, but here it is '
      f'{short(new)}; use the same data and version'
    )


def trained_on(workdir) -> str | None:
  """The fingerprint of the data that a workdir was trained on; None where it tells of none."""
  return _read(workdir, 'contract.json', _CONTRACT).get('data')


def check_data(workdir, old, new) -> None:
  """Raises ValueError where the fingerprint of the data is another than the workdir's."""
  if old != new:
    raise ValueError(
      f'the checkpoint in {workdir} was trained with data = {short(old)}, but here it is '
      f'{short(new)}; use the same data (earlier versions told image folders, latents and TFDS '
      f'sets by the sizes of their files: if they are the same, write {new} into contract.json)'
    )


def check_made_by(folder, made_by, remedy) -> None:
  """Says in folder/made_by.json what everything in it follows from; raises ValueError, with the
  first difference and the remedy, where it was made by something else."""
  ours = json_file.plain(made_by)
  if files.lies(path := os.path.join(folder, MADE_BY)):
    for key, old, new in differences(json_file.read(path, advice=remedy), ours):
      raise ValueError(
        f'{folder} was made with {key} = {short(old)}, but here it is {short(new)}; {remedy}'
      )
  else:
    _write(folder, MADE_BY, ours)


def as_json(config) -> dict:
  """A config as plain JSON values."""
  return json_file.parse(config.to_json(), dict, where='the config')


def _free(config) -> tuple[str, ...]:
  """FREE, but for the spacing of a student that knows its levels alone, or the walk it learns."""
  name = config['recipe']['name']
  kept = [key for key in ('plan', 'solver') if choose.takes('recipe', name, key)]
  kept += ['spacing'] * choose.find('recipe', name).spaced
  return tuple(key for key in FREE if key not in kept)


def _is_free(key) -> bool:
  """May a checkpoint be read with another value of this key? A kind's keys are called as those of
  the config."""
  first, *rest = key.split('.')
  if first == 'kinds' and len(rest) > 1:
    return rest[1] == 'steps' or _is_free('.'.join(rest[1:]))
  return first in FREE or key in ('process.eta', 'process.clip')


def _fixed(config, free):
  """The part of a config that a workdir cannot change; free: keys that it can."""
  config = places.without(config)
  kept = {key: value for key, value in config.items() if key not in free}
  kept['kinds'] = {
    name: {key: value for key, value in own.items() if not _is_free(f'kinds.{name}.{key}')}
    for name, own in config['kinds'].items()
  }
  kept['train'] = {key: value for key, value in config['train'].items() if key not in FREE_TRAIN}
  return kept


def differences(old, new, prefix='') -> Iterator[tuple[str, Any, Any]]:
  """(key, old, new) where two trees of dictionaries differ."""
  for key in sorted({*old, *new}):
    a, b = old.get(key, 'absent'), new.get(key, 'absent')
    if isinstance(a, dict) and isinstance(b, dict):
      yield from differences(a, b, f'{prefix}{key}.')
    elif a != b:
      yield f'{prefix}{key}', a, b


def short(value) -> str:
  """A value in words that fit into a sentence."""
  text = str(value)
  return text if len(text) <= 100 else f'{text[:100]}..'


def _stored(workdir):
  """config.json of a workdir of this version, with its sections and choices."""
  _read(workdir, 'config.json', dict)  # is it a workdir at all?
  check_version(workdir)
  return later.completed(_read(workdir, 'config.json', _CONFIG))


def _read(workdir, name, form):
  try:
    return json_file.read(os.path.join(workdir, name), form)
  except FileNotFoundError as error:
    raise ValueError(
      f'{workdir} has no {name}, so it is no workdir of this program; train first, or correct '
      '--workdir'
    ) from error


def _write(workdir, name, value):
  path = os.path.join(workdir, name)
  try:
    files.write_json(path, value)
  except OSError as error:
    raise files.unwritable(f'{path} cannot be written', error) from error


def value_of(text) -> Any:
  """What a word of the command line stands for: JSON, or else the word itself."""
  try:
    return json_file.tuples(json_file.parse(text, where='the command line'))
  except input_file.Unreadable:
    return text


def set_key(config, key, text, where='--set=') -> None:
  """Sets a dotted key from JSON text, or from a bare word; the type must be that of the old
  value. where: what stands before the key where somebody wrote it. Raises ValueError."""
  *sections, name = key.split('.')
  if sections and sections[0] in choose.ROOMS and name == 'name':
    choose.take(config, sections[0], text)
    return
  place = config
  for section in sections:
    place = place[section] if section in place and hasattr(place[section], 'keys') else {}
  if name not in place:
    raise ValueError(
      f'{where}{key}: the config has no such key; it has {", ".join(place) or "no such section"}'
    )
  value, old = value_of(text), place[name]
  kind = OPTIONAL.get(key, type(old))
  if kind is float and type(value) is int:
    value = float(value)
  if hasattr(old, 'keys'):
    raise ValueError(f'{where}{key}={text}: {key} is a section; set one of {", ".join(old)} in it')
  if type(value) is not kind and not (key in OPTIONAL and value is None):
    raise ValueError(f'{where}{key}={text}: {key} is {old!r}; write a value of that type')
  with place.unlocked():
    place[name] = value
