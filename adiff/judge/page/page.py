"""The report: one self-contained page that shows any list of sections.

No script, no external resource, pictures inline: it opens from a mail or a memory stick, on a
phone, in light and in dark. This module formats; it knows no number by name, computes nothing,
paints nothing and writes nothing. Generated text is shown by `prose`; the look of it all is
`style`'s.
"""

import base64
import itertools

from adiff.judge import section
from adiff.judge.page import prose, style

_ARROWS = {'low': ' ↓', 'high': ' ↑', None: ''}


def page(title, facts, sections) -> str:
  """The page as HTML.

  title: plain text. facts: section.Fact, in small type below it. sections: section.Section, in
  order; their facts with words for a tile stand at the top. All text is escaped. Raises ValueError
  without a title, or for a picture that is neither PNG nor GIF.
  """
  if not title:
    raise ValueError('a page needs a title; pass the name of the config')
  head = style.facts([(fact.name, _value(fact)) for fact in facts if fact.value not in (None, '')])
  bodies = [(one.title, ''.join(_parts(one.parts))) for one in sections]
  shown = [(f'part-{i}', heading, body) for i, (heading, body) in enumerate(bodies, 1) if body]
  return style.document(title, head + _tiles(sections), shown)


def fragment(part: section.Part) -> str:
  """One part as HTML, for a document that has the style sheet `style.STYLE`."""
  return _SHOWN[type(part)](part)


def _parts(parts):
  """Parts in order; figures that follow each other stand side by side."""
  for kind, run in itertools.groupby(parts, type):
    body = ''.join(map(fragment, run))
    yield f'<div class="figures">{body}</div>' if kind is section.Figure else body


def _value(fact):
  """A fact's number or word for people, with its interval."""
  if fact.interval is not None and fact.value is not None:
    return style.with_interval(fact.value, fact.interval)
  return style.number(fact.value, fact.digits)


def _beside(words, fact):
  """Words, and the same number of others in brackets."""
  others = [
    f'{whose} {style.number(value)}' for whose, value in fact.beside.items() if value is not None
  ]
  return f'{words} ({", ".join(others)})' if others else words


def _tiles(sections):
  """The headline: a number and what it is, a tile each."""
  tiles = []
  for fact in itertools.chain.from_iterable(map(section.all_facts, sections)):
    if fact.tile and fact.value is not None:
      # A narrow tile breaks before the sign, not behind it.
      value = style.text(_value(fact).replace('± ', '±\u00a0'))
      words = style.text(_beside(fact.tile, fact))
      tiles.append(f'<div class="tile"><b>{value}</b><span>{words}</span></div>')
  return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ''


def _facts(part):
  if not part.shown:
    return ''
  have = [fact for fact in part.facts if fact.value is not None]
  meanings = [(fact.name, fact.meaning) for fact in have if fact.meaning]
  return style.facts([(fact.name, _beside(_value(fact), fact)) for fact in have]) + (
    style.meaning(meanings) if meanings else ''
  )


def _table(part):
  """One column per number that any row has; the best of those that are ranked is marked."""
  rows = [row for group in part.groups for row in group.rows]
  columns = [
    column for column in part.columns if any(row.get(column.key) is not None for row in rows)
  ]
  ranked = [row for group in part.groups if group.ranked for row in group.rows]
  heads = ''.join(_head(column, rows) for column in columns)
  out = [f'<thead><tr><th>{style.text(part.title)}</th>{heads}</tr></thead><tbody>']
  for group in part.groups:
    if group.heading and group.rows:
      heading = style.text(group.heading)
      out.append(f'<tr class="group"><th colspan="{len(columns) + 1}">{heading}</th></tr>')
    for row in group.rows:
      cells = ''.join(
        _cell(row, column, group.ranked and row.get(column.key) == section.best(column, ranked))
        for column in columns
      )
      out.append(f'<tr><th>{style.text(row.get("name", "–"))}</th>{cells}</tr>')
  meanings = [(column.heading, column.meaning) for column in columns if column.meaning]
  return f'<div class="scroll"><table>{"".join(out)}</tbody></table></div>' + (
    style.meaning(meanings) if meanings else ''
  )


def _head(column, rows):
  """The heading of a column, at the left where words stand below it."""
  look = ' class="words"' if any(isinstance(row.get(column.key), str) for row in rows) else ''
  return f'<th{look}>{style.text(column.heading + _ARROWS[column.better])}</th>'


def _cell(row, column, is_best):
  """A cell of the table."""
  value, interval = row.get(column.key), row.get(f'{column.key}_ci95')
  if value is None or interval is None:
    shown = style.number(value, column.digits)
  else:
    shown = style.with_interval(value, interval)
  if isinstance(value, str):
    look = ' class="words"'
  else:
    look = ' class="best"' if is_best and value is not None else ''
  return f'<td{look}>{style.text(shown)}</td>'


def _figure(part):
  """One picture with its caption, inline."""
  kind = section.image_kind(part.name, part.picture)
  caption = style.text(part.caption)
  code = base64.b64encode(part.picture).decode('ascii')
  return (f'<figure class="{style.text(part.look)}"><img alt="{caption}" '
          f'src="data:image/{kind};base64,{code}"><figcaption>{caption}</figcaption></figure>')


def _text(part):
  """Words as prose or in lines."""
  words = style.text(part.words)
  if part.look == 'prose':
    return f'<p class="soft">{words}</p>'
  if part.look == 'code':
    return f'<pre class="wrap"><code>{words}</code></pre>'
  return (f'<details><summary>{style.text(part.summary)}</summary>'
          f'<pre><code>{words}</code></pre></details>')


_SHOWN = {
  section.Facts: _facts, section.Table: _table, section.Figure: _figure, section.Text: _text,
  section.Passages: prose.passages, section.Reveal: prose.reveal,
}
