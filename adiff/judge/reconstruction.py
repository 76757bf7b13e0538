"""What a codec keeps of pictures: how near its reconstructions are to held-out ones, and what they
take, beside simple codecs.

Everything is arrays: who has a trained codec encodes and decodes, this measures and shows. It takes
the bytes of the pictures for every codec, features of them, and what metrics/compression.py says.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from adiff.judge import base, coded, section, subset
from adiff.judge.metrics import compression, features, fidelity, frechet
from adiff.judge.page import images

TITLE = 'Reconstruction'
COLUMNS, ROWS = 10, 4  # of the figures
QUALITIES = (0, 75)  # of WebP
# Numbers of reconstructions: key, heading, what is better, what it means.
_MEASURES = (
  ('bits', 'Bits', 'low', 'Of a picture: of the codes, or of its whole file.'),
  ('numbers', 'Numbers', 'low', 'Of a picture, where they are no symbols.'),
  ('psnr', 'PSNR (dB)', 'high', 'Of the mean squared error of all pictures.'),
  ('psnr_mean', 'PSNR, mean (dB)', 'high', 'The mean of the PSNR of each picture.'),
  ('ssim', 'SSIM', 'high', 'Structural similarity in windows of 11 x 11 pixels, each channel by '
   'itself; mean of the pictures.'),
  ('gain', 'dB a bit', 'high', 'PSNR beyond that of the mean training picture, which takes no bit, '
   'for every bit.'),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Reconstructed:
  """What a codec makes of held-out pictures; pictures are integers [.., H, W, C] of 0..levels-1."""

  data: str  # which data in which split, in words: numbers of other data are never ranked
  levels: int
  train: np.ndarray  # [m, H, W, C]: what simple codecs are fitted to
  real: np.ndarray  # [n, H, W, C] held-out pictures
  made: np.ndarray  # [n, H, W, C] their reconstructions
  code: coded.Codes | coded.Latents  # of the n pictures
  # [pairs, steps, H, W, C]: what the codec decodes between two pictures; None: not shown
  between: np.ndarray | None = None


class Reconstruction:
  """The table of reconstructions as it grows: simple codecs beside the trained one."""

  def __init__(
    self, found: Reconstructed, eyes: Mapping[str, features.Features], *,
    attempt: Callable[..., section.Section] = base.Subject.attempt,
    tell: Callable[[str], None] = base.Subject.tell,
  ):
    """eyes: {short name: features}; in costly ones the trained codec is measured alone. attempt,
    tell: as those of base.Subject."""
    if found.real.shape != found.made.shape or found.train.shape[1:] != found.real.shape[1:]:
      raise ValueError(
        f'pictures {list(found.real.shape)}, reconstructions {list(found.made.shape)} and training '
        f'pictures {list(found.train.shape)} do not fit together; give [.., H, W, C] of one size'
      )
    self._found, self._eyes, self._attempt, self._tell = found, dict(eyes), attempt, tell
    self._rows, self._others = [], []

  def sections(self) -> Iterator[section.Section]:
    """Sections one after another: the table again with every simple codec, then the code."""
    yield self._attempt(TITLE, functools.partial(self._grown, self._own))
    if not self._rows:
      return  # there is nothing to compare with
    yield self._attempt(coded.TITLE, self._code)
    for measure in self._simple():
      yield self._attempt(TITLE, functools.partial(self._grown, measure))

  def _grown(self, measure):
    measure()
    return section.Section(TITLE, (
      section.Table('Codec', self._columns(), (
        section.Group('This codec', tuple(self._rows)),
        section.Group('For comparison', tuple(self._others), ranked=False),
      )),
      section.Text(self._words()), self._facts(), *self._figures,
    ))

  def _own(self):
    found = self._found
    self._tell('measures reconstructions')
    self._rows.append(self._measured(
      'this codec', found.made, found.code.bits, found.code.numbers, self._eyes
    ))

  def _simple(self):
    """What measures each of the simple codecs."""
    found = self._found
    args = found.real, found.levels
    makers = [functools.partial(found.code.rival, found.train, *args)]
    if found.real.shape[-1] in (1, 3):
      makers += [functools.partial(compression.webp, *args, quality=q) for q in QUALITIES]
      makers.append(functools.partial(compression.png, *args))
    quick = {key: one for key, one in self._eyes.items() if not one.costly}

    def measure(maker):
      self._tell('measures simple codecs')
      made = maker()
      if made is not None:
        self._others.append(self._measured(made.name, made.made, made.bits, made.numbers, quick))

    return [functools.partial(measure, maker) for maker in makers]

  def _measured(self, name, made, bits, numbers, eyes):
    """A row of the table."""
    found = self._found
    squared = fidelity.squared_error(found.real, made)
    row = {
      'name': name, 'bits': bits, 'numbers': numbers,
      'psnr': float(fidelity.in_decibels(squared.mean(), found.levels)),
      'psnr_mean': float(fidelity.in_decibels(squared, found.levels).mean()),
    }
    if min(found.real.shape[1:3]) >= fidelity.WINDOW:
      row['ssim'] = float(fidelity.ssim(found.real, made, found.levels).mean())
    if bits and np.isfinite(row['psnr']):
      row['gain'] = (row['psnr'] - self._blank) / bits
    for key, one in eyes.items():
      real = self._real[key]
      row[f'rfid_{key}'] = frechet.frechet(real.seen, one.features(made))
      if real.read is not None:
        row[f'read_alike_{key}'] = float(np.mean(one.probabilities(made).argmax(1) == real.read))
    return row

  @functools.cached_property
  def _real(self):
    """{short name of features: _Looked} of the originals."""
    real, looked = self._found.real, {}
    for key, one in self._eyes.items():
      shares = one.probabilities(real)
      looked[key] = _Looked(one.features(real), None if shares is None else shares.argmax(1))
    return looked

  @functools.cached_property
  def _digests(self):
    return {key: one.digest for key, one in self._eyes.items()}

  @functools.cached_property
  def _blank(self):
    """PSNR of the mean training picture."""
    found = self._found
    few = found.train[subset.spread(len(found.train), compression.MOST)]
    mean = np.broadcast_to(few.mean(0, dtype=np.float64), found.real.shape)
    squared = fidelity.squared_error(found.real, mean)
    return float(fidelity.in_decibels(squared.mean(), found.levels))

  @property
  def _kind(self):
    return f'{len(self._found.real)} pictures; {self._found.data}'

  def _measures(self):
    """(key, heading, what is better, what it means, kind) of every number of a row."""
    yield from ((*measure, self._kind) for measure in _MEASURES)
    for key, one in self._eyes.items():
      kind = f'features of {one.name} {self._digests[key]}; {self._kind}'
      yield (
        f'rfid_{key}', f'rFID, {key}', 'low', 'Fréchet distance between the features of the '
        f'pictures and those of their reconstructions, in those of {one.name}.', kind,
      )
      if one.classes is not None:
        yield (
          f'read_alike_{key}', f'Read alike, {key}', 'high', 'Share of the reconstructions that '
          f'this classifier, which is right on {one.accuracy:.3g} of real pictures, reads as it '
          'reads the originals.', kind,
        )

  def _columns(self):
    return tuple(
      section.Column(key, heading, better, meaning, kind, ranked=key not in ('bits', 'numbers'))
      for key, heading, better, meaning, kind in self._measures()
    )

  def _facts(self):
    """The trained codec's numbers, for tiles and programs."""
    (row,), rival = self._rows, self._others[:1]
    facts = [
      section.Fact(
        key, heading, row[key], meaning=meaning, better=better, kind=kind, tile=_tile(key),
        beside={other['name']: other[key] for other in rival if other.get(key) is not None},
      )
      for key, heading, better, meaning, kind in self._measures() if row.get(key) is not None
    ]
    facts += [
      section.Fact(f'features_{key}', f'features: {key}', f'{one.name}, {self._digests[key]}')
      for key, one in self._eyes.items()
    ]
    return section.Facts(tuple(facts), shown=False)

  def _words(self):
    """Of what the numbers are."""
    found = self._found
    words = f'Measured on {len(found.real):,} pictures: {found.data}.'
    if costly := [key for key, one in self._eyes.items() if one.costly]:
      words += f' In {" and ".join(costly)}, which takes long, simple codecs are not compared.'
    if min(found.real.shape[1:3]) < fidelity.WINDOW:
      words += ' The pictures are smaller than a window of SSIM, which is left out.'
    return words

  # ---- Figures -----------------------------------------------------------------------------------

  @functools.cached_property
  def _figures(self):
    """Originals above their reconstructions, and what lies between two pictures."""
    found = self._found
    scale = images.zoom(found.real)
    picture = _beneath(
      [found.real[self._shown], found.made[self._shown]], found.levels, scale
    )
    figures = [section.Figure(
      'reconstructions', images.png_bytes(picture),
      'Pairs of rows: held-out pictures, and below them their reconstructions.', 'pixels',
    )]
    if found.between is not None:
      steps = found.between.shape[1]
      shown = found.between[:2 * ROWS].reshape(-1, *found.between.shape[2:])
      figures.append(section.Figure(
        'between', images.png_bytes(images.grid(
          shown, found.levels, columns=steps, scale=scale
        )),
        'Between two pictures: their codes are mixed in equal steps from left to right, and '
        'decoded.', 'pixels',
      ))
    return tuple(figures)

  @functools.cached_property
  def _shown(self):
    """Pictures that figures show: whole rows of them."""
    num = len(self._found.real)
    return subset.spread(num, min(ROWS, max(1, num // COLUMNS)) * COLUMNS)

  def _code(self):
    found = self._found
    real = np.rint(found.real[self._shown] * (255 / (found.levels - 1))).astype(np.uint8)
    maps = [_stretched(one, real) for one in found.code.maps(self._shown)]
    picture = _beneath([real.repeat(4 - real.shape[-1], -1)[..., :3], *maps], 256,
                       images.zoom(real))
    return section.Section(coded.TITLE, (
      *found.code.parts(self._kind),
      section.Figure(
        'code_map', images.png_bytes(picture),
        f'Held-out pictures, and below them {found.code.shown_as}.', 'pixels',
      ),
    ))


class _Looked(NamedTuple):
  """Originals in features."""

  seen: np.ndarray  # [n, F]
  read: np.ndarray | None  # [n] what a classifier takes them for


def _tile(key):
  """Words under a number of the trained codec at the top of the page; '' where it is not there."""
  if key.startswith('read_alike'):
    return 'of the reconstructions are read as their originals are'
  return 'dB between held-out pictures and their reconstructions' if key == 'psnr' else ''


def _beneath(parts, levels, scale):
  """uint8 [height, width, 3]: pictures [n, H, W, C] of each part below those of the one before, a
  row of them after the other."""
  columns = min(COLUMNS, len(parts[0]))
  rows = [part.reshape(-1, columns, *part.shape[1:]) for part in parts]
  shown = np.stack(rows, axis=1)
  return images.grid(
    shown.reshape(-1, *shown.shape[3:]), levels, columns=columns, scale=scale
  )


def _stretched(map_of, pictures):
  """A map [n, h, w, 1 or 3] as colours of the sides of pictures."""
  down, across = (
    np.arange(side) * own // side for side, own in zip(pictures.shape[1:3], map_of.shape[1:3])
  )
  return np.broadcast_to(map_of[:, down][:, :, across], (*pictures.shape[:3], 3))
