"""Text: its likelihood a token and a byte, its words, its cost, and which token came when."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import numpy as np

from adiff.judge import base, bound, section, subset
from adiff.judge.metrics import words
from adiff.judge.page import charts, images

CHARACTERS = 20_000_000  # of the corpus that are read for its words, spread over it
TOGETHER, PIECE = 64, 2**16  # neighbouring documents that are read at once; characters
ROWS = 1024  # that are decoded at once
SHOWN = 6  # samples
# Numbers of text: key, heading, what is better, what it means.
MEASURES = (
  ('bits_per_byte', 'Bits per byte', 'low', 'Held-out bound in bits per byte of text. Lower is '
   'better; comparable between tokenizers.'),
  ('nats_per_token', 'Nats per token', 'low', 'Held-out bound in nats per token. Lower is better; '
   'comparable under one tokenizer only.'),
  ('perplexity', 'Perplexity', 'low', 'exp of the nats per token: among how many equally likely '
   'tokens the model hesitates. Lower is better.'),
  ('known_words', 'Known words', None, 'Share of the generated words of 3 letters or more that '
   'occur in the corpus. Real text is near 1.'),
  ('unigram_entropy', 'Unigram entropy', None, 'Entropy of the generated tokens in nats, order '
   'ignored. The corpus is right: below it samples are monotonous, above it they are noise.'),
  ('repetition', 'Repetition', None, 'Share of the 4-grams of a sample that repeat an earlier one '
   'of it. The corpus is right; near 1 is a loop.'),
  ('calls_per_token', 'Calls per token', None, 'Network evaluations per generated token, one after '
   'another. Token by token is 1; below it, tokens are sampled in parallel.'),
  ('tokens_per_second', 'Tokens per second', None, 'Generated tokens of all samples over the '
   'seconds they took.'),
)
TILES = {
  'bits_per_byte': 'bits per byte, held out',
  'perplexity': 'perplexity per token, held out',
  'known_words': 'share of generated words that the corpus knows',
  'unigram_entropy': 'nats of unigram entropy',
  'tokens_per_second': 'tokens per second, at {calls_per_token:.2f} network calls a token',
}


@dataclasses.dataclass(frozen=True)
class Text(base.Judge):
  """Reads samples, and compares their words with those of the corpus."""

  samplers: tuple[tuple[str, int | None], ...] = ()  # (solver, steps or None) besides the config's

  media = ('text',)
  cost = (
    'A minute on one core and 2 GiB at most besides the bound: words of 20 million characters.'
  )

  def sections(self, subject: base.Subject) -> Iterator[section.Section]:
    sampled = subject.sample()
    shown = tuple(texts(subject, sampled.tokens[:SHOWN]))
    yield section.Section('Samples', (section.Passages(shown),))
    revealed = 'Which token was revealed when'
    yield subject.attempt(revealed, lambda: section.Section(revealed, (_reveal(subject),)))
    reference, own, rows = None, {}, []

    def numbers():
      nonlocal reference
      subject.tell('reads the corpus')
      reference = Reference.of(subject)
      own.update(reference.scores(subject, sampled))
      rows.append({'name': subject.solver, 'steps': subject.steps, **own})
      return _facts(subject, reference, {**likelihood_of_text(subject), **own})

    yield subject.attempt('Text', numbers)
    if rows:
      yield subject.attempt('Samplers', lambda: _samplers(subject, reference, rows))
    yield base.cost([sampled], sampled, self)
    # An example is a row of tokens; other units would confuse.
    yield bound.of(subject, tiles=False)
    for solver, steps in self.samplers if rows else ():
      yield subject.attempt(
        'Samplers', functools.partial(_another, subject, reference, rows, solver, steps)
      )


def _another(subject, reference, rows, solver, steps):
  """The section of samplers with one more."""
  other = subject.sample(solver=solver, steps=steps)
  scores = reference.scores(subject, other)
  rows.append({'name': solver, 'steps': other.steps, **scores})
  return _samplers(subject, reference, rows)


def texts(subject, tokens) -> list[str]:
  """Whole rows as text, an empty line for each end-of-text."""
  tokenizer = subject.tokenizer
  return ['\n\n'.join(map(tokenizer.text, _documents(tokenizer, row))) for row in tokens]


def _documents(tokenizer, row):
  """The symbols of a row before, between and behind its end-of-texts."""
  return [piece[piece != tokenizer.eos] for piece in np.split(
    row, np.flatnonzero(row == tokenizer.eos))]


def _num_bytes(tokenizer, row):
  """Of UTF-8 that a row stands for, an empty line for each end-of-text."""
  documents = _documents(tokenizer, row)
  return sum(map(tokenizer.num_bytes, documents)) + 2 * (len(documents) - 1)


def pieces(tokenizer, row) -> list[str]:
  """A row's text, a piece for each token; an end-of-text is shown as a sign."""
  out = []
  for ends, run in itertools.groupby(np.asarray(row).tolist(), tokenizer.eos.__eq__):
    run = list(run)
    out += ['\u2402'] * len(run) if ends else tokenizer.pieces(run)
  return out


