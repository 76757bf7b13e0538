"""The house: which room stands on which, and how long a file, a function or the reading may be."""

import ast
import collections
import functools
import pathlib
import re

import pytest

import adiff

HOUSE = pathlib.Path(adiff.__file__).parent
FILES = {
  '.'.join(path.relative_to(HOUSE.parent).with_suffix('').parts): path
  for path in sorted(HOUSE.rglob('*.py')) if path.name != '__init__.py'
}
# From the ground up; rooms of one floor do not import each other.
FLOORS = (
  ('sequence',), ('process', 'nn'), ('sample',), ('learn', 'judge'), ('machine',), ('codec',),
  ('data',), ('run',), ('main',),
)
OWNERS = {
  'flax.linen': ('adiff.nn',), 'orbax': ('adiff.machine.checkpoint',),
  'tensorflow_datasets': ('adiff.data.tfds_folder',), 'tensorflow': (),
}
BESIDE = ('launch', 'configs', 'benchmarks', 'tests')
READING_ORDER = (
  'sequence.blocks', 'sequence.mask', 'sequence.draw', 'sequence.plan', 'sequence.ask',
  'process.base', 'learn.loss', 'sample.solvers.base', 'sample.walk',
)


@functools.cache
def tree(name):
  return ast.parse(FILES[name].read_text())


def imports(name):
  """Full names of the modules (or members) that a file imports."""
  names = set()
  for node in ast.walk(tree(name)):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{name} imports relatively; write absolute imports of modules'
      names |= {f'{node.module}.{alias.name}' for alias in node.names}
  return names


def room(name):
  """First part behind the package: adiff.process.base -> process."""
  return name.split('.')[1]


def test_the_entrance_shows_the_rooms_and_nothing_else():
  entries = {path.name.removesuffix('.py') for path in HOUSE.iterdir()} - {'__pycache__', 'models'}
  assert entries == {'__init__', *(one for rooms in FLOORS for one in rooms)}
  assert len(entries) <= 13


@pytest.mark.parametrize('folder', sorted({path.parent for path in FILES.values()} - {HOUSE}))
def test_every_room_says_in_one_line_what_it_is_for_and_what_to_read_first(folder):
  text = (folder / '__init__.py').read_text()
  assert text.count('\n') == 1, f'{folder.name}/__init__.py has one line, its docstring'
  first = re.search(r'read (\w+\.py|[\w/]+\.py) first|[Oo]ne file a|One reverse', text)
  assert first, f'{folder.name}/__init__.py does not say what to read first'
  if first[1]:
    assert (folder / first[1]).exists(), first[1]


@pytest.mark.parametrize('name', FILES)
def test_every_module_imports_from_its_own_room_or_from_lower_floors(name):
  floor = {one: level for level, rooms in enumerate(FLOORS) for one in rooms}
  assert room(name) in floor, f'{name} has no floor; give it a room'
  for other in (room(one) for one in imports(name) if one.startswith('adiff.')):
    if other != room(name):
      assert floor[other] < floor[room(name)], f'{name} imports {other}, which is no lower floor'


@pytest.mark.parametrize('library', OWNERS)
def test_libraries_with_one_owner_are_imported_by_it_alone(library):
  for name in FILES:
    for one in imports(name):
      if one == library or one.startswith(library + '.'):
        own = name.startswith(OWNERS[library]) if OWNERS[library] else False
        assert own, f'{name} imports {one}; {OWNERS[library]} owns {library}'


def test_only_sharding_builds_a_mesh():
  for name in FILES:
    for node in ast.walk(tree(name)):
      if isinstance(node, ast.Call) and name != 'adiff.machine.sharding':
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
  assert sum(lines[f'adiff.{one}'] for one in READING_ORDER) <= 1400


@pytest.mark.parametrize('name', FILES)
def test_no_function_is_longer_than_a_screen(name):
  for node in ast.walk(tree(name)):
    if isinstance(node, ast.FunctionDef):
      assert node.end_lineno - node.lineno < 60, f'{name}.{node.name} has more than 60 lines'


