"""A report is written as it is measured: a failure, or a process that ends, loses itself alone."""

import dataclasses
import json
import types
from collections.abc import Callable

import judged
import numpy as np
import pytest
import tiny

from adiff.judge import base, bound, image, law, paths, section, text
from adiff.run import attempts, compare, evaluate

FAILURE = 'half of the test examples are copies'


def fact(title, key):
  return section.Section(title, (section.Facts((section.Fact(key, key, 1.0),)),))


def fails(words=FAILURE, kind=ValueError):
  raise kind(words)


class Judge(base.Judge):
  """Says what its functions make, by title."""

  media, cost = ('law',), 'None at all.'

  def __init__(self, makes, then=None):
    self._makes, self._then = makes, then

  def sections(self, subject):
    for title, make in self._makes:
      subject.tell(title)
      yield subject.attempt(title, make)
    if self._then:
      self._then()
    yield bound.of(subject)


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
  """Evaluates with a judge; what is measured of the model is given. Returns what eval.json says."""

  def run(judge, profile=lambda: None, further=()):
    own = judged.sampled(np.zeros((4, 6), int))
    programs = evaluate.Programs(lambda *_, **__: dict(judged.BOUND), None, further)
    monkeypatch.setattr(evaluate.subject_lib, 'make', lambda *_, attempt, tell, **__: (
      judged.subject(own, attempt=attempt, tell=tell, profile=profile)
    ))
    monkeypatch.setattr(evaluate, 'judge_of', lambda parts: judge)
    parts = tiny.regime('block-masked').parts
    evaluate.evaluate(
      parts, None, str(tmp_path), step=parts.config.train.steps, mesh=None, flops_per_step=1.0,
      progress=False, programs=programs,
    )

  def said():
    return json.loads((tmp_path / 'eval.json').read_text())

  return types.SimpleNamespace(run=run, said=said, folder=tmp_path)


def titles(told):
  return [one['title'] for one in told['sections']]


BEHIND = ['Plan', 'Training', 'Reproduce', 'Config']


def test_a_failing_section_says_so_and_loses_itself_alone(evaluated, capsys):
  judge = Judge([('First', lambda: fact('First', 'one')), ('Second', fails),
                 ('Third', lambda: fact('Third', 'three'))])
  with pytest.raises(ValueError, match=FAILURE):
    evaluated.run(judge)
  told = evaluated.said()
  assert titles(told) == ['First', 'Second', 'Third', 'Held-out bound', *BEHIND]
  assert told['complete'] and told['failed'] == {'Second': FAILURE}
  assert told['numbers']['one'] == told['numbers']['three'] == 1.0
  assert told['numbers']['nats'] == judged.BOUND['nats']
  page = (evaluated.folder / 'report.html').read_text()
  assert f'Not measured, for this failed: {FAILURE}' in page
  assert f'Second: not measured, and left out of the report: {FAILURE}' in capsys.readouterr().out


@pytest.mark.parametrize('kind', [MemoryError, FloatingPointError, RuntimeError])
def test_whatever_a_section_raises_is_raised_in_the_end(kind, evaluated):
  with pytest.raises(kind):
    evaluated.run(Judge([('First', lambda: fails('', kind)), ('Second', lambda: fails('later'))]))
  assert evaluated.said()['failed'] == {'First': kind.__name__, 'Second': 'later'}


def test_a_process_that_ends_within_a_section_leaves_what_was_made_before(evaluated):
  seen = []

  def ends():
    seen.append(evaluated.said())
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    evaluated.run(Judge([('First', lambda: fact('First', 'one')), ('Second', ends)]))
  assert evaluated.said() == seen[0] and not seen[0]['complete']
  assert titles(seen[0]) == ['First', 'Held-out bound', *BEHIND]
  assert seen[0]['numbers']['one'] == 1.0 and seen[0]['numbers']['nats'] > 0
  with pytest.raises(ValueError, match='interrupted.*--mode=eval'):
    compare.read([evaluated.folder, evaluated.folder.parent])


def test_the_bound_is_on_the_disk_before_the_judge_begins(evaluated):
  def begins():
    told = evaluated.said()
    assert told['numbers']['nats'] == judged.BOUND['nats'] and not told['complete']
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    evaluated.run(Judge([('First', begins)]))


@dataclasses.dataclass
class Measure:
  """One of estimates.further."""

  name: str
  title: str
  found: Callable

  def __call__(self, params, *, progress):
    return self.found()


def test_further_bounds_are_on_the_page_and_one_that_fails_loses_itself_alone(evaluated):
  nats = np.random.default_rng(1).normal(3, 1, (8, 4, 2))
  weighted = {'of': 'trajectories of 9 steps', **paths.summary(nats, dims=6)}
  further = (
    Measure('weighted', 'Importance-weighted bound', lambda: weighted),
    Measure('ode', 'ODE likelihood', fails),
  )
  with pytest.raises(ValueError, match=FAILURE):
    evaluated.run(Judge([('First', lambda: fact('First', 'one'))]), further=further)
  told = evaluated.said()
  assert titles(told) == ['First', 'Held-out bound', *BEHIND, 'ODE likelihood']
  assert told['failed'] == {'ODE likelihood': FAILURE}
  numbers = told['numbers']
  assert numbers['nats_weighted'] == weighted['nats'] and numbers['nats'] == judged.BOUND['nats']
  assert numbers['bits_per_dim_weighted_ci95'] == weighted['bits_ci95']
  table, = [part for part in told['sections'][1]['parts'] if part['part'] == 'table']
  rows = table['groups'][0]['rows']
  assert table['title'] == 'Trajectories a bound' and [row['name'] for row in rows] == list('124')
  assert rows[1]['gain'] > 0 and rows[1]['gain_ci95'] > 0
  page = (evaluated.folder / 'report.html').read_text()
  assert 'importance-weighted, 4 trajectories of 9 steps' in page and '(exact 4' in page


