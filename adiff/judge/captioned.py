"""Pictures made for captions in anybody's words: shown beside the real ones."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from adiff.judge import base, bound, section, subset
from adiff.judge.page import images

TITLE = 'Captions'
TEXT, IMAGE = 'text', 'image'  # the parts of examples
_SHOWN = 18


@dataclasses.dataclass(frozen=True)
class Captioned(base.Judge):
  """Makes pictures for real captions, and shows both. What they ask for no program reads."""

  media = ()  # it is named
  cost = 'Seconds, and memory for the samples.'

  def needs(self, parts):
    if parts.source.facts.parts.keys() != {TEXT, IMAGE}:
      raise ValueError(
        'config.judge.name=captioned shows captions and their pictures, which these data are not; '
        "write data.name=captioned_folder, or judge.name=''"
      )
    check_order(parts, 'captioned', TEXT, IMAGE)

  def sections(self, subject: base.Subject) -> Iterator[section.Section]:
    chosen = np.resize(subset.spread(subject.size(subject.split), subject.num), subject.num)
    real = subject.examples(subject.split, chosen)['example']
    sampled = subject.sample(given=given(subject, chosen, TEXT))
    yield subject.attempt(TITLE, lambda: _shown(subject, real, sampled))
    yield base.cost([sampled], sampled, self)
    yield bound.of(subject)


def check_order(parts, name, first, second) -> None:
  """Raises ValueError where the network has not learnt an order in which the blocks of `first`,
  which a judge `name` gives it, come before those of `second`."""
  if not any(blocks.kind_of_block[0] == first for blocks, _ in parts.geometries):
    raise ValueError(
      f'config.judge.name={name} is given the {first}, so that it must come first; write '
      f'blocks.order=({first!r}, {second!r}), or one more of train.orders'
    )


def given(subject: base.Subject, chosen, kind) -> dict[str, np.ndarray]:
  """{kind: its tokens} of chosen examples of the held-out split, see Subject.sample."""
  return {kind: subject.tokens(subject.split, chosen)['tokens'].parts[kind]}


def _shown(subject, real, sampled):
  """Pictures of the same captions, real ones and made ones in turn."""
  num = min(_SHOWN, len(real[IMAGE]))
  made = subject.decode(sampled.tokens)[IMAGE][:num]
  both = np.stack([real[IMAGE][:num], made], 1).reshape(-1, *made.shape[1:])
  captions = [caption for caption in words(real[TEXT][:num]) for _ in range(2)]
  picture = images.captioned(both, captions, np.tile([True, False], num))
  meaning = (
    'Held-out captions, each twice: under the picture that it is of, with a blue bar, and under '
    'one that was made for it, with a red one.'
  )
  figure = section.Figure('captions', images.png_bytes(picture), meaning, 'pixels')
  return section.Section(TITLE, (figure,))


def words(text) -> list[str]:
  """The captions of rows int [b, length] of bytes from 1 on, up to the first 0; bytes that are no
  UTF-8 are replaced."""
  rows = [row[:np.argmin(np.append(row, 0) != 0)] for row in np.asarray(text)]
  return [bytes((row - 1).astype(np.uint8)).decode(errors='replace') for row in rows]
