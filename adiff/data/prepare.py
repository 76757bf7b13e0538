r"""Makes a set of pictures ready: cut and scaled once, stored with random access.

  python -m adiff.data.prepare --train=/raw/imagenet2012/5.1.0:train \
      --test=/raw/imagenet2012/5.1.0:validation --size=256 --out=/data/imagenet256
  python -m adiff.data.prepare --train='/raw/coco/*.tar' --size=64 --out=/data/coco64
  python -m adiff.main --config=configs/images.py:cifar10 --config.data.dataset=coco64 \
      --config.data.size=32 --config.data.data_dir=/data --workdir=runs/coco

What --train and --test may name: adiff/data/raw.py. A picture becomes the largest square in its
centre, resampled to --size by an antialiased bicubic filter, as data/pictures.py does for every
reader: trained from what is written here or from its source, a network sees the same numbers.
Classes, their names and, with --captions, captions are kept; other features are not. OUT/1.0.0 is a
data set as TFDS lays it out, in ArrayRecord.

The work is cut into shards, one an input file, or one a thousand pictures of a folder; a shard is
written whole or not at all. So the same command goes on where it was killed, and the bytes are
those of a run that was not. Several hosts that share OUT take --shard=0/8, --shard=1/8, ..; whoever
writes the last shard writes dataset_info.json. Exit codes: 0 done, 2 a mistake.
"""

import argparse
import collections
import functools
import io
import itertools
import pathlib
import re
from collections.abc import Iterator
from concurrent import futures
from typing import NamedTuple

import PIL.Image
import tqdm
from absl import logging

from adiff.data import base, pictures, raw, record_file, tfds_folder
from adiff.machine import files, input_file, json_file, mistakes

VERSION = '1.0.0'  # of what is written
ABOUT = 'prepared.json'  # beside it: all that it follows from
_MOST_SIDE = 2**13
_AHEAD = 128  # pictures that are decoded, or wait to be written


class Job(NamedTuple):
  """What is made of what."""

  folder: pathlib.Path
  name: str
  size: int
  channels: int
  quality: int
  classes: tuple[str, ...]  # () where pictures have no label
  first: int  # the number of the first class in the source
  captions: bool
  skip: bool  # pictures that cannot be read, instead of refusing them


class Shard(NamedTuple):
  """A file to make."""

  split: str
  index: int
  count: int
  unit: raw.Unit
  keep: tuple[bool, ...]  # of every so many pictures of the unit, which are kept

  def path(self, job) -> pathlib.Path:
    """Where it is."""
    return job.folder / tfds_folder.shard(job.name, self.split, self.index, self.count)


def prepare(options) -> str:
  """Makes the shards of this host that are not there; returns what there is, in words.

  options: as `main` parses them. Raises ValueError, FileNotFoundError or OSError.
  """
  job, shards = _plan(options)
  host, hosts = _host(options.shard)
  _claim(job, shards, options)
  mine = [shard for shard in shards[host::hosts] if not shard.path(job).exists()]
  with (
    futures.ThreadPoolExecutor(base.threads(options.workers)) as pool,
    tqdm.tqdm(total=len(mine), unit='shard', desc='prepare', dynamic_ncols=True) as bar,
  ):
    for shard in mine:
      _make(job, shard, pool, bar)
      bar.update()
  missing = sum(not shard.path(job).exists() for shard in shards)
  if missing:
    return (
      f'{len(shards) - missing} of {len(shards)} shards are in {job.folder}; the others are those '
      'of other hosts, and the last one to end writes dataset_info.json'
    )
  return _finish(job, shards)


# ---- What is to be made --------------------------------------------------------------------------


def _plan(options):
  """(Job, shards): the same on every host."""
  _check(options)
  train = raw.find(options.train, options.image, options.label)
  test = raw.find(options.test, options.image, options.label) if options.test else None
  classes = _classes(options, train)
  foreign = sorted(set(test.classes) - set(classes)) if test else ()
  if foreign:
    raise ValueError(f'{options.test} has the class {foreign[0]!r}, which {options.train} has not')
  if test:
    splits = {'train': (train.units, (True,)), 'test': (test.units, (True,))}
  else:
    held_out = tuple(place == 0 for place in range(options.test_every))
    rest = tuple(not one for one in held_out)
    splits = {'train': (train.units, rest), 'test': (train.units, held_out)}
  shards = [
    Shard(split, index, len(units), unit, keep)
    for split, (units, keep) in splits.items() for index, unit in enumerate(units)
  ]
  out = pathlib.Path(options.out).expanduser()
  return Job(
    out / VERSION, out.name, options.size, options.channels, options.quality, classes,
    options.first, options.captions, options.skip_bad,
  ), shards


