"""What pictures are to a codec, symbols or numbers: what they take, how they are spread, how they
look, and the simple codec that takes as much."""

import abc
import dataclasses
import math

import numpy as np

from adiff.judge import section
from adiff.judge.metrics import codebook, compression
from adiff.judge.page import images

TITLE = 'Code'
GROUND = (40, 44, 52)  # of the most frequent code on a map


class Code(abc.ABC):
  """Pictures as a codec hands them on."""

  bits: float | None  # a picture; None where it is made of numbers
  numbers: int | None  # a picture; None where it is made of symbols
  shown_as: str  # what maps show, in words

  @abc.abstractmethod
  def rival(self, train, pictures, levels) -> compression.Coded | None:
    """What the simple codec makes of pictures that takes as much; None where there is none."""

  @abc.abstractmethod
  def parts(self, kind) -> tuple[section.Part, ...]:
    """How the code is spread. kind: what the numbers may be ranked with."""

  @abc.abstractmethod
  def maps(self, chosen) -> list[np.ndarray]:
    """Pictures uint8 [n, h, w, 1 or 3] of the code of the chosen ones, one a grid."""


@dataclasses.dataclass(frozen=True, eq=False)
class Codes(Code):
  """Symbols of one codebook on a grid, or on several: scales, or stages of a residual codec."""

  codes: np.ndarray  # int [n, N] of 0..size-1: the grids one after another, row by row
  size: int  # of the codebook
  grids: tuple[tuple[int, int], ...]  # (h, w) of each, the finest one last

  numbers = None
  shown_as = (
    'their codes, a colour each, grids from the first to the last: dark is the most frequent code'
  )

  def __post_init__(self):
    if self.codes.ndim != 2 or self.codes.shape[1] != sum(map(math.prod, self.grids)):
      raise ValueError(
        f'codes {list(self.codes.shape)} do not fill the grids {self.grids}; give [n, N], N their '
        'places together'
      )

  @property
  def bits(self):
    return self.codes.shape[1] * math.log2(self.size)

  def rival(self, train, pictures, levels):
    """k-means of patches on the finest grid, with as many bits: as many codes where these are few,
    else in stages of 2^11 codes at most."""
    grid = self.grids[-1]
    if self.size < 2 or not compression.fits(pictures, grid):
      return None
    bits = self.bits / math.prod(grid)  # of a patch
    stages = math.ceil(bits / _MOST_BITS)
    return compression.patch_kmeans(
      train, pictures, levels, grid=grid, codes=int(2 ** (bits / stages) + 1e-6), stages=stages
    )

  def parts(self, kind):
    all_of_it, num = codebook.use(self.codes, self.size), self.codes.shape[1]
    kind = f'{self.size} codes on {num} places; {kind}'
    columns = [section.Column(*measure, kind=kind, ranked=False) for measure in _USE]
    rows = [{'name': 'all', 'places': num, **all_of_it._asdict()}]
    if len(self.grids) > 1:
      rows += [
        {'name': f'{i}: {height} x {width}', 'places': height * width,
         **codebook.use(codes, self.size)._asdict()}
        for i, ((height, width), codes) in enumerate(
          zip(self.grids, self._cut(self.codes), strict=True), 1
        )
      ]
    facts = [
      section.Fact(f'codes_{key}', f'codes: {heading}', getattr(all_of_it, key), better=better,
                   kind=kind, tile='of the codes are used' if key == 'share' else '')
      for key, heading, better, _ in _USE if key != 'places'
    ]
    facts.append(section.Fact('entropy_bits', 'bits of a picture to an ideal coder of single codes',
                              num * all_of_it.bits, kind=kind))
    return (
      section.Table('Grid', tuple(columns), (section.Group('', tuple(rows)),)),
      section.Facts(tuple(facts), shown=False),
      section.Text(
        f'{self.codes.size:,} codes of {len(self.codes):,} held-out pictures were counted, of a '
        f'codebook of {self.size:,}.'
      ),
    )

  def maps(self, chosen):
    seen, places, counts = np.unique(self.codes, return_inverse=True, return_counts=True)
    rank = np.empty(len(seen), int)
    rank[np.argsort(-counts, kind='stable')] = np.arange(len(seen))
    palette = _palette(len(seen))[rank]
    colours = palette[places.reshape(self.codes.shape)[chosen]]
    return [
      part.reshape(len(chosen), height, width, 3)
      for (height, width), part in zip(self.grids, self._cut(colours), strict=True)
    ]

  def _cut(self, codes):
    """Codes, or what stands for them, a grid each."""
    return np.split(codes, np.cumsum([math.prod(grid) for grid in self.grids])[:-1], axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Latents(Code):
  """Numbers on a grid; of a law over them its mean."""

  values: np.ndarray  # float [n, h, w, c]

  bits = None
  shown_as = 'up to three channels of their latents as colours'

  @property
  def numbers(self):
    return self.values[0].size

  def rival(self, train, pictures, levels):
    """Principal components of patches, as many numbers of each."""
    _, *grid, channels = self.values.shape
    if not compression.fits(pictures, grid):
      return None
    return compression.patch_pca(train, pictures, levels, grid=tuple(grid), numbers=channels)

  def parts(self, kind):
    mean, deviation = (
      fold(self.values, axis=(0, 1, 2), dtype=np.float64) for fold in (np.mean, np.std)
    )
    rows = tuple(
      {'name': str(i), 'mean': float(m), 'deviation': float(d)}
      for i, (m, d) in enumerate(zip(mean, deviation, strict=True))
    )
    columns = (
      section.Column('mean', 'Mean', meaning='0 is what a generator expects.'),
      section.Column('deviation', 'Deviation', meaning='1 is what a generator expects.'),
    )
    facts = (
      section.Fact('latent_mean', 'mean of a channel of the latents, farthest from 0',
                   float(np.abs(mean).max()), better='low', kind=kind),
      section.Fact('latent_deviation', 'deviation of a channel from 1, the largest',
                   float(np.abs(deviation - 1).max()), better='low', kind=kind),
    )
    return (
      section.Table('Channel', columns, (section.Group('', rows, ranked=False),)),
      section.Facts(facts, shown=False),
      section.Text(f'Latents of {len(self.values):,} held-out pictures were measured.'),
    )

  def maps(self, chosen):
    return [images.colours(self.values[chosen])]


_MOST_BITS = 11  # of a stage of k-means
# Numbers of codes: field of codebook.Use, heading, what is better, what it means.
_USE = (
  ('places', 'Places', None, ''),
  ('share', 'Used', 'high', 'Share of the codebook that occurs.'),
  ('perplexity', 'Perplexity', 'high', 'So many codes, equally often, would be as hard to guess.'),
  ('most_frequent', 'Most frequent', None, 'Share of the places that bear the most frequent code: '
   'often that of a plain ground.'),
  ('share_others', 'Others used', 'high', 'Share of the other codes that occurs.'),
  ('perplexity_others', 'Perplexity of others', 'high', 'That of the places that bear another code '
   'than the most frequent one.'),
  ('bits', 'Entropy (bits)', None, 'What an ideal coder pays for a place that knows how often each '
   'code occurs and nothing else.'),
)


def _palette(num):
  """uint8 [num, 3]: colours by rank, neighbours in rank far apart; the first is the ground's."""
  turns = np.arange(num)[:, None] * 0.618034 + np.array([0, 1, 2]) / 3
  bright = np.array([255, 205, 155])[np.arange(num) % 3][:, None]
  colours = (bright * (0.55 + 0.45 * np.cos(2 * np.pi * turns))).astype(np.uint8)
  colours[0] = GROUND
  return colours
