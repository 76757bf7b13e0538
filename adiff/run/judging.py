"""Judges samples that anybody made against real ones: --mode=judge.

  OUT/report.html, eval.json, pictures/   what there is to say
  OUT/reference.npz                       statistics of the real ones, a --reference by themselves

The reference is a workdir (the statistics that it keeps, or else the data of its config), a folder
of pictures, an .npz of examples, statistics that an earlier call wrote, or mu and sigma of features
that others made: then the samples are features, too, and the Fréchet distance is all.
"""

import os
import shlex
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from adiff.data import base as data_base
from adiff.data import image_folder, store, tfds, tfds_folder
from adiff.judge import base, image, quality, section, subset
from adiff.judge import reference as reference_lib
from adiff.judge.metrics import frechet
from adiff.machine import array_file, files, hosts, storage
from adiff.run import attempts as attempts_lib
from adiff.run import foreign, growing, output, places, published, references
from adiff.run import kept as kept_lib
from adiff.run import subject as subject_lib
from adiff.run import workdir as workdir_lib

TEST_EVERY = 10  # of an .npz of examples: of how many one is held out
_HELD_OUT = 'test'


class Real(NamedTuple):
  """Real examples of two splits."""

  data: str  # in words
  of: dict  # what their statistics follow from, as JSON
  split: str  # that is held out
  levels: int
  shape: tuple[int, ...]
  size: Callable[[str], int]
  examples: Callable[[str, np.ndarray], dict]


def judge(samples, reference, out, *, split=None, data=None, features=None) -> int:
  """Writes the page and prints where it is; returns the exit code.

  data: where the data of a workdir lies now, if its statistics are not kept. features: of a network
  that others trained, see published.network; by default those that the reference tells of, or else
  its own. Raises ValueError in a sentence for samples, a reference or features that cannot be read
  or do not fit each other, OSError where `out` cannot be written.
  """
  for flag, value in (('samples', samples), ('reference', reference)):
    if not value:
      raise ValueError(f'--{flag} is missing; write for example --{flag}=FILE.npz')
  output.check_page(out, growing.NAMES)
  output.check_writable(out)
  made = foreign.read(samples)
  attempts = attempts_lib.Attempts()
  told = growing.told(
    title=f'{os.path.basename(os.path.normpath(samples))}, judged', step=None, split=None,
    command=_command(
      samples=samples, reference=reference, features=features, data=data, split=split, out=out
    ),
  )
  with subject_lib.telling(hosts.first()) as tell:
    if isinstance(made, foreign.Made):
      found = _reference(reference, made, out, split, data, features, tell)
      told |= {'data': found.data, 'split': found.split}
      sections = _of_pictures(made, found, tell, attempts)
    else:
      _check_unsplit(split, reference)
      _check_own(features, samples)
      _check_undated(data, reference)
      told |= {'data': os.fspath(reference)}
      sections = [_of_features(samples, made, reference)]
    storage.make_folder(out)
    page = growing.Growing(out, told, attempts, growing.provenance_sections(told))
    page.take(sections)
  page.write(complete=True)
  if attempts.failures:
    raise attempts.failures[0]
  print(os.path.join(out, growing.REPORT))
  return 0


def _command(**flags):
  """What a shell takes to repeat it."""
  words = [f'--{name}={value}' for name, value in flags.items() if value is not None]
  return shlex.join(['python', '-m', 'adiff.main', '--mode=judge', *words])


# ---- Pictures ------------------------------------------------------------------------------------


