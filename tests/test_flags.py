"""The flags of the binary: what a mode does with them."""

import shlex
import types
from unittest import mock

import launchers
import numpy as np
import pytest

import adiff.machine
import adiff.run
from adiff import main
from adiff.learn import plain
from adiff.run import compare, evaluate, handle, language, modes, use


@pytest.mark.parametrize('given, used', [((), 7), (('--seed=3',), 3), (('--seed=0',), 0)])
def test_a_prompt_is_written_on_from_by_the_seed_given_else_by_that_of_the_config(
  given, used, monkeypatch, capsys
):
  seen = []

  def write(prompts, *, seed, num_tokens, show):
    seen.append((seed, num_tokens))
    return language.Written([''] * len(prompts), np.ones(1), np.ones(1), 1.0)

  config = types.SimpleNamespace(seed=7)
  spec = types.SimpleNamespace(medium='text')
  parts = types.SimpleNamespace(config=config, spec=spec)
  monkeypatch.setattr(
    handle, 'load', lambda *_, **__: types.SimpleNamespace(parts=parts, write=write)
  )
  words = ['--mode=sample', '--workdir=x', '--prompt=a', *given]
  with launchers.parsed(words):
    assert main.run() == 0
  assert seen == [(used, None)]


@pytest.mark.parametrize('word', [
  '--seed=-1', '--seed=4294967296', '--num=0', '--num=-5', '--batch=0', '--tokens=0', '--steps=0',
  '--block_size=0', '--step=-1', '--gather=0', '--copies=0', '--crop=-1',
])
def test_a_number_that_means_nothing_is_refused_where_it_is_read(word):
  with pytest.raises(ValueError, match=word[2:].partition('=')[0]), launchers.parsed([word]):
    pass


VALUES = {  # of every flag
  'config': f'{launchers.ROOT}/configs/toy.py', 'workdir': 'x', 'workdirs': 'a,b', 'step': '3',
  'set': 'plan.steps=4', 'prompt': 'a', 'tokens': '3', 'block_size': '2', 'steps': '2',
  'solver': 'heun', 'num': '3', 'out': 'x', 'seed': '3', 'batch': '3', 'profile': '3',
  'topology': 'cpu:8', 'processes': 'auto', 'gather': '3', 'data': 'x', 'minutes': '3',
  'average': 'raw', 'split': 'test', 'samples': 'x', 'reference': 'x', 'features': 'x',
  'copies': '2', 'flip': 'true', 'crop': '1', 'cond': 'x', 'given': 'x', 'edit': 'x',
  'study': 'toy',
}
NEEDED = {  # by a mode, besides --mode
  'train': ('config', 'workdir'), 'dryrun': ('config',), 'compare': (), 'reproduce': ('config',),
  modes.PROMPTED: ('workdir', 'prompt'), 'encode': ('workdir', 'out'),
  'judge': ('samples', 'reference'), 'study': ('study',),
}


def words(mode, *more):
  """A command line of the mode, with further flags."""
  named = dict.fromkeys((*NEEDED.get(mode, ('workdir',)), *more))
  return [f'--mode={mode.split()[0]}', *(f'--{flag}={VALUES[flag]}' for flag in named)]


def check_flags():
  """As the binary begins."""
  modes.check(main.flags.FLAGS.mode, modes.given(main.flags.FLAGS))


def test_every_flag_is_used_by_a_mode():
  defined = {name for name in main.flags.FLAGS.flags_by_module_dict()['adiff.main']}
  own = {flag.name for flag in defined if flag.name.partition('.')[0] != 'mode'}
  assert own == {flag for flags in modes.USES.values() for flag in flags} == set(VALUES)


@pytest.mark.parametrize('mode', modes.USES)
def test_a_flag_that_a_mode_does_not_use_is_refused_and_named(mode):
  for flag in VALUES:
    more = (flag, 'processes') if flag == 'gather' else (flag,)
    if mode == 'sample' and flag == 'prompt':
      continue  # it makes another mode of it
    needed = words(mode, *more)
    if (mode, flag) == ('train', 'minutes'):  # a config has its steps
      needed = [word for word in needed if not word.startswith('--config')] + ['--data=x']
    with launchers.parsed(needed):
      if flag in modes.USES[mode]:
        check_flags()
        continue
      with pytest.raises(ValueError, match=r'^--(\w+) is not used by --mode=') as refused:
        check_flags()
      assert str(refused.value).split()[0][2:] in more


@pytest.mark.parametrize('line, flag', [
  ('--mode=sample --workdir=x --prompt=a --num=3', 'num'),
  ('--mode=sample --workdir=x --prompt=a --out=x', 'out'),
  ('--mode=sample --workdir=x --tokens=3', 'tokens'),
  ('--config={config} --workdir=x --set=plan.steps=3', 'set'),
  ('--config={config} --workdir=x --solver=heun', 'solver'),
  ('--config={config} --workdir=x --seed=3', 'seed'),
  ('--mode=eval --workdir=x --config={config}', 'config'),
  ('--mode=eval --workdir=x --num=3', 'num'), ('--mode=follow --workdir=x --step=3', 'step'),
  ('--mode=dryrun --config={config} --workdir=x', 'workdir'),
  ('--mode=compare --workdirs=a,b --workdir=x', 'workdir'),
  ('--config={config} --workdir=x --gather=3', 'gather'),
  ('--config={config} --workdir=x --data=x --minutes=3', 'minutes'),
  ('--workdir=x --minutes=3', 'minutes'), ('--data=x --mode=eval', 'workdir'),
  ('--workdir= --config={config}', 'workdir'), ('--mode=encode --workdir=x', 'out'),
  ('--workdir=x', 'config'),
])
def test_what_somebody_meant_something_by_is_not_ignored(line, flag):
  line = line.format(config=VALUES['config']).split()
  with launchers.parsed(line), pytest.raises(ValueError, match=f'^--{flag} '):
    check_flags()


