"""What a text model's report says of samples: words, entropy, cost, which token came when."""

import numpy as np

from adiff.judge.metrics import words
from adiff.judge.page import prose
from adiff.run import build, choose, generate, loss_profile, overrides

CHARACTERS = 20_000_000  # of the corpus that are read for its words
ROWS = 64  # of the evaluated split that the loss profile is measured on


def judge(
  parts: build.Parts, params, mesh, report, pictures, *, workdir, progress
) -> tuple[tuple[str, str], ...]:
  """Measures eval.num samples a sampler into `report` and `pictures`; returns the page's
  fragments."""
  config, source = parts.config, parts.coded
  report['profile'] = _profile(parts, params, mesh, progress)
  reference = _reference(parts)
  tokens, _, row = generate.for_report(parts, params, mesh, progress=progress)
  own = _scores(parts, tokens, row, reference)
  report['generators'] = [row]
  report['text'] = {
    'corpus': source.source.corpus.name,
    'tokenizer': f'{config.codec.name}, {source.codec.vocab} symbols',
    **likelihood_of_text(parts, report['bound']),
    **own,
    'corpus_unigram_entropy': reference['unigram_entropy'],
    'corpus_repetition': reference['repetition'],
  }
  report['samplers'] = [{'sampler': config.solver.name, 'steps': config.plan.steps, **own}]
  for name, steps in samplers(parts):
    other = overrides.arrange(
      config, workdir, solver=name, steps=steps, profile=report['profile']
    )
    other = build.build(other, source)
    drawn, _, row = generate.for_report(other, params, mesh, progress=progress)
    report['samplers'].append(
      {'sampler': name, 'steps': other.config.plan.steps, **_scores(other, drawn, row, reference)}
    )
  if len(report['samplers']) > 1:
    pictures['calls'] = prose.quality_vs_calls(
      report['samplers'], metric='known_words', ylabel='share of words the corpus knows'
    )
  return (
    ('Samples', prose.samples(_texts(source, tokens[:6]))),
    ('Which token was revealed when', _strip(parts, params, mesh)),
  )


def samplers(parts) -> list[tuple[str, int | None]]:
  """[(solver, steps or None)] of config.eval.samplers.

  Raises ValueError for one that cannot sample: training asks before it begins.
  """
  chosen = []
  for text in parts.config.eval.samplers:
    name, at, steps = text.partition('@')
    if at and not (steps.isdecimal() and int(steps)):
      raise ValueError(f'config.eval.samplers: {text!r}: write NAME(key=value)@STEPS, STEPS >= 1')
    try:
      if name != overrides.BUDGET:
        choose.resolve('solver', overrides.parse_solver(name)).needs(parts)
      elif not loss_profile.has_profile(parts):
        raise ValueError('budget needs masked noise, equal blocks and rows that are not packed')
    except ValueError as error:
      raise ValueError(f'config.eval.samplers: {text!r}: {error}') from error
    chosen.append((name, int(steps) if steps else None))
  return chosen


def _profile(parts, params, mesh, progress):
  """{'nats', 'error'} of one masked token by the number of masked ones in its block, or None."""
  if not loss_profile.has_profile(parts):
    return None
  config = parts.config
  rows = min(ROWS, parts.coded.size(config.eval.split), config.eval.examples or ROWS)
  nats = loss_profile.measure(parts, params, mesh, range(rows), samples=2, progress=progress)
  error = nats.std(0, ddof=1) / len(nats) ** 0.5
  return {'nats': nats.mean(0).tolist(), 'error': error.tolist()}


def likelihood_of_text(parts, bound) -> dict:
  """The bound per token and per UTF-8 byte of the evaluated rows, with its 95% interval."""
  source, split = parts.coded, parts.config.eval.split
  rows = source.examples(split, np.arange(bound['num_examples']))
  count = float(np.sum(rows['weight'])) if 'weight' in rows else rows['tokens'].size
  per_token = bound['num_examples'] / count
  num_bytes = sum(len(text.encode()) for text in _texts(source, rows['tokens']))
  per_byte = bound['num_examples'] / num_bytes / np.log(2)
  return {
    'nats_per_token': bound['nats'] * per_token,
    'nats_per_token_ci95': bound['ci95'] * per_token,
    'bits_per_byte': bound['nats'] * per_byte,
    'bits_per_byte_ci95': bound['ci95'] * per_byte,
    'perplexity': float(np.exp(bound['nats'] * per_token)),
  }


def _texts(source, tokens):
  """Whole rows as text, an empty line for each end-of-text."""
  tokenizer, out = source.codec, []
  for row in np.asarray(tokens):
    pieces = np.split(row, np.flatnonzero(row == tokenizer.eos))
    out.append('\n\n'.join(tokenizer.text(piece[piece != tokenizer.eos]) for piece in pieces))
  return out


def _reference(parts):
  """The corpus's words, and the statistics of as many rows of it as are drawn."""
  source, total = parts.coded, 0
  documents = []
  for document in source.source.documents('train'):
    documents.append(document)
    total += len(document)
    if total > CHARACTERS:
      break
  num, last = parts.config.eval.num, source.size('train') - 1
  rows = source.examples('train', np.linspace(0, last, num).astype(int))['tokens']
  wide = source.examples('train', np.linspace(0, last, 20 * num).astype(int))
  return {
    'words': words.words_of(documents),
    'unigram_entropy': words.unigram_entropy(wide['tokens'].ravel(), source.codec.vocab),
    'repetition': words.repetition([row.tolist() for row in rows]),
  }


def _scores(parts, tokens, row, reference) -> dict:
  """Numbers of samples [n, N] in reading order."""
  known = words.known_words(_texts(parts.coded, tokens), reference['words'])
  return {
    'known_words': known['share'],
    'words': known['words'],
    'unigram_entropy': words.unigram_entropy(tokens.ravel(), parts.coded.codec.vocab),
    'repetition': words.repetition([row.tolist() for row in tokens]),
    'calls_per_token': row['nfe'] / parts.blocks.num_tokens,
    'tokens_per_second': tokens.size / row['seconds'],
  }


def _strip(parts, params, mesh) -> str:
  """One sample, each token coloured by the step that revealed it."""
  label = np.full(1, -1, np.int32)
  walk = generate.make_sampler(parts, mesh=mesh, trace=True)
  rows = np.asarray(walk(params, generate.example_keys(parts.config.seed, 0, 1), label))[:, 0]
  mask_id = parts.process.mask_id
  hidden = np.zeros(rows.shape, bool) if mask_id is None else rows == mask_id
  changed = np.concatenate([np.ones((1, rows.shape[1]), bool), rows[1:] != rows[:-1]])
  last = len(rows) - 1 - np.argmax(changed[::-1], axis=0)  # a token stands since its last change
  blocks, starts = parts.blocks, parts.plan.starts
  step = np.where(hidden.all(0), 0, last) - starts[blocks.block_of_token]
  tokens, decode = blocks.to_raster(rows[-1], axis=0), parts.coded.codec.text
  eos = parts.coded.codec.eos
  return prose.reveal_strip(
    ['\u2402' if token == eos else decode(np.array([token])) for token in tokens],
    blocks.to_raster(np.maximum(step, 0), axis=0).tolist(),
    title=f'{parts.config.solver.name}, at most {max(parts.plan.budgets)} steps a block',
    block_of_token=blocks.to_raster(blocks.block_of_token, axis=0).tolist(),
    num_steps=max(parts.plan.budgets),
  )
