"""Text on a report: every token once, escaped, on the colour of its step; numbers as measured."""

import html.parser
import re

import numpy as np
import pytest

from adiff.judge import section
from adiff.judge.page import prose, style

HOSTILE = '<script>alert("x")</script>&\'</span>'
TOKENS = ['Say', ' hi', '\n', 'to', ' <b>', '.', ' A', '&']
STEPS = [-1, -1, 2, 0, 1, 1, 0, 2]
BLOCKS = [0, 0, 0, 1, 1, 1, 2, 2]


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


def fragment(tokens=TOKENS, steps=STEPS, title='order', **more):
  return prose.reveal(section.Reveal(title, tuple(tokens), tuple(steps), **more))


def strip(*words, **more):
  return Reader(fragment(*words, **more))


def luminance(colour):
  """Relative luminance of WCAG 2.2 of '#rrggbb'."""
  parts = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
  linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
  return linear @ [0.2126, 0.7152, 0.0722]


def test_every_token_is_one_span_in_order_and_newlines_are_seen():
  page = strip()
  assert [text for _, text in page.all('span')] == [t.replace('\n', '¶') for t in TOKENS]
  assert len(page.all('br')) == 1
  assert '¶<br>' in fragment()


def test_given_tokens_are_outlined_and_have_no_colour():
  page = strip()
  (_, run), (_, key) = page.all('em', 'given')
  assert run == 'Say hi' and key == 'text'
  for (attrs, _), step in zip(page.all('span'), STEPS, strict=True):
    assert (attrs['title'] == 'given') == (step < 0)
    assert bool(re.search(r'\bs\d', attrs['class'])) == (step >= 0)


def test_titles_say_step_and_block_from_one():
  titles = [attrs['title'] for attrs, _ in strip(blocks=BLOCKS).all('span')]
  assert titles == ['given', 'given', 'step 3 of block 1', 'step 1 of block 2', 'step 2 of block 2',
                    'step 2 of block 2', 'step 1 of block 3', 'step 3 of block 3']
  assert strip().all('span')[2][0]['title'] == 'step 3'


def test_a_tick_stands_where_a_block_starts_and_nowhere_in_token_by_token_text():
  ticks = ['tick' in attrs['class'].split()
           for attrs, _ in strip(blocks=BLOCKS).all('span')]
  assert ticks == [False, False, False, True, False, False, True, False]
  assert not strip(steps=[0] * 8, blocks=range(8)).all('span', 'tick')
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
  fragment([HOSTILE, HOSTILE], [0, -1], title=HOSTILE),
  prose.passages(section.Passages((HOSTILE,), (HOSTILE,)))])
def test_hostile_text_is_text(fragment):
  page = Reader(fragment)
  assert not page.all('script') and '<script' not in fragment
  assert HOSTILE in page.found[0][2]


def test_bytes_that_no_page_may_hold_are_shown_as_pictures_of_them():
  hostile = section.Passages(('a\x00b\r\nc\x1b\t\ud800',))
  (_, text), = Reader(prose.passages(hostile)).all('div', 'words')
  assert text == 'a␀b\nc␛␉?'


def test_samples_stand_in_cards_behind_their_prompts():
  page = Reader(prose.passages(
    section.Passages(('one two', 'three'), ('zero ', ''), 'a run')))
  assert [text for _, text in page.all('div', 'words')] == ['zero one two', 'three']
  assert [text for _, text in page.all('em', 'given')] == ['zero ']
  assert [text for _, text in page.all('h3')] == ['a run']


@pytest.mark.parametrize('call, words', [
  (lambda: fragment(['a'], [0, 1]), 'one step and one block'),
  (lambda: fragment(['a'], [0], blocks=(0, 1)), 'one step and one block'),
  (lambda: fragment(['a'], [-2]), 'or -1'),
  (lambda: fragment(['a'], [4], num_steps=4), r'write 0\.\.3'),
  (lambda: prose.passages(section.Passages(('a',), ('b', 'c'))), 'one prompt per text')])
def test_what_does_not_fit_is_refused_in_words(call, words):
  with pytest.raises(ValueError, match=words):
    call()
