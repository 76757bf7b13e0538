"""Generated text on a page: samples in cards, and which token was revealed when.

All text that comes in is escaped. Fragments need the page's style sheet, `style.STYLE`.
"""

import itertools

from adiff.judge import section
from adiff.judge.page import style


def _readable(value):
  """Escaped text in which newlines are seen and other control characters cannot do harm."""
  # Unicode has a picture of each control character (U+2400..U+241F); half a pair has no encoding.
  known = value.replace('\r\n', '\n').encode('utf-8', 'replace').decode('utf-8')
  shown = ''.join(chr(0x2400 + ord(c)) if c < ' ' and c != '\n' else c for c in known)
  return style.text(shown)


def reveal(part: section.Reveal) -> str:
  """Generated text, each token on the colour of the step that revealed it; given ones are outlined.

  Where the block changes stands a tick, unless every block is one token. Strips of one plan
  (`num_steps`) share their colours. Steps and blocks count from 1 on the page. Raises ValueError
  where lengths differ or a step is out of range.
  """
  steps, blocks = part.steps, part.blocks if part.blocks else (0,) * len(part.steps)
  if not len(part.tokens) == len(steps) == len(blocks):
    raise ValueError(
      f'{len(part.tokens)} tokens, {len(steps)} steps and {len(blocks)} blocks; give one step '
      'and one block per token'
    )
  last = max(steps, default=-1) + 1 if part.num_steps is None else part.num_steps
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
      shown = _readable(part.tokens[i]).replace('\n', '¶<br>')
      spans.append(f'<span class="{look.strip()}" title="{words}">{shown}</span>')
    out.append(f'<em class="given">{"".join(spans)}</em>' if given else ''.join(spans))
  legend = _ramp(last) if last else ''
  if -1 in steps:
    legend += '<div><em class="given">text</em> given</div>'
  if ticks:
    legend += '<div><i class="bar"></i> a block starts</div>'
  return (f'<div class="reveal"><h3>{style.text(part.title)}</h3><div class="strip words">'
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


def passages(part: section.Passages) -> str:
  """Generated texts, one card each, behind the prompts that they continue, which are outlined.

  Raises ValueError where the numbers of texts and prompts differ.
  """
  texts, prompts = part.texts, part.prompts if part.prompts else ('',) * len(part.texts)
  if len(prompts) != len(texts):
    raise ValueError(f'{len(prompts)} prompts for {len(texts)} texts; give one prompt per text')
  cards = []
  for words, prompt in zip(texts, prompts, strict=True):
    given = f'<em class="given" title="given">{_readable(prompt)}</em>' if prompt else ''
    cards.append(f'<div class="words">{given}{_readable(words)}</div>')
  title = f'<h3>{style.text(part.title)}</h3>' if part.title else ''
  return f'{title}<div class="cards">{"".join(cards)}</div>'
