"""Runs side by side: what is equal in kind is ranked, everything is shown, mistakes are named."""

import hashlib
import json
import re
import subprocess
import sys

import binary
import pytest

from adiff.judge import section
from adiff.judge.page import images
from adiff.run import compare, report

PNG, OTHER = (images.png_bytes(images.grid([[[[value]]]], 2)) for value in (0, 1))
DISTANCE = 'features of a perceptron; 100 samples; digits, test split'


def evaluated(folder, nats, *, kind='upper bound; digits', distance=DISTANCE, floor=0.5, **more):
  """A workdir with the evaluation of a run that never was."""
  rows = [{'name': 'this model', 'steps': steps, 'frechet': nats / steps} for steps in (2, 4)]
  sections = [
    section.Section('Samples', (section.Figure('samples', PNG, 'Samples.', 'pixels'),)),
    section.Section('Quality', (section.Table('Generator', (
      section.Column('steps', 'Steps'),
      section.Column('frechet', 'Fréchet', 'low', 'A distance.', distance),
    ), (
      section.Group('This model', tuple(rows)),
      section.Group('For comparison', ({'name': 'real', 'frechet': floor},), ranked=False),
    )),)),
    section.Section('Held-out bound', (
      section.Text('Lower is better.'),
      section.Facts((section.Fact('nats', 'nats per example', nats, 0.5, '', 'low', kind),)),
    )),
    section.Section('Config', (section.Text('{}', 'folded', 'JSON'),)),
  ]
  report = {
    'title': 'digits', 'command': f'eval {folder.name}', 'commit': 'abc1234', 'hardware': '2 cores',
    'date': '2025-01-01', 'step': 9, 'split': 'test', 'data': 'digits, test split',
    'config': {'train': {'steps': 9}, 'optim': {'learning_rate': nats / 100}, 'seed': 0},
    'numbers': {**section.numbers(sections), 'flops': 9e12, 'nfe': 32.0, 'seconds': 1.5},
    'sections': section.as_data(sections),
    'pictures': {'pictures/samples.png': hashlib.sha256(PNG).hexdigest()}, **more,
  }
  (folder / 'pictures').mkdir(parents=True)
  (folder / 'pictures' / 'samples.png').write_bytes(PNG)
  (folder / 'eval.json').write_text(json.dumps(report))
  return str(folder)


def compared(tmp_path, *runs):
  """(compare.html, compare.json) of runs."""
  assert compare.compare(runs, str(tmp_path / 'out')) == 0
  told = json.loads((tmp_path / 'out' / 'compare.json').read_text())
  return (tmp_path / 'out' / 'compare.html').read_text(), told


def marked(shown):
  return re.findall('<td class="best">(.*?)</td>', shown)


def test_three_runs_of_one_kind_are_ranked_and_say_where_they_come_from(tmp_path):
  runs = [evaluated(tmp_path / name, nats) for name, nats in (('a', 8.0), ('b', 4.0), ('c', 6.0))]
  shown, told = compared(tmp_path, *runs)
  assert marked(shown) == ['1.00', '4.00 ± 0.50'] and 'Not ranked' not in shown
  for words in ('eval a', 'eval c', 'abc1234', '2 cores', '9.00e+12', '32.0', 'not recorded'):
    assert words in shown, words
  assert [run['name'] for run in told['runs']] == ['a', 'b', 'c']
  assert told['runs'][0]['flops'] == 9e12 and told['runs'][0]['flops_per_step'] == 'not recorded'
  titles = [one['title'] for one in told['sections']]
  assert titles == ['Runs', 'Configs', 'Samples', 'Quality', 'Held-out bound']
  assert shown.count('<img') == 3 and shown.count('>real<') == 1  # one floor for all
  assert '>For comparison<' in shown
  files = sorted(path.name for path in (tmp_path / 'out' / 'pictures').iterdir())
  assert files == ['samples_1.png', 'samples_2.png', 'samples_3.png']


@pytest.mark.parametrize('other, column', [
  (dict(kind='exact likelihood; digits'), 'nats per example'),
  (dict(distance=DISTANCE.replace('perceptron', 'forest')), 'Fréchet'),
  (dict(distance=DISTANCE.replace('100', '200')), 'Fréchet'),
  (dict(distance=DISTANCE.replace('test', 'train')), 'Fréchet'),
])
def test_numbers_of_unequal_kinds_are_shown_and_never_ranked(tmp_path, other, column):
  runs = [evaluated(tmp_path / 'a', 8.0), evaluated(tmp_path / 'b', 4.0, **other)]
  shown, told = compared(tmp_path, *runs)
  assert len(marked(shown)) == 1  # the column whose kinds are equal
  assert f'Not ranked, for the numbers are of unequal kinds: {column}.' in shown
  for number in ('4.00 ± 0.50', '8.00 ± 0.50', '2.00', '1.00', *other.values()):
    assert number in shown, number
  columns = [
    column for one in told['sections'] for part in one['parts'] if part['part'] == 'table'
    for column in part['columns']
  ]
  assert [one['heading'] for one in columns if not one['ranked']] == [column]


def test_references_that_differ_stand_below_the_names_of_their_runs(tmp_path):
  runs = [evaluated(tmp_path / name, 8.0, floor=floor) for name, floor in (
    ('a', 0.5), ('b', 0.25), ('c', 0.5))]
  shown, _ = compared(tmp_path, *runs)
  assert '>For comparison, a, c<' in shown and '>For comparison, b<' in shown


