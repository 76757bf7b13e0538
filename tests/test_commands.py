"""Every command that a page or a docstring shows is understood by the program that it calls."""

import argparse
import functools
import importlib
import json
import pathlib
import re
import shlex

import launchers
import ml_collections
import pytest
import tiny_data

from adiff import main
from adiff.machine import json_file, rates
from adiff.run import build, modes, overrides, settings, studies, study, workdir

ROOT = launchers.ROOT
PAGES = sorted([ROOT / 'README.md', *ROOT.glob('docs/*.md'), *ROOT.glob('benchmarks/*.md')])
SOURCES = sorted([
  *(path for top in ('configs', 'adiff', 'benchmarks', 'launch')
    for path in ROOT.glob(f'{top}/**/*.py')),
  *launchers.SCRIPTS,
])
PROGRAM = r'(?:\w+=\S+ )*(?:python |launch/|sbatch )\S'
SYNOPSIS = r'\.\.\.|\bARGS\b'  # a manual's: it says where words go, not which
CLUSTERS = ('launch/tpu_pod.sh', 'launch/k8s.sh', 'launch/xpk.sh')
MODULES = {  # program: the module whose parser reads its arguments
  'launch/soak.sh': 'launch.soak', 'launch/sweep.py': 'launch.sweep',
  'launch.same': 'launch.same.__main__', 'benchmarks/paired.py': 'paired',
}


def of_page(text):
  """Commands of blocks of bash and indented ones, and those in backticks that call a program of
  Python."""
  text = re.sub(r' *\\\n *', ' ', text)
  for block in re.findall(r'^```bash\n(.*?)^```', text, re.M | re.S):
    yield from block.splitlines()
  yield from re.findall(rf'^    ({PROGRAM}.*)', text, re.M)
  yield from re.findall(r'`(python (?:-m )?[^-`\s][^`\s]* [^`]+)`', text)


def of_source(text):
  """Indented commands of docstrings and of the comment at the head of a script."""
  text = re.sub(r' *\\\n *', ' ', re.sub(r'^#', '', text, flags=re.M))
  for line in re.findall(rf'^ +({PROGRAM}.*)', text, re.M):
    yield line.partition('  ')[0]  # what is two spaces away explains it


def shown():
  """The words of every command, once."""
  found = [
    line for path in (*PAGES, *SOURCES)
    for line in (of_page if path.suffix == '.md' else of_source)(path.read_text())
  ]
  words = (shlex.split(line, comments=True) for line in found if not re.search(SYNOPSIS, line))
  return list(map(list, dict.fromkeys(map(tuple, words))))


COMMANDS = shown()
MADE = {'digits': ['--config=configs/digits.py']}  # {name of a workdir: how it was trained}
for _words in COMMANDS:
  _workdir = [word for word in _words if word.startswith('--workdir=')]
  _config = [word for word in _words if word.startswith('--config')]
  if _workdir and _config:
    MADE.setdefault(pathlib.Path(_workdir[0]).name, _config)


class Understood(Exception):
  """(options, rest) of a program's arguments; raised in place of what the program would do."""


@pytest.fixture
def place(tmp_path, monkeypatch):
  """A folder in which OLD and NEW are checkouts; programs end once they have read their
  arguments."""
  for name in ('OLD', 'NEW'):
    (tmp_path / name / 'adiff').mkdir(parents=True)
  read, depth = argparse.ArgumentParser.parse_known_args, []

  def parse(*arguments, **how):
    depth.append(None)  # a parser calls those of its sub-commands
    try:
      answer = read(*arguments, **how)
    finally:
      depth.pop()
    if depth:
      return answer
    raise Understood(*answer)

  monkeypatch.setattr(argparse.ArgumentParser, 'parse_known_args', parse)
  monkeypatch.syspath_prepend(ROOT / 'benchmarks')  # a script's folder is on its path
  return tmp_path


@functools.cache
def built(config):
  """The parts of a config as JSON: several commands show the same."""
  return build.build(ml_collections.ConfigDict(json_file.tuples(json.loads(config))))


