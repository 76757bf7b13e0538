"""Are pictures of shapes as different from each other as real ones of the same captions are?

What a caption leaves open (places, further objects, their colours) is what strong guidance may make
alike (Ho & Salimans 2022, arXiv:2207.12598): precision and recall (Kynkaanniemi et al. 2019,
arXiv:1904.06991) of thumbnails, and the entropy of the objects that a program reads.
"""

import numpy as np
import scipy.stats

from adiff.judge import section
from adiff.judge.metrics import coverage
from adiff.judge.shapes import read, scene

TITLE = 'Variety'
THUMBNAIL = 8  # pixels a side
_WORDS = (
  'Pictures that were made, and the real ones of the same captions, as thumbnails of 8 x 8 pixels: '
  'which lie among the others? And how different are the objects that a program reads?'
)


def of(made, real, other) -> section.Section:
  """The section of pictures uint8 [n, S, S, 3] beside the real ones of their captions and `other`
  real ones [m, S, S, 3], which say what is to be had."""
  if min(len(made), len(other)) <= coverage.K:
    return section.Section(TITLE, (section.Text(
      f'There are too few pictures: more than {coverage.K} are compared.'
    ),))
  known = thumbnails(real)
  found, best = (coverage.scores(known, thumbnails(one)) for one in (made, other))
  facts = [
    section.Fact(
      f'pictures_{key}', f'{key} of thumbnails', found[key], better='high',
      beside={'other real pictures': best[key]}, kind=f'{len(made)} pictures',
    ) for key in ('precision', 'recall')
  ]
  facts.append(section.Fact(
    'objects_entropy', 'entropy of the objects, nats', entropy(made),
    beside={'real pictures of the captions': entropy(real)}, kind=f'{len(made)} pictures',
    meaning='Of their size, colour and shape together; at most that of all there are, 4.85.',
  ))
  return section.Section(TITLE, (section.Text(_WORDS), section.Facts(tuple(facts))))


def entropy(pictures) -> float:
  """Nats, of the size, colour and shape of all objects that are read in pictures; 0 of none."""
  found = read.read(pictures).scenes
  sorts = np.stack([found.size, found.colour, found.shape], -1)[found.there]
  nums = len(scene.SIZES), len(scene.COLOURS), len(scene.SHAPES)
  counts = np.bincount(np.ravel_multi_index(tuple(sorts.T), nums), minlength=1)
  return float(scipy.stats.entropy(counts)) if len(sorts) else 0.0


def thumbnails(pictures) -> np.ndarray:
  """float [n, THUMBNAIL**2 3] of pictures [n, S, S, 3], means of their pixels."""
  num, side = pictures.shape[:2]
  of_side = side // THUMBNAIL
  cut = np.asarray(pictures, float).reshape(num, THUMBNAIL, of_side, THUMBNAIL, of_side, 3)
  return cut.mean((2, 4)).reshape(num, -1)
