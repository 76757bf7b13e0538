"""The report: complete, escaped, self-contained, and visible in a real browser."""

import base64
import html.parser
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from adiff.judge.page import charts, prose
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


def row(name, **numbers):
  keys = [m[0] for m in page_lib.METRICS] + ['num', 'seed', 'steps', 'nfe', 'seconds']
  return {'name': name, **dict.fromkeys(keys), **numbers}


@pytest.fixture(scope='module')
def full():
  return {
      'title': 'digits, 4 blocks', 'command': 'python -m adiff.main --mode=eval',
      'config': {'seed': 0, 'data': {'name': HOSTILE}}, 'commit': 'abc1234',
      'hardware': '8 fake devices', 'date': '2025-01-01', 'step': 20000, 'split': 'test',
      'bound': {'nats': 92.913, 'ci95': 1.27, 'bits_per_dim': 2.0945, 'bits_ci95': [2.07, 2.12],
                'per_block': [24.1, 23.6], 'per_block_ci95': [0.6, 0.5],
                'per_level': {'edges': [0, 0.5, 1], 'values': [30.0, 17.0]}, 'num_examples': 360,
                'samples_per_example': 64, 'dequantisation': 'uniform'},
      'generators': [
          row('4 steps', steps=4, nfe=16, frechet=3.125, nn_ratio=1.0, num=1437, seed=0,
              seconds=9.1, two_sample=0.575),
          row('8 steps', steps=8, nfe=32, frechet=1.464, nn_ratio=0.98, num=1437, seed=0,
              seconds=17.5, two_sample=0.562),
          row('real test split', frechet=0.3702, num=360)],
      'classifier': {'name': 'an MLP', 'accuracy': 0.967}}


@pytest.fixture(scope='module')
def figures(full):
  images = np.random.RandomState(0).randint(0, 17, (20, 8, 8, 1))
  canvas = page_images.grid(images, 17)
  return {**charts.charts(full, [{'step': i, 'loss': 1 / (i + 1)} for i in range(9)]),
          'samples': page_images.png_bytes(canvas),
          'samples/guided': page_images.png_bytes(255 - canvas),
          'strip': page_images.strip(np.stack([images, 16 - images]), 17),
          'something new': page_images.png_bytes(canvas[:9])}


@pytest.fixture(scope='module')
def path(full, figures, tmp_path_factory):
  return page_lib.write(tmp_path_factory.mktemp('run') / 'not yet there', full, figures)


def test_the_page_is_well_formed_and_every_link_leads_to_a_section_of_it(path):
  page = Reader(path.read_text(encoding='utf-8'))
  assert path.name == 'report.html'
  assert {link.removeprefix('#') for link in page.attributes('href')} == set(page.attributes('id'))
  assert list(path.parent.iterdir()) == [path]


def test_a_hostile_config_value_is_text_and_nothing_else(path):
  raw = path.read_text(encoding='utf-8')
  page = Reader(raw)
  assert 'script' not in {tag for tag, _ in page.tags}
  assert not page.attributes('onerror')
  assert '<script>alert' in page.text and '<script>' not in raw


@pytest.mark.parametrize('key', ['title', 'command', 'commit', 'hardware', 'date', 'split'])
def test_every_text_of_a_report_is_escaped(key):
  page = Reader(page_lib.page({'title': 'toy', key: HOSTILE, 'bound': {'nats': 1.0}}, {}))
  assert not {'script', 'img'} & {tag for tag, _ in page.tags}
  assert HOSTILE in page.text


def test_names_of_rows_columns_and_pictures_are_escaped(figures):
  rows = [{'name': HOSTILE, HOSTILE: 1.0, 'frechet': 1.0, 'steps': 1}]
  page = Reader(page_lib.page({'title': 'toy', 'generators': rows,
                             'classifier': {'name': HOSTILE, 'accuracy': 1.0}},
                            {HOSTILE: figures['samples']}))
  assert 'script' not in {tag for tag, _ in page.tags} and not page.attributes('onerror')
  assert all(src.startswith('data:') for src in page.attributes('src'))


def test_the_page_fetches_nothing(path):
  raw = path.read_text(encoding='utf-8')
  page = Reader(raw)
  assert all(src.startswith('data:image/') for src in page.attributes('src'))
  assert not {'link', 'script', 'iframe', 'object', 'base'} & {tag for tag, _ in page.tags}
  assert 'url(' not in raw and '@import' not in raw
  assert "default-src 'none'" in raw
  assert not re.search('https?://', raw.replace(HOSTILE.split('src=')[1].split()[0], ''))


def test_every_picture_is_inside_byte_for_byte_and_once(path, figures):
  page = Reader(path.read_text(encoding='utf-8'))
  inside = [base64.b64decode(src.partition(',')[2]) for src in page.attributes('src')]
  assert sorted(inside) == sorted(figures.values())
  assert all(page.attributes('alt')) and 'image/gif' in ' '.join(page.attributes('src'))


def test_every_number_of_the_table_is_on_the_page_and_says_what_it_means(path):
  text = Reader(path.read_text(encoding='utf-8')).text
  for words in ('3.12', '1.46', '0.370', '0.562', '1,437', '92.9 ± 1.3', '2.095 [2.070, 2.120]',
                '0.967', '20,000', 'abc1234', 'python -m adiff.main',
                'Lower is better; the real test split is the floor', 'Near 1 is right',
                'Near 0.5 they cannot be told apart'):
    assert words in text, words


def test_a_metric_nobody_measured_has_neither_column_nor_explanation(path):
  text = Reader(path.read_text(encoding='utf-8')).text
  assert 'Recall' not in text and 'Two-sample' in text


