"""A benchmark in parts, each a process of its own: a part that fails or runs out of time says so on
the page, and the others go on. Imports nothing of jax: whoever counts here stays off the device."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from adiff.machine import files

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHILDREN = dict(os.environ)  # as they were found: children have the device
HARDWARE = 'from adiff.machine import provenance; print(provenance.hardware())'


@dataclasses.dataclass
class Page:
  """FOLDER/NAME.md and NAME.json, whole after every part."""

  folder: pathlib.Path
  name: str
  title: str
  facts: dict
  parts: list = dataclasses.field(default_factory=list)

  def add(self, title, *, seconds, lines=(), **facts):
    """lines: Markdown; facts: as JSON."""
    self.parts.append({'title': title, 'seconds': round(seconds, 1), **facts, 'lines': list(lines)})
    facts = '; '.join(f'{name} {value}' for name, value in self.facts.items())
    text = [f'# {self.title}\n\n{facts}']
    for part in self.parts:
      head = f'## {part["title"]}', '', f'{part["seconds"]} s.', ''
      text.append('\n'.join([*head, *part['lines']]))
    self.folder.mkdir(parents=True, exist_ok=True)
    with files.whole(self.folder / f'{self.name}.md') as file:
      file.write('\n\n'.join(text) + '\n')
    with files.whole(self.folder / f'{self.name}.json') as file:
      json.dump({**self.facts, 'parts': self.parts}, file, indent=1)
    print(f'[adiff] {title}: {seconds:.0f} s', file=sys.stderr)


def child(words, seconds) -> tuple[int | None, str, float]:
  """(exit status, end of the output, seconds) of python WORDS; None: it was cut off."""
  begun = time.monotonic()
  with tempfile.TemporaryFile('w+', errors='replace') as log:
    process = subprocess.Popen(
      [sys.executable, *map(str, words)], cwd=ROOT, env=CHILDREN, stdout=log, stderr=log
    )
    try:
      status = process.wait(max(seconds, 1))
    except subprocess.TimeoutExpired:
      process.kill()
      process.wait()
      status = None
    log.seek(0)
    return status, log.read()[-2000:].strip(), time.monotonic() - begun


def told(status, output) -> list[str]:
  """Lines of the page for a part that did not end well."""
  what = 'cut off: its time was up' if status is None else f'ended with status {status}'
  return [f'This part {what}.', '', '```', *(output or 'It said nothing.').split('\n')[-15:], '```']
