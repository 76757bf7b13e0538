"""Pictures of one's own: a config that suits them, the devices that are here, and the time.

What is chosen stands in the config.json of the workdir, which alone counts once it is there: the
same call goes on with it, wherever and however fast. The row configs/images.py:own is filled in;
its learning rate is constant and samples come from the average of the parameters, so that one
program serves however many steps there is time for: it is timed before they are counted.
"""

import importlib
import math
import numbers
import os
import pathlib
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from adiff.data import albums, batches, captioned_folder, image_folder
from adiff.data import base as data_base
from adiff.judge.captioned import IMAGE
from adiff.machine import compilation, cost, files, hosts, rates, sharding, storage
from adiff.run import begin, build, choose, kinds, own_captioned, places
from adiff.run import train as train_lib
from adiff.run import workdir as workdir_lib
from adiff.sequence import values

MINUTES = 5.0  # of training, where nobody says; compilation and the report come on top
SMALL = 5000  # pictures, below which a set is made larger by moving them
REGIMES = {'blocks': 'four quarters, one after another', 'whole': 'all at once'}
_KEPT = 'pictures.npz'  # of a workdir: what was given as an array
_ENOUGH = 1000  # steps that a network needs to show something
_SHARE = 0.2  # of the rate of large products of matrices that a step reaches, roughly
_FEWEST, _MOST = 25, 10**6  # steps of a run
_QUALITY = 3072  # values of a picture up to which samples are judged by features


class Rung(NamedTuple):
  """A size of pictures, and a network for them."""

  grid: int  # tokens a side
  patch: int  # pixels a side of a token
  width: int
  depth: int
  heads: int
  batch: int
  learning_rate: float

  def flops(self) -> float:
    """Of a step in blocks: three times those of the products over all slots."""
    slots = self.grid**2 * 7 / 4  # the last of four blocks is nobody's history
    return 6 * 12 * self.depth * self.width**2 * slots * self.batch


# The largest that makes _ENOUGH steps in the time is taken, or the first.
LADDER = (
  Rung(4, 8, 96, 4, 4, 32, 2e-3),
  Rung(8, 4, 128, 4, 4, 32, 2e-3),
  Rung(8, 4, 256, 6, 4, 64, 1e-3),
  Rung(8, 8, 384, 8, 6, 128, 1e-3),
  Rung(16, 4, 384, 8, 6, 128, 5e-4),
  Rung(16, 8, 512, 12, 8, 256, 5e-4),
)


class Chosen(NamedTuple):
  """What `train.train` takes."""

  config: Any
  coded: data_base.Coded | None  # where the pictures are read already


def images(
  workdir, data=None, minutes=None, *, labels=None, regime=None, size=None, flip=None, crop=None,
  seed=None,
) -> Chosen:
  """The config of a run on one's own pictures: that of the workdir where there is one, else a new
  one for so many minutes of training, after a few steps that are timed.

  data: a folder or .zip of pictures, flat or in a folder a class, a .npy or .npz, or an array uint8
  [n, H, W, C] or [n, H, W], with labels [n], whole numbers or names; or a folder of pictures with
  captions in metadata.jsonl, see data/captioned_folder.py. regime: one of REGIMES. size:
  pixels a side. flip, crop: see configs/base.py; None: coloured pictures are mirrored and shifted
  a little where they are few. Raises ValueError or OSError, in words, for what cannot be trained
  on, and where a workdir was begun otherwise.
  """
  asked = dict(regime=regime, size=size, flip=flip, crop=crop, seed=seed)
  _check(minutes, asked)
  place = _placed(workdir, data, labels)
  if workdir_lib.is_made(workdir):
    return Chosen(_begun(workdir, place, asked, minutes), None)
  if place is None:
    raise ValueError('data is missing: name a folder or .zip of pictures, or pass an array of them')
  compilation.keep()
  captioned = captioned_folder.lies_at(place)
  mine = own_captioned.Captioned(place) if captioned else Alone(place)
  side, minutes = _side(mine.looks), MINUTES if minutes is None else minutes
  rung = LADDER[hosts.told(_rung(minutes, side, size))]
  config = _filled(mine, side, rung, asked)
  parts = build.build(config)
  _count_steps(config, minutes, parts)
  hosts.say(_said(config, mine, minutes))
  return Chosen(config.lock(), parts.coded)


def run(workdir, data, minutes, *, profile=0) -> int:
  """Trains on one's own pictures, as the binary; returns its exit code. Without a workdir: runs/
  and the name of the data."""
  if workdir is None:
    workdir = os.path.join('runs', pathlib.Path(data).expanduser().resolve().stem or 'pictures')
    hosts.say(f'--workdir={workdir}')

  def show(step, name, picture):
    hosts.say(f'{name} at step {step}: {workdir}/pictures/{name}_{step:08d}.png')

  chosen = images(workdir, data, minutes)
  return train_lib.train(
    chosen.config, workdir, profile=profile, show=show, coded=chosen.coded
  )