def test_a_column_this_page_has_never_heard_of_is_shown_all_the_same():
  text = Reader(page_lib.page({'title': 'toy', 'generators': [
      {'name': 'text', 'steps': 1, 'token_entropy': 4.321}]}, {})).text
  assert 'token entropy' in text and '4.32' in text


def test_only_the_best_row_of_the_model_is_marked(path):
  raw = path.read_text(encoding='utf-8')
  assert re.findall('<td class="best">(.*?)</td>', raw) == ['1.46']


def test_a_toy_report_has_its_law_and_no_section_without_content():
  toy = {'title': 'toy', 'bound': {'nats': 5.43, 'ci95': 0.004, 'exact': 5.4301},
         'law': {'statistic': 712.3, 'dof': 728, 'p_value': 0.6544}}
  page = Reader(page_lib.page(toy, {}))
  assert page.attributes('id') == ['law', 'bound']
  assert '0.654' in page.text and '728' in page.text and '5.4301' in page.text
  assert 'None' not in page.text and 'Fréchet' not in page.text


TEXT = {
    'title': 'text', 'text': {
        'corpus': 'War and Peace', 'tokenizer': 'characters', 'known_words': 0.9341,
        'corpus_known_words': 0.991, 'unigram_entropy': 2.913, 'corpus_unigram_entropy': 2.871,
        'repetition': 0.0131, 'tokens_per_second': 1234.2, 'calls_per_token': 0.25,
        'nats_per_token': 1.223, 'perplexity': 3.397},
    'bound': {'nats': 312.2, 'bits_per_dim': 1.764},
    'samplers': [{'sampler': 'ancestral', 'steps': 8, 'known_words': 0.871}]}


def tiles(given):
  return re.findall('<div class="tile"><b>(.*?)</b><span>(.*?)</span>', page_lib.page(given, {}))


def test_a_text_model_has_tiles_of_its_own_with_the_corpus_beside_them():
  assert tiles(TEXT) == [
      ('1.22', 'nats per token, held out'), ('3.40', 'perplexity per token, held out'),
      ('0.934', 'share of generated words that the corpus knows (corpus 0.991)'),
      ('2.91', 'nats of unigram entropy (corpus 2.87)'),
      ('1,234', 'tokens per second (0.250 network calls each token)')]


def test_bits_per_byte_come_before_nats_per_token_with_their_interval():
  given = {**TEXT, 'text': {**TEXT['text'], 'bits_per_byte': 1.7621, 'bits_per_byte_ci95': 0.012}}
  assert tiles(given)[0] == ('1.762 ±\u00a00.012', 'bits per byte, held out')
  assert '1.22' in Reader(page_lib.page(given, {})).text


def test_a_text_model_without_a_bound_per_token_shows_the_bound_there_is():
  given = {**TEXT, 'text': {'known_words': 0.9, 'nats_per_token': None}}
  assert [meaning for _, meaning in tiles(given)] == [
      'share of generated words that the corpus knows', 'bits per dimension, held out',
      'nats per example, held out']


def test_a_text_model_has_its_facts_and_its_samplers_and_nothing_of_images():
  page = Reader(page_lib.page(TEXT, {}))
  assert page.attributes('id') == ['text', 'samplers', 'bound']
  for words in ('War and Peace', 'characters', '0.0131', 'ancestral', '0.871', 'Real text is near'):
    assert words in page.text, words
  assert 'Fréchet' not in page.text and 'None' not in page.text


def test_fragments_follow_the_samples_in_their_order(figures):
  fragments = [('Second <b>', '<p>words &amp; more</p>'), ('Third', prose.samples([HOSTILE]))]
  page = Reader(page_lib.page(TEXT, {'samples': figures['samples']}, fragments))
  assert page.attributes('id') == ['samples', 'part-1', 'part-2', 'text', 'samplers', 'bound']
  assert [f'#{one}' for one in page.attributes('id')] == page.attributes('href')
  assert 'Second <b>' in page.text and 'words & more' in page.text and HOSTILE in page.text
  assert 'script' not in {tag for tag, _ in page.tags}
  without = Reader(page_lib.page(TEXT, {}, fragments[:1]))
  assert without.attributes('id')[0] == 'part-1'


@pytest.mark.parametrize('value, text', [
    (None, '–'), (0, '0'), (1437, '1,437'), (np.int64(3), '3'), (1.0, '1.00'), (0.37019, '0.370'),
    (48.71, '48.7'), (12345.6, '12,346'), (0.00042, '4.20e-04'), (-2.345, '-2.35'),
    (float('nan'), 'nan'), (float('inf'), 'inf')])
def test_numbers_are_written_for_people(value, text):
  assert page_lib.number(value) == text


@pytest.mark.parametrize('value, ci95, text', [
    (92.913, 1.27, '92.9 ± 1.3'), (2.09453, 0.0286, '2.095 ± 0.029'), (5.0, None, '5.000'),
    (1234.5, 56.0, '1,234 ± 56'), (2.0, [1.91, 2.11], '2.00 [1.91, 2.11]'), (2.0, 0.0, '2.000')])
def test_a_value_has_the_decimals_of_its_interval(value, ci95, text):
  assert page_lib.with_interval(value, ci95) == text


def test_a_report_without_a_title_and_a_picture_of_another_kind_are_refused(tmp_path):
  with pytest.raises(ValueError, match='title'):
    page_lib.write(tmp_path, {}, {})
  with pytest.raises(ValueError, match='png_bytes'):
    page_lib.write(tmp_path, {'title': 'toy'}, {'samples': b'\xff\xd8\xff\xe0jpeg'})
  assert list(tmp_path.iterdir()) == []


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