def test_a_number_that_one_run_lacks_is_not_ranked(tmp_path):
  runs = [evaluated(tmp_path / name, 8.0) for name in 'abc']
  path = tmp_path / 'b' / 'eval.json'
  report = json.loads(path.read_text())
  report['sections'] = [one for one in report['sections'] if one['title'] != 'Quality']
  path.write_text(json.dumps(report))
  shown, told = compared(tmp_path, *runs)
  assert 'unequal kinds: Fréchet.' in shown and 'b: no such number' in shown


def test_only_the_keys_of_the_configs_that_differ_are_shown(tmp_path):
  shown, told = compared(tmp_path, evaluated(tmp_path / 'a', 8.0), evaluated(tmp_path / 'b', 4.0))
  table = told['sections'][1]['parts'][1]
  assert table['groups'][0]['rows'] == [
    {'name': 'optim.learning_rate', 'run 0': '0.08', 'run 1': '0.04'}]
  again, _ = compared(tmp_path, evaluated(tmp_path / 'c', 8.0), evaluated(tmp_path / 'd', 8.0))
  assert 'The configs are equal.' in again and 'learning_rate' not in again


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path):
  runs = [evaluated(tmp_path / name / 'run', 8.0) for name in 'ab']
  _, told = compared(tmp_path, *runs)
  assert [run['name'] for run in told['runs']] == runs


def test_an_evaluation_of_an_earlier_version_is_named_and_has_its_row(tmp_path):
  old = evaluated(tmp_path / 'old', 8.0)
  path = tmp_path / 'old' / 'eval.json'
  report = json.loads(path.read_text())
  del report['sections'], report['numbers'], report['data']
  path.write_text(json.dumps({**report, 'bound': {'nats': 8.0}}))
  shown, told = compared(tmp_path, old, evaluated(tmp_path / 'new', 4.0))
  assert 'Evaluated by an earlier version: old.' in shown
  assert told['runs'][0]['flops'] == 'not recorded' and told['runs'][0]['commit'] == 'abc1234'


@pytest.mark.parametrize('spoil, words', [
  (lambda folder: (folder / 'eval.json').unlink(), 'has no eval.json; train it to its end'),
  (lambda folder: (folder / 'eval.json').write_text('{'), 'is no evaluation'),
  (lambda folder: (folder / 'eval.json').write_text('{"step": 9}'), 'is no evaluation'),
  (lambda folder: (folder / 'eval.json').write_text(
    '{"step": 5, "config": {"train": {"steps": 9}}}'), 'at step 5 of 9'),
  (lambda folder: (folder / 'pictures' / 'samples.png').unlink(), 'has no pictures/samples.png'),
  (lambda folder: (folder / 'pictures' / 'samples.png').write_bytes(OTHER),
   'pictures/samples.png is not what was written with eval.json'),
])
def test_a_workdir_that_cannot_be_compared_is_one_sentence_and_exit_code_2(
  tmp_path, spoil, words
):
  runs = [evaluated(tmp_path / name, 8.0) for name in 'ab']
  spoil(tmp_path / 'b')
  with pytest.raises(ValueError, match=words):
    compare.compare(runs, str(tmp_path / 'out'))
  assert not (tmp_path / 'out').exists()


def test_pictures_of_an_evaluation_that_was_killed_are_not_shown_with_the_numbers_of_another(
  tmp_path, monkeypatch
):
  told = {'title': 'x', 'step': 9, 'config': {'train': {'steps': 9}}}

  def write(folder, picture):
    figure = section.Figure('samples', picture, 'Samples.', 'pixels')
    report.write(folder, 'report.html', 'eval.json', told, [section.Section('Samples', (figure,))])

  def killed(*_):
    raise KeyboardInterrupt

  for name in 'ab':
    (tmp_path / name).mkdir()
    write(tmp_path / name, PNG)
  runs = [str(tmp_path / name) for name in 'ab']
  assert len(compare.read(runs)) == 2
  with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
    patched.setattr(report.files, 'write_json', killed)
    write(tmp_path / 'b', OTHER)
  with pytest.raises(ValueError, match='is not what was written with eval.json'):
    compare.read(runs)
  write(tmp_path / 'b', OTHER)
  assert compare.read(runs)[1].sections[0].parts[0].picture == OTHER


def test_the_binary_compares_without_jax_and_refuses_in_a_sentence(tmp_path):
  runs = ','.join(evaluated(tmp_path / name, 8.0) for name in 'ab')
  command = [sys.executable, '-X', 'importtime', '-m', 'adiff.main', '--mode=compare']

  def call(*words):
    return subprocess.run(
      [*command, *words], cwd=binary.ROOT, capture_output=True, text=True, check=False
    )

  done = call(f'--workdirs={runs}', f'--out={tmp_path}/out')
  assert done.returncode == 0 and done.stdout.strip() == f'{tmp_path}/out/compare.html'
  assert not re.search(r'\| +jax$', done.stderr, re.MULTILINE)
  for words, said in (
    ([f'--workdirs={runs},{tmp_path}/c'], f'adiff: {tmp_path}/c has no eval.json'),
    (['--workdirs=a'], 'name two workdirs or more'), ([], 'name two workdirs or more'),
  ):
    done = call(*words)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and said in last and 'Traceback' not in done.stderr
