"""The look of a report: its style sheet, and the page around its sections, numbers for people.

The style sheet covers a wide window, a phone, the dark scheme and paper. RAMPS are the colours by
which text is marked with the step that revealed it.
"""

import html
import math
import numbers

# (background, ink) from the first step to the last, one ramp for each colour scheme: even steps of
# lightness in OKLab (Ottosson 2020), in hues of blue, so that the order is seen without seeing
# colours; the later the step, the more it stands out from the page. Ink reads at 4.5:1 or better.
_DARK, _WHITE = '#10151f', '#ffffff'
RAMPS = {
  'light': (
    ('#e0f4f9', _DARK), ('#badde9', _DARK), ('#96c5db', _DARK), ('#73accd', _DARK),
    ('#5392c0', _DARK), ('#3778b3', _WHITE), ('#215da5', _WHITE), ('#144097', _WHITE),
  ),
  'dark': (
    ('#25334c', _WHITE), ('#2d496b', _WHITE), ('#2f6089', _WHITE), ('#2979a5', _WHITE),
    ('#229bc9', _DARK), ('#40b8db', _DARK), ('#6dd4e9', _DARK), ('#98eff9', _DARK),
  ),
}
NUM_SHADES = len(RAMPS['light'])


def _shades(scheme):
  """Rules of the classes s0, s1, ..: one for each shade of a ramp."""
  return '\n'.join(
    f'.s{i} {{ background: {back}; color: {ink}; }}' for i, (back, ink) in enumerate(RAMPS[scheme])
  )


STYLE = """
:root { color-scheme: light dark; --page: #f5f6f8; --card: #fff; --ink: #1c2330; --soft: #5a6475;
  --line: #dfe3ea; --accent: #0060a0; --tint: #eaf2f9; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }
header, main, footer { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 40px; }
h1 { font-size: 2rem; line-height: 1.2; margin: 4px 0 12px; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 4px; }
p { margin: 4px 0 14px; max-width: 76ch; overflow-wrap: anywhere; }
a { color: var(--accent); }
.eyebrow { color: var(--accent); font-weight: 600; letter-spacing: .04em; margin: 0; }
.facts { display: flex; flex-wrap: wrap; gap: 4px 28px; margin: 0; color: var(--soft); }
.facts div { display: flex; gap: 8px; min-width: 0; }
.facts dd { margin: 0; color: var(--ink); overflow-wrap: anywhere; min-width: 0; }
nav { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 18px 0 0; font-size: .92rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(148px, 1fr)); gap: 12px;
  margin: 22px 0 0; }
.tile, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 14px 16px; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.25; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.tile span { display: block; color: var(--soft); font-size: .86rem; line-height: 1.35; }
section { margin: 18px 0; padding: 22px 24px; scroll-margin-top: 12px; }
.soft { color: var(--soft); }
.figures { display: flex; flex-wrap: wrap; gap: 22px; margin-top: 14px; align-items: flex-start; }
figure { margin: 0; flex: 1 1 440px; min-width: 0; max-width: 620px; }
figure img { display: block; max-width: 100%; height: auto; }
figure.chart img { width: 100%; mix-blend-mode: multiply; }
figure.pixels img { border-radius: 6px; image-rendering: pixelated; }
figcaption { color: var(--soft); font-size: .88rem; margin-top: 8px; line-height: 1.4; }
.scroll { overflow-x: auto; margin: 10px 0 14px; }
table { border-collapse: collapse; width: 100%; font-size: .86rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 6px 6px; text-align: right; border-bottom: 1px solid var(--line);
  vertical-align: middle; }
td { white-space: nowrap; }
td.words { white-space: normal; min-width: 14ch; max-width: 44ch; overflow-wrap: anywhere; }
.words:is(td, th) { text-align: left; }
th { font-weight: 600; line-height: 1.25; }
thead th { color: var(--soft); font-size: .78rem; vertical-align: bottom; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--card);
  min-width: 136px; padding-left: 0; }
tbody th { font-weight: 500; }
tr.group th { color: var(--soft); font-size: .8rem; padding-top: 14px; font-weight: 600;
  position: static; }
td.best { font-weight: 700; color: var(--accent); background: var(--tint); }
dl.meaning { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 12px 0 0;
  font-size: .88rem; }
dl.meaning + p { margin-top: 14px; }
dl.meaning dt { font-weight: 600; } dl.meaning dd { margin: 0; color: var(--soft); }
pre { background: var(--page); border: 1px solid var(--line); border-radius: 8px; margin: 10px 0 0;
  padding: 12px 14px; overflow-x: auto; font: .86rem/1.5 ui-monospace, 'SF Mono', Menlo, Consolas,
  'DejaVu Sans Mono', monospace; }
pre.wrap { white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--accent); }
li { overflow-wrap: anywhere; } ul { margin: 6px 0 0; padding-left: 22px; }
footer { color: var(--soft); font-size: .85rem; padding-bottom: 40px; }
.reveal + .reveal { margin-top: 26px; }
h3 { font-size: 1rem; margin: 14px 0 8px; }
.words { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; }
.strip { font: .9rem/1.9 ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace; }
.strip span { padding: 2px 0; border-radius: 2px; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }
.strip .tick { border-left: 2px solid var(--ink); margin-left: 3px; border-radius: 0 2px 2px 0; }
.given { border: 1px solid var(--soft); border-radius: 3px; padding: 1px 0; font-style: normal;
  box-decoration-break: clone; -webkit-box-decoration-break: clone; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 22px; margin: 12px 0 0; color: var(--soft);
  font-size: .86rem; }
.legend > div { display: flex; align-items: center; gap: 8px; }
.legend .ramp { display: flex; } .legend .ramp i { width: 22px; height: 16px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.legend .given { padding: 0 6px; color: var(--ink); }
.legend .bar { width: 2px; height: 16px; background: var(--ink); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr));
  gap: 14px; margin: 14px 0 0; }
.cards .words { background: var(--page); border: 1px solid var(--line); border-radius: 8px;
  padding: 12px 16px; font-size: .94rem; max-height: 26em; overflow-y: auto; }
/* light */
@media (max-width: 640px) {
  header, main, footer { padding-left: 14px; padding-right: 14px; }
  header { padding-top: 22px; } h1 { font-size: 1.5rem; }
  section { padding: 16px 14px; } .tiles { grid-template-columns: 1fr 1fr; gap: 8px; }
  .tile { padding: 12px; } .tile b { font-size: 1.12rem; } figure { flex-basis: 100%; }
  dl.meaning { grid-template-columns: 1fr; gap: 0; } dl.meaning dd { margin-bottom: 8px; }
}
@media (prefers-color-scheme: dark) {
  :root { --page: #12151b; --card: #1a1f28; --ink: #e6e9ef; --soft: #9ba6b6; --line: #2d3542;
    --accent: #6cb6ee; --tint: #1d2f40; }
  figure.chart img { filter: invert(1) hue-rotate(180deg); mix-blend-mode: screen; }
  /* dark */
}
@media print { section, .tile { break-inside: avoid; } nav { display: none; } }
""".replace('/* light */', _shades('light')).replace('/* dark */', _shades('dark'))