def likelihood_of_text(subject: base.Subject) -> dict:
  """The bound per token and per UTF-8 byte of the evaluated rows, with its 95% interval, fill no
  token; the number of tokens and of bytes."""
  bound = subject.bound
  chosen = subset.spread(subject.size(subject.split), bound['num_examples'])
  num_tokens, num_bytes = 0, 0
  for start in range(0, len(chosen), ROWS):
    rows = subject.tokens(subject.split, chosen[start:start + ROWS])
    real = rows['real'] > 0 if 'real' in rows else np.ones(rows['tokens'].shape, bool)
    num_tokens += int(np.sum(real))
    written = [row[kept] for row, kept in zip(rows['tokens'], real, strict=True)]  # without fill
    num_bytes += sum(_num_bytes(subject.tokenizer, row) for row in written)
  per_token = bound['num_examples'] / num_tokens
  per_byte = bound['num_examples'] / num_bytes / np.log(2)
  return {
    'nats_per_token': bound['nats'] * per_token,
    'nats_per_token_ci95': bound['ci95'] * per_token,
    'bits_per_byte': bound['nats'] * per_byte,
    'bits_per_byte_ci95': bound['ci95'] * per_byte,
    'perplexity': float(np.exp(bound['nats'] * per_token)),
    'num_tokens': num_tokens, 'num_bytes': num_bytes,
  }


@dataclasses.dataclass(frozen=True)
class Reference:
  """The corpus's words, and the statistics of as many rows of it as are sampled."""

  words: frozenset
  unigram_entropy: float
  repetition: float

  @classmethod
  def of(cls, subject: base.Subject) -> 'Reference':
    rows = subject.tokens('train', subset.spread(subject.size('train'), subject.num))['tokens']
    return cls(
      words.words_of(passages(subject.corpus.documents('train'))),
      words.unigram_entropy(rows.ravel(), subject.tokenizer.vocab),
      words.repetition([row.tolist() for row in rows]),
    )

  def scores(self, subject, sampled) -> dict:
    """Numbers of samples."""
    tokens = sampled.tokens
    known = words.known_words(texts(subject, tokens), self.words)
    return {
      'known_words': known['share'],
      'words': known['words'],
      'unigram_entropy': words.unigram_entropy(tokens.ravel(), subject.tokenizer.vocab),
      'repetition': words.repetition([row.tolist() for row in tokens]),
      'calls_per_token': sampled.nfe / subject.num_tokens,
      'tokens_per_second': tokens.size / sampled.seconds,
    }