@pytest.mark.parametrize('name', FILES)
def test_everything_public_says_what_it_is(name):
  nodes = [node for node in tree(name).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
  for node in (tree(name), *(node for node in nodes if not node.name.startswith('_'))):
    text = ast.get_docstring(node)
    assert text, f'{name}: {getattr(node, "name", "it")} has no docstring'
    assert not text.startswith('Of '), f'{name}: say what it is before whose it is: {text[:40]}'


@pytest.mark.parametrize('name', FILES)
def test_every_public_function_says_what_it_returns(name):
  for node in tree(name).body:
    if isinstance(node, ast.FunctionDef) and not node.name.startswith('_'):
      assert node.returns is not None, f'{name}.{node.name} has no return type'


def declared():
  """What nn.network.Network declares, with the fields of its class body."""
  (node,) = [node for node in tree('adiff.nn.network').body
             if isinstance(node, ast.ClassDef) and node.name == 'Network']
  fields = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
  return fields | {item.name for item in node.body if isinstance(item, ast.FunctionDef)}


@pytest.mark.parametrize('name', FILES)
def test_nothing_outside_nn_reads_more_of_a_network_than_it_declares(name):
  if room(name) == 'nn':
    return
  for node in ast.walk(tree(name)):
    if isinstance(node, ast.Attribute):
      owner = ast.unparse(node.value)
      bare = 'model' if room(name) not in ('judge', 'main') else None  # another model there
      if owner == bare or (owner.endswith('.model') and not owner.endswith('config.model')):
        assert node.attr in declared(), f'{name} reads {owner}.{node.attr}'


# What a config chooses, and where it may be asked which one it is.
CHOSEN = ('source', 'codec', 'coded', 'blocks', 'process', 'draw', 'spacing', 'solver', 'head',
          'model', 'recipe', 'judge', 'data', 'spec', 'quantiser')


@pytest.mark.parametrize('name', sorted(set(FILES) - {'adiff.run.choose'}))
def test_nobody_asks_which_choice_it_is(name):
  """Objects say what they can; their names and classes are the config's alone."""
  words = '|'.join(CHOSEN)
  for node in ast.walk(tree(name)):
    if isinstance(node, ast.Compare):
      for side in (node.left, *node.comparators):
        text = ast.unparse(side)
        asked = re.search(rf"\b({words})(\.name|\['name'\])$|^type\((.*\.)?({words})\)", text)
        assert not asked, f'{name} asks for a name: {ast.unparse(node)}'
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ('hasattr', 'isinstance'):
      asked = ast.unparse(node.args[0]).split('.')[-1]
      assert asked not in CHOSEN, f'{name} asks for a class: {ast.unparse(node)}'


# Text that is '' where it is absent, and objects. What may be a number or a list is compared with
# None, or, where 0 or () stands for something else, asked for itself: `b if a else c`.
NEVER_ZERO = (
  '_OUT.value', 'config.name', 'config.judge.name', 'corrupt', 'str(error)',
  "getattr(leaf, 'sharding', None)", 'heldout', 'module.__doc__',
  "os.environ.get('XDG_CACHE_HOME')", 'self.parts.config.name',
)


def _is_a_truth(node):
  """Is it true or false, whatever it is made of?"""
  called = ast.unparse(node.func) if isinstance(node, ast.Call) else ''
  return isinstance(node, ast.Compare) or called == 'bool' or (
    isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
  )


def _is_empty_or_text(node):
  """Is it '', another text, None, or a container of nothing?"""
  if isinstance(node, ast.Constant):
    return node.value is None or isinstance(node.value, str)
  return (isinstance(node, ast.Dict) and not node.keys) or (
    isinstance(node, ast.Tuple) and not node.elts
  )


def defaults(name):
  """The expressions `a or b` of a file that stand for a value, not for a condition."""
  above = {child: node for node in ast.walk(tree(name)) for child in ast.iter_child_nodes(node)}
  for node in ast.walk(tree(name)):
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
      inner, outer = node, above[node]
      while isinstance(outer, ast.BoolOp | ast.UnaryOp):
        inner, outer = outer, above[outer]
      asked = getattr(outer, 'test', None) is inner or inner in getattr(outer, 'ifs', ())
      if not asked:
        yield node


@pytest.mark.parametrize('name', FILES)
def test_zero_and_nothing_are_not_taken_for_the_default(name):
  for node in defaults(name):
    first, last = node.values[0], node.values[-1]
    fine = any(map(_is_a_truth, node.values)) or _is_empty_or_text(last)
    assert fine or ast.unparse(first) in NEVER_ZERO, (
      f'{name}: `{ast.unparse(node)}` takes 0 and () for absent; write "b if a is None else a"'
    )


def test_every_test_file_has_a_name_of_its_own():
  files = pathlib.Path(__file__).parent.rglob('test_*.py')
  names = collections.Counter(path.name for path in files)
  twice = [name for name, number in names.items() if number > 1]
  assert not twice, f'pytest takes two files of one name for one; rename {", ".join(twice)}'
