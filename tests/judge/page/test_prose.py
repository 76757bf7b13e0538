"""Text on a report: every token once, escaped, on the colour of its step; numbers as measured."""

import html.parser
import re

import numpy as np
import pytest

from adiff.judge.page import prose, style

HOSTILE = '<script>alert("x")</script>&\'</span>'
TOKENS = ['Say', ' hi', '\n', 'to', ' <b>', '.', ' A', '&']
STEPS = [-1, -1, 2, 0, 1, 1, 0, 2]
BLOCKS = [0, 0, 0, 1, 1, 1, 2, 2]
ROWS = [
  {'sampler': 'b', 'calls_per_token': 1.0, 'known_words': 0.9, 'ci95': 0.02},
  {'sampler': 'a', 'calls_per_token': 0.5, 'known_words': 0.8, 'ci95': (0.75, 0.9)},
  {'sampler': 'b', 'calls_per_token': 0.25, 'known_words': 0.7},
  {'sampler': 'held-out text', 'known_words': 0.99},
  {'sampler': 'c', 'calls_per_token': 8.0},
]


class Reader(html.parser.HTMLParser):
  """Collects (tag, attributes, text directly or deeper inside) and checks that tags nest."""

  def __init__(self, text):
    super().__init__()
    self.found, self.open = [], []
    self.feed(text)
    self.close()
    assert self.open == []

  def handle_starttag(self, tag, attrs):
    self.found.append([tag, dict(attrs), ''])
    if tag != 'br':
      self.open.append(self.found[-1])

  def handle_endtag(self, tag):
    assert self.open.pop()[0] == tag

  def handle_data(self, data):
    for entry in self.open:
      entry[2] += data

  def all(self, tag, name=None):
    return [
      (attrs, text) for one, attrs, text in self.found
      if one == tag and (name is None or name in attrs.get('class', '').split())
    ]


def strip(tokens=TOKENS, steps=STEPS, **options):
  return Reader(prose.reveal_strip(tokens, steps, title='order', **options))


def luminance(colour):
  """Relative luminance of WCAG 2.2 of '#rrggbb'."""
  parts = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
  linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
  return linear @ [0.2126, 0.7152, 0.0722]


def test_every_token_is_one_span_in_order_and_newlines_are_seen():
  page = strip()
  assert [text for _, text in page.all('span')] == [t.replace('\n', '¶') for t in TOKENS]
  assert len(page.all('br')) == 1
  assert '¶<br>' in prose.reveal_strip(TOKENS, STEPS, title='order')


def test_given_tokens_are_outlined_and_have_no_colour():
  page = strip()
  (_, run), (_, key) = page.all('em', 'given')
  assert run == 'Say hi' and key == 'text'
  for (attrs, _), step in zip(page.all('span'), STEPS, strict=True):
    assert (attrs['title'] == 'given') == (step < 0)
    assert bool(re.search(r'\bs\d', attrs['class'])) == (step >= 0)


def test_titles_say_step_and_block_from_one():
  titles = [attrs['title'] for attrs, _ in strip(block_of_token=np.array(BLOCKS)).all('span')]
  assert titles == ['given', 'given', 'step 3 of block 1', 'step 1 of block 2', 'step 2 of block 2',
                    'step 2 of block 2', 'step 1 of block 3', 'step 3 of block 3']
  assert strip().all('span')[2][0]['title'] == 'step 3'


def test_a_tick_stands_where_a_block_starts_and_nowhere_in_token_by_token_text():
  ticks = ['tick' in attrs['class'].split()
           for attrs, _ in strip(block_of_token=BLOCKS).all('span')]
  assert ticks == [False, False, False, True, False, False, True, False]
  assert not strip(steps=[0] * 8, block_of_token=range(8)).all('span', 'tick')
  assert not strip().all('span', 'tick')


@pytest.mark.parametrize('num', [1, 2, 3, 8, 9, 64])
def test_the_legend_runs_from_the_first_step_to_the_last_and_colours_keep_their_order(num):
  page = strip(['x'] * num, list(range(num)))
  shades = [int(attrs['class'].strip('s')) for attrs, _ in page.all('span')]
  boxes = [attrs['class'] for attrs, _ in page.all('i')]
  assert shades == sorted(shades) and boxes == [f's{i}' for i in sorted(set(shades))]
  assert len(boxes) == min(num, 8) and shades[0] == 0
  assert num == 1 or shades[-1] == style.NUM_SHADES - 1
  (_, legend), = page.all('div', 'legend')
  assert legend.split() == ['step', '1'] + (['step', str(num)] if num > 1 else [])


def test_strips_of_one_plan_share_their_colours():
  alone, planned = strip(['x'], [1]), strip(['x'], [1], num_steps=8)
  assert alone.all('span')[0][0]['class'] == 's7' and planned.all('span')[0][0]['class'] == 's1'