@pytest.mark.parametrize('mode', modes.USES)
def test_a_mode_reads_the_flags_that_it_uses_and_no_others(mode, monkeypatch, capsys):
  read = set()

  class Holder:
    """A flag that notes who asked for it."""

    def __init__(self, name):
      self.name, self.default = name, main.flags.FLAGS[name].default

    @property
    def value(self):
      read.add(self.name)
      return getattr(main.flags.FLAGS, self.name)

  class Holders:
    """All flags, as run/use.py takes them."""

    def __getattr__(self, name):
      return Holder(name).value

    def __getitem__(self, name):  # which were given is asked of them all
      return main.flags.FLAGS[name]

  for flag in VALUES:
    if hasattr(main, f'_{flag.upper()}'):
      monkeypatch.setattr(main, f'_{flag.upper()}', Holder(flag))
  for act in ('use', 'write', 'encoded'):
    real = getattr(use, act)
    monkeypatch.setattr(use, act, lambda flags, real=real: real(Holders()))
  arranged = types.SimpleNamespace(mesh={}, seed=0, train=types.SimpleNamespace(steps=1))
  stubs = {
    name: mock.MagicMock() for name in
    'build compare directions division dryrun encode evaluations generate handle judging kept '
    'output overrides own places reproduce roles shards study train workdir_lib'
    .split()
  }
  stubs['directions'].directed.side_effect = lambda *asked: asked
  stubs['overrides'].arrange.return_value = stubs['places'].placed.return_value = arranged
  stubs['kept'].parts.return_value = types.SimpleNamespace(
    config=arranged, contract={}, recipe=plain.Plain,
  )
  stubs['division'].mesh.return_value = adiff.machine.sharding.make_mesh()
  stubs['handle'].load.return_value = types.SimpleNamespace(
    parts=types.SimpleNamespace(config=arranged, spec=types.SimpleNamespace(medium='text')),
    write=lambda prompts, **_: language.Written([''], np.ones(1), np.ones(1), 1.0),
  )
  for name, stub in stubs.items():
    monkeypatch.setattr(use, name, stub, raising=False)
    monkeypatch.setattr(adiff.run, name, stub, raising=False)
  checkpoint, cost = mock.MagicMock(), mock.MagicMock()
  checkpoint.restore_params.return_value = (1, {})
  monkeypatch.setattr(use, 'checkpoint', checkpoint)
  monkeypatch.setattr(adiff.machine, 'cost', cost)
  monkeypatch.setattr(adiff.machine.sharding, 'placed', lambda abstract, _: abstract)
  monkeypatch.setattr('adiff.machine.hosts.start', lambda *_: None)
  more = ('processes',) if 'processes' in modes.USES[mode] else ()
  with launchers.parsed(words(mode, *more)):
    read.clear()  # what reading the flags asked for
    main.run()
  capsys.readouterr()
  # Whether a mode of several processes, or with a prompt, is meant is asked in all modes.
  assert read - {'processes', 'prompt', 'mode'} == set(modes.USES[mode]) - {'processes', 'prompt'}


@pytest.mark.parametrize('workdir', ['runs/x', 'my runs/x', "it's", '$HOME', 'a;b', '-x'])
def test_a_command_that_is_told_can_be_pasted(workdir, tmp_path):
  told = evaluate.command(workdir, ['--set=eval.samplers=("budget@4",)'])
  assert shlex.split(told) == [
    'python', '-m', 'adiff.main', '--mode=eval', f'--workdir={workdir}',
    '--set=eval.samplers=("budget@4",)',
  ]
  with pytest.raises(ValueError) as refused:
    compare.read([str(tmp_path / workdir), str(tmp_path)])
  assert shlex.quote(f'--workdir={tmp_path / workdir}') in str(refused.value)


def test_the_command_of_a_report_repeats_what_was_changed_for_it():
  line = ['--mode=eval', '--workdir=x', '--set=plan.steps=4', '--set=eval.num=8', '--step=3']
  with launchers.parsed([*line, '--solver=heun']):
    assert modes.changes('eval', main.flags.FLAGS) == (
      '--set=plan.steps=4', '--set=eval.num=8', '--solver=heun', '--step=3'
    )
  with launchers.parsed(['--mode=eval', '--workdir=x', '--average=ema']):
    assert modes.changes('eval', main.flags.FLAGS) == ()  # that is the run's own


def test_a_bound_of_one_example_is_told_without_an_interval():
  numbers = {'nats': 1.25, 'nats_ci95': 0.5}
  report = {'split': 'test', 'numbers': numbers}
  assert evaluate.said(report) == 'test bound 1.250 +- 0.500 nats an example'
  numbers['nats_ci95'] = None
  assert evaluate.said(report) == 'test bound 1.250 (of one) nats an example'
