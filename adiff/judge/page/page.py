"""The report: one self-contained page with every number and picture of an evaluation.

`write` makes workdir/report.html: no script, no external resource, pictures inline; it opens from a
mail or a memory stick, on a phone, in light and in dark. The page says in one line what each number
means, and puts the floor (real images no model has seen) beside the model. A part without numbers
is left out. This module formats; it computes nothing and paints nothing (see
`charts.charts`). What only text models have is in `prose`, the look of it all in `style`.
"""

import base64
import json
import os
import pathlib

from adiff.judge.page import prose, style

FILE = 'report.html'
# Columns of the quality table: key, heading, what is better, what it means.
METRICS = (
  ('frechet', 'Fréchet', 'low', 'Distance between the feature statistics of the samples and of '
   'the training set. Lower is better; the real test split is the floor.'),
  ('inception_score', 'Inception', 'high', 'Confident and varied class predictions. '
   'Higher is better, up to the number of classes.'),
  ('precision', 'Precision', 'high', 'Share of the samples that lie among real images.'),
  ('recall', 'Recall', 'high', 'Share of the real images that lie among samples.'),
  ('density', 'Density', 'high', 'How crowded with real images the places of the samples are. '
   'About 1 for real data; it may exceed 1.'),
  ('coverage', 'Coverage', 'high', 'Share of the real images with a sample close by.'),
  ('nn_ratio', 'NN ratio', None, 'Distance of samples to their nearest training image over that '
   'of test images. Near 1 is right; well below 1 is memorisation.'),
  ('accuracy', 'Class acc.', 'high', 'Share of the samples that a classifier puts into the '
   'class that was asked for.'),
  ('two_sample', 'Two-sample', None, 'Accuracy of a forest that tells samples from real images. '
   'Near 0.5 they cannot be told apart; 1.0 is always told apart.'),
)
RUN = (('steps', 'Steps'), ('nfe', 'NFE'))
BOUND = (('nats', 'nats per example'), ('bits_per_dim', 'bits per dimension'),
         ('exact', 'exact entropy in nats'), ('num_examples', 'examples'),
         ('samples_per_example', 'samples per example'), ('dequantisation', 'dequantisation'))
COST = (
  ('num', 'Samples'), ('seed', 'Seed'), ('seconds', 'Seconds'), ('gflop', 'GFLOP a sample'),
  ('cache_kib', 'Cache a sample (KiB)'),
)

# Where a picture goes, by its name up to the first slash: (section, look, caption). A 'chart' is
# dark on white and follows the colour scheme; 'pixels' keep their colours and their hard edges.
PLACES = {
  'samples': ('samples', 'pixels', 'Samples, not chosen: the first ones of the seed.'),
  'strip': ('samples', 'pixels', 'Sampling as a film, from noise to data along the plan '
            '(blue: still masked).'),
  'quality': ('quality', 'chart', 'Quality against cost: Fréchet distance over sequential '
              'network evaluations; T is the number of steps per block.'),
  'calls': ('samplers', 'chart', 'Quality against cost: each sampler over its network calls per '
            'token; 1 is token by token. Whiskers are 95% intervals.'),
  'per_block': ('bound', 'chart', 'The bound, block by block, with 95% intervals.'),
  'per_level': ('bound', 'chart', 'Where along the noise levels the bound is spent.'),
  'loss': ('training', 'chart', 'Training loss: every logged step, and its running mean.'),
  'neighbours': ('neighbours', 'pixels', 'Each pair: a sample, and at its right the nearest '
                 'training image. A model that memorises shows the same picture twice.'),
}
SECTIONS = {'samples': 'Samples', 'text': 'Text', 'samplers': 'Samplers', 'quality': 'Quality',
            'law': 'Law of the samples', 'bound': 'Held-out bound', 'training': 'Training',
            'neighbours': 'Nearest neighbours', 'more': 'More pictures', 'reproduce': 'Reproduce',
            'config': 'Config'}

_text, _facts, _meaning = style.text, style.facts, style.meaning
number, with_interval = style.number, style.with_interval


def _figure(name, data):
  """One picture with its caption, inline; raises ValueError for bytes of an unknown kind."""
  kinds = {b'\x89PNG': 'png', b'GIF8': 'gif'}
  kind = kinds.get(bytes(data[:4]))
  if kind is None:
    raise ValueError(
      f'picture {name!r} is neither PNG nor GIF; make it with images.png_bytes or images.strip'
    )
  place, _, variant = name.partition('/')
  _, look, caption = PLACES.get(place, ('more', 'pixels', place))
  caption = _text(f'{caption} ({variant})' if variant else caption)
  code = base64.b64encode(data).decode('ascii')
  return (f'<figure class="{look}"><img alt="{caption}" src="data:image/{kind};base64,{code}">'
          f'<figcaption>{caption}</figcaption></figure>')


