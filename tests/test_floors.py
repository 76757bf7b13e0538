"""The house: who may import whom, and how long a file may be."""

import ast
import pathlib

import pytest

import adiff

HOUSE = pathlib.Path(adiff.__file__).parent
FILES = {
  '.'.join(path.relative_to(HOUSE.parent).with_suffix('').parts): path
  for path in sorted(HOUSE.rglob('*.py')) if path.name != '__init__.py'
}
FLOORS = (
  ('blocks', 'mask', 'levels', 'spread'),
  ('process', 'nn'),
  ('loss', 'shifted', 'solvers', 'sampler', 'guidance', 'likelihood', 'truncation', 'budget',
   'revision', 'room'),
  ('data', 'codec', 'metrics', 'optim', 'state', 'processes', 'sharding', 'checkpoint', 'manifest',
   'logs', 'pictures', 'prose', 'report', 'report_style'),
  ('arrange', 'build', 'check', 'compilation', 'cost', 'exported', 'recipe', 'workdirs', 'generate',
   'judge_text', 'collectives', 'dryrun', 'follow', 'language', 'loss_profile', 'clip_search',
   'evaluate', 'train', 'main'),
)
# What each module of the lower floors may import, besides its own folder.
ALLOWED = {
  'blocks': (), 'levels': (), 'mask': ('blocks',), 'spread': ('blocks',),
  'process': FLOORS[0], 'nn': FLOORS[0],
  **dict.fromkeys(FLOORS[2], (*FLOORS[0], 'process', *FLOORS[2])),
  'data': FLOORS[3], 'codec': FLOORS[3], 'metrics': FLOORS[3],
}
OWNERS = {
  'flax.linen': ('adiff.nn',), 'orbax': ('adiff.checkpoint',),
  'tensorflow_datasets': ('adiff.data.tfds_folder',), 'tensorflow': (),
}
BESIDE = ('launch', 'configs', 'benchmarks', 'tests')
READING_ORDER = ('blocks', 'mask', 'levels', 'process/base', 'loss', 'sampler')


def tree(name):
  return ast.parse(FILES[name].read_text())


def imports(name):
  """Full names of the modules (or members) that a file imports."""
  found = set()
  for node in ast.walk(tree(name)):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{name} imports relatively; write absolute imports of modules'
      found |= {f'{node.module}.{alias.name}' for alias in node.names}
  return found


def room(name):
  """First part behind the package: adiff.process.base -> process."""
  return name.split('.')[1]


@pytest.mark.parametrize('name', FILES)
def test_every_module_has_a_floor_and_imports_from_its_own_or_lower(name):
  floor = {one: level for level, rooms in enumerate(FLOORS) for one in rooms}
  assert room(name) in floor, f'{name} has no floor; give it one here and in the design'
  for other in (room(one) for one in imports(name) if one.startswith('adiff.')):
    assert floor[other] <= floor[room(name)], f'{name} imports {other} from a higher floor'
    if room(name) in ALLOWED and other != room(name):
      assert other in ALLOWED[room(name)], f'{name} must not import {other}'


@pytest.mark.parametrize('library', OWNERS)
def test_libraries_with_one_owner_are_imported_by_it_alone(library):
  # build and recipe name flax.linen.Module in their types.
  free = ('adiff.build', 'adiff.recipe') if library == 'flax.linen' else ()
  for name in FILES:
    for one in imports(name):
      if one == library or one.startswith(library + '.'):
        own = name.startswith(OWNERS[library]) if OWNERS[library] else False
        assert own or name in free, f'{name} imports {one}; {OWNERS[library]} owns {library}'


def test_build_and_recipe_use_linen_for_types_alone():
  for name in ('adiff.build', 'adiff.recipe'):
    used = {
      node.attr for node in ast.walk(tree(name))
      if isinstance(node, ast.Attribute) and ast.unparse(node.value) == 'flax.linen'
    }
    assert used <= {'Module'}, f'{name} uses flax.linen.{used}'


def test_only_sharding_builds_a_mesh():
  for name in FILES:
    for node in ast.walk(tree(name)):
      if isinstance(node, ast.Call) and name != 'adiff.sharding':
        called = ast.unparse(node.func)
        assert called not in ('jax.make_mesh', 'jax.sharding.Mesh', 'Mesh'), f'{name}: {called}'


def test_nobody_imports_a_config_or_a_private_module_of_jax():
  for name in FILES:
    for one in imports(name):
      assert not one.startswith('configs'), f'{name} imports {one}'
      assert not one.startswith('jax._src'), f'{name} imports {one}'


def test_no_module_has_a_name_that_says_nothing():
  for name in FILES:
    assert not {'utils', 'util', 'common', 'misc', 'helpers'} & set(name.split('.')), name


def test_files_stay_short_and_the_reading_order_is_an_hour():
  others = [path for top in BESIDE for path in sorted((HOUSE.parent / top).rglob('*.*'))
            if path.suffix in ('.py', '.sh', '.md', '.yaml')]
  files = {**FILES, **{str(path.relative_to(HOUSE.parent)): path for path in others}}
  lines = {name: len(path.read_text().splitlines()) for name, path in files.items()}
  assert {name: count for name, count in lines.items() if count > 350} == {}
  assert sum(lines[f'adiff.{one.replace("/", ".")}'] for one in READING_ORDER) <= 1000


@pytest.mark.parametrize('name', FILES)
def test_everything_public_says_what_it_is(name):
  assert ast.get_docstring(tree(name)), f'{name} has no docstring'
  for node in tree(name).body:
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith('_'):
      assert ast.get_docstring(node), f'{name}.{node.name} has no docstring'