def _check(minutes, asked):
  """Raises ValueError for numbers that mean nothing."""
  real = isinstance(minutes, numbers.Real) and not isinstance(minutes, bool)
  if minutes is not None and not (real and 0 < minutes <= 10**5):
    raise ValueError(f'minutes={minutes!r} leaves no time to train; write for example 2')
  if asked['regime'] not in (None, *REGIMES):
    raise ValueError(
      f'regime={asked["regime"]!r} is unknown; write '
      + ' or '.join(f'{name!r} ({words})' for name, words in REGIMES.items())
    )
  for key, kind in (('size', values.Count), ('crop', values.Whole), ('seed', values.Seed)):
    if asked[key] is not None:
      values.check(key, asked[key], kind)


def _placed(workdir, pictures, labels):
  """Where the pictures lie, or None where nobody says; an array is kept in the workdir."""
  if labels is not None and not isinstance(pictures, np.ndarray):
    raise ValueError('labels belong to an array; the classes of other pictures are their folders')
  if pictures is None or isinstance(pictures, str | os.PathLike):
    return None if pictures is None else os.fspath(pictures)
  if not isinstance(pictures, np.ndarray):
    raise ValueError(
      f'data is a {type(pictures).__name__}; name a folder or .zip, or pass an array uint8 '
      '[n, H, W, C]'
    )
  kept = {'examples': albums.checked(pictures, 'data')}
  if labels is not None:
    labels = np.asarray(labels)
    if labels.dtype.kind == 'U':
      kept['names'], labels = np.unique(labels, return_inverse=True)
    kept['labels'] = albums.checked_labels(labels, len(pictures), 'data')
  path = os.path.join(workdir, _KEPT)
  if workdir_lib.is_made(workdir):
    same = storage.exists(path) and albums.open_album(path).digest == albums.digest_of(**kept)
    if not same:  # or with those of a folder
      raise ValueError(f'{workdir} was begun with other pictures or labels; choose a new workdir')
    return path
  if storage.exists(path) and albums.open_album(path).digest != albums.digest_of(**kept):
    raise ValueError(f'{path} holds other pictures, which would be lost; choose a new workdir')
  storage.make_folder(workdir)
  with files.whole(path, 'wb') as file:
    np.savez(file, **kept)
  return path


def _begun(workdir, place, asked, minutes):
  """The config of a workdir that is there, with its data where they are now."""
  config = places.placed(workdir_lib.load(workdir), place)
  kinds_of = image_folder.ImageFolder, captioned_folder.CaptionedFolder
  if choose.find('data', config.data.name) not in kinds_of:
    raise ValueError(
      f'{workdir} was made with the data {config.data.name}, not with pictures of your own; choose '
      'a new workdir'
    )
  stored = dict(
    regime=_regime(config), size=config.data.size, flip=config.train.flip, crop=config.train.crop,
    seed=config.seed,
  )
  for key, value in asked.items():
    if value is not None and value != stored[key]:
      raise ValueError(
        f'{workdir} was begun with {key}={stored[key]!r}, not {value!r}; choose a new workdir'
      )
  also = '' if minutes is None else ', whatever the minutes'
  hosts.say(f'{workdir} is there: its config counts, {config.train.steps} steps in all{also}')
  return config


def _regime(config):
  return 'blocks' if 'cell' in kinds.own(config, IMAGE, 'blocks') else 'whole'


def _side(looks):
  """Pixels that at least half of the pictures have at their short side."""
  return int(np.median([min(one.width, one.height) for one in looks]))


def _dtype():
  return 'float32' if jax.default_backend() == 'cpu' else 'bfloat16'


def _devices():
  """That share a batch; those of a CPU, where there are several, are one."""
  return 1 if jax.default_backend() == 'cpu' else jax.device_count()


def _rung(minutes, side, size):
  """The number of the rung that suits the devices, the time and the pictures, or their size."""
  def suits(rung):
    if size is None:
      return rung.grid <= side
    return size % rung.grid == 0 and size // rung.grid <= 2 * rung.patch

  suiting = [number for number, rung in enumerate(LADDER) if suits(rung)]
  if not suiting:
    raise ValueError(
      f'pictures of {side} pixels a side are too small; 4 are the least' if size is None
      else f'size={size} cannot be cut into tokens; write 32, 64, 128 or 256'
    )
  rate = _SHARE * rates.matmul_rate(dtype=_dtype()) * _devices()
  return max(
    (number for number in suiting if LADDER[number].flops() * _ENOUGH <= rate * 60 * minutes),
    default=suiting[0],
  )