def _figures(pictures):
  """{section: its pictures, in the order of PLACES}, for the sections that have any."""
  known = list(PLACES)

  def rank(name):
    place = name.partition('/')[0]
    return known.index(place) if place in known else len(known)

  sections = {}
  for name in sorted(pictures, key=rank):
    section = PLACES.get(name.partition('/')[0], ('more',))[0]
    sections[section] = sections.get(section, '') + _figure(name, pictures[name])
  return sections


def _is_model(row):
  return row.get('nfe') is not None or row.get('steps') is not None


def _tiles(report):
  """The headline: three to five numbers with what they are."""
  text = report.get('text') or {}
  tiles = prose.tiles(text)
  # A text model's bound is per token or per byte; other units beside it would only confuse.
  shown = any(text.get(key) is not None for key in ('bits_per_byte', 'nats_per_token'))
  bound = {} if shown else report.get('bound') or {}
  if bound.get('bits_per_dim') is not None:
    tiles.append((with_interval(bound['bits_per_dim'], bound.get('bits_ci95')),
                  'bits per dimension, held out'))
  if bound.get('nats') is not None:
    tiles.append((with_interval(bound['nats'], bound.get('ci95')), 'nats per example, held out'))
  rows = [r for r in report.get('generators') or () if r.get('frechet') is not None]
  ours = [r for r in rows if _is_model(r)]
  if ours:
    best = min(ours, key=lambda r: r['frechet'])
    floor = [r for r in rows if not _is_model(r)]
    beside = f'; {floor[0]["name"]} {number(floor[0]["frechet"])}' if floor else ''
    tiles.append((number(best['frechet']), f'best Fréchet distance ({best["name"]}{beside})'))
    if best.get('accuracy') is not None:
      tiles.append((number(best['accuracy']), 'class accuracy of the same samples'))
  if report.get('law'):
    tiles.append((number(report['law'].get('p_value')), 'p-value of the law of the samples'))
  body = ''.join(f'<div class="tile"><b>{_text(v)}</b><span>{_text(k)}</span></div>'
                 for v, k in tiles)
  return f'<div class="tiles">{body}</div>' if body else ''


def _table(rows):
  """The generators, model first and references after, one column per number that any row has."""
  arrows = {'low': ' ↓', 'high': ' ↑', None: ''}

  def have(key):
    return any(r.get(key) is not None for r in rows)

  named = {'name', 'series', *(m[0] for m in METRICS), *(c[0] for c in RUN + COST)}
  others = [k for k in dict.fromkeys(k for r in rows for k in r) if k not in named]
  columns = [(k, h, None) for k, h in RUN if have(k)]
  columns += [(k, h + arrows[better], better) for k, h, better, _ in METRICS if have(k)]
  columns += [(k, k.replace('_', ' '), None) for k in others if have(k)]
  columns += [(k, h, None) for k, h in COST if have(k)]
  ours, references = [r for r in rows if _is_model(r)], [r for r in rows if not _is_model(r)]
  best = {k: (min if better == 'low' else max)(r[k] for r in ours if r.get(k) is not None)
          for k, _, better in columns
          if better and sum(r.get(k) is not None for r in ours) > 1}
  out = ['<div class="scroll"><table><thead><tr><th>Generator</th>',
         *(f'<th>{_text(h)}</th>' for _, h, _ in columns), '</tr></thead><tbody>']
  for title, group in (('This model', ours), ('For comparison', references)):
    if group:
      out.append(f'<tr class="group"><th colspan="{len(columns) + 1}">{title}</th></tr>')
    for row in group:
      cells = [f'<tr><th>{_text(row.get("name", "–"))}</th>']
      for key, _, _ in columns:
        value = row.get(key)
        mark = ' class="best"' if group is ours and key in best and value == best[key] else ''
        cells.append(f'<td{mark}>{_text(number(value, 2 if key == "seconds" else 3))}</td>')
      out.append(''.join(cells) + '</tr>')
  meaning = [(h, m) for k, h, _, m in METRICS if have(k)]
  if ours:
    meaning.append(('Steps, NFE', 'Sampling steps per block; network evaluations per sample, '
                    'one after another. Seconds are for all samples of the row.'))
  return ''.join(out) + '</tbody></table></div>' + _meaning(meaning)


