"""Latents of an autoencoder, encoded beforehand: images and videos.

DATA_DIR/SPLIT/NAME.npy        float [n, H, W, C] or [n, T, H, W, C]; read through memory maps, and
                               so copied to this machine from a bucket (machine/copies.py)
DATA_DIR/SPLIT/NAME.label.npy  int [n], the classes of the same examples; absent for sets without
DATA_DIR/latents.json          {"mean": [C], "std": [C]} of the channels, for codec/latents.py
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base
from adiff.machine import array_file, contents, copies, files, json_file
from adiff.sequence import conditions, values

_MADE_UP = {'train': 4096, 'test': 512}
_SPLITS = tuple(_MADE_UP)


class _File(NamedTuple):
  """What a file and the one of labels beside it hold."""

  latents: np.ndarray  # float [n, *shape], memory-mapped
  labels: np.ndarray | None  # int [n]


@dataclasses.dataclass(frozen=True, eq=False)
class Latents(base.Source):
  """Examples are float [b, H, W, C], or [b, T, H, W, C] of a video.

  Without data_dir and made_up there are facts but no examples, which is enough to compile. Raises
  FileNotFoundError for a missing folder or file, ValueError for files of another shape.
  """

  places = ('data_dir',)

  data_dir: values.Path = ''
  shape: tuple[values.Count, ...] = (32, 32, 4)  # of an example, (H, W, C) or (T, H, W, C)
  num_classes: values.Whole = 0  # 0 where examples have no label
  made_up: bool = False  # no files: smooth random fields, one law a class, to try a config on

  def __post_init__(self):
    object.__setattr__(self, 'shape', tuple(self.shape))
    if len(self.shape) not in (3, 4) or min(self.shape) < 1:
      raise ValueError(f'data.shape={self.shape} must be (H, W, C) or (T, H, W, C)')
    if self.made_up and self.data_dir:
      raise ValueError('data.made_up needs no data.data_dir; leave one of them away')
    if self.data_dir:
      for split in _SPLITS:
        self._files(split)

  @property
  def facts(self):
    conds = {'label': conditions.Label(self.num_classes)} if self.num_classes else {}
    medium = 'image' if len(self.shape) == 3 else 'video'
    return codec_base.Facts(medium, self.shape, conds=conds)

  @property
  def splits(self):
    return _SPLITS

  @functools.cached_property
  def fingerprint(self):
    facts = [str(self.shape), str(self.num_classes), str(self.made_up)]
    if self.data_dir:
      paths = [path for split in _SPLITS for path in self._files(split)]
      paths += [beside for path in paths if (beside := _beside(path)).exists()]
      names = [path.relative_to(self._root).as_posix() for path in paths]
      facts.append(contents.digest(self._root, names))
      facts += [str(leaf.tolist()) for leaf in self.statistics]
    return files.digest(*facts)

  def size(self, split):
    base.check_split(split, _SPLITS)
    return int(self._ends(split)[-1]) if self.data_dir else _MADE_UP[split]

  def examples(self, split, indices):
    indices = np.asarray(indices)
    if self.made_up:
      latents, labels = self._fields(split, indices)
    elif not self.data_dir:
      raise ValueError(
        'there are no latents; set --config.data.data_dir=FOLDER (see adiff/data/latents.py), or '
        '--config.data.made_up=True to try the config on random fields'
      )
    else:
      latents, labels = self._read(base.check_split(split, _SPLITS), indices)
    return {'example': latents, 'label': labels}

  @functools.cached_property
  def statistics(self) -> tuple[np.ndarray, np.ndarray]:
    """(mean, std) of the channels, float32 [C]; (0, 1) without files."""
    channels = self.shape[-1]
    if not self.data_dir:
      return np.zeros(channels, np.float32), np.ones(channels, np.float32)
    path = self._root / 'latents.json'
    try:
      facts = json_file.read(
        path, {'mean': [float], 'std': [float]},
        advice='it must hold {"mean": [..], "std": [..]} of numbers',
      )
    except FileNotFoundError as error:
      raise FileNotFoundError(f'there is no {path}; write {{"mean": [..], "std": [..]}}') from error
    with np.errstate(over='ignore'):  # a number beyond float32 is refused as infinite
      mean, std = (np.asarray(facts[name], np.float32) for name in ('mean', 'std'))
    finite = np.isfinite(mean).all() and np.isfinite(std).all()
    if mean.shape != (channels,) or std.shape != (channels,) or not finite or not np.all(std > 0):
      raise ValueError(f'{path} must hold {channels} means and positive stds, one a channel')
    return mean, std

  @functools.cached_property
  def _root(self):
    return copies.here(self.data_dir)

  def _files(self, split):
    folder = self._root / split
    paths = sorted(p for p in folder.glob('*.npy') if not p.name.endswith('.label.npy'))
    if not paths:
      raise FileNotFoundError(
        f'there is no {folder}/*.npy; set --config.data.data_dir=FOLDER, which must hold '
        f'{" and ".join(_SPLITS)} (see adiff/data/latents.py)'
      )
    return paths

  @functools.cached_property
  def _maps(self):
    """{split: [_File]}."""
    return {split: [self._open(path) for path in self._files(split)] for split in _SPLITS}

  def _open(self, path):
    """The `_File` of a path, checked; no file can run code."""
    latents = array_file.mapped(path)
    beside = _beside(path)
    labels = array_file.npy(beside) if beside.exists() else None
    for place, array, kinds in ((path, latents, 'f'), (beside, labels, 'iu')):
      if array is not None and (array.dtype.kind not in kinds or not array.ndim):
        words = 'floats' if kinds == 'f' else 'whole numbers'
        raise ValueError(f'{place} must hold {words}, not {array.dtype} {list(array.shape)}')
    if latents.shape[1:] != self.shape or bool(self.num_classes) != (labels is not None):
      raise ValueError(
        f'{path} holds {list(latents.shape)} with{"" if beside.exists() else "out"} '
        f'{beside.name}, but data.shape={self.shape} and data.num_classes={self.num_classes}; '
        'correct one of them'
      )
    wrong = labels is not None and (
      labels.shape != latents.shape[:1]
      or not ((0 <= labels) & (labels < self.num_classes)).all()
    )
    if wrong:
      raise ValueError(
        f'{beside} must hold {len(latents)} classes below data.num_classes={self.num_classes}'
      )
    return _File(latents, labels)

  def _ends(self, split):
    """Where each file ends, counted in examples of the split."""
    return np.cumsum([len(file.latents) for file in self._maps[split]])

  def _read(self, split, indices):
    ends = self._ends(split)
    which = np.searchsorted(ends, indices, side='right')
    latents, labels = [], []
    for number, index in zip(which, indices, strict=True):
      file, place = self._maps[split][number], index - (ends[number - 1] if number else 0)
      if not np.isfinite(file.latents[place]).all():
        raise ValueError(
          f'{self._files(split)[number]} holds numbers that are not finite, as example {place}; '
          'encode it again'
        )
      latents.append(file.latents[place])
      labels.append(-1 if file.labels is None else file.labels[place])
    return np.stack(latents), np.array(labels, np.int32)

  def _fields(self, split, indices):
    """A wave whose direction is the class, with a random phase and noise."""
    classes = max(self.num_classes, 1)
    labels = (indices % classes).astype(np.int32)
    place = np.indices(self.shape[:-1]).astype(np.float32) / self.shape[-2]
    waves = []
    for index, label in zip(indices, labels, strict=True):
      rng = np.random.default_rng([_SPLITS.index(split), int(index)])
      angle = np.pi * label / classes
      turn = np.cos(angle) * place[-1] + np.sin(angle) * place[-2] + place[:-2].sum(0)
      phase = rng.uniform(size=self.shape[-1]) + turn[..., None]
      waves.append(np.sin(2 * np.pi * phase) + 0.1 * rng.normal(size=self.shape))
    return np.stack(waves), labels if self.num_classes else np.full(len(labels), -1, np.int32)


def _beside(path):
  """The file of the labels of a file of latents."""
  return path.with_name(f'{path.stem}.label.npy')
