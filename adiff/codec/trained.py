"""A codec that was trained: what an autoencoder makes of the tokens of a codec without parameters.

  WORKDIR/codec.json    of the workdir that trained it: what it is made of (FORM below), and with
                        which parameters

Vectors are less their mean and over their deviation, which the file tells; of a law over vectors
(quantiser vae) the tokens are its mean. Tokens are made on the device, a batch at a time. Pictures
may have other sides than in training, multiples of those that a place of the code stands for.
"""

import base64
import dataclasses
import functools
import io
import json
import math
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from adiff.codec import base
from adiff.machine import array_file, files, input_file, json_file, storage
from adiff.nn import autoencoder as autoencoder_lib
from adiff.sequence import spec as spec_lib
from adiff.sequence import values

FILE, VERSION = 'codec.json', 1
FORM = {
  'version': int,
  'shape': [int], 'levels': int, 'medium': str,  # of the examples, as in base.Facts
  'codec': {'name': str},  # choices, with what they learnt: between examples and x,
  'coder': {'name': str},  # and between x and codes
  'quantiser': {'name': str},
  'mean': [float], 'std': [float],  # of each float of a vector; [] of symbols
  'step': int,  # of the training
  'weights': str,  # an .npz in base 64, of the leaves of {'params', 'extra'} in order
}
BATCH = 64  # examples that are encoded or decoded at a time
_BYTES = 2**30
_ADVICE = 'write it anew with --mode=eval of the workdir that trained it'

# What a file tells -> the codec that x are the tokens of, and the autoencoder.
Made = Callable[[dict], tuple[base.Codec, autoencoder_lib.Autoencoder]]


