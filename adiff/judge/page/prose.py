"""Text models on a report: what a reader of generated text looks at, as HTML fragments and charts.

`reveal_strip` and `samples` are fragments for `page.write`; `tiles`, `facts` and `samplers` are
the numbers of a text model; `quality_vs_calls` is a picture. All text that comes in is escaped.
Fragments need the page's style sheet, `style.STYLE`.
"""

import itertools

import numpy as np

from adiff.judge.page import charts, images, style

# Numbers of a text model: key, heading, what it means.
MEASURES = (
  ('bits_per_byte', 'Bits per byte', 'Held-out bound in bits per byte of text. Lower is better; '
   'comparable between tokenizers.'),
  ('nats_per_token', 'Nats per token', 'Held-out bound in nats per token. Lower is better; '
   'comparable under one tokenizer only.'),
  ('perplexity', 'Perplexity', 'exp of the nats per token: among how many equally likely tokens '
   'the model hesitates. Lower is better.'),
  ('known_words', 'Known words', 'Share of the generated words of 3 letters or more that occur in '
   'the corpus. Real text is near 1.'),
  ('unigram_entropy', 'Unigram entropy', 'Entropy of the generated tokens in nats, order ignored. '
   'The corpus is right: below it samples are monotonous, above it they are noise.'),
  ('repetition', 'Repetition', 'Share of the 4-grams of a sample that repeat an earlier one of it. '
   'The corpus is right; near 1 is a loop.'),
  ('calls_per_token', 'Calls per token', 'Network evaluations per generated token, one after '
   'another. Token by token is 1; below it, tokens are sampled in parallel.'),
  ('tokens_per_second', 'Tokens per second', 'Generated tokens of all samples over the seconds '
   'they took.'),
)


def _readable(value):
  """Escaped text in which newlines are seen and other control characters cannot do harm."""
  # Unicode has a picture of each control character (U+2400..U+241F); half a pair has no encoding.
  known = value.replace('\r\n', '\n').encode('utf-8', 'replace').decode('utf-8')
  shown = ''.join(chr(0x2400 + ord(c)) if c < ' ' and c != '\n' else c for c in known)
  return style.text(shown)


def reveal_strip(tokens, steps, *, title, block_of_token=None, num_steps=None) -> str:
  """Generated text, each token on the colour of the step that revealed it; an HTML fragment.

  tokens: N strings in reading order. steps: N integers, the step within its block that revealed the
  token, 0 for the first, or -1 for a token that was given (a prompt): those are outlined instead.
  block_of_token: N integers, the block of each token; where it changes stands a tick, unless every
  block is one token. num_steps: the steps of the plan, so that strips of one plan share their
  colours; by default the last step that occurs. Steps and blocks count from 1 on the page. Raises
  ValueError where lengths differ or a step is out of range.
  """
  steps = [int(step) for step in steps]
  blocks = [0] * len(steps) if block_of_token is None else [int(block) for block in block_of_token]
  if not len(tokens) == len(steps) == len(blocks):
    raise ValueError(
      f'{len(tokens)} tokens, {len(steps)} steps and {len(blocks)} blocks; give one step and one '
      'block per token'
    )
  last = max(steps, default=-1) + 1 if num_steps is None else num_steps
  if any(not -1 <= step < last for step in steps):
    raise ValueError(
      f'steps run from {min(steps)} to {max(steps)}; write 0..{last - 1}, or -1 where a token was '
      'given'
    )
  many = len(set(blocks)) > 1
  ticks = many and any(a == b for a, b in itertools.pairwise(blocks))
  out = []
  for given, run in itertools.groupby(range(len(steps)), lambda i: steps[i] < 0):
    spans = []
    for i in run:
      tick = ' tick' if ticks and i and blocks[i] != blocks[i - 1] else ''
      look = ('' if given else f's{_shade(steps[i], last)}') + tick
      of = f' of block {blocks[i] + 1}' if many else ''
      words = 'given' if given else f'step {steps[i] + 1}{of}'
      shown = _readable(tokens[i]).replace('\n', '¶<br>')
      spans.append(f'<span class="{look.strip()}" title="{words}">{shown}</span>')
    out.append(f'<em class="given">{"".join(spans)}</em>' if given else ''.join(spans))
  legend = _ramp(last) if last else ''
  if -1 in steps:
    legend += '<div><em class="given">text</em> given</div>'
  if ticks:
    legend += '<div><i class="bar"></i> a block starts</div>'
  return (f'<div class="reveal"><h3>{style.text(title)}</h3><div class="strip words">'
          f'{"".join(out)}</div><div class="legend">{legend}</div></div>')


