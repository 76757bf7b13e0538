"""The report: complete, escaped, self-contained, and visible in a real browser."""

import base64
import html.parser
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from adiff.judge import section
from adiff.judge.page import charts, style
from adiff.judge.page import images as page_images
from adiff.judge.page import page as page_lib

HOSTILE = '<script>alert("x")</script>&\'<img src=https://example.com/x.png onerror=alert(1)>'
VOID = {'meta', 'img', 'link', 'br'}


class Reader(html.parser.HTMLParser):
  """Collects tags with attributes and the visible text, and checks that tags nest."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.words, self.open = [], [], []
    self.feed(text)
    self.close()
    assert self.open == [], f'never closed: {self.open}'

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if 'style' not in self.open:
      self.words.append(data)

  @property
  def text(self):
    return ' '.join(self.words)

  def attributes(self, name):
    return [attrs[name] for _, attrs in self.tags if name in attrs]


PIXELS = np.random.RandomState(0).randint(0, 17, (20, 8, 8, 1))
CANVAS = page_images.grid(PIXELS, 17)
PNG = page_images.png_bytes(CANVAS)
HEAD = (section.Fact('step', 'step', 20000), section.Fact('commit', 'commit', 'abc1234'))
COLUMNS = (
  section.Column('steps', 'Steps'),
  section.Column('glow', 'Glow', 'low', 'Distance to a lamp. Lower is better.'),
  section.Column('shine', 'Shine', 'high'),
  section.Column('never', 'Never', 'high', 'What nobody measured.'),
  section.Column('num', 'Samples'),
  section.Column('said', 'Said'),
)
ROWS = (
  {'name': '4 steps', 'steps': 4, 'glow': 3.125, 'shine': None, 'num': 1437, 'said': HOSTILE},
  {'name': '8 steps', 'steps': 8, 'glow': 1.464, 'glow_ci95': 0.02, 'shine': 0.562, 'num': 1437},
)
FLOOR = ({'name': HOSTILE, 'glow': 0.3702, 'num': 360},)
TABLE = section.Table('Generator', COLUMNS, (
  section.Group('This model', ROWS), section.Group('For comparison', FLOOR, ranked=False),
))
FILM = page_images.strip(np.stack([PIXELS, 16 - PIXELS]), 17)
BARS = page_images.png_bytes(charts.per_block([1.0], ylabel='hum'))
FIGURES = (
  section.Figure('samples', PNG, f'Samples {HOSTILE}', 'pixels'),
  section.Figure('strip', FILM, 'A film', 'pixels'),
  section.Figure('bars', BARS, 'Bars'),
)
FACTS = section.Facts((
  section.Fact('hum', 'hum a day', 92.913, 1.27, tile='hum, held out'),
  section.Fact('buzz', 'buzz', 2.0945, (2.07, 2.12), 'Bees. Lower is better.'),
  section.Fact('count', 'count', 1437, beside={'hive': 0.991}),
  section.Fact('missing', 'missing', None, tile='nobody measured it'),
  section.Fact('word', 'word', HOSTILE),
))
SECTIONS = (
  section.Section('Pictures <b>', FIGURES[:2]),
  section.Section('Quality', (TABLE, section.Text(f'Features of {HOSTILE}'), FIGURES[2])),
  section.Section('Numbers', (section.Text('words & more'), FACTS)),
  section.Section('Prose', (
    section.Passages((HOSTILE,)), section.Reveal('order', ('a', 'b'), (0, 1)),
  )),
  section.Section('Reproduce', (section.Text('python -m adiff.main', 'code'),)),
  section.Section('Config', (section.Text(HOSTILE, 'folded', 'The config'),)),
)


@pytest.fixture(scope='module')
def raw():
  return page_lib.page(f'digits {HOSTILE}', HEAD, SECTIONS)


@pytest.fixture(scope='module')
def path(raw, tmp_path_factory):
  path = tmp_path_factory.mktemp('run') / 'report.html'
  path.write_text(raw, encoding='utf-8')
  return path


def one(*parts):
  """A page of these parts alone."""
  return page_lib.page('toy', (), [section.Section('A section', parts)])


def test_the_page_is_well_formed_and_every_link_leads_to_a_section_of_it(raw):
  page = Reader(raw)
  assert page.attributes('href') == [f'#{one}' for one in page.attributes('id')]
  assert len(set(page.attributes('id'))) == len(SECTIONS)
  places = [page.text.rindex(one.title) for one in SECTIONS]
  assert places == sorted(places)


def test_hostile_words_are_text_wherever_they_stand(raw):
  page = Reader(raw)
  assert 'script' not in {tag for tag, _ in page.tags}
  assert not page.attributes('onerror')
  assert '<script>alert' in page.text and '<script>' not in raw
  assert page.text.count(HOSTILE) >= 8  # title, caption, cell, row, words, fact, passage, config


def test_the_page_fetches_nothing(raw):
  page = Reader(raw)
  assert all(src.startswith('data:image/') for src in page.attributes('src'))
  assert not {'link', 'script', 'iframe', 'object', 'base'} & {tag for tag, _ in page.tags}
  assert 'url(' not in raw and '@import' not in raw
  assert "default-src 'none'" in raw
  assert not re.search('https?://', raw.replace(HOSTILE.split('src=')[1].split()[0], ''))


def test_every_picture_is_inside_byte_for_byte_and_once(raw):
  page = Reader(raw)
  inside = [base64.b64decode(src.partition(',')[2]) for src in page.attributes('src')]
  assert inside == [figure.picture for figure in FIGURES]
  assert all(page.attributes('alt')) and 'image/gif' in ' '.join(page.attributes('src'))
  looks = [attrs['class'] for tag, attrs in page.tags if tag == 'figure']
  assert looks == ['pixels', 'pixels', 'chart']


def test_every_number_is_on_the_page_and_says_what_it_means(raw):
  text = Reader(raw).text
  for words in ('3.12', '1.464 ± 0.020', '0.370', '0.562', '1,437', '92.9 ± 1.3',
                '2.095 [2.070, 2.120]', '20,000', 'abc1234', 'python -m adiff.main',
                'Distance to a lamp. Lower is better.', 'Bees.', '1,437 (hive 0.991)'):
    assert words in text, words


def test_what_nobody_measured_has_neither_column_nor_explanation_nor_tile(raw):
  text = Reader(raw).text
  assert 'Never' not in text and 'nobody measured' not in text and 'missing' not in text
  assert 'None' not in text and 'Shine' in text


def test_a_section_of_invented_numbers_is_shown_by_a_page_that_has_never_heard_of_them():
  column = section.Column('wug', 'Wug', 'high', 'How much it is a wug.')
  table = section.Table('Bird', (column,), (section.Group('', ({'name': 'blick', 'wug': 4.321},)),))
  text = Reader(one(table, section.Facts((section.Fact('dax', 'dax', 7, tile='daxes'),)))).text
  for words in ('Wug ↑', '4.32', 'How much it is a wug.', 'Bird', 'blick', 'daxes'):
    assert words in text, words


def test_the_page_knows_no_metric_by_name():
  words = re.compile(
    r'frechet|Fréchet|inception|nats|perplexity|p_value|p-value|entropy|recall|coverage|likelihood',
    re.IGNORECASE,
  )
  for path in pathlib.Path(page_lib.__file__).parent.glob('*.py'):
    assert not words.findall(path.read_text()), path.name


def test_only_the_best_ranked_row_is_marked(raw):
  assert re.findall('<td class="best">(.*?)</td>', raw) == ['1.464 ± 0.020']
  both = ({'name': 'a', 'x': 1}, {'name': 'b', 'x': 2})
  for column, marked in (
    (section.Column('x', 'X', 'low'), ['1']), (section.Column('x', 'X', 'high'), ['2']),
    (section.Column('x', 'X'), []), (section.Column('x', 'X', 'low', ranked=False), []),
  ):
    table = section.Table('', (column,), (section.Group('', both),))
    assert re.findall('<td class="best">(.*?)</td>', one(table)) == marked


def test_tiles_are_the_facts_that_have_words_for_one_shown_elsewhere_or_not():
  facts = section.Facts((
    section.Fact('a', 'a', 1.7621, 0.012, tile='first'),
    section.Fact('b', 'b', 0.934, beside={'corpus': 0.991}, tile='second'),
    section.Fact('c', 'c', 3.0),
  ), shown=False)
  page = one(facts)
  assert re.findall('<div class="tile"><b>(.*?)</b><span>(.*?)</span>', page) == [
    ('1.762 ±\u00a00.012', 'first'), ('0.934', 'second (corpus 0.991)')]
  assert '3.00' not in page and '<section' not in page  # nothing to show in it


@pytest.mark.parametrize('value, text', [
    (None, '–'), (0, '0'), (1437, '1,437'), (np.int64(3), '3'), (1.0, '1.00'), (0.37019, '0.370'),
    (48.71, '48.7'), (12345.6, '12,346'), (1.2345e12, '1.23e+12'), (0.00042, '4.20e-04'),
    (-2.345, '-2.35'), (float('nan'), 'nan'), (float('inf'), 'inf')])
def test_numbers_are_written_for_people(value, text):
  assert style.number(value) == text


@pytest.mark.parametrize('value, ci95, text', [
    (92.913, 1.27, '92.9 ± 1.3'), (2.09453, 0.0286, '2.095 ± 0.029'), (5.0, None, '5.000'),
    (1234.5, 56.0, '1,234 ± 56'), (2.0, [1.91, 2.11], '2.00 [1.91, 2.11]'), (2.0, 0.0, '2.000')])
def test_a_value_has_the_decimals_of_its_interval(value, ci95, text):
  assert style.with_interval(value, ci95) == text


def test_a_page_without_a_title_and_a_picture_of_another_kind_are_refused():
  with pytest.raises(ValueError, match='title'):
    page_lib.page('', (), ())
  with pytest.raises(ValueError, match='png_bytes'):
    one(section.Figure('samples', b'\xff\xd8\xff\xe0jpeg', ''))


@pytest.mark.parametrize('width', [1200, 500])
def test_a_browser_shows_the_page(path, tmp_path, width):
  browser = shutil.which('chromium')
  if browser is None:
    pytest.skip('chromium is not on PATH (apt-get install chromium)')
  shot = tmp_path / 'shot.png'
  subprocess.run(
      [browser, '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
       '--disable-background-networking', '--disable-component-update', '--disable-sync',
       '--hide-scrollbars', f'--user-data-dir={tmp_path / "profile"}',
       f'--window-size={width},1500', f'--screenshot={shot}', path.resolve().as_uri()],
      check=True, capture_output=True, timeout=120)
  pixels = np.asarray(Image.open(shot).convert('L'), float)
  assert pixels.shape == (1500, width)
  # Title, table and charts: not one flat colour in any third of the window.
  assert all(third.std() > 10 for third in np.array_split(pixels, 3))
