"""Captions in anybody's words: pictures made for them, and whether a picture's own is believed."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from adiff.judge import base, bound, likelihood, section, subset
from adiff.judge.metrics import classifier, shares
from adiff.judge.page import images
from adiff.sequence.tokens import Tokens

TITLE, OWN, CATEGORIES = 'Captions', 'Own captions', 'Categories'
TEXT, IMAGE = 'text', 'image'  # the parts of examples
_SHOWN = 18
_LEVELS = 256  # of the values of pictures
_RATED = 512  # pictures, at most
_LEARNT = 4096  # pictures that a classifier of categories learns from, at most
_OWN = (
  'The bound of a held-out picture given its own caption, and given one that is drawn from those '
  'of the others, with the same noise. Equal bounds count as a half; chance is a half.'
)
_CATEGORIES = (
  'What a classifier that has learnt from real training pictures says of pictures made for '
  'held-out captions: is it the category of the picture that the caption is of?'
)


@dataclasses.dataclass(frozen=True)
class Captioned(base.Judge):
  """Makes pictures for real captions, and shows both; says how often a picture is likelier by its
  own caption than by another, and where data have categories how often that asked for is made."""

  media = ()  # it is named
  cost = (
    'Bounds of 512 pictures with two captions each; a minute of a classifier; memory for the '
    'samples and twice 4,096 pictures.'
  )

  def needs(self, parts):
    if parts.source.facts.parts.keys() != {TEXT, IMAGE}:
      raise ValueError(
        'config.judge.name=captioned shows captions and their pictures, which these data are not; '
        "write data.name=captioned_folder, or judge.name=''"
      )
    check_order(parts, 'captioned', TEXT, IMAGE)

  def sections(self, subject: base.Subject) -> Iterator[section.Section]:
    chosen = np.resize(subset.spread(subject.size(subject.split), subject.num), subject.num)
    found = subject.examples(subject.split, chosen)
    real, labels = found['example'], found['label']
    sampled = subject.sample(given=given(subject, chosen, TEXT))
    yield subject.attempt(TITLE, lambda: _shown(subject, real, sampled))
    if subject.rate is not None:
      yield subject.attempt(OWN, lambda: _own(subject))
    if labels.min() >= 0:
      yield subject.attempt(CATEGORIES, lambda: _categories(subject, labels, sampled))
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


def _own(subject):
  """How often a picture is likelier given its own caption than given another's."""
  size = subject.size(subject.split)
  tokens = subject.tokens(subject.split, subset.spread(size, _RATED))['tokens']
  text, order = tokens.parts[TEXT], np.random.default_rng(subset.SEED).permutation(len(tokens))
  others = np.empty_like(order)
  others[order] = np.roll(order, 1)
  differ = (text != text[others]).any(1)
  if differ.sum() < 2:
    return section.Section(OWN, (section.Text('Hardly any two held-out captions differ.'),))
  swapped = Tokens({**tokens.parts, TEXT: text[others]}, tokens.runs)
  nothing = np.full(len(tokens), -1, np.int32)
  right, wrong = (
    subject.rate(one, nothing, given=(TEXT,)).sum(1)[differ] for one in (tokens, swapped)
  )
  likelier = (right < wrong) + 0.5 * (right == wrong)
  gain, half = likelihood.interval(wrong - right)
  samples = subject.bound['samples_per_example']
  kind = f'{len(right)} pictures, {samples} samples of noise, {subject.data}'
  facts = (
    section.Fact(
      'own_caption', 'pictures that are likelier by their own caption', float(likelier.mean()),
      interval=shares.wilson(likelier), better='high', kind=kind, beside={'chance': 0.5},
      tile='of the pictures are likelier by their own caption',
    ),
    section.Fact(
      'other_caption_costs', 'nats that the caption of another picture adds', float(gain),
      float(half), better='high', kind=kind,
    ),
  )
  return section.Section(OWN, (section.Text(_OWN), section.Facts(facts)))


def _categories(subject, labels, sampled):
  """How often pictures made for captions are of the category that their captions are of."""
  known = [
    subject.examples(split, subset.spread(subject.size(split), _LEARNT))
    for split in ('train', subject.split)
  ]
  (train, train_labels), (real, real_labels) = (
    (one['example'][IMAGE], one['label']) for one in known
  )
  if len(np.unique(train_labels)) < 2:
    return section.Section(CATEGORIES, (section.Text('Training pictures are of one category.'),))
  subject.tell('trains a classifier of real images')
  eyes = classifier.fit(train, train_labels, real, real_labels, levels=_LEVELS)
  made = subject.decode(sampled.tokens)[IMAGE]
  right = eyes.classes[eyes.probabilities(made).argmax(1)] == labels
  commonest = np.bincount(train_labels).argmax()
  beside = {
    f'real {subject.split} split': eyes.accuracy, 'commonest': float(np.mean(labels == commonest)),
  }
  return section.Section(CATEGORIES, (section.Text(_CATEGORIES), section.Facts((section.Fact(
    'asked_category', 'made pictures of the asked category', float(right.mean()),
    interval=shares.wilson(right), better='high', beside=beside,
    kind=f'{len(made)} pictures, {eyes.name} {eyes.digest}, {subject.data}',
    tile='of the made pictures are of the asked category',
  ),))))


def words(text) -> list[str]:
  """The captions of rows int [b, length] of bytes from 1 on, up to the first 0; bytes that are no
  UTF-8 are replaced."""
  rows = [row[:np.argmin(np.append(row, 0) != 0)] for row in np.asarray(text)]
  return [bytes((row - 1).astype(np.uint8)).decode(errors='replace') for row in rows]
