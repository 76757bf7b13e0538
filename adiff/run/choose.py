"""A choice of the config, dict(name=..., **arguments), and what it stands for.

The table is the folder. A class is called as its file: `solver=dict(name='heun')` is the one public
class of adiff/sample/solvers/heun.py that is a Solver. Geometries, draws and spacings are the
functions of their file. A class made elsewhere is added with `register`, for this process.
"""

import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_collections

from adiff.sequence import values


class Room(NamedTuple):
  """Where the choices of a kind stand, and what they have in common."""

  place: str  # a package with a file a choice, or a module with a function a choice
  contract: str  # the abstract class, or what the functions return, by its full name
  provided: tuple[str, ...] = ()  # arguments that the rest of the config settles


ROOMS = {
  'data': Room('adiff.data', 'adiff.data.base.Source'),
  'codec': Room('adiff.codec', 'adiff.codec.base.Codec', ('shape', 'levels', 'kinds', 'made')),
  'coder': Room('adiff.nn', 'adiff.nn.coder.Coder', ('grid', 'dim', 'num_channels')),
  'quantiser': Room('adiff.nn.quantisers', 'adiff.nn.quantisers.base.Quantiser'),
  'blocks': Room(
    'adiff.sequence.blocks', 'adiff.sequence.blocks.Blocks',
    ('num_tokens', 'grid', 'history', 'kinds'),
  ),
  'process': Room('adiff.process', 'adiff.process.base.Process', ('vocab', 'dim', 'bin', 'kinds')),
  'draw': Room('adiff.sequence.draw', 'adiff.sequence.draw.Draw'),
  'spacing': Room('adiff.sequence.plan', 'adiff.sequence.plan.Spacing'),
  'solver': Room('adiff.sample.solvers', 'adiff.sample.solvers.base.Solver'),
  'head': Room(
    'adiff.nn.heads', 'adiff.sequence.head.Head',
    ('params', 'dtype', 'process', 'stepper', 'vocab'),
  ),
  'model': Room(
    'adiff.nn', 'adiff.nn.network.Network',
    ('num_inputs', 'num_outputs', 'conds', 'hints', 'grid', 'head'),
  ),
  'recipe': Room(
    'adiff.learn', 'adiff.learn.base.Recipe',
    ('model', 'tx', 'blocks', 'process', 'draw', 'coords', 'grid', 'ema', 'cond_dropout',
     'cond_dropouts',
     'microbatches', 'history_cond', 'lessons', 'complementary', 'next_token', 'weights',
     'hides', 'hints', 'plain', 'read', 'spacing', 'plan', 'solver',
     'autoencoder', 'seen'),
  ),
  'judge': Room(
    'adiff.judge', 'adiff.judge.base.Judge', ('samplers', 'steps', 'features', 'structure')
  ),
}
_registered = {kind: {} for kind in ROOMS}


def register(kind, chosen, name=None) -> str:
  """Makes a class of this process a choice of a config, and returns its name: by default that of
  the class, my_solver for MySolver.

  A workdir that was made with it says so, and is refused where it is not registered. Raises
  ValueError for an unknown kind, a class of another contract, or the name of a file.
  """
  if kind not in ROOMS:
    raise ValueError(f'there is no choice of a {kind!r}; register one of {", ".join(ROOMS)}')
  name = re.sub(r'(?<!^)(?=[A-Z])', '_', chosen.__name__).lower() if name is None else name
  if not _fits(kind, chosen):
    raise ValueError(
      f'{chosen.__name__} is no {ROOMS[kind].contract}; derive it from that, with all its methods'
    )
  if _in_folder(kind, name) is not None:
    raise ValueError(f'{kind} {name!r} is taken by {ROOMS[kind].place}; register another name')
  _registered[kind][name] = chosen
  return name


def registered(config) -> dict[str, str]:
  """{kind: name} of the config's choices that stand in no file of the package."""
  return {
    kind: config[kind].name for kind in ROOMS
    if kind in config and config[kind].name in _registered[kind]
  }


def names(kind) -> tuple[str, ...]:
  """All choices of a kind."""
  module = importlib.import_module(ROOMS[kind].place)
  if hasattr(module, '__path__'):
    files = [found.name for found in pkgutil.iter_modules(module.__path__) if not found.ispkg]
  else:
    files = [name for name, _ in inspect.getmembers(module, inspect.isfunction)]
  return (*(name for name in files if _in_folder(kind, name) is not None), *_registered[kind])


