"""Every config, with every argument it declares, builds and makes one abstract step."""

import importlib
import pathlib
import re

import jax
import numpy as np
import pytest

import configs
from adiff.run import build

FOLDER = pathlib.Path(configs.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob('*.py') if path.stem not in ('__init__', 'base'))


def arguments(name):
  return importlib.import_module(f'configs.{name}').ARGUMENTS


CASES = [(name, argument) for name in NAMES for argument in arguments(name)]


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


@pytest.mark.parametrize('name, argument', CASES, ids=[':'.join(case) for case in CASES])
def test_a_config_builds_and_makes_an_abstract_step(name, argument):
  config = importlib.import_module(f'configs.{name}').get_config(argument)
  folder = config.data.get('data_dir')
  if folder is not None and not pathlib.Path(folder or '/nowhere').exists():
    pytest.skip(f'the data of {name} is not here: {folder!r}')
  parts = build.build(config)
  rows = parts.coded.examples(config.eval.split, np.arange(2))
  tokens = jax.ShapeDtypeStruct((config.train.batch_size, *rows['tokens'].shape[1:]),
                                rows['tokens'].dtype)
  label = jax.ShapeDtypeStruct((config.train.batch_size,), np.int32)

  def step(key_init, key_step, batch):
    return parts.recipe.update(parts.recipe.init(key_init), batch, key_step)

  keys = [jax.eval_shape(lambda: jax.random.key(0))] * 2
  # flax's own layers promote bfloat16.
  promotion = 'strict' if config.model.dtype == 'float32' else 'standard'
  with jax.numpy_dtype_promotion(promotion):
    state, scalars = jax.eval_shape(step, *keys, {'tokens': tokens, 'label': label})
  assert scalars['loss'].shape == () and jax.tree.leaves(state.params)


@pytest.mark.parametrize('name', NAMES)
def test_an_unknown_argument_is_refused_with_the_list(name):
  with pytest.raises(ValueError, match=arguments(name)[0]):
    importlib.import_module(f'configs.{name}').get_config('nonsense')