def _cut(rung, side):
  """(tokens, pixels of a token) a side, of pictures that are not made larger than they are: the
  most tokens that keep seven eighths of what there is room for, or those that keep the most."""
  most, grids = min(side, rung.grid * rung.patch), range(rung.grid, 3, -2)
  kept = {grid: grid * (most // grid) for grid in grids}
  grid = next((grid for grid in grids if 8 * kept[grid] >= 7 * most), max(kept, key=kept.get))
  return grid, most // grid


def _filled(mine, side, rung, asked):
  """The row, with what suits these pictures, most of which have that side."""
  size = asked['size']
  grid, patch = _cut(rung, side) if size is None else (rung.grid, size // rung.grid)
  config = mine.config(grid, patch, asked)
  config.model.update(
    dict(width=rung.width, depth=rung.depth, heads=rung.heads, dtype=_dtype())
  )
  config.train.batch_size = -(-rung.batch // jax.device_count()) * jax.device_count()
  config.optim.learning_rate = rung.learning_rate
  config.seed = config.seed if asked['seed'] is None else asked['seed']
  return config


class Alone:
  """Pictures without captions; what they are asked for is what own_captioned.Captioned is."""

  def __init__(self, place):
    self._place, self.source = place, image_folder.ImageFolder(place)
    self.looks = self.source.looks()
    self.channels = max(one.channels for one in self.looks)

  def config(self, grid, patch, asked) -> Any:
    """The row, for pictures of grid x grid tokens of patch x patch pixels; asked: see images."""
    source = self.source
    config = importlib.import_module('configs.images').get_config('own').unlock()
    config.name = f'pictures of {pathlib.Path(self._place).stem}'
    config.data.data_dir, config.data.size = self._place, grid * patch
    config.data.channels = self.channels
    config.codec.patch, config.blocks.cell = patch, (grid // 2, grid // 2)
    if asked['regime'] == 'whole':
      config.blocks = {'name': 'whole'}
      config.plan.steps *= 4
    moved = len(self.looks) < SMALL and self.channels == 3
    config.train.flip = moved if asked['flip'] is None else bool(asked['flip'])
    crop = config.data.size // 16 if moved else 0
    config.train.crop = crop if asked['crop'] is None else asked['crop']
    if source.num_classes < 2:
      config.guidance.scale = config.guidance.first = 1.0
    pixels = config.data.size**2 * config.data.channels
    config.eval.features = source.num_classes > 1 and pixels <= _QUALITY and _known(source)
    return config

  def said(self) -> str:
    """What there is, in words."""
    classes = f' of {self.source.num_classes} classes' if self.source.num_classes else ''
    return f'{len(self.source.album.names)} pictures{classes}'


def _known(source):
  """Have all pictures a label, and the training ones every class? A judge learns them."""
  labels = {split: source.labels(split) for split in source.splits}
  seen = set(labels['train'])
  return -1 not in seen and set(labels['test']) <= seen and len(seen) == source.num_classes


def _count_steps(config, minutes, parts):
  """Times the update, and sets what depends on the number of steps."""
  steps = hosts.told(int(min(max(60 * minutes / _seconds_a_step(config, parts), _FEWEST), _MOST)))
  config.train.steps, config.train.log_every = steps, max(1, steps // 50)
  config.train.eval_every = config.train.checkpoint_every = max(1, math.ceil(steps / 4))


def _seconds_a_step(config, parts):
  """Of the compiled update, on its first batch."""
  mesh = build.build_mesh(parts)
  abstract = cost.state(parts)
  shardings = build.state_shardings(parts, mesh, abstract)
  size = config.train.batch_size
  batch = batches.Batches(
    parts.coded, 'train', size, seed=config.seed, blocks=parts.blocks,
    rows=sharding.local_rows(mesh, size),
  ).batch_at(0)
  with jax.set_mesh(mesh):
    state = begin.born(parts, shardings)
    update = train_lib.make_update(parts, mesh, shardings)
    batch = sharding.put_batch(mesh, batch, size)
    state, _ = jax.block_until_ready(update(state, batch))
    made, wanted, start = 0, 2, time.perf_counter()
    while made < wanted:
      state, _ = jax.block_until_ready(update(state, batch))
      made, seconds = made + 1, time.perf_counter() - start
      if made == 2:  # as many on every process, for a second in all
        wanted = hosts.told(min(int(2 / seconds), 20))
  return seconds / made


def _said(config, mine, minutes):
  """What was chosen, in a line."""
  data, network, train = config.data, config.model, config.train
  moved = [word for word, on in (
    ('mirrored', train.flip), (f'shifted by up to {train.crop} pixels', train.crop),
  ) if on]
  words = [
    mine.said(), f'{data.size} x {data.size} pixels of {mine.channels} channels',
    ' and '.join(moved) or 'as they are', REGIMES[_regime(config)],
    f'width {network.width}, depth {network.depth}, batches of {train.batch_size}',
    f'{train.steps} steps in about {minutes:g} minutes',
  ]
  return ', '.join(words)
