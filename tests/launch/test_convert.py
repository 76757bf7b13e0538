"""Workdirs of an earlier version: refused in a sentence, or converted and then the same."""

import contextlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.machine import checkpoint, sharding
from adiff.run import build, later
from adiff.run import workdir as workdir_lib
from launch import convert

STEP = 3


def without_later(config):
  """A config that has none of the keys that came later."""
  for section, keys in later.LATER.items():
    left = {key: value for key, value in config.pop(section).items() if key not in keys}
    config |= {section: left} if left else {}
  del config['head'], config['recipe'], config['judge']
  return config


def as_it_was(path, leaf):
  """A modulation in the order scale, shift, gate, twice; everything else as it is."""
  if 'modulation' not in sharding.path_name(path).split('/'):
    return leaf
  first, second, gate, *others = jnp.split(leaf, 6, axis=-1)
  third, fourth, gate2 = others
  return jnp.concatenate([second, first, gate, fourth, third, gate2], axis=-1)


@pytest.fixture(scope='module')
def trained():
  """(parts, a state in which every array is another)."""
  parts = build.build(tiny.config('block-masked').lock())
  state = jax.jit(parts.recipe.init)(jax.random.key(0))
  leaves, tree = jax.tree.flatten(state)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  leaves = [
    jax.random.normal(key, leaf.shape).astype(leaf.dtype) for key, leaf in zip(keys, leaves)
  ]
  return parts, jax.tree.unflatten(tree, leaves).replace(step=jnp.int32(STEP))


@pytest.fixture(scope='module')
def old(trained, tmp_path_factory):
  """The workdir that commit 2bd38b1 would have written of it."""
  parts, state = trained
  folder = tmp_path_factory.mktemp('old')
  config = workdir_lib.as_json(parts.config)
  config['model'] = {key: value for key, value in config['model'].items() if key != 'shifted'}
  config['model']['reach'] = 0
  config = without_later(config)
  contract = json.loads(json.dumps(parts.contract))
  contract['blocks']['stream'] = 'shifted' if contract.pop('shifted') else 'double'
  (folder / 'config.json').write_text(json.dumps(config))
  (folder / 'contract.json').write_text(json.dumps(contract))
  (folder / 'metrics.jsonl').write_text('{"step": 1}\n')
  stored = {
    'step': state.step, 'params': state.params['denoiser'], 'ema': state.ema['denoiser'],
    'opt_state': state.opt['denoiser'],
  }
  with contextlib.closing(checkpoint.Checkpoints(str(folder))) as keeper:
    keeper.save(STEP, jax.tree_util.tree_map_with_path(as_it_was, stored))
  return str(folder)


def test_an_old_workdir_is_refused_in_a_sentence_that_names_the_command(old, trained):
  for use in (
    lambda: workdir_lib.load(old), lambda: workdir_lib.check_contract(old, trained[0].contract),
    lambda: workdir_lib.claim(old, trained[0].config, trained[0].contract),
    lambda: checkpoint.restore_params(old),
  ):
    with pytest.raises(ValueError, match='launch.convert'):
      use()


def test_a_converted_workdir_holds_the_state_bit_for_bit(old, trained, tmp_path):
  parts, state = trained
  new = str(tmp_path / 'new')
  assert convert.convert(old, new) == STEP
  abstract = jax.eval_shape(parts.recipe.init, jax.random.key(0))
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  placed = sharding.placed(abstract, sharding.replicated(mesh))
  with contextlib.closing(checkpoint.Checkpoints(new)) as keeper:
    step, restored = keeper.restore(placed)
  assert step == STEP
  jax.tree.map(np.testing.assert_array_equal, restored, state)
  config = workdir_lib.load(new)
  assert config.model.reach is None and config.model.shifted is False
  workdir_lib.check_contract(new, parts.contract)
  assert (tmp_path / 'new' / 'metrics.jsonl').read_text() == '{"step": 1}\n'


def test_a_conversion_that_is_killed_leaves_nothing_and_is_made_again(old, tmp_path, monkeypatch):
  def killed(*_):
    raise KeyboardInterrupt

  with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
    patched.setattr(checkpoint.Checkpoints, 'save', killed)
    convert.convert(old, str(tmp_path / 'new'))
  assert list(tmp_path.iterdir()) == []
  assert convert.convert(old, str(tmp_path / 'new')) == STEP


def test_a_workdir_of_other_data_is_refused_with_what_to_write(trained, tmp_path):
  parts, _ = trained
  workdir_lib.write(tmp_path, parts.config, {**parts.contract, 'data': '0' * 16})
  with pytest.raises(ValueError, match=f'write {parts.contract["data"]} into contract.json'):
    workdir_lib.check_contract(tmp_path, parts.contract)


def test_a_workdir_is_not_written_over(old, tmp_path):
  (tmp_path / 'config.json').write_text('{}')
  with pytest.raises(ValueError, match='is a workdir already'):
    convert.convert(old, str(tmp_path))


def test_a_workdir_of_version_2_gains_the_choices_that_were_none(trained, tmp_path):
  parts, state = trained
  old, new = tmp_path / 'old', str(tmp_path / 'new')
  old.mkdir()
  config = without_later(workdir_lib.as_json(parts.config))
  (old / 'config.json').write_text(json.dumps(config))
  (old / 'contract.json').write_text(json.dumps({'version': 2, **parts.contract}))
  with contextlib.closing(checkpoint.Checkpoints(str(old))) as keeper:
    keeper.save(STEP, state)
  with pytest.raises(ValueError, match='launch.convert'):
    workdir_lib.load(str(old))
  assert convert.convert(str(old), new) == STEP
  workdir_lib.check_contract(new, parts.contract)
  assert workdir_lib.load(new).head.name == 'chunked'
  params = checkpoint.restore_params(new)[1]
  jax.tree.map(np.testing.assert_array_equal, params, dict(state.ema['denoiser']))


def test_keys_that_moved_are_where_they_are_now():
  config = {
    'blocks': {'name': 'tokens', 'stream': 'shifted'}, 'model': {'reach': 2},
    'data': {'name': 'latents', 'patch': 2}, 'codec': {'name': 'none'},
  }
  now = convert.converted_config(config, 1)
  assert now['blocks'] == {'name': 'tokens'} and now['model'] == {'reach': 2, 'shifted': True}
  assert now['data'] == {'name': 'latents'} and now['codec']['patch'] == 2
  assert now['recipe'] == {'name': 'plain'} and now['head']['name'] == 'chunked'
