"""A choice by name: what it is given, and the sentences for what it is not."""

import dataclasses
import inspect

import pytest

from adiff.codec import patches
from adiff.learn import optim
from adiff.run import build, choose, workdir
from adiff.sample.solvers import first_order, threshold
from configs import base, toy


def test_a_class_is_called_as_its_file_and_a_function_as_itself():
  solver = choose.resolve('solver', dict(name='threshold', threshold=0.5))
  assert solver == threshold.Threshold(threshold=0.5)
  chosen = dict(name='equal', size=2)
  blocks = choose.resolve('blocks', chosen, num_tokens=6, history=0.0, grid=(6,))
  assert blocks.sizes == (2, 2, 2)


def test_what_is_provided_is_used_where_it_is_taken_and_not_set():
  provided = dict(shape=(4, 4, 1), levels=17, depth=9)
  codec = choose.resolve('codec', dict(name='patches', patch=2), **provided)
  assert codec == patches.Patches((4, 4, 1), 2, levels=17)
  codec = choose.resolve('codec', dict(name='patches', levels=3), **provided)
  assert codec == patches.Patches((4, 4, 1), levels=3)


@pytest.mark.parametrize('kind, choice, words', [
  ('solver', dict(name='huen'), "config.solver.name='huen'.*heun.*did you mean 'heun'"),
  ('solver', dict(name='base'), 'choose one of code_flow, consistency, decoded, entropy_bound'),
  ('solver', dict(threshold=1), 'config.solver.name=None is unknown'),
  ('blocks', dict(name='replace'), 'equal, frames, joint, scales, shuffled, tokens, whole'),
  ('process', dict(name='mixed', dim=1), "config.process: mixed takes no 'dim'; it takes random"),
  ('codec', dict(name='patches'), 'config.codec: patches needs shape'),
])
def test_what_cannot_be_chosen_is_told_with_what_there_is(kind, choice, words):
  with pytest.raises(ValueError, match=words):
    choose.resolve(kind, choice)


@pytest.mark.parametrize('kind', base.CHOICES)
def test_every_file_has_its_row_and_every_row_its_file(kind):
  assert set(base.CHOICES[kind]) == set(choose.names(kind))


CASES = [(kind, name) for kind, rows in base.CHOICES.items() for name in rows]


@pytest.mark.parametrize('kind, name', CASES, ids=['-'.join(case) for case in CASES])
def test_the_defaults_of_a_row_are_those_of_the_signature(kind, name):
  row, own = dict(base.CHOICES[kind][name]), choose.defaults(kind, name)
  if (kind, name) == ('blocks', 'frames'):  # in a config without data of frames, the grid is named
    row.pop('grid')
  assert dict(name=name, **row) == own
  taken = set(inspect.signature(choose.find(kind, name)).parameters)
  assert taken <= set(own) | set(choose.ROOMS[kind].provided)


def test_the_defaults_of_the_optimiser_are_those_of_its_signature():
  own = inspect.signature(optim.make).parameters
  assert dict(base.get_config().optim) == {
    name: taken.default for name, taken in own.items() if taken.default is not taken.empty
  }


@dataclasses.dataclass(frozen=True)
class MySolver(first_order.FirstOrder):
  """One that stands in no file."""
  strength: float = 2.0


def test_a_class_of_this_process_is_chosen_by_the_name_it_is_registered_with(monkeypatch):
  monkeypatch.setitem(choose._registered, 'solver', {})
  assert choose.register('solver', MySolver) == 'my_solver'
  assert 'my_solver' in choose.names('solver')
  assert choose.resolve('solver', dict(name='my_solver', strength=3.0)) == MySolver(3.0)
  config = base.get_config()
  assert choose.registered(config) == {}
  with config.unlocked():
    config.solver = choose.defaults('solver', 'my_solver')
  assert choose.registered(config) == {'solver': 'my_solver'}


def test_a_workdir_that_needs_a_registered_class_is_refused_where_it_is_not(monkeypatch, tmp_path):
  monkeypatch.setitem(choose._registered, 'solver', {})
  choose.register('solver', MySolver, 'mine')
  config = toy.get_config('block')
  choose.take(config, 'solver', 'mine')
  workdir.claim(tmp_path, config, build.build(config).contract)
  assert workdir.load(tmp_path).solver.name == 'mine'
  monkeypatch.setitem(choose._registered, 'solver', {})
  with pytest.raises(ValueError, match=r"the solver 'mine'.*adiff.register\('solver', ..\)"):
    workdir.load(tmp_path)
  other = workdir.load(tmp_path, ['solver.name=first_order'])
  workdir.check_contract(tmp_path, build.build(other).contract)


@pytest.mark.parametrize('kind, chosen, name, words', [
  ('walker', MySolver, None, 'register one of data, codec'),
  ('codec', MySolver, None, 'MySolver is no adiff.codec.base.Codec'),
  ('solver', MySolver, 'heun', "solver 'heun' is taken"),
])
def test_what_cannot_be_registered_is_told(kind, chosen, name, words):
  with pytest.raises(ValueError, match=words):
    choose.register(kind, chosen, name)
