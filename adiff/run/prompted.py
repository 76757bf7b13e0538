"""Writes on from prompts, on the terminal, block by block as they are made."""

import sys


def write(writer, prompts, *, seed, num_tokens) -> None:
  """Writes what a language.Model makes of the prompts, and its cost to standard error. Raises
  ValueError for another model."""
  if writer.parts.spec.medium != 'text':
    raise ValueError(f'{writer.workdir} is no text model, which --prompt needs; leave it away')
  shown = ''

  def show(texts):
    nonlocal shown
    print(texts[0][len(shown):], end='', flush=True)
    shown = texts[0]

  alone = len(prompts) == 1
  if alone:
    print(prompts[0], end='', flush=True)
  written = writer.write(
    prompts, seed=seed, num_tokens=num_tokens, show=show if alone else None
  )
  if alone:
    print(written.texts[0][len(shown):])
  else:
    for prompt, text in zip(prompts, written.texts, strict=True):
      print(f'{prompt}{text}\n')
  count = written.tokens.sum()
  print(
    f'{count} tokens, {written.calls.sum() / max(count, 1):.2f} network calls a token, '
    f'{count / max(written.seconds, 1e-9):.0f} tokens/s, compilation excluded', file=sys.stderr
  )
