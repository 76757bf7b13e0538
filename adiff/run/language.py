"""A trained text model in the hand: besides what every model does it writes on from prompts.

  model = adiff.load('runs/text')
  print(model.generate('The function'))

It also streams, fills holes, and says how likely a text is to it.
"""

import dataclasses
import functools
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.codec import text as text_codec
from adiff.nn import network
from adiff.run import answers, asked, editing, generate
from adiff.run import model as model_lib


class Written(NamedTuple):
  """What a walk wrote: texts behind their prompts, network calls each asked for, new tokens each
  has, and seconds of the whole batch, compilation excluded where it was done before."""

  texts: list[str]
  calls: np.ndarray
  tokens: np.ndarray
  seconds: float


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Model(model_lib.Model):
  """A text model: it also writes on from prompts, and scores continuations and documents."""

  def __post_init__(self):
    if self.parts.spec.medium != 'text':
      raise ValueError(
        f'{self.parts.config.data.name} is no text; a language model needs data text or tfds_text'
      )

  @property
  def tokenizer(self) -> text_codec.Tokenizer:
    """What makes symbols of text."""
    return self.parts.coded.codec

  @property
  def num_tokens(self) -> int:
    """Symbols of a row: prompt and continuation together."""
    return self.parts.blocks.num_tokens

  # ---- Writing ----------------------------------------------------------------------------------

  def generate(
    self, prompts='', *, seed=0, num_tokens=None, stop=True, show=None
  ) -> str | list[str]:
    """The continuation of a prompt (a str), or of several (a list, of any lengths).

    num_tokens: symbols to write at most; None: to the end of the row. stop: end at end-of-text.
    show(texts): called with all continuations so far, whenever a block is finished; they only grow.

    A prompt and its continuation, joined, read as their symbols do.
    """
    single = isinstance(prompts, str)
    texts = self.write(
      [prompts] if single else prompts, seed=seed, num_tokens=num_tokens, stop=stop, show=show
    ).texts
    return texts[0] if single else texts

  def write(self, prompts, *, seed=0, num_tokens=None, stop=True, show=None) -> Written:
    """`generate` for a list of prompts, with what it cost."""
    if not len(prompts):
      raise ValueError("there is no prompt to write on from; pass at least one, such as ''")
    most = self.num_tokens if num_tokens is None else asked.count('num_tokens', num_tokens)
    seed = asked.seed(seed)
    given, mask = self._rows(prompts)
    begin = mask.sum(1)
    end = np.minimum(begin + most, self.num_tokens)
    if np.any(begin >= self.num_tokens):
      raise ValueError(
        f'a prompt of {begin.max()} symbols fills the row of {self.num_tokens}, which its '
        'continuation must share; shorten it'
      )
    eos = self.tokenizer.eos

    def continuations(tokens, made):
      """Symbols and text behind each prompt, of the first `made` tokens."""
      rows, texts = [], []
      for prompt, row, a, b in zip(prompts, tokens, begin, end, strict=True):
        row = row[a:min(b, made)]
        ends = np.flatnonzero(row == eos)[:1] if stop else []
        row = row[:ends[0]] if len(ends) else row
        more = made < b and not len(ends)
        rows.append(row)
        texts.append(self.tokenizer.between(prompt, row, more=more))
      return rows, texts

    notice = None if show is None else lambda x, made: show(continuations(x, made)[1])
    tokens, calls, seconds = self._walk(
      given, mask, seed, end.max(), stop=eos if stop else None, notice=notice
    )
    rows, texts = continuations(tokens, self.num_tokens)
    return Written(texts, calls, np.array([len(row) for row in rows]), seconds)

  def fill(self, before, num_tokens, after, *, seed=0) -> str:
    """What stands between two texts: num_tokens symbols, sampled given both. Joined, the three
    read as their symbols do.

    What follows `after` in the row is unknown. Raises ValueError where the blocks cannot read what
    comes after the hole.
    """
    num_tokens, seed = asked.count('num_tokens', num_tokens), asked.seed(seed)
    begin = len(self.tokenizer.symbols(before))
    behind = self.tokenizer.following(before if before else after, after)
    until = begin + num_tokens + len(behind)
    if until > self.num_tokens:
      raise ValueError(
        f'{begin} + {num_tokens} + {len(behind)} symbols do not fit a row of {self.num_tokens}; '
        'shorten the texts'
      )
    given, mask = self._rows([before])
    given[0, begin + num_tokens:until], mask[0, begin + num_tokens:until] = behind, True
    hole = np.zeros(self.num_tokens, bool)
    hole[begin:begin + num_tokens] = True
    blocks = self.parts.blocks
    editing.check_given(
      blocks, blocks.from_raster(hole, axis=0), blocks.from_raster(mask)[0]
    )
    tokens, _, _ = self._walk(given, mask, seed, begin + num_tokens, stop=None)
    return self.tokenizer.between(before, tokens[0, begin:begin + num_tokens], after)

  def _rows(self, texts):
    """(tokens int32 [n, N], which are given [n, N]) in reading order."""
    encoded = [self.tokenizer.symbols(text)[:self.num_tokens] for text in texts]
    tokens = np.zeros((len(texts), self.num_tokens), np.int32)
    for row, ids in zip(tokens, encoded, strict=True):
      row[:len(ids)] = ids
    lengths = np.array([len(ids) for ids in encoded])
    return tokens, np.arange(self.num_tokens)[None] < lengths[:, None]

  def _walk(self, given, mask, seed, until, *, stop, notice=None):
    """(tokens [n, N], network calls [n], seconds): blocks one after another, up to token `until`.

    notice(tokens, made): called after every window; the first `made` tokens of the text stand.
    """
    parts, blocks = self.parts, self.parts.blocks
    given, mask = blocks.from_raster(given), blocks.from_raster(mask)
    walk = generate.make_session(
      parts, functools.partial(self._bind, len(given)), self._plan(mask), stop=stop,
      programs=self._programs,
    )
    keys = generate.example_keys(seed, 0, len(given))
    at = walk.start(keys, jnp.asarray(given), jnp.asarray(mask))
    seconds, needed = 0.0, max(np.flatnonzero(np.asarray(blocks.order) < until)) + 1
    while not walk.ended(at) and walk.windows[at.made].window.start < needed:
      at = walk.prepare(self.params, at)
      begun = time.perf_counter()
      at, _ = jax.block_until_ready(walk.advance(self.params, at))
      seconds += time.perf_counter() - begun
      if notice is not None:
        stands = np.isin(np.arange(blocks.num_tokens + 1), blocks.order[:walk.stand(at)])
        notice(blocks.to_raster(np.asarray(at.state.x)), int(np.argmin(stands)))
    return blocks.to_raster(np.asarray(at.state.x)), np.asarray(at.state.calls), seconds

  def _plan(self, mask):
    """The plan without the leading blocks that are given in every row of mask [n, N]."""
    blocks, plan = self.parts.blocks, self.parts.plan
    ends = zip(blocks.first_token[:-1], blocks.first_token[1:], strict=True)
    is_given = np.array([mask[:, first:end].all() for first, end in ends])
    return dataclasses.replace(plan, given=int(np.argmin(is_given)) if plan.sequential else 0)

  def _bind(self, num, params):
    """The Denoise of `num` rows without labels."""
    told = generate.asked_for(self.parts, np.full(num, -1, np.int32))
    return network.condition(
      self.parts.recipe.network(params, loops=True), told, history_cond=self.parts.history_cond
    )

  @functools.cached_property
  def _programs(self):
    return {}

  # ---- Likelihood -------------------------------------------------------------------------------

  def loglikelihood(self, prompt, continuation, *, samples=16, seed=0) -> dict:
    """log p(continuation | prompt), in nats: {'log_p', 'ci95', 'tokens', 'exact'}.

    A lower bound on average, estimated from `samples` masks with its 95% interval; the number
    itself for blocks of one token (exact). Tokens are `tokenizer.symbols` of the prompt and
    `tokenizer.following` of the continuation behind it; what would follow is unknown, not absent.
    The end-of-text is not counted.
    """
    ids = [self.tokenizer.symbols(prompt), self.tokenizer.following(prompt, continuation)]
    if not len(ids[1]) or len(ids[0]) + len(ids[1]) > self.num_tokens:
      raise ValueError(
        f'{len(ids[0])} symbols of prompt and {len(ids[1])} of continuation do not fit a row of '
        f'{self.num_tokens}, or there is nothing to score; shorten the texts'
      )
    tokens, free = self._score_rows([(np.concatenate(ids), len(ids[0]))])
    nats, ci95 = self._score(tokens, self._labels(None, 1), ~free, samples, seed)
    return {'log_p': -float(nats[0]), 'ci95': float(ci95[0]), 'tokens': len(ids[1]),
            'exact': self._exact}

  def score(self, examples, *, label=None, samples=4, orders=1, seed=0) -> answers.Score:
    """-log p of each text as a document that ends, in nats, or a bound on it; conventions as in
    `perplexity`, orders as of every model."""
    nats, ci95, count, owner = self._score_documents(examples, samples, seed, orders)
    total, squares, tokens = (
      np.bincount(owner, values, len(examples)) for values in (nats, ci95**2, count)
    )
    return answers.Score(total, squares**0.5, self._exact, tokens)

  def perplexity(self, documents, *, samples=4, seed=0) -> dict:
    """Perplexity of whole documents: {'perplexity', 'nats_per_token', 'ci95', 'bits_per_byte',
    'tokens', 'exact'}.

    Conventions: a document ends with end-of-text, which counts as a token; one longer than a row
    is cut into rows that are scored each by itself, without what came before; nats are summed over
    all documents and divided by the number of tokens, or of UTF-8 bytes. ci95: of the nats a token,
    over rows.
    """
    nats, _, count, _ = self._score_documents(documents, samples, seed)
    mean = nats.sum() / count.sum()
    spread = (nats - mean * count).std(ddof=1) if len(nats) > 1 else float('nan')
    num_bytes = sum(len(document.encode()) for document in documents)
    return {
      'perplexity': float(np.exp(mean)),
      'nats_per_token': float(mean),
      'ci95': float(1.96 * spread * len(nats) ** 0.5 / count.sum()),
      'bits_per_byte': float(nats.sum() / np.log(2) / max(num_bytes, 1)),
      'tokens': int(count.sum()),
      'exact': self._exact,
    }

  def _score_documents(self, documents, samples, seed, orders=1):
    """(nats, half width of its interval, tokens, index of the document) of each row, [n]."""
    if isinstance(documents, str):
      raise ValueError('a text is one document; write a list of documents: [text]')
    eos = np.array([self.tokenizer.eos], np.int32)
    rows, owner = [], []
    for index, document in enumerate(documents):
      ids = np.concatenate([self.tokenizer.symbols(document), eos])
      pieces = [(ids[i:i + self.num_tokens], 0) for i in range(0, len(ids), self.num_tokens)]
      rows += pieces
      owner += [index] * len(pieces)
    if not rows:
      raise ValueError('there is no document to score; pass at least one')
    tokens, free = self._score_rows(rows)
    nats, ci95 = self._score(
      tokens, self._labels(None, len(tokens)), ~free, samples, seed, orders=orders
    )
    return nats, ci95, free.sum(1), owner

  def _score_rows(self, rows):
    """(tokens [n, N], which are scored) in block order, from (ids, length of the prompt); what is
    behind the ids is masked."""
    process = self.parts.process
    if not process.absorbing:
      raise ValueError(
        'a text is scored among unknown ones by masking those, which needs process masked; the '
        'bound on rows of a data set (--mode=eval) works for every process'
      )
    tokens = np.full((len(rows), self.num_tokens), process.mask_id, np.int32)
    free = np.zeros(tokens.shape, bool)
    for row, mark, (ids, begin) in zip(tokens, free, rows, strict=True):
      row[:len(ids)] = ids
      mark[begin:len(ids)] = True
    blocks = self.parts.blocks
    return blocks.from_raster(tokens), blocks.from_raster(free)