def find(kind, name) -> Callable:
  """The class or function that a name stands for; raises ValueError with the list of what there
  is, and the nearest."""
  found = None
  if isinstance(name, str):
    found = _registered[kind].get(name)
    found = _in_folder(kind, name) if found is None else found
  if found is None:
    near = difflib.get_close_matches(str(name), names(kind), n=1)
    hint = f'; did you mean {near[0]!r}?' if near else ''
    raise ValueError(
      f'config.{kind}.name={values.shown(name)} is unknown; choose one of '
      f'{", ".join(names(kind))}{hint}'
    )
  return found


def check(kind, choice) -> None:
  """Raises ValueError in words for a choice that there is not, an argument that it does not take,
  and a value that its annotation does not admit; nothing is made."""
  if not hasattr(choice, 'keys'):
    raise ValueError(
      f'config.{kind}={values.shown(choice)} must be a section with a name, one of '
      f'{", ".join(names(kind))}'
    )
  name = choice.get('name')
  taken = values.parameters(find(kind, name))
  for argument, value in choice.items():
    if argument == 'name':
      continue
    if argument not in taken:
      own = [k for k in taken if k not in ROOMS[kind].provided]
      raise ValueError(
        f'config.{kind}: {name} takes no {values.shown(argument)}; it takes '
        f'{", ".join(own) or "no arguments"}'
      )
    values.check(f'config.{kind}.{argument}', value, taken[argument].annotation)


def resolve(kind, choice, **provided) -> Any:
  """What a choice stands for, made with its arguments, and with `provided` where it is taken and
  not set. Raises ValueError as `check`, and for an argument that it lacks."""
  check(kind, choice)
  arguments = dict(choice)
  name = arguments.pop('name')
  chosen = find(kind, name)
  taken = values.parameters(chosen)
  arguments = {**{k: v for k, v in provided.items() if k in taken}, **arguments}
  missing = [k for k, v in taken.items() if v.default is v.empty and k not in arguments]
  if missing:
    raise ValueError(f'config.{kind}: {name} needs {", ".join(missing)}')
  return chosen(**arguments)


def called(kind, made) -> str:
  """The name of the choice that an object is."""
  for name, chosen in _registered[kind].items():
    if type(made) is chosen:
      return name
  return type(made).__module__.rpartition('.')[2]


def takes(kind, name, argument) -> bool:
  """Has what a name stands for such an argument, or field?"""
  return argument in values.parameters(find(kind, name))


def take(config, kind, name) -> None:
  """Makes `name` the choice of a config, with its own defaults, if another one was."""
  if config[kind].name == name:
    return
  section = ml_collections.ConfigDict(defaults(kind, name))
  for argument, value in section.items():
    if value is None:  # a config must know the type that it may be instead
      annotation = values.parameters(find(kind, name))[argument].annotation
      section[argument] = ml_collections.config_dict.placeholder(values.bare(annotation))
  with config.unlocked():
    config[kind] = section


def check_registered(config, made_with, where) -> None:
  """Raises ValueError where a config needs a class that the process it was made in had registered.

  made_with: what `registered` said there. where: what to call the config's place.
  """
  for kind, name in made_with.items():
    if kind not in ROOMS:
      raise ValueError(f'{where} was made with a {kind!r}, which is no choice; restore its files')
    if config[kind].name == name and name not in _registered[kind]:
      raise ValueError(
        f'{where} was made with the {kind} {name!r}, which stood in no file of the package; call '
        f'adiff.register({kind!r}, ..) with it first, or put it into {ROOMS[kind].place}'
      )


def defaults(kind, name) -> dict[str, Any]:
  """The choice `name` with its own defaults, as a section of a config."""
  section = {'name': name}
  for argument, parameter in values.parameters(find(kind, name)).items():
    if argument not in ROOMS[kind].provided and parameter.default is not parameter.empty:
      section[argument] = parameter.default
  return section


def _in_folder(kind, name):
  """The class or function of the house, or None."""
  place = importlib.import_module(ROOMS[kind].place)
  if not hasattr(place, '__path__'):
    found = None if str(name).startswith('_') else getattr(place, str(name), None)
    return found if inspect.isfunction(found) and _fits(kind, found) else None
  if name not in {found.name for found in pkgutil.iter_modules(place.__path__)}:
    return None
  module = importlib.import_module(f'{ROOMS[kind].place}.{name}')
  classes = [
    one for _, one in inspect.getmembers(module, inspect.isclass)
    if one.__module__ == module.__name__ and not one.__name__.startswith('_') and _fits(kind, one)
  ]
  return classes[0] if len(classes) == 1 else None


def _fits(kind, chosen):
  """Is it a concrete class of the contract, or a function that returns it?"""
  module, _, contract = ROOMS[kind].contract.rpartition('.')
  contract = getattr(importlib.import_module(module), contract)
  if inspect.isclass(chosen):
    return issubclass(chosen, contract) and not inspect.isabstract(chosen)
  return inspect.signature(chosen).return_annotation == contract