def check_binary(words, few, place):
  """The flags are there, the config builds, and a workdir is one that another command makes."""
  if words == ['--help'] or not words:
    return
  with launchers.parsed(words) as flags:
    modes.check(main.flags.FLAGS.mode, modes.given(main.flags.FLAGS))
    if flags.mode == 'compare':  # of runs that are there
      assert len(flags.workdirs) > 1
      return None
    if flags.mode == 'train' and flags.config is None:  # pictures of one's own
      return None
    if flags.mode == 'reproduce' and flags.config is None:  # it lists what there is
      return None
    if flags.mode == 'study':
      assert flags.study in (None, study.CLAIMS) or studies.find(flags.study)
      return None
    if flags.mode == 'judge':  # of samples that are there
      assert flags.samples and flags.reference
      return None
    if flags.mode not in ('train', 'dryrun', 'reproduce'):
      return check_use(flags, few, place)
    kind = flags.topology.partition(':')[0]
    assert kind in ('', 'cpu', *rates.KINDS)
    config = flags.config.copy_and_resolve_references()
  if 'workdir' in config.codec:  # that another command trains
    assert pathlib.Path(config.codec.workdir).name in MADE
    return settings.check(config)
  tiny_data.point(config, few)
  return built(config.to_json())


def check_use(flags, few, place):
  """What is done with a workdir, on the config of the command that makes it."""
  with launchers.parsed([*MADE[pathlib.Path(flags.workdir).name], '--workdir=x']) as made:
    config = made.config.copy_and_resolve_references()
  tiny_data.point(config, few)
  run = place / 'run'
  run.mkdir()
  workdir.claim(run, config, {})
  how = dict(block_size=flags.block_size, steps=flags.steps, solver=flags.solver)
  built(overrides.arrange(workdir.load(run, flags.set), run, **how).to_json())


def check_cluster(program, words, variables, desk):
  """A dry run says what would be called; returns the arguments of the binary."""
  shown = desk.run([program, *words], DRY_RUN='1', **variables)
  assert shown.returncode == 0 and not desk.calls(), shown.stderr
  return words if program == 'launch/slurm.sbatch' else words[1:]


def check_module(name, words, place):
  """A module's parser takes the words; returns those of the binary that it makes of them."""
  module = importlib.import_module(name)
  with pytest.MonkeyPatch.context() as patch, pytest.raises(Understood) as understood:
    patch.chdir(place)
    patch.setattr('sys.argv', [name, *words])
    module.main()
  options, rest = understood.value.args
  if name == 'launch.sweep':
    axes = (axis.partition('=') for axis in options.axes)
    firsts = [f'--config.{key}={values.split(",")[0]}' for key, _, values in axes]
    return [f'--config={options.config}', '--workdir=x', *firsts, *rest]
  assert not rest or name == 'launch.soak', rest
  return []


@pytest.mark.parametrize('words', COMMANDS, ids=map(shlex.join, COMMANDS))
def test_a_command_that_is_shown_is_understood(words, few, place, monkeypatch, desk):
  monkeypatch.chdir(ROOT)
  where = next(index for index, word in enumerate(words) if '=' not in word)
  variables = dict(word.split('=', 1) for word in words[:where])
  program, *words = words[where:]
  if program == 'sbatch':
    program = 'launch/slurm.sbatch'
    words = words[words.index(program) + 1:]
  elif program == 'python':
    program, *words = words[words[0] == '-m':]
  if program == 'launch/test.sh':
    assert all((ROOT / word).exists() for word in words)
    return
  if program == 'launch/eval.sh':
    program, words = 'launch/local.sh', ['--mode=follow', f'--workdir={words[0]}', *words[1:]]
  if program in (*CLUSTERS, 'launch/slurm.sbatch'):
    program, words = 'adiff.main', check_cluster(program, words, variables, desk)
  if program not in ('adiff.main', 'launch/local.sh'):
    words = check_module(MODULES.get(program, program), words, place)
  check_binary(words, few, place)


def test_the_commands_that_a_newcomer_tries_first_are_among_them():
  assert ['launch/local.sh'] in COMMANDS and ['launch/test.sh'] in COMMANDS
  assert len(COMMANDS) > 50


@pytest.mark.parametrize('words, chosen', [
  ('--config=configs/text.py --config.codec.name=bytes', {'codec': {'name': 'bytes'}}),
  ('--config=configs/digits.py --config.blocks.name=whole', {'blocks': {'name': 'whole'}}),
  ('--config=configs/digits.py --config.blocks.cell=(1,2) --config.blocks.name cells',
   {'blocks': {'name': 'cells', 'cell': (1, 2)}}),
  ('--config=configs/toy.py:ar --config.solver.name=threshold',
   {'solver': {'name': 'threshold', 'threshold': 0.9, 'edit': None}}),
], ids=str)
def test_a_name_on_the_command_line_takes_its_own_defaults(words, chosen):
  with launchers.parsed([*words.split(), '--workdir=x']) as flags:
    assert {key: dict(flags.config[key]) for key in chosen} == chosen
    build.build(flags.config)
