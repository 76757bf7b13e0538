"""What a judge is, and what it may ask of a trained model and its data."""

import abc
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from adiff.judge import section


@dataclasses.dataclass(frozen=True)
class Sampled:
  """Samples that were made together, and what they cost."""

  tokens: np.ndarray  # [n, N(, D)] in raster order
  labels: np.ndarray | None  # int32 [n] that were asked for, -1 for none
  # What is not known of samples that others made is None.
  seed: int | None
  steps: int | None  # a block
  nfe: float | None  # network calls one after another, mean over samples
  seconds: float | None  # of all samples, compilation excluded
  gflop: float | None  # a sample
  cache_kib: float | None  # a sample
  name: str = 'this model'
  gflop_is: str | None = None  # 'at most', 'at least' or 'about' that; None: that, on average

  def row(self) -> dict:
    """A row of a table with the columns of `COST`."""
    return {
      'name': self.name, 'num': len(self.tokens), 'seed': self.seed, 'steps': self.steps,
      'nfe': self.nfe, 'seconds': self.seconds, 'gflop': self.gflop, 'gflop_is': self.gflop_is,
      'cache_kib': self.cache_kib,
    }


class Trace(NamedTuple):
  """A few samples on their way from noise to data, after every row of the plan."""

  tokens: np.ndarray  # [R, n, N(, D)] in raster order; any symbol where `hidden`
  hidden: np.ndarray | None  # bool [R, n, N]: still masked; None: the process masks nothing
  blocks: np.ndarray  # [N] the block of each token
  starts: np.ndarray  # [K] the row in which each block begins
  num_steps: int  # of a block, at most
  levels: np.ndarray | None = None  # [R, K] of each block after each of the rows


def _made(title, make):
  del title
  return make()


def _untold(words):
  del words


def new(make: Callable[[], Any]) -> Any:
  """make(), for nothing was kept."""
  return make()


@dataclasses.dataclass(frozen=True)
class Subject:
  """A trained model and the data that it is judged on; what a medium lacks is None."""

  data: str  # which data in which split, in words: numbers of other data are never ranked
  split: str  # that is held out
  seed: int
  num: int  # samples that a report is made of
  steps: int  # a block, as the config samples
  solver: str  # the name of the config's
  num_classes: int  # 0 when unlabelled
  num_tokens: int  # N
  bound: Mapping[str, Any]  # likelihood.summary; is_likelihood, dequantisation, exact where known
  # (steps=, solver=, labels=, told=, given=) -> `num` samples; None: as the config says, labels
  # balanced; given: {kind: tokens}, of kinds that are not made
  sample: Callable[..., Sampled]
  trace: Callable[[int], Trace]  # of so many samples
  size: Callable[[str], int]  # split -> examples
  tokens: Callable[[str, np.ndarray], dict]  # (split, indices) -> {'tokens', 'label', ..}
  examples: Callable[[str, np.ndarray], dict]  # (split, indices) -> {'example', 'label'}
  decode: Callable[[np.ndarray], Any]  # tokens -> examples
  # (tokens [n, N(, D)], bool [N]: which are made anew, labels=None: balanced), in raster order ->
  # `num` samples
  fill: Callable[..., Sampled] | None = None
  # (tokens [n, N(, D)] in raster order, labels, given=()) -> nats [n, K] of their bound, with equal
  # noise at every call; given: kinds whose blocks come first, and are not among the K
  rate: Callable[..., np.ndarray] | None = None
  blocks: np.ndarray | None = None  # int [N] the block of each token, in raster order
  layout: np.ndarray | None = None  # int [H, W, C], as Codec.layout
  in_place: bool = False  # as Codec.in_place
  levels: int = 0  # values are 0..levels-1; 0 when they are floats, or text
  # (examples, {name: what they were told}) -> statistic, dof, p_value
  law_test: Callable[[np.ndarray, dict], dict] | None = None
  corpus: Any = None  # name, documents(split)
  tokenizer: Any = None  # decode(tokens) -> str, vocab, eos
  codec: str = ''  # the tokenizer's name
  # -> nats and their error by masked tokens of a block, or None
  profile: Callable[[], Mapping[str, Any] | None] = lambda: None
  # (title, make) -> make(), or a section that says why there is none; then the others are made
  attempt: Callable[[str, Callable[[], section.Section]], section.Section] = _made
  tell: Callable[[str], None] = _untold  # what is being done, as words that follow "judge"
  # make -> what real images are measured to be: make(), or what was kept of an earlier one
  reference: Callable[[Callable[[], Any]], Any] = new


class Judge(abc.ABC):
  """Says what samples and bound of a medium are worth; its fields are settings.

  A judge is bounded, whatever the size of the data: it reads examples by `subset.spread`, works in
  chunks, and says in `cost` what it takes.
  """

  media: tuple[str, ...]  # that it is the judge of; (): of what its `needs` says, where it is named
  cost: str = 'The cost of this judge is not stated.'  # memory and time at most, besides sampling
  steps = ()  # a block, at which it samples besides the config's

  def needs(self, parts) -> None:
    """Raises ValueError where what a config stands for cannot be judged so: training asks before
    its first step."""
    if parts.spec.medium not in self.media:
      raise ValueError(
        f'a judge of {" and ".join(self.media)} cannot judge the medium {parts.spec.medium!r}; '
        "leave config.judge.name=''"
      )

  @abc.abstractmethod
  def sections(self, subject: Subject) -> Iterable[section.Section]:
    """What there is to say, one section after another, each written to the disk once it is made.

    They stand on the page in the order of their titles' first appearance; a later one of the same
    title takes the place of the earlier one. What may fail, or takes long, is made by
    `subject.attempt`.
    """


def latest(sections) -> list[section.Section]:
  """The last section of every title, in the order of their first ones."""
  return list({one.title: one for one in sections}.values())


def waiting(title) -> section.Section:
  """The place of a section that is still to be made."""
  return section.Section(title, (section.Text('Not measured yet.'),))


_NFE = 'Network evaluations per sample, one after another.'
RUN = (
  section.Column('steps', 'Steps', meaning='Sampling steps per block.'),
  section.Column('nfe', 'NFE', meaning=_NFE),
)
GFLOP_IS = section.Column(
  'gflop_is', 'It is', meaning='What the count of operations is where data decide how often some '
  'of them are made.',
)
COST = (
  *RUN,
  section.Column('num', 'Samples'),
  section.Column('seed', 'Seed'),
  section.Column(
    'seconds', 'Seconds', digits=2, meaning='For all samples of the row, compilation excluded.'
  ),
  section.Column('gflop', 'GFLOP a sample'),
  GFLOP_IS,
  section.Column('cache_kib', 'Cache a sample (KiB)'),
)


def cost(sampled, own: Sampled, judge) -> section.Section:
  """What samples cost, and what the judge does; own: those made as the config says, whose numbers
  programs read."""
  facts = (
    section.Fact('num_samples', 'samples', len(own.tokens)),
    section.Fact('nfe', 'network evaluations per sample', own.nfe, meaning=_NFE),
    section.Fact('seconds', 'seconds of sampling', own.seconds),
    section.Fact('gflop', 'GFLOP a sample', own.gflop),
    section.Fact('cache_kib', 'cache a sample (KiB)', own.cache_kib),
  )
  rows = tuple(one.row() for one in sampled)
  return section.Section('Cost', (
    section.Table('Generator', COST, (section.Group('This model', rows),)),
    section.Facts(facts, shown=False), section.Text(f'Judging: {judge.cost}'),
  ))
