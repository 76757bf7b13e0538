"""From nothing to a number, small: get, prepare, encode, train, evaluate. As whole runs of the
binary, on two processes: launch/soak_chain.py."""

import types

import jax
import numpy as np
from encoding import encoder, on

from adiff.data import batches, prepare, tfds
from adiff.machine import files, sharding
from adiff.run import build, encode, evaluate, judging
from configs import base, images
from launch import soak_chain


def config_of(**data):
  c = images.get_config('cifar10').copy_and_resolve_references().unlock()
  base.choose(c, 'data', 'tfds', **data)
  c.codec.patch, c.blocks.cell = 4, (1, 1)
  c.model.width, c.model.depth, c.model.heads, c.optim.warmup = 16, 1, 2, 0
  c.train.batch_size = c.eval.batch_size = 8
  c.train.steps, c.eval.examples = 3, 0
  return c.lock()


def test_a_host_that_looks_while_another_one_begins_goes_on(tmp_path, monkeypatch):
  raw, out, look = tmp_path / 'raw' / '1.0.0', tmp_path / 'data' / 'waves', files.check_replaceable
  soak_chain.made_up(raw, {'train': (5, 5), 'validation': (2,)})
  words = [f'--train={raw}:train', f'--test={raw}:validation', f'--out={out}', '--size=8']

  def begun_by_another(path, names):
    monkeypatch.setattr(files, 'check_replaceable', look)
    prepare.main([*words, '--shard=0/2'])
    look(path, names)

  monkeypatch.setattr(files, 'check_replaceable', begun_by_another)
  prepare.main([*words, '--shard=1/2'])
  made = tfds.Tfds('waves', str(out.parent))
  assert (made.size('train'), made.size('test')) == (10, 2)


def test_a_prepared_set_is_what_samples_are_compared_with(tmp_path):
  raw, out = tmp_path / 'raw' / '1.0.0', tmp_path / 'data' / 'waves'
  soak_chain.made_up(raw, {'train': (5, 5), 'validation': (2,)})
  prepare.main([f'--train={raw}:train', f'--test={raw}:validation', f'--out={out}', '--size=8'])
  made = types.SimpleNamespace(images=np.zeros((4, 8, 8, 3), np.uint8), where='samples')
  source = tfds.Tfds('waves', str(out.parent), 8)
  for place in (out, next(out.glob('1.*'))):
    real = judging._of_folder(str(place), made, None)
    assert (real.split, real.shape, real.size('train')) == ('test', (8, 8, 3), 10)
    ours, theirs = (one.examples('test', np.arange(2)) for one in (real, source))
    for key in ('example', 'label'):
      np.testing.assert_array_equal(ours[key], theirs[key])


def test_records_are_prepared_encoded_trained_on_and_judged_as_if_encoded_on_the_way(tmp_path):
  raw, out = tmp_path / 'raw' / '1.0.0', tmp_path / 'data' / 'waves'
  soak_chain.made_up(raw, {'train': (20, 20), 'validation': (10,)})
  words = [f'--train={raw}:train', f'--test={raw}:validation', f'--out={out}', '--size=8']
  prepare.main(words)
  workdir, pixels = encoder(
    tmp_path / 'encoder', config_of(dataset='waves', data_dir=str(out.parent))
  )
  encode.encode(workdir, tmp_path / 'tokens', batch=8)
  tokens = build.build(on(tmp_path / 'tokens', pixels.config))
  start, update = jax.jit(pixels.recipe.init)(jax.random.key(0)), jax.jit(pixels.recipe.update)
  ended = []
  for parts in (pixels, tokens):
    state, losses = start, []
    fed = batches.Batches(parts.coded, 'train', 8, seed=1, blocks=parts.blocks)
    for step in range(3):
      state, scalars = update(state, fed.batch_at(step), jax.random.key(step + 1))
      losses.append(float(scalars['loss']))
    ended.append((losses, state))
  assert ended[0][0] == ended[1][0] and len(set(ended[0][0])) == 3
  jax.tree.map(np.testing.assert_array_equal, ended[0][1].params, ended[1][1].params)
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  bound = evaluate.Bound(tokens, mesh)(tokens.recipe.served(ended[1][1]), samples=1)
  assert bound['num_examples'] == 10 and 0 < bound['bits_per_dim'] < 20