def _check(options):
  """Raises ValueError for arguments that mean nothing."""
  for place in (options.train, options.test, options.out):
    if '://' in place:
      raise ValueError(
        f'{place} is no folder of this machine; mount the bucket, and name the folder there'
      )
  if not 1 <= options.size <= _MOST_SIDE:
    raise ValueError(f'--size={options.size} must lie in [1, {_MOST_SIDE}] pixels a side')
  if options.channels not in (1, 3):
    raise ValueError(f'--channels={options.channels}: write 3 for colour or 1 for grey')
  if not 0 <= options.quality <= 100:
    raise ValueError(f'--quality={options.quality} must lie in [0, 100]: JPEG, or 0 for PNG')
  if options.num_classes is not None and not 0 <= options.num_classes < 2**24:
    raise ValueError(f'--num_classes={options.num_classes} is no number of classes')
  if options.test_every < 2:
    raise ValueError(
      f'--test_every={options.test_every} leaves nothing to train on; write 2 or more'
    )
  if not re.fullmatch('[a-z][a-z0-9_]*', name := pathlib.Path(options.out).name):
    raise ValueError(
      f'--out={options.out}: the set would be called {name!r}, which TFDS cannot read; end it with '
      'a name of a-z, 0-9 and _, such as /data/imagenet256'
    )


def _classes(options, train):
  """The names of the classes; () without."""
  if train.classes and (options.classes or options.num_classes is not None):
    raise ValueError(
      f'{options.train} says itself that it has {len(train.classes)} classes; leave --classes and '
      '--num_classes away'
    )
  if options.classes:
    text = input_file.read(options.classes, limit=2**24).decode(errors='replace')
    found = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(set(found)) < len(found) or not found:
      raise ValueError(f'{options.classes} must hold the name of a class a line, each once')
    return found
  if train.classes:
    return train.classes
  if options.num_classes is not None:
    return tuple(str(number) for number in range(options.num_classes))
  first = next(train.units[0].read(), None)
  if first is not None and first.label is not None:
    raise ValueError(
      f'{first.name} is of the class {first.label!r}, and nobody says how many there are; write '
      '--num_classes=N, --classes=FILE of their names, or --num_classes=0 to leave classes out'
    )
  return ()


def _host(text):
  """(index, count) of --shard."""
  found = re.fullmatch(r'(\d{1,6})/(\d{1,6})', text)
  index, count = map(int, found.groups()) if found else (0, 0)
  if index >= count:
    raise ValueError(f'--shard={text} is no INDEX/COUNT with an index below it; write 0/2 and 1/2')
  return index, count


def _claim(job, shards, options):
  """Says in the folder what it is made of; raises ValueError where that was something else, or the
  folder holds what is none of ours."""
  about = {
    'rule': pictures.RULE, 'size': job.size, 'channels': job.channels, 'quality': job.quality,
    'classes': files.digest(repr(job.classes)), 'first': job.first, 'captions': job.captions,
    'image': options.image, 'label': options.label, 'skip_bad': job.skip,
    **{f'{one.split} {one.index}': f'{one.unit.facts} {one.keep.count(True)}/{len(one.keep)}'
       for one in shards},
  }
  path = job.folder / ABOUT
  if not path.exists():
    try:
      files.check_replaceable(job.folder, (ABOUT,))
    except ValueError:
      if not path.exists():  # no other host has begun it just now
        raise
    job.folder.mkdir(parents=True, exist_ok=True)
    files.write_json(path, about)
  there = json_file.read(path, advice='delete its folder')
  for key in {**about, **there}:
    if about.get(key) != there.get(key):
      raise ValueError(
        f'{job.folder} was begun with {key} = {there.get(key)!r}, and here it is '
        f'{about.get(key)!r}; write the same arguments, or another --out'
      )


# ---- Making it -----------------------------------------------------------------------------------


def _make(job, shard, pool, bar):
  """Writes one shard, and beside it what it had to leave out."""

  def records():
    skipped = []
    kept = itertools.compress(shard.unit.read(), itertools.cycle(shard.keep))
    for made in _ahead(pool, functools.partial(_record, job), kept):
      try:
        yield made.result()
      except input_file.Unreadable as error:
        if not job.skip:
          raise
        skipped.append(f'{error}\n')
        logging.warning('%s; it is left out', error)
      bar.set_postfix_str(shard.unit.name, refresh=False)
    if skipped:  # before the shard, which is then no longer asked for
      with files.whole(_beside(shard.path(job))) as file:
        file.writelines(skipped)

  record_file.write_array_records(shard.path(job), records())