@dataclasses.dataclass(frozen=True, eq=False)
class Trained(base.Codec):
  """What a workdir was trained to be; `fit` reads it, whatever the source."""

  places, files = ('workdir',), {'text': FILE}

  made: Made  # provided
  workdir: values.Path = ''  # that trained it
  text: str = ''  # of its codec.json, which needs no workdir
  shape: tuple[int, ...] = ()  # of the data; (): that of training

  @classmethod
  def reads(cls, facts):
    return facts.medium != 'text'

  def fit(self, source):
    return self if self.text else dataclasses.replace(self, text=_text(self.workdir))

  @property
  def digest(self):
    resized = () if self._shape == tuple(self._about['shape']) else (repr(self._shape),)
    return files.digest('trained', self.text, *resized)

  @property
  def told(self):
    told, scales = {'digest': self.digest}, self._parts.scales
    if any(np.any(np.array(scales[-1]) % scale) for scale in scales if len(scales) > 1):
      told['places'] = 'centres'  # earlier versions had others, of sides that do not divide
    return told

  def spec(self, facts):
    self._check(facts)
    found = self._parts
    quantiser, scales = found.autoencoder.quantiser, found.scales
    num = found.autoencoder.num_codes
    values.check_row(num)
    grid = scales[0] if len(scales) == 1 else (num,)
    hints, stages = {}, None
    if quantiser.kind.discrete:
      codes = jax.ShapeDtypeStruct((1, num), np.int32)
      hints = {name: leaf.shape[-1] for name, leaf in jax.eval_shape(found.hints, codes).items()}
    if hints:
      stages = np.repeat(np.arange(len(scales)), [math.prod(scale) for scale in scales])
    return spec_lib.Spec(
      kinds=(quantiser.kind,), num_tokens=num, grid=grid, coords=_coords(scales),
      conds=facts.conds, dims=int(np.prod(facts.shape)), medium=facts.medium,
      hints=hints, stages=stages,
    )

  def encode(self, params, examples, key=None):
    found = self._parts
    x = found.codec.encode((), examples)
    codes = _in_batches(found.encode, np.asarray(x, np.float32))
    if found.autoencoder.quantiser.kind.discrete:
      return codes
    return (codes - found.mean) / found.std

  def hints(self, params, tokens):
    found = self._parts
    return found.hints(jnp.clip(tokens, 0, found.autoencoder.quantiser.kind.vocab - 1))

  @property
  def requantises(self):
    return len(self._parts.scales) > 1

  def requantise(self, params, tokens, key, share):
    return self._parts.requantise(tokens, key, share)

  def decode(self, params, tokens):
    found, codes = self._parts, np.asarray(tokens)
    kind = found.autoencoder.quantiser.kind
    if kind.discrete:
      codes = np.clip(codes, 0, kind.vocab - 1).astype(np.int32)
    else:
      codes = codes.astype(np.float32) * found.std + found.mean
    return found.codec.decode((), _in_batches(found.decode, codes))

  @functools.cached_property
  def _about(self):
    return _parsed(self.text, self._where)

  @functools.cached_property
  def _parts(self):
    return _parts(self._about, self.made, self._where, self._shape)

  @property
  def _where(self):
    return f'the codec of codec.workdir={values.shown(self.workdir)}'

  @property
  def _shape(self):
    """Of the examples."""
    return tuple(self.shape) if self.shape else tuple(self._about['shape'])

  def _check(self, facts):
    """Raises ValueError for examples that it has no tokens of."""
    about, here = self._about, tuple(facts.shape)
    medium, shape, levels = about['medium'], tuple(about['shape']), about['levels']
    trained = f'{self._where} was trained on {_shown(medium, shape, levels)}'
    fixed = shape
    if 'shape' in about['codec'] and len(here) == len(shape):
      fixed = (*shape[:-3], *here[-3:-1], *shape[-1:])
    if (facts.medium, here, facts.levels) != (medium, fixed, levels) or here != self._shape:
      raise ValueError(
        f'{trained}, and these data are {_shown(facts.medium, here, facts.levels)}; take data of '
        'that form, or train a codec on these'
      )
    if here == shape:
      return
    grid = _parts(about, self.made, self._where, shape).autoencoder.coder.code_grid
    cell = [side // num for side, num in zip(shape[-3:-1], grid[-2:], strict=True)]
    if any(side % num for side, num in zip(here[-3:-1], cell, strict=True)):
      raise ValueError(
        f'{trained}, of which a place of the code stands for {cell[0]}x{cell[1]}, and these data '
        f'are {_shown(medium, here, levels)}; cut them to sides that are multiples of that'
      )


@dataclasses.dataclass(frozen=True, eq=False)
class _Parts:
  """What the text of a codec stands for."""

  about: dict
  codec: base.Codec
  autoencoder: autoencoder_lib.Autoencoder
  mean: np.ndarray
  std: np.ndarray
  encode: Callable  # compiled
  decode: Callable
  # of the quantiser's parameters alone, which a program takes as constants
  hints: Callable
  requantise: Callable

  @property
  def scales(self) -> tuple[tuple[int, ...], ...]:
    """Those that the codes stand in."""
    return self.autoencoder.quantiser.scales(self.autoencoder.coder.code_grid)


def told(about, served, *, mean, std, step) -> str:
  """The text of a codec's file. about: the entries of FORM that say what it is made of; served:
  {'params', 'extra'}, arrays; mean, std: of its vectors, () of symbols."""
  packed = io.BytesIO()
  leaves = jax.tree.leaves(jax.tree.map(np.asarray, served))
  np.savez(packed, *leaves)
  return json.dumps({
    'version': VERSION, **about, 'mean': np.asarray(mean, float).tolist(),
    'std': np.asarray(std, float).tolist(), 'step': int(step),
    'weights': base64.b64encode(packed.getvalue()).decode(),
  })


def _text(workdir):
  """The text of the codec of a workdir; raises ValueError where it has none."""
  path = os.path.join(workdir, FILE)
  if not workdir or not storage.exists(path):
    raise ValueError(
      f'codec.workdir={values.shown(workdir)} holds no {FILE}: name a workdir that has trained a '
      'codec to its end (configs/tokenizer.py)'
    )
  return input_file.read(path, limit=_BYTES).decode('utf-8')


def _parsed(text, where) -> dict:
  """What a text tells, in FORM; raises ValueError for one that is no codec."""
  about = json_file.parse(text, FORM, where=where, advice=_ADVICE)
  if about['version'] != VERSION:
    raise ValueError(
      f'{where} has version {about["version"]} and this program reads {VERSION}; {_ADVICE}'
    )
  return about


def _parts(about, made, where, shape):
  """_Parts of what a text tells, for examples of this shape; raises ValueError for what is no
  codec."""
  sized = {**about, 'shape': shape}
  if 'shape' in about['codec']:
    sized['codec'] = {**about['codec'], 'shape': shape}
  with input_file.told(where, 'is no codec', _ADVICE):
    codec, autoencoder = made(json_file.tuples(sized))
    abstract = jax.eval_shape(
      lambda key: {'params': autoencoder.init(key), 'extra': autoencoder.init_extra()},
      jax.random.key(0),
    )
    content = base64.b64decode(about['weights'])
    stored = array_file.npz_in(io.BytesIO(content), len(content), where, advice=_ADVICE)
    arrays = [stored[f'arr_{index}'] for index in range(len(stored))]
    leaves, tree = jax.tree.flatten(abstract)
    if [(leaf.shape, leaf.dtype) for leaf in leaves] != [(a.shape, a.dtype) for a in arrays]:
      raise ValueError('its parameters are those of another network')
    kind = autoencoder.quantiser.kind
    width = 0 if kind.discrete else kind.dim
    mean, std = (np.asarray(about[name], np.float32) for name in ('mean', 'std'))
    if len(mean) != width or len(std) != width or not np.all(std > 0):
      raise ValueError(f'it tells no mean and deviation of each of {width} floats')
  served = tree.unflatten(arrays)
  bound = autoencoder.bind(**served)
  encode = jax.jit(lambda served, x: autoencoder.bind(**served).encode(x))
  decode = jax.jit(lambda served, codes: autoencoder.bind(**served).decode(codes))
  return _Parts(
    about, codec, autoencoder, mean, std,
    functools.partial(encode, served), functools.partial(decode, served),
    bound.hints, bound.requantise,
  )


def _in_batches(function, arrays) -> np.ndarray:
  """function of every BATCH rows, the last ones filled up, so that one program does."""
  found = []
  for start in range(0, len(arrays), BATCH):
    part = arrays[start:start + BATCH]
    filled = np.concatenate([part, np.repeat(part[-1:], BATCH - len(part), 0)])
    found.append(np.asarray(function(jnp.asarray(filled)))[:len(part)])
  return np.concatenate(found)


def _coords(scales) -> np.ndarray:
  """int32 [N, A] of the codes; of several scales, their number and the place of the finest one
  that is nearest to the centre."""
  places = [np.indices(scale).reshape(len(scale), -1).T for scale in scales]
  if len(scales) == 1:
    return places[0].astype(np.int32)
  found = []
  for number, (own, scale) in enumerate(zip(places, scales, strict=True)):
    finest, scale = np.array(scales[-1]), np.array(scale)
    centre = -((2 * scale - (2 * own + 1) * finest) // (2 * scale))  # half a place is rounded down
    found.append(np.concatenate([np.full((len(own), 1), number), centre], 1))
  return np.concatenate(found).astype(np.int32)


def _shown(medium, shape, levels) -> str:
  of = f' of {levels} levels' if levels else ''
  return f'{medium} {list(shape)}{of}'