def test_a_judge_that_fails_outside_of_its_sections_loses_what_would_follow(evaluated):
  with pytest.raises(ValueError, match='itself'):
    evaluated.run(Judge([('First', lambda: fact('First', 'one'))], lambda: fails('itself')))
  told = evaluated.said()
  assert titles(told) == ['First', 'Held-out bound', *BEHIND, 'Report']
  assert told['failed'] == {'Report': 'itself'}


def test_a_loss_profile_that_fails_leaves_the_judge_alone(evaluated):
  judge = Judge([('First', lambda: fact('First', 'one'))])
  with pytest.raises(ValueError, match='profile'):
    evaluated.run(judge, profile=lambda: fails('no profile'))
  told = evaluated.said()
  assert titles(told) == ['First', 'Held-out bound', *BEHIND, 'Loss profile']
  assert told['profile'] is None and told['numbers']['one'] == 1.0


def test_without_a_failure_nothing_is_said_of_one(evaluated):
  evaluated.run(Judge([('First', lambda: fact('First', 'one'))]), profile=lambda: {'nats': [1.0]})
  told = evaluated.said()
  assert told['complete'] and told['failed'] == {} and told['profile'] == {'nats': [1.0]}
  assert 'Not measured' not in (evaluated.folder / 'report.html').read_text()


def test_what_is_being_done_is_shown(capsys):
  for progress in (True, False):
    with evaluate.subject_lib.telling(progress) as tell:
      tell('measures held-out images')
    assert ('judge measures held-out images' in capsys.readouterr().err) == progress


def test_a_section_that_grew_keeps_what_it_had_when_it_fails():
  tries = attempts.Attempts()
  tries.made('Quality', lambda: fact('Quality', 'one'))
  for _ in range(2):
    found = tries.made('Quality', fails)
    assert isinstance(found.parts[0], section.Facts) and FAILURE in found.parts[1].words
  grown = tries.made('Quality', lambda: fact('Quality', 'two'))
  assert grown.parts[0].facts[0].key == 'two' and FAILURE in grown.parts[1].words
  assert [str(error) for error in tries.failures] == [FAILURE] * 2


def test_processes_of_a_job_fail_together(monkeypatch):
  monkeypatch.setattr(attempts.hosts, 'count', lambda: 2)
  with pytest.raises(ValueError, match=FAILURE):
    attempts.Attempts().made('Quality', fails)


def test_comparisons_fail_one_by_one(monkeypatch):
  from adiff.judge import quality

  tries = attempts.Attempts()
  own = judged.subject(judged.sampled(np.zeros((4, 6), int)), attempt=tries.made)
  table = quality.Quality(own, [])
  for name in ('_held_out', '_mixture', '_gaussians'):
    monkeypatch.setattr(table, name, fails if name == '_mixture' else (
      lambda name=name: table._others.append(name)))
  monkeypatch.setattr(table, '_model', lambda: table._rows.append('model'))
  monkeypatch.setattr(table, '_section', lambda: section.Section('Quality', (
    section.Text(' '.join([*table._rows, *table._others])),)))
  *_, last = table.sections()
  assert last.parts[0].words == 'model _held_out _gaussians' and FAILURE in last.parts[1].words


def test_judges_make_what_may_fail_by_attempts():
  """What costs: samples at other steps, distances, the law, words, other samplers."""
  made = judged.sampled(np.zeros((4, 4, 4, 1), np.uint8))
  images = judged.subject(made, levels=4, sample=lambda steps: fails() if steps == 2 else made)
  laws = judged.subject(
    made, size=lambda split: 9, examples=lambda *_: {'label': np.zeros(4)},
    law_test=lambda *_: fails(), sample=lambda labels, told: made,
  )
  letters = judged.letters()
  samples = lambda solver=None, steps=None: fails() if solver else letters.sample()
  for judge, own, lost in (
    (image.Image(steps=(2,), features=True), images,
     {'Samples', 'Cost', 'Nearest neighbours', 'Quality'}),
    (law.Law(), laws, {'Law of the samples'}),
    (text.Text((('other', 2),)), {**vars(letters), 'sample': samples, 'trace': None},
     {'Samplers', 'Which token was revealed when'}),
  ):
    tries = attempts.Attempts()
    own = own if isinstance(own, dict) else vars(own)
    found = base.latest(judge.sections(base.Subject(**{**own, 'attempt': tries.made})))
    assert set(tries.failed) == lost and 'Held-out bound' in [one.title for one in found]
    assert section.numbers(found)['nfe'] == 8  # of the samples that there are