def passages(documents) -> Iterator[str]:
  """Documents of a sequence, up to CHARACTERS characters: all of them, or some that are spread over
  the sequence, and of one that is too long pieces that are spread over it."""
  left, num = CHARACTERS, -(-len(documents) // TOGETHER)
  for place in np.random.default_rng(subset.SEED).permutation(num):
    for document in documents[place * TOGETHER:(place + 1) * TOGETHER]:
      yield from _cut(document, left)
      left -= len(document)
      if left <= 0:
        return


def _cut(document, most):
  """A document, or pieces of it that begin and end between words."""
  if len(document) <= most:
    yield document
    return
  for place in subset.spread(len(document) // PIECE, max(1, most // PIECE)):
    piece = document[place * PIECE:(place + 1) * PIECE]
    yield piece[piece.find(' ') + 1:piece.rfind(' ') + 1]


def _kinds(subject, numbers):
  """{key: kind} of the numbers that are ranked."""
  by_token = f'{bound.kind(subject)}; {numbers["num_tokens"]} tokens'
  by_byte = (
    f'{"exact likelihood" if subject.bound["is_likelihood"] else "upper bound"} of '
    f'{numbers["num_bytes"]} bytes; {subject.corpus.name}, {subject.split} split'
  )
  return {'bits_per_byte': by_byte, 'nats_per_token': by_token, 'perplexity': by_token}


def _facts(subject, reference, numbers):
  """Numbers of the model, those of the corpus beside them, and what they mean."""
  beside = {
    'unigram_entropy': {'corpus': reference.unigram_entropy},
    'repetition': {'corpus': reference.repetition},
  }
  kinds = _kinds(subject, numbers)
  codec = f'{subject.codec}, {subject.tokenizer.vocab} symbols'
  facts = [
    section.Fact('corpus', 'corpus', subject.corpus.name),
    section.Fact('tokenizer', 'tokenizer', codec),
  ]
  for key, heading, better, meaning in MEASURES:
    facts.append(section.Fact(
      key, heading.lower(), numbers[key], numbers.get(f'{key}_ci95'), meaning, better,
      kinds.get(key, ''), beside.get(key, {}), TILES.get(key, '').format(**numbers),
    ))
  facts += [
    section.Fact('words', 'generated words', numbers['words']),
    section.Fact('num_tokens', 'tokens of the evaluated rows', numbers['num_tokens']),
    section.Fact('num_bytes', 'bytes of the evaluated rows', numbers['num_bytes']),
  ]
  return section.Section('Text', (section.Facts(tuple(facts)),))


def _samplers(subject, reference, rows):
  """The table of samplers, and quality over their cost."""
  order = ('calls_per_token', 'known_words', 'unigram_entropy', 'repetition', 'tokens_per_second')
  named = {key: (heading, better) for key, heading, better, _ in MEASURES}
  columns = [section.Column('steps', 'Steps')]
  columns += [section.Column(key, *named[key]) for key in order]
  columns.append(section.Column('words', 'Words'))
  corpus = {
    'name': 'corpus', 'unigram_entropy': reference.unigram_entropy,
    'repetition': reference.repetition,
  }
  table = section.Table('Sampler', tuple(columns), (
    section.Group('This model', tuple(rows)),
    section.Group('For comparison', (corpus,), ranked=False),
  ))
  figures = ()
  if len(rows) > 1 and any(row['known_words'] is not None for row in rows):
    figure = charts.quality_vs_cost(
      rows, metric='known_words', ylabel='share of words the corpus knows',
      cost='calls_per_token', xlabel='network calls per token',
    )
    figures = (section.Figure(
      'calls', images.png_bytes(figure), 'Quality against cost: each sampler over its network '
      'calls per token; 1 is token by token.',
    ),)
  return section.Section('Samplers', (table, *figures))


def _reveal(subject):
  """One sample, each token with the step that revealed it."""
  walked = subject.trace(1)
  rows = walked.tokens[:, 0]
  hidden = np.zeros(rows.shape, bool) if walked.hidden is None else walked.hidden[:, 0]
  differs = (rows[1:] != rows[:-1]) | (hidden[1:] != hidden[:-1])
  changed = np.concatenate([np.ones((1, rows.shape[1]), bool), differs])
  last = len(rows) - 1 - np.argmax(changed[::-1], axis=0)  # a token stands since its last change
  step = np.where(hidden.all(0), 0, last) - walked.starts[walked.blocks]
  return section.Reveal(
    f'{subject.solver}, at most {walked.num_steps} steps a block',
    tuple(pieces(subject.tokenizer, rows[-1])),
    tuple(np.maximum(step, 0).tolist()), tuple(walked.blocks.tolist()), walked.num_steps,
  )