def _shade(step, num_steps):
  """The class of a step's colour; the first and the last step take the two ends of the ramp."""
  return round(step * (style.NUM_SHADES - 1) / max(num_steps - 1, 1))


def _ramp(num_steps):
  """The legend's colours, from the first step to the last."""
  shades = sorted({_shade(step, num_steps) for step in range(num_steps)})
  boxes = ''.join(f'<i class="s{shade}"></i>' for shade in shades)
  end = f' step {num_steps}' if num_steps > 1 else ''
  return f'<div>step 1 <div class="ramp">{boxes}</div>{end}</div>'


def samples(texts, *, prompts=None) -> str:
  """Generated texts, one card each; an HTML fragment.

  texts: strings without their prompts; prompts: the string that each of them continues, shown
  outlined before it. Raises ValueError where the numbers of texts and prompts differ.
  """
  prompts = [''] * len(texts) if prompts is None else prompts
  if len(prompts) != len(texts):
    raise ValueError(f'{len(prompts)} prompts for {len(texts)} texts; give one prompt per text')
  cards = []
  for words, prompt in zip(texts, prompts, strict=True):
    given = f'<em class="given" title="given">{_readable(prompt)}</em>' if prompt else ''
    cards.append(f'<div class="words">{given}{_readable(words)}</div>')
  return f'<div class="cards">{"".join(cards)}</div>'


def _value(row, key):
  """A number with its interval, if it has one."""
  interval = row.get(f'{key}_ci95')
  if row.get(key) is None or interval is None:
    return style.number(row.get(key))
  return style.with_interval(row[key], interval)


def _beside(text, key):
  """A number, and that of the corpus where it is known, in words."""
  corpus = text.get(f'corpus_{key}')
  beside = '' if corpus is None else f'corpus {style.number(corpus)}'
  return _value(text, key), beside


def tiles(text) -> list[tuple[str, str]]:
  """The headline of a text model, (number, what it is) each; `text` as for `facts`."""
  bound = 'bits_per_byte' if text.get('bits_per_byte') is not None else 'nats_per_token'
  words = {
    bound: f'{bound.replace("_", " ")}, held out',
    'perplexity': 'perplexity per token, held out',
    'known_words': 'share of generated words that the corpus knows',
    'unigram_entropy': 'nats of unigram entropy',
    'tokens_per_second': 'tokens per second',
  }
  out = []
  for key, meaning in words.items():
    if text.get(key) is None:
      continue
    value, beside = _beside(text, key)
    if key == 'tokens_per_second' and text.get('calls_per_token') is not None:
      beside = f'{style.number(text["calls_per_token"])} network calls each token'
    # A narrow tile breaks before the sign, not behind it.
    out.append((value.replace('± ', '±\u00a0'), f'{meaning} ({beside})' if beside else meaning))
  return out


def facts(text) -> str:
  """A text model's numbers, those of the corpus beside them, and what they mean; HTML.

  text: the keys of MEASURES that were measured; 'corpus' and 'tokenizer', their names; 'corpus_'
  before a key is the corpus's own number, and '_ci95' behind it the interval of the model's.
  """
  pairs = [('corpus', text.get('corpus')), ('tokenizer', text.get('tokenizer'))]
  have = [row for row in MEASURES if text.get(row[0]) is not None]
  for key, heading, _ in have:
    value, beside = _beside(text, key)
    pairs.append((heading.lower(), f'{value} ({beside})' if beside else value))
  meaning = style.meaning([row[1:] for row in have]) if have else ''
  return style.facts(pairs) + meaning