def _of_pictures(made, real, tell, attempts):
  """The sections of pictures; real: a reference_lib.Reference."""
  images = made.as_data(real.levels, real.shape)
  classes = 0 if real.eyes.classes is None else len(real.eyes.classes)
  if made.labels is not None and classes and made.labels.max() > real.eyes.classes.max():
    raise ValueError(
      f'{made.where} has the label {made.labels.max()}, and the reference the classes up to '
      f'{real.eyes.classes.max()}; write labels of its classes, or leave them away'
    )
  own = base.Sampled(
    images, made.labels if classes else None, None, None, None, None, None, None, name='samples'
  )
  subject = base.Subject(
    data=real.data, split=real.split, seed=0, num=len(images), steps=None, solver='',
    num_classes=classes, num_tokens=0, bound={}, sample=lambda: own, trace=None, size=None,
    tokens=None, examples=None, decode=np.asarray, levels=real.levels, attempt=attempts.made,
    tell=tell, reference=lambda make: real,
  )
  yield image.shown(subject, images)
  if real.pictures is not None:
    yield attempts.made('Nearest neighbours', lambda: image.neighbours(
      subject, images, real.pictures.train
    ))
  yield from quality.Quality(subject, [own], heading='Judged').sections()


def _reference(path, made, out, split, data, features, tell):
  """The statistics that --reference stands for, read or measured."""
  keep = os.path.join(out, references.FILE)
  of_run = storage.is_folder(path) and workdir_lib.is_made(path)
  if not of_run:
    _check_undated(data, path)
  if of_run:
    kept = os.path.join(path, references.FILE)
    if storage.is_file(kept) and features is None:
      found = references.read(kept)
      if split is None or found.split == split:
        _check_undated(data, path)
        return _taken(path, found, made, keep)
    real = _of_workdir(path, split, data)
  elif storage.is_folder(path) or os.fspath(path).endswith('.zip'):
    real = _of_folder(os.fspath(path), made, split)
  else:
    names = _names(path)
    if names >= set(reference_lib.ARRAYS):
      _check_unsplit(split, path)
      _check_own(features, path)
      return _taken(path, references.read(path), made, keep)
    if names >= set(foreign.MOMENTS) and not names & {
      output.SAMPLES[0], output.OLD_SAMPLES[0]
    }:
      raise ValueError(
        f'{path} holds the mean and covariance of features of a network that is not here, and '
        f'{made.where} pictures; give their features [n, F] as samples, or real pictures as '
        'reference'
      )
    real = _of_arrays(foreign.read(path), made, split)
  subject = base.Subject(
    data=real.data, split=real.split, seed=0, num=0, steps=None, solver='', num_classes=0,
    num_tokens=0, bound={}, sample=None, trace=None, size=real.size, tokens=None,
    examples=real.examples, decode=np.asarray, levels=real.levels, tell=tell,
  )
  made.as_data(real.levels, real.shape)  # before anything is measured
  eyes, of = None, real.of
  if features is not None:
    eyes = _network(features, real)
    of = {**of, 'features': eyes.digest}
  return references.remembered(
    (keep,), of, lambda: reference_lib.Reference.make(subject, eyes)
  )


def _taken(path, found, made, keep):
  """Statistics that are there; what an earlier call measured beside the page is not theirs."""
  made.as_data(found.levels, found.shape)  # before anything is deleted
  if storage.is_file(keep) and storage.absolute(keep) != storage.absolute(path):
    hosts.agree(lambda: files.delete(keep))
  return found


def _network(features, real):
  try:
    return published.network(features, real.levels, real.shape)
  except ValueError as error:
    raise ValueError(f'--features={features}: {error}') from error


def _of_workdir(path, split, data):
  """The data of its config."""
  settings = [] if split is None else [f'eval.split={split}']
  config = places.placed(workdir_lib.load(path, settings), data)
  parts = kept_lib.parts(path, config, examples=True)
  facts = parts.source.facts
  if facts.medium != 'image' or not facts.levels:
    raise ValueError(f'{path} is a run on {facts.medium} without pixels; pictures are judged here')
  return Real(
    subject_lib.data(parts), references.source_of(parts), parts.config.eval.split, facts.levels,
    facts.shape, parts.source.size, parts.source.examples,
  )


