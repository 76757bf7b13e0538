"""Latents of an autoencoder, encoded beforehand, as float tokens: images and videos.

  DATA_DIR/SPLIT/NAME.npy        float [n, H, W, C] or [n, T, H, W, C]; read through memory maps
  DATA_DIR/SPLIT/NAME.label.npy  int [n], the classes of the same examples; absent for sets without
  DATA_DIR/latents.json          {"mean": [C], "std": [C]} of the channels; tokens are standardised
"""

import dataclasses
import functools
import json
import pathlib

import numpy as np

from adiff.data import spec

_MADE_UP = {'train': 4096, 'test': 512}
_SPLITS = tuple(_MADE_UP)


@dataclasses.dataclass(frozen=True, eq=False)
class Latents(spec.Source):
  """A token is a patch x patch square of a frame with all its channels.

  shape: of one example, (H, W, C) or (T, H, W, C). made_up: no files, but smooth random fields that
  depend on the class, to try a config on; without it and without data_dir there are facts but no
  rows, which is enough to compile. Raises FileNotFoundError for a missing folder or file,
  ValueError for a patch that does not tile, or files of another shape.
  """

  data_dir: str = ''
  _: dataclasses.KW_ONLY
  shape: tuple[int, ...] = (32, 32, 4)
  patch: int = 1
  num_classes: int = 0
  made_up: bool = False

  def __post_init__(self):
    object.__setattr__(self, 'shape', tuple(self.shape))
    *_, height, width, _ = self.shape if len(self.shape) in (3, 4) else (0, 0, 0)
    if min(height, width, self.patch) < 1 or height % self.patch or width % self.patch:
      raise ValueError(
        f'data.shape={self.shape} is not tiled by data.patch={self.patch}; write (H, W, C) or '
        '(T, H, W, C) with sides that are multiples of the patch'
      )
    if self.made_up and self.data_dir:
      raise ValueError('data.made_up needs no data.data_dir; leave one of them away')
    if self.data_dir:
      for split in _SPLITS:
        self._files(split)

  @functools.cached_property
  def spec(self):
    *frames, height, width, channels = self.shape
    grid = (*frames, height // self.patch, width // self.patch)
    return spec.Spec(
      num_tokens=int(np.prod(grid)), grid=grid, vocab=0, dim=self.patch**2 * channels,
      coords=np.indices(grid, dtype=np.int32).reshape(len(grid), -1).T.copy(),
      num_classes=self.num_classes, dims=int(np.prod(self.shape)), bin=None,
      decode=self.decode, image_levels=0,
    )

  @property
  def splits(self):
    return _SPLITS

  @property
  def exact(self):
    return {}

  @functools.cached_property
  def fingerprint(self):
    facts = [str(self.shape), str(self.num_classes), str(self.made_up)]
    if self.data_dir:
      root = pathlib.Path(self.data_dir).expanduser()
      files = [path for split in _SPLITS for path in self._files(split)]
      facts += [f'{path.relative_to(root)} {path.stat().st_size}' for path in files]
      facts += [str(leaf.tolist()) for leaf in self._statistics]
    return spec.digest(*facts)

  def size(self, split):
    spec.check_split(split, _SPLITS)
    return int(self._ends(split)[-1]) if self.data_dir else _MADE_UP[split]

  def rows(self, split, indices):
    indices = np.asarray(indices)
    if self.made_up:
      examples, labels = self._fields(split, indices)
    elif not self.data_dir:
      raise ValueError(
        'there are no latents; set --config.data.data_dir=FOLDER (see adiff/data/latents.py), or '
        '--config.data.made_up=True to try the config on random fields'
      )
    else:
      examples, labels = self._read(spec.check_split(split, _SPLITS), indices)
    return {'tokens': self.encode(examples), 'label': labels}

  def encode(self, examples):
    """[b, *shape] -> tokens float32 [b, N, D], standardised, raster order."""
    mean, std = self._statistics
    examples = (np.asarray(examples, np.float32) - mean) / std
    *frames, height, width = self.spec.grid
    split = examples.reshape(
      len(examples), *frames, height, self.patch, width, self.patch, self.shape[-1]
    )
    return split.swapaxes(-3, -4).reshape(len(examples), self.spec.num_tokens, self.spec.dim)

  def decode(self, tokens):
    """Tokens [b, N, D] in raster order -> latents float32 [b, *shape]."""
    mean, std = self._statistics
    split = np.asarray(tokens, np.float32).reshape(
      len(tokens), *self.spec.grid, self.patch, self.patch, self.shape[-1]
    )
    return split.swapaxes(-3, -4).reshape(len(tokens), *self.shape) * std + mean

  @functools.cached_property
  def _statistics(self):
    """(mean, std), float32 [C]."""
    channels = self.shape[-1]
    if not self.data_dir:
      return np.zeros(channels, np.float32), np.ones(channels, np.float32)
    path = pathlib.Path(self.data_dir).expanduser() / 'latents.json'
    try:
      found = json.loads(path.read_text())
      mean, std = (np.asarray(found[name], np.float32) for name in ('mean', 'std'))
    except FileNotFoundError as error:
      raise FileNotFoundError(f'there is no {path}; write {{"mean": [..], "std": [..]}}') from error
    except (ValueError, KeyError, TypeError) as error:
      raise ValueError(f'{path} must hold {{"mean": [..], "std": [..]}} of numbers') from error
    if mean.shape != (channels,) or std.shape != (channels,) or not np.all(std > 0):
      raise ValueError(f'{path} must hold {channels} means and positive stds, one a channel')
    return mean, std

  def _files(self, split):
    folder = pathlib.Path(self.data_dir).expanduser() / split
    found = sorted(p for p in folder.glob('*.npy') if not p.name.endswith('.label.npy'))
    if not found:
      raise FileNotFoundError(
        f'there is no {folder}/*.npy; set --config.data.data_dir=FOLDER, which must hold '
        f'{" and ".join(_SPLITS)} (see adiff/data/latents.py)'
      )
    return found

  @functools.cached_property
  def _maps(self):
    """{split: [(examples, labels or None) a file]}, memory-mapped; no file can run code."""
    out = {}
    for split in _SPLITS:
      out[split] = []
      for path in self._files(split):
        examples = np.load(path, mmap_mode='r', allow_pickle=False)
        beside = path.with_name(f'{path.stem}.label.npy')
        labels = np.load(beside, allow_pickle=False) if beside.exists() else None
        if examples.shape[1:] != self.shape or bool(self.num_classes) != (labels is not None):
          raise ValueError(
            f'{path} holds {list(examples.shape)} with{"" if beside.exists() else "out"} '
            f'{beside.name}, but data.shape={self.shape} and data.num_classes={self.num_classes}; '
            'correct one of them'
          )
        wrong = labels is not None and (
          labels.shape != examples.shape[:1] or labels.min() < 0 or labels.max() >= self.num_classes
        )
        if wrong:
          raise ValueError(
            f'{beside} must hold {len(examples)} classes below data.num_classes={self.num_classes}'
          )
        out[split].append((examples, labels))
    return out

  def _ends(self, split):
    return np.cumsum([len(examples) for examples, _ in self._maps[split]])

  def _read(self, split, indices):
    ends = self._ends(split)
    which = np.searchsorted(ends, indices, side='right')
    places = [(self._maps[split][w], i - (ends[w - 1] if w else 0)) for w, i in
              zip(which, indices, strict=True)]
    labels = [-1 if labels is None else labels[at] for (_, labels), at in places]
    return np.stack([examples[at] for (examples, _), at in places]), np.array(labels, np.int32)

  def _fields(self, split, indices):
    """A wave whose direction is the class, with a random phase and noise."""
    classes = max(self.num_classes, 1)
    labels = (indices % classes).astype(np.int32)
    place = np.indices(self.shape[:-1]).astype(np.float32) / self.shape[-2]
    out = []
    for index, label in zip(indices, labels, strict=True):
      rng = np.random.default_rng([_SPLITS.index(split), int(index)])
      angle = np.pi * label / classes
      turn = np.cos(angle) * place[-1] + np.sin(angle) * place[-2] + place[:-2].sum(0)
      phase = rng.uniform(size=self.shape[-1]) + turn[..., None]
      out.append(np.sin(2 * np.pi * phase) + 0.1 * rng.normal(size=self.shape))
    return np.stack(out), labels if self.num_classes else np.full(len(labels), -1, np.int32)
