"""Images: pictures of samples, and their distances to real ones; of latents, pictures alone."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from adiff.judge import (
  base,
  bound,
  damage,
  quality,
  reference,
  seam,
  section,
  spectrum,
  subset,
  teaching,
)
from adiff.judge.metrics import coverage, memorisation
from adiff.judge.page import images

COLUMNS = 10  # of the grids of samples


@dataclasses.dataclass(frozen=True)
class Image(base.Judge):
  """Shows samples, and measures them in the features of a classifier."""

  steps: tuple[int, ...] = ()  # a block, at which samples are measured besides the config's
  features: bool = False  # is a classifier trained whose features compare samples with real images?
  structure: bool = False  # are seams, spectra, mistakes and what samples teach measured?

  media = ('image', 'video')
  cost = (
    'With features at most 1.5 GiB besides the data and 3 minutes on two cores, for images of up '
    'to 3,072 values and whatever their number: judge/quality.py says what is measured on subsets.'
  )

  def needs(self, parts):
    super().needs(parts)
    if self.features and not (parts.spec.num_classes and parts.source.facts.levels):
      raise ValueError(
        'config.eval.features=True trains a classifier of images, which needs pixels and labels; '
        'write eval.features=False'
      )
    if self.features:
      wanted, splits = parts.config.eval, ('train', parts.config.eval.split)
      few = min(wanted.num, *map(parts.source.size, splits))
      if few <= coverage.K:
        raise ValueError(
          f'config.eval.features=True compares at least {coverage.K + 1} samples and as many real '
          f'images of each split, and there are {few}; write eval.features=False, or take more'
        )
    if self.structure and (parts.spec.by_kind or parts.coded.codec.layout() is None):
      raise ValueError(
        'config.eval.structure=True asks which token a pixel is of, and those of this codec are of '
        'several; write eval.structure=False, or codec.name=patches'
      )

  def sections(self, subject: base.Subject) -> Iterator[section.Section]:
    if not subject.levels:
      yield from self._latents(subject)
      return
    own = subject.sample(steps=subject.steps)
    sampled, examples = [own], subject.decode(own.tokens)
    yield subject.attempt('Samples', lambda: _samples(subject, examples))
    if self.features:
      yield base.waiting(quality.TITLE)
    yield subject.attempt('Cost', lambda: base.cost(sampled, own, self))
    yield bound.of(subject)
    for steps in sorted({*self.steps} - {subject.steps}):
      yield subject.attempt('Cost', functools.partial(self._more, subject, sampled, steps))
    if self.features:
      yield subject.attempt('Nearest neighbours', lambda: neighbours(
        subject, examples, reference.read(subject, 'train')['example']
      ))
      yield from quality.Quality(subject, sampled).sections()
    if self.structure:
      for judge in (seam, spectrum, damage, *((teaching,) if subject.num_classes else ())):
        yield subject.attempt(judge.TITLE, functools.partial(judge.of, subject, own))

  def _more(self, subject, sampled, steps):
    """Samples at another number of steps, the fewest first, and what they all cost."""
    own = next(one for one in sampled if one.steps == subject.steps)
    sampled.append(subject.sample(steps=steps))
    sampled.sort(key=lambda one: one.steps)
    return base.cost(sampled, own, self)

  def _latents(self, subject):
    """Up to three channels of samples and of real examples as colours, nothing decoded."""
    sampled = subject.sample()
    yield subject.attempt('Samples', lambda: _colourful(subject, sampled))
    yield base.cost([sampled], sampled, self)
    yield bound.of(subject)


def shown(subject, examples, *, labelled=False) -> section.Section:
  """The first samples as a grid. labelled: do the classes follow each other, a column each?"""
  names = [str(i) for i in range(min(COLUMNS, len(examples)))] if labelled else None
  picture = images.grid(
    examples[:COLUMNS * 10], subject.levels, columns=COLUMNS, scale=images.zoom(examples),
    labels=names,
  )
  return section.Section('Samples', (section.Figure(
    'samples', images.png_bytes(picture), 'Samples, not chosen: the first ones.', 'pixels',
  ),))


def _samples(subject, examples):
  """Samples as a grid, and as a film."""
  grid = shown(subject, examples, labelled=subject.num_classes == COLUMNS)
  film = images.strip(
    _frames(subject), subject.levels, columns=COLUMNS, scale=images.zoom(examples)
  )
  masked = 'blue: still masked' if subject.in_place else 'a masked token is shown as some symbol'
  return dataclasses.replace(grid, parts=(
    *grid.parts,
    section.Figure(
      'strip', film, f'Sampling as a film, from noise to data along the plan ({masked}).', 'pixels',
    ),
  ))


def _frames(subject, num=10):
  """[R, num, H, W, C]: what the walk looks like; masked tokens are -1 where they have pixels of
  their own."""
  walked = subject.trace(num)
  rows = walked.tokens.shape[:2]
  flat = walked.tokens.reshape(-1, *walked.tokens.shape[2:])
  shown = subject.decode(flat)
  if walked.hidden is not None and subject.in_place:
    hidden = walked.hidden.reshape(*flat.shape[:2], *(1,) * (flat.ndim - 2))
    black = 0 if np.issubdtype(flat.dtype, np.integer) else -1
    hidden = np.broadcast_to(np.where(hidden, 1, black), flat.shape).astype(flat.dtype)
    shown = np.where(subject.decode(hidden) > 0, -1, shown.astype(np.int32))
  return shown.reshape(*rows, *shown.shape[1:])


def neighbours(subject, examples, train) -> section.Section:
  """Samples beside their nearest training images."""
  subject.tell('looks for the nearest training images')
  few = examples[:COLUMNS * 2]
  index, _ = memorisation.nearest(few, train)
  picture = images.neighbours(few, train[index], subject.levels, scale=images.zoom(examples))
  return section.Section('Nearest neighbours', (section.Figure(
    'neighbours', images.png_bytes(picture), 'Each pair: a sample, and at its right the nearest '
    'training image. A model that memorises shows the same picture twice.', 'pixels',
  ),))


def _colourful(subject, sampled):
  """Samples and real latents."""
  num = min(len(sampled.tokens), 40)
  chosen = subset.spread(subject.size(subject.split), num)
  real = subject.examples(subject.split, chosen)['example']
  return section.Section('Samples', (
    section.Figure(
      'samples', _colours(subject.decode(sampled.tokens[:num])),
      'Samples, not chosen: channels of their latents as colours.', 'pixels',
    ),
    section.Figure(
      'samples_real', _colours(real),
      f'Latents of the {subject.split} split, in the same way.', 'pixels',
    ),
  ))


def _colours(examples):
  """PNG of latents [n, H, W, C], or of videos of them."""
  pictures = images.colours(examples)
  return images.png_bytes(images.grid(pictures, 256, scale=max(1, 64 // pictures.shape[1])))
