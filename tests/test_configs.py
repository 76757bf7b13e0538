"""Every config, with every argument it declares, builds, makes one abstract step, and is listed."""

import importlib
import pathlib
import re
import subprocess
import sys

import jax
import launchers
import numpy as np
import pytest
import tiny_data

import configs
from adiff.data import batches
from adiff.run import build, expected, listing
from configs import few_steps, tokenizer

FOLDER = pathlib.Path(configs.__file__).parent
ROOT = FOLDER.parent  # where the commands of a page are called
TABLES = ('__init__', 'base', 'choices', 'coded', 'studies')  # what configs are made of
NAMES = sorted(path.stem for path in FOLDER.glob('*.py') if path.stem not in TABLES)
SLOTS = 4096  # from here on the fused kernel of TPUs takes half a minute to plan its tiles


def arguments(name):
  return importlib.import_module(f'configs.{name}').ARGUMENTS


def rows(name):
  return importlib.import_module(f'configs.{name}').ROWS


CASES = [(name, argument) for name in NAMES for argument in arguments(name)]
# What a step is made of, but for the places in it; an evaluation's part of a config is built alone.
STEP = (
  'codec', 'coder', 'quantiser', 'blocks', 'kinds', 'history', 'process', 'draw', 'model', 'head',
  'recipe', 'train',
)
TOLD = ('by', 'parts', 'labelled', 'packed')  # of the data: what examples are made of and told
PLACES = ('teacher', 'workdir', 'perceptual_from', 'path')
# Seconds each: what is published, and families of generators on larger pictures, all but two.
LARGE = [
  *(('tokenizer', argument) for argument in tokenizer.PUBLISHED),
  *(('generators', argument) for argument in arguments('generators')
    if argument.endswith(('-mnist', '-cifar10'))
    and argument not in ('gan-mnist', 'block-cifar10')),
  ('imagenet256', 'adm'),
  ('imagenet256', 'var_d16'),
]


def kind_of(value):
  """A config's value but for its size: of numbers whether they are zero."""
  if hasattr(value, 'items'):
    return tuple(
      (key, bool(one) if key in PLACES else kind_of(one)) for key, one in sorted(value.items())
    )
  if isinstance(value, tuple) and any(isinstance(one, str) for one in value):
    return value
  return value if value is None or isinstance(value, str) else bool(value)


def first_of_each_kind():
  """Cases whose steps differ in more than sizes."""
  first = {}
  for case in CASES:
    name, argument = case
    config = importlib.import_module(f'configs.{name}').get_config(argument)
    kind = (
      *(kind_of(config[section]) for section in STEP),
      *(kind_of(config.data.get(key)) for key in TOLD),
    )
    if case not in LARGE:
      first.setdefault(kind, case)
  return set(first.values())


FIRST = first_of_each_kind()


@pytest.mark.parametrize('name', NAMES)
def test_a_config_opens_with_the_command_that_runs_it(name):
  text = importlib.import_module(f'configs.{name}').__doc__
  flags = r'(:\S+)? (--config\.\S+ )*--workdir=\S+'
  command = rf'python -m adiff\.main --config=configs/{name}\.py' + flags
  assert re.search(command, text), text
  for argument in re.findall(rf'configs/{name}\.py:(\S+)', text):
    importlib.import_module(f'configs.{name}').get_config(argument)


@pytest.mark.parametrize('name', NAMES)
def test_without_an_argument_a_config_has_a_default(name):
  assert importlib.import_module(f'configs.{name}').get_config().name


def built(name, argument, few):
  """(its config on a few examples, the parts)."""
  config = importlib.import_module(f'configs.{name}').get_config(argument)
  tiny_data.point(config, few)
  return config, build.build(config)


@pytest.mark.parametrize('name, argument', [
  pytest.param(*case, id=':'.join(case)) for case in CASES if case not in (*LARGE, *FIRST)
])
def test_a_config_that_differs_from_another_in_sizes_builds(name, argument, few):
  config, parts = built(name, argument, few)
  assert len(parts.coded.examples(config.eval.split, np.arange(2))['tokens']) == 2