def text(value) -> str:
  """Any value as HTML text: escaped, for content and for quoted attributes."""
  return html.escape(str(value), quote=True)


def number(value, digits=3) -> str:
  """A number for people: significant digits, integers in full, '–' for None."""
  if value is None:
    return '–'
  if isinstance(value, str):
    return value
  if isinstance(value, numbers.Integral):
    return f'{value:,}'
  value = float(value)
  if not math.isfinite(value):
    return str(value)
  if value == 0:
    return '0'
  if abs(value) < 1e-3 or abs(value) >= 1e9:
    return f'{value:.{digits - 1}e}'
  return f'{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}'


def with_interval(value, ci95) -> str:
  """'12.31 ± 0.87' where ci95 is a half width, '12.31 [11.50, 13.24]' where it is a pair of bounds.

  The interval is given two significant digits, the value as many decimals as the interval.
  """
  if ci95 is None:
    return number(value, 4)
  pair = isinstance(ci95, (list, tuple))
  width = abs(ci95[1] - ci95[0]) / 2 if pair else abs(float(ci95))
  if not (math.isfinite(width) and width > 0):
    return number(value, 4)
  places = max(0, 1 - math.floor(math.log10(width)))
  if pair:
    return f'{value:,.{places}f} [{ci95[0]:,.{places}f}, {ci95[1]:,.{places}f}]'
  return f'{value:,.{places}f} ± {width:,.{places}f}'


def facts(pairs) -> str:
  """A list of (name, value) pairs; pairs without a value are left out."""
  rows = ''.join(f'<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>' for k, v in pairs
                 if v is not None and v != '')
  return f'<dl class="facts">{rows}</dl>' if rows else ''


def meaning(rows) -> str:
  """What (heading, words) pairs mean, one below the other."""
  return '<dl class="meaning">' + ''.join(
      f'<dt>{text(heading)}</dt><dd>{text(words)}</dd>' for heading, words in rows) + '</dl>'


def document(title, head, sections) -> str:
  """The whole page.

  title: plain text. head: HTML below the title. sections: (id, plain heading, HTML), in order;
  each gets a link at the top.
  """
  links = ''.join(f'<a href="#{text(key)}">{text(heading)}</a>' for key, heading, _ in sections)
  return ''.join([
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; ',
    f'style-src \'unsafe-inline\'"><title>{text(title)} · adiff report</title>',
    f'<style>{STYLE}</style></head><body><header><p class="eyebrow">adiff report</p>',
    f'<h1>{text(title)}</h1>{head}<nav>{links}</nav></header><main>',
    *(f'<section id="{text(key)}"><h2>{text(heading)}</h2>{content}</section>\n'
      for key, heading, content in sections),
    '</main><footer>One file, no scripts, nothing fetched: it can be kept and mailed as it is.',
    '</footer></body></html>\n',
  ])