def _ahead(pool, function, items) -> Iterator[futures.Future]:
  """function(item) of each, in order; a few are being computed at a time."""
  pending = collections.deque()
  for item in items:
    pending.append(pool.submit(function, item))
    if len(pending) > _AHEAD:
      yield pending.popleft()
  yield from pending


def _record(job, picture):
  """The record of a picture; raises input_file.Unreadable where it is none, ValueError for a class
  that there is not."""
  image = pictures.decode(io.BytesIO(picture.content), picture.name, job.size, job.channels)
  image = PIL.Image.fromarray(image.squeeze(-1) if job.channels == 1 else image)
  buffer = io.BytesIO()
  if job.quality:
    image.save(buffer, 'JPEG', quality=job.quality, subsampling=0)
  else:
    image.save(buffer, 'PNG', compress_level=2)  # a third of the time, a tenth more bytes than 6
  features = {'image': [buffer.getvalue()]}
  if job.classes:
    features['label'] = [_label(job, picture)]
  if job.captions:
    features['captions'] = list(picture.captions)
  return tfds_folder.example(features)


def _label(job, picture):
  """The number of its class, from 0."""
  label = picture.label
  if isinstance(label, str):
    if label in job.classes:
      return job.classes.index(label)
  elif label is not None and 0 <= label - job.first < len(job.classes):
    return label - job.first
  raise ValueError(
    f'{picture.name} is of the class {label!r}, which is none of the {len(job.classes)} '
    f'({", ".join(job.classes[:3])}, ..); correct --classes, --num_classes or --first'
  )


def _finish(job, shards):
  """Writes what TFDS reads first; returns what there is, in words."""
  lengths, skipped = {}, 0
  for shard in shards:
    path = shard.path(job)
    lengths.setdefault(shard.split, []).append(record_file.count_array_records(path))
    if _beside(path).exists():
      skipped += input_file.read(_beside(path), limit=2**30).count(b'\n')
  counts = {split: sum(each) for split, each in lengths.items()}
  if not all(counts.values()):
    raise ValueError(f'{job.folder} would have {counts} pictures; every split needs one at least')
  words = ', '.join(f'{count} in {split}' for split, count in counts.items())
  words += f' of {job.size}x{job.size}x{job.channels}'
  words += f', {skipped} left out that could not be read' if skipped else ''
  if not (job.folder / tfds_folder.INFO).exists():
    tfds_folder.describe(job.folder, job.name, tfds_folder.Pictures(
      (job.size, job.size, job.channels), 'jpeg' if job.quality else 'png', job.classes,
      job.captions, f'{words}. {pictures.RULE.capitalize()}.',
    ), lengths)
  return (
    f'{job.folder}: {words}; read it with --config.data.name=tfds --config.data.dataset={job.name} '
    f'--config.data.data_dir={job.folder.parent.parent}'
  )


def _beside(path):
  """The file that names the pictures that a shard leaves out."""
  return path.with_name(f'{path.name}.skipped.txt')


def main(arguments=None) -> None:
  """The command."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('--train', required=True, help='the pictures to train on')
  add('--test', default='', help='those held out; default: every --test_every-th of the others')
  add('--out', required=True, help='the folder of the set; its last part is the name')
  add('--size', type=int, required=True, help='pixels a side')
  add('--channels', type=int, default=3, help='3 for colour, 1 for grey')
  add('--quality', type=int, default=0, help='of JPEG, 1 to 100; 0: PNG, which loses nothing')
  add('--test_every', type=int, default=10)
  add('--classes', default='', help='file of the names of the classes, one a line')
  add('--num_classes', type=int, help='where nobody names them; 0: leave classes out')
  add('--first', type=int, default=0, help='the number of the first class in the source')
  add('--captions', action='store_true', help='keep captions, too')
  add('--image', default='', help=f'feature of the picture; default: one of {raw.IMAGE}')
  add('--label', default='', help=f'feature of the class; default: one of {raw.LABEL}')
  add('--skip_bad', action='store_true', help='leave out, and name, what is no picture')
  add('--shard', default='0/1', help='which part of the shards is made here: INDEX/COUNT of hosts')
  add('--workers', type=int, default=0, help='threads; default: one a core')
  options = parser.parse_args(arguments)
  with mistakes.in_a_sentence():
    print(prepare(options))


if __name__ == '__main__':
  main()