def samplers(rows) -> str:
  """The table of samplers: one row each, one column per number that any row has; HTML.

  rows: dicts with 'sampler' (its name), 'steps', keys of MEASURES and any other number. A key's
  '_ci95' stands behind its number; 'ci95' alone belongs to the chart.
  """
  text, heads = style.text, {key: heading for key, heading, _ in MEASURES}
  heads = {'steps': 'Steps', 'calls_per_token': heads.pop('calls_per_token'), **heads}
  others = [key for key in dict.fromkeys(key for row in rows for key in row)
            if key not in heads and key != 'sampler' and not key.endswith('ci95')]
  columns = [key for key in (*heads, *others) if any(row.get(key) is not None for row in rows)]
  out = ['<div class="scroll"><table><thead><tr><th>Sampler</th>',
         *(f'<th>{text(heads.get(key, key.replace("_", " ")))}</th>' for key in columns),
         '</tr></thead><tbody>']
  for row in rows:
    cells = ''.join(f'<td>{text(_value(row, key))}</td>' for key in columns)
    out.append(f'<tr><th>{text(row.get("sampler", "–"))}</th>{cells}</tr>')
  return ''.join(out) + '</tbody></table></div>'


def quality_vs_calls(rows, *, metric, ylabel, title=None) -> bytes:
  """Quality against cost: a metric over network calls per token, one line a sampler; PNG bytes.

  rows: those of `samplers`; 'ci95', where present, is the 95% interval of the metric, a half width
  or a pair of bounds. The cost is logarithmic. Rows without 'calls_per_token' are horizontal lines
  (the corpus, say); rows without the metric are skipped. Raises ValueError where no row has both.
  """
  rows = [row for row in rows if row.get(metric) is not None]
  ours = [row for row in rows if row.get('calls_per_token')]
  if not ours:
    raise ValueError(f'no row has both calls_per_token and {metric}; evaluate one sampler')
  fig, axes = charts.new_axes(
    height=3.6, xlabel='network calls per token', ylabel=ylabel, title=title
  )
  names = list(dict.fromkeys(row['sampler'] for row in ours))
  for i, name in enumerate(names):
    line = sorted((row for row in ours if row['sampler'] == name),
                  key=lambda row: row['calls_per_token'])
    colour = charts.COLOURS[i % len(charts.COLOURS)]
    axes.plot([row['calls_per_token'] for row in line], [row[metric] for row in line], color=colour,
              marker=charts.MARKERS[i % len(charts.MARKERS)], markersize=6, linewidth=1.9,
              label=name)
    for row in line:
      if row.get('ci95') is not None:
        axes.errorbar(row['calls_per_token'], row[metric], fmt='none', ecolor=colour, capsize=3,
                      yerr=_lengths(row[metric], row['ci95']), elinewidth=1.3)
  dashes = itertools.cycle(charts.DASHES[1:])
  for row in rows:
    if not row.get('calls_per_token'):
      axes.axhline(row[metric], color=charts.INK, linewidth=1.4, linestyle=next(dashes),
                   label=row['sampler'])
  axes.set_xscale('log', base=2)
  # Powers of two around all costs, so that even one point has a tick at each side.
  cost = np.log2([row['calls_per_token'] for row in ours])
  powers = range(int(np.floor(cost.min())), int(np.ceil(cost.max())) + 1)
  axes.set_xticks([2.0 ** i for i in powers],
                  labels=[f'{2 ** i:,}' if i >= 0 else f'1/{2 ** -i:,}' for i in powers])
  axes.minorticks_off()
  axes.set_xlim(2 ** (powers[0] - 0.3), 2 ** (powers[-1] + 0.3))
  axes.margins(y=0.12)
  axes.grid(axis='y', color=charts.GRID, linewidth=0.8)
  charts.legend_above(axes)
  return images.png_bytes(fig)


def _lengths(value, ci95):
  """[2, 1] lengths of an interval below and above its value."""
  if not isinstance(ci95, (list, tuple)):
    return [[ci95], [ci95]]
  return [[max(value - ci95[0], 0)], [max(ci95[1] - value, 0)]]