def _of_folder(path, made, split):
  """Pictures, cut to the size of the samples."""
  height, width, channels = made.images.shape[1:]
  if height != width:
    raise ValueError(
      f'{made.where} holds pictures of {height} x {width}, and those of a folder are cut to '
      'squares; give the real ones as an .npz'
    )
  if tfds_folder.is_set(path):
    place = storage.path(path)
    source = tfds.Tfds(place.name, str(place.parent), height)
  else:
    source = image_folder.ImageFolder(path, height, channels)
  usual = _HELD_OUT if _HELD_OUT in source.splits else source.splits[-1]
  split = data_base.check_split(usual if split is None else split, source.splits)
  return Real(
    f'{path} {source.fingerprint}, {split} split', {'data': source.fingerprint, 'split': split},
    split, store.LEVELS, source.shape, source.size, source.examples,
  )


def _of_arrays(real, made, split):
  """Examples, of every ten of which one is held out."""
  if not isinstance(real, foreign.Made):
    raise ValueError(
      f'{made.where} holds pictures and the reference features; give both, or features of both'
    )
  split = data_base.check_split(_HELD_OUT if split is None else split, ('train', _HELD_OUT))
  images, num = real.as_data(store.LEVELS, made.images.shape[1:]), len(real.images)
  labels = np.full(num, -1, np.int32) if real.labels is None else real.labels
  held = subset.spread(num, -(-num // TEST_EVERY))
  rows = {'train': np.setdiff1d(np.arange(num), held), _HELD_OUT: held}
  digest = real.digest()

  def examples(split, indices):
    chosen = rows[split][indices]
    return {'example': images[chosen], 'label': labels[chosen]}

  return Real(
    f'{real.where} {digest}, {split} split', {'data': digest, 'split': split}, split, store.LEVELS,
    images.shape[1:], lambda split: len(rows[split]), examples,
  )


def _names(path):
  """Of the arrays of an .npz."""
  try:
    return array_file.names(path)
  except FileNotFoundError as error:
    raise ValueError(
      f'there is no reference {path}; name a workdir, a folder of pictures, or an .npz'
    ) from error


# ---- Features that others made -------------------------------------------------------------------


def _of_features(path, made, reference):
  """The Fréchet distance, which is all that can be said."""
  names = _names(reference) if not storage.is_folder(reference) else set()
  if names >= set(foreign.MOMENTS):
    real = foreign.moments(reference, array_file.npz(reference))
  else:
    real = foreign.read(reference) if names else None
  if real is None or isinstance(real, foreign.Made):
    raise ValueError(
      f'{path} holds features or statistics of them, and {reference} none; give features [n, F], '
      'or mu and sigma, of the same network as reference'
    )
  ours, theirs = (
    one if isinstance(one, foreign.Moments) else foreign.Moments(*frechet.moments(one))
    for one in (made, real)
  )
  if ours.mean.shape != theirs.mean.shape:
    raise ValueError(
      f'{path} is of {len(ours.mean)} features and {reference} of {len(theirs.mean)}; take both '
      'from one network'
    )
  distance = frechet.gaussian_frechet(*ours, *theirs)
  return section.Section(quality.TITLE, (
    section.Text(
      'The files hold features, or their mean and covariance: the Fréchet distance is all that '
      'they tell. Whether both are of one network only those know who made them.'
    ),
    section.Facts((section.Fact(
      'frechet', 'Fréchet distance', distance, better='low',
      kind=f'{len(ours.mean)} features; {files.digest(*theirs)}', tile='Fréchet distance',
    ),)),
  ))


def _check_own(features, path):
  if features is not None:
    raise ValueError(
      f'--features={features}: {path} tells of features already, of one network; leave it away'
    )


def _check_undated(data, path):
  if data is not None:
    raise ValueError(f'--data={data}: no data are read for {path}; leave it away')


def _check_unsplit(split, path):
  if split is not None:
    raise ValueError(f'--split={split}: {path} holds statistics, of one split; leave it away')