def _bound(bound, split):
  """The bound in words and numbers."""
  intervals = {'nats': bound.get('ci95'), 'bits_per_dim': bound.get('bits_ci95')}

  def show(key):
    value = bound.get(key)
    if value is None:
      return None
    if key in intervals:
      return with_interval(value, intervals[key])
    return number(value, 5 if key == 'exact' else 3)

  pairs = [(title, show(key)) for key, title in BOUND]
  words = (f'Upper bound on the negative log-likelihood of the {split or "held-out"} split. Lower '
           'is better; intervals are 95%.')
  if bound.get('exact') is not None:
    words += ' On average no model gets below the exact entropy; a perfect one reaches it.'
  return f'<p class="soft">{_text(words)}</p>' + _facts(pairs)


def _law(law):
  words = ('Chi-square test of the samples against the known law of the data. A right sampler '
           'gives any p-value with equal chance; below 0.001 something is wrong.')
  return f'<p class="soft">{words}</p>' + _facts(
      [('statistic', number(law.get('statistic'), 4)),
       ('degrees of freedom', number(law.get('dof'))), ('p-value', number(law.get('p_value')))])


def page(report, pictures, fragments=()) -> str:
  """The page as a string; see `write`."""
  if not report.get('title'):
    raise ValueError("a report needs a title; set report['title'] to the name of the config")
  body = dict.fromkeys(SECTIONS, '')
  if report.get('text'):
    body['text'] += prose.facts(report['text'])
  if report.get('samplers'):
    body['samplers'] += prose.samplers(report['samplers'])
  if report.get('generators'):
    body['quality'] += _table(report['generators'])
  if report.get('classifier'):
    judge = report['classifier']
    body['quality'] += (f'<p class="soft">Features and classes are those of '
                        f'{_text(judge.get("name"))}, which is right on '
                        f'{_text(number(judge.get("accuracy")))} of the real test images.</p>')
  if report.get('law'):
    body['law'] += _law(report['law'])
  if report.get('bound'):
    body['bound'] += _bound(report['bound'], report.get('split'))
  for section, figures in _figures(pictures).items():
    body[section] += f'<div class="figures">{figures}</div>'
  if report.get('command'):
    commit = f' at commit {report["commit"]}' if report.get('commit') else ''
    body['reproduce'] = (f'<p class="soft">{_text(f"From the repository root{commit}.")}</p>'
                         f'<pre class="wrap"><code>{_text(report["command"])}</code></pre>')
  if report.get('config'):
    config = json.dumps(report['config'], indent=2, default=str, ensure_ascii=False)
    body['config'] = ('<details><summary>The whole truth about this run, as JSON</summary>'
                      f'<pre><code>{_text(config)}</code></pre></details>')
  sections = [(key, title, body[key]) for key, title in SECTIONS.items() if body[key]]
  start = 1 if body['samples'] else 0
  sections[start:start] = [(f'part-{i}', *part) for i, part in enumerate(fragments, 1)]
  step = report.get('step')
  facts = _facts([('step', None if step is None else number(step)), ('split', report.get('split')),
                  ('date', report.get('date')), ('hardware', report.get('hardware')),
                  ('commit', report.get('commit'))])
  return style.document(report['title'], facts + _tiles(report), sections)


def write(workdir, report, pictures, fragments=()) -> pathlib.Path:
  """Writes workdir/report.html and returns its path.

  report: 'title' (required), 'command', 'config' (dict), 'commit', 'hardware', 'date', 'step',
  'split', 'bound', 'generators' (rows of METRICS, None where not measured; rows without 'steps' and
  'nfe' are references, real images first), 'law', 'classifier'; for text models 'text' and
  'samplers', see `prose.facts` and `prose.samplers`. All but the title may be absent and are then
  left out. An interval ('ci95') is a half width or a pair of bounds.
  pictures: name -> PNG or GIF bytes; PLACES says which section a name belongs to ('samples/guided'
  belongs to 'samples'), and other names go to a section of their own.
  fragments: (heading, HTML) pairs, shown in order after the samples; the HTML is taken as it is, so
  make it with `prose`. All other text is escaped. The file appears whole or not at all. Raises
  ValueError without a title or for bytes of another kind, OSError where the folder cannot be
  written.
  """
  path = pathlib.Path(workdir) / FILE
  text = page(report, pictures, fragments)
  path.parent.mkdir(parents=True, exist_ok=True)
  draft = path.with_name(f'.{path.name}.{os.getpid()}')
  draft.write_text(text, encoding='utf-8')
  os.replace(draft, path)
  return path
