"""How examples look in a notebook: pictures, texts, or numbers."""

import base64
import html
import json

import numpy as np

from adiff.judge.page import images

COLUMNS, ROWS = 10, 10  # of a grid


def png(facts, examples) -> bytes | None:
  """A grid of the first hundred as PNG bytes; None where the medium is not looked at. Of examples
  with several parts, the first picture."""
  for name, part in facts.parts.items():
    picture = png(part, examples[name])
    if picture is not None:
      return picture
  if facts.medium not in ('image', 'video'):
    return None
  examples = np.asarray(examples)[:COLUMNS * ROWS]
  pictures, levels = (examples, facts.levels) if facts.levels else (images.colours(examples), 256)
  columns, scale = min(COLUMNS, len(pictures)), max(1, 48 // pictures.shape[1])
  return images.png_bytes(images.grid(pictures, levels, columns=columns, scale=scale))


def as_html(facts, examples, caption) -> str:
  """An HTML fragment of examples, with what they are in words."""
  picture = None if facts.parts else png(facts, examples)
  if picture is not None:
    code = base64.b64encode(picture).decode('ascii')
    body = f'<img alt="{html.escape(caption)}" src="data:image/png;base64,{code}">'
  elif facts.medium == 'text':
    body = ''.join(f'<pre>{html.escape(text)}</pre>' for text in examples[:ROWS])
  elif facts.parts:
    body = ''.join(as_html(part, examples[name], name) for name, part in facts.parts.items())
  else:
    rows = [json.dumps(np.round(row, 3).tolist()) for row in np.asarray(examples)[:ROWS]]
    body = f'<pre>{html.escape(chr(10).join(rows))}</pre>'
  return f'<figure>{body}<figcaption>{html.escape(caption)}</figcaption></figure>'