@pytest.mark.parametrize('name, argument', [
  pytest.param(*case, id=':'.join(case), marks=[pytest.mark.soak] * (case not in FIRST))
  for case in CASES
])
def test_a_config_builds_and_makes_an_abstract_step(name, argument, few):
  config, parts = built(name, argument, few)
  if config.blocks.name and parts.blocks.num_slots >= SLOTS and 'attention' in config.model:
    config.model.attention = 'xla'
    parts = build.build(config, parts.coded)
  rows = parts.coded.examples(config.eval.split, np.arange(2))
  rows = batches.ordered(rows, parts.arranged, parts.spec)
  batch = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((config.train.batch_size, *leaf.shape[1:]), leaf.dtype),
    {name: rows[name] for name in ('tokens', 'label', *parts.spec.further)})

  def step(key_init, key_step, batch):
    return parts.recipe.update(parts.recipe.init(key_init), batch, key_step)

  keys = [jax.eval_shape(lambda: jax.random.key(0))] * 2
  # flax's own layers promote bfloat16.
  network = config.model if config.model.name else config.coder
  promotion = 'strict' if network.dtype == 'float32' else 'standard'
  with jax.numpy_dtype_promotion(promotion):
    state, scalars = jax.eval_shape(step, *keys, batch)
  assert scalars['loss'].shape == () and jax.tree.leaves(state.params)


@pytest.mark.parametrize('argument', few_steps.UNTAUGHT)
def test_a_student_whose_teacher_cannot_be_is_refused_by_its_config(argument):
  with pytest.raises(ValueError, match=f'no {argument}: .* needs a teacher of another prediction'):
    few_steps.get_config(argument)


@pytest.mark.parametrize('name', NAMES)
def test_an_unknown_argument_is_refused_with_the_list(name):
  with pytest.raises(ValueError, match=arguments(name)[0]):
    importlib.import_module(f'configs.{name}').get_config('nonsense')


# Rows, as --help lists them.


@pytest.mark.parametrize('name', NAMES)
def test_every_argument_says_what_it_ends_at_or_that_nobody_knows_and_what_it_wants(name):
  module = importlib.import_module(f'configs.{name}')
  known = expected.rows(module, f'configs/{name}.py')
  for row in module.ROWS.values():
    assert row['about']
  for argument in module.ARGUMENTS:
    assert argument.partition('-')[0] in module.ROWS
    row = known[argument]
    assert row.wants in row.words
    if row.numbers:
      assert row.minutes and re.fullmatch('[0-9a-f]{7}', row.commit)
    else:
      assert 'not measured' in row.words and not row.commit


def test_help_lists_every_config_and_row_with_what_was_measured_and_imports_no_jax():
  code = 'import sys; from adiff.run import listing; print(listing.text(), "jax" in sys.modules)'
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
  listed = ' '.join(done.stdout.split())
  assert listed.endswith(' False'), done.stderr
  for name in NAMES:
    assert f'configs/{name}.py' in listed
    known = expected.rows(importlib.import_module(f'configs.{name}'), name)
    for argument, row in rows(name).items():
      assert f'{argument} {row["about"]}; ' in listed
    assert all(row.brief in listed for row in known.values())


@pytest.mark.parametrize('flag, words', [
  ('--config=', 'empty string'), ('--config', 'Missing value'),
  ('--config=nowhere.py', "there is no file 'nowhere.py'"),
  ('--config=nowhere.py:row --config.seed=1', "there is no file 'nowhere.py'"),
])
def test_a_config_that_is_none_is_refused_with_the_way_to_the_list(flag, words):
  with pytest.raises(ValueError, match=rf'{words}.*--help lists flags and configs'):
    with launchers.parsed([*flag.split(), '--workdir=x'] if '=' in flag else [flag]):
      pass


def test_configs_of_another_folder_are_listed_whatever_they_hold(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'configs').mkdir()
  for name, code in {
    'plain': '"""Mine. More."""\ndef get_config():\n  return 1',
    'tuples': 'ROWS = dict(one=(1, 2))\nSIZES = 3\ndef get_config(argument):\n  return 1',
    'torn': 'def get_config(:',
    'exits': 'raise SystemExit(3)',
    'none': 'x = 1',
  }.items():
    (tmp_path / 'configs' / f'{name}.py').write_text(code)
  mine, installed = listing.places()
  assert installed.samefile(FOLDER)
  assert listing.text([mine]).split('\n\n')[1:] == [
    'configs/exits.py\n  cannot be read: SystemExit: 3',
    'configs/plain.py\nMine',
    'configs/torn.py\n  cannot be read: SyntaxError: invalid syntax (torn.py, line 1)',
    'configs/tuples.py',
  ]