def test_the_order_of_steps_is_one_of_lightness_and_every_shade_can_be_read():
  for scheme, sign in (('light', -1), ('dark', 1)):
    ramp = [(luminance(back), luminance(ink)) for back, ink in style.RAMPS[scheme]]
    assert all(sign * (b[0] - a[0]) > 0 for a, b in zip(ramp, ramp[1:], strict=False))
    for pair in ramp:
      assert (max(pair) + 0.05) / (min(pair) + 0.05) >= 4.5
    for back, ink in style.RAMPS[scheme]:
      assert f'{{ background: {back}; color: {ink}; }}' in style.STYLE


@pytest.mark.parametrize('fragment', [
  prose.reveal_strip([HOSTILE, HOSTILE], [0, -1], title=HOSTILE),
  prose.samples([HOSTILE], prompts=[HOSTILE]),
  prose.facts({'corpus': HOSTILE, 'tokenizer': HOSTILE}),
  prose.samplers([{'sampler': HOSTILE, HOSTILE: 1.0, 'steps': HOSTILE}])])
def test_hostile_text_is_text(fragment):
  page = Reader(fragment)
  assert not page.all('script') and '<script' not in fragment
  assert HOSTILE in page.found[0][2] + ''.join(text for _, text in page.all('td'))


def test_bytes_that_no_page_may_hold_are_shown_as_pictures_of_them():
  (_, text), = Reader(prose.samples(['a\x00b\r\nc\x1b\t\ud800'])).all('div', 'words')
  assert text == 'a␀b\nc␛␉?'


def test_samples_stand_in_cards_behind_their_prompts():
  page = Reader(prose.samples(['one two', 'three'], prompts=['zero ', '']))
  assert [text for _, text in page.all('div', 'words')] == ['zero one two', 'three']
  assert [text for _, text in page.all('em', 'given')] == ['zero ']


@pytest.mark.parametrize('call, words', [
  (lambda: prose.reveal_strip(['a'], [0, 1], title=''), 'one step and one block'),
  (lambda: prose.reveal_strip(['a'], [0], title='', block_of_token=[]), 'one step and one block'),
  (lambda: prose.reveal_strip(['a'], [-2], title=''), 'or -1'),
  (lambda: prose.reveal_strip(['a'], [4], title='', num_steps=4), r'write 0\.\.3'),
  (lambda: prose.samples(['a'], prompts=[]), 'one prompt per text'),
  (lambda: prose.quality_vs_calls(ROWS[3:], metric='known_words', ylabel=''), 'one sampler')])
def test_what_does_not_fit_is_refused_in_words(call, words):
  with pytest.raises(ValueError, match=words):
    call()


def test_the_table_has_the_columns_that_some_row_has_and_calls_before_quality():
  page = Reader(prose.samplers([
    {'sampler': 'a', 'known_words': 0.5, 'known_words_ci95': 0.02, 'calls_per_token': 0.25,
     'remasked_share': 0.125, 'unigram_entropy': None, 'ci95': 0.02},
    {'sampler': 'b', 'steps': 8}]))
  heads = [text for _, text in page.all('th')]
  assert heads == ['Sampler', 'Steps', 'Calls per token', 'Known words', 'remasked share', 'a', 'b']
  assert [text for _, text in page.all('td')] == [
    '–', '0.250', '0.500 ± 0.020', '0.125', '8', '–', '–', '–']


def test_the_chart_has_one_line_a_sampler_with_its_intervals_and_levels_for_the_rest(monkeypatch):
  monkeypatch.setattr(prose.images, 'png_bytes', lambda figure: figure)
  axes, = prose.quality_vs_calls(ROWS, metric='known_words', ylabel='known words').axes
  b, a, corpus = [line for line in axes.lines if not line.get_label().startswith('_')]
  np.testing.assert_array_equal(b.get_xydata(), [[0.25, 0.7], [1, 0.9]])
  np.testing.assert_array_equal(a.get_xydata(), [[0.5, 0.8]])
  assert corpus.get_label() == 'held-out text' and set(corpus.get_ydata()) == {0.99}
  lengths = [segment[:, 1] for bars in axes.collections for segment in bars.get_segments()]
  np.testing.assert_allclose(lengths, [[0.88, 0.92], [0.75, 0.9]])
  assert axes.get_xscale() == 'log' and axes.get_ylabel() == 'known words'
  assert [tick.get_text() for tick in axes.get_xticklabels()] == ['1/4', '1/2', '1']


def test_the_chart_is_a_png_and_one_point_is_enough():
  data = prose.quality_vs_calls([{'sampler': 'a', 'calls_per_token': 0.3, 'repetition': 0.1}],
                                metric='repetition', ylabel='repetition')
  assert data.startswith(b'\x89PNG')
