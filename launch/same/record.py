"""Trains and samples one row with a checkout."""

import jax
import jax.numpy as jnp
import numpy as np

from launch.same import rows


def leaves_of(tree, group='', stored=lambda path, array: array) -> dict[str, np.ndarray]:
  """{'GROUP/PATH': array}, copied: a state's buffers are used again."""
  leaves = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    leaves[f'{group}/{name}' if group else name] = np.array(stored(name, np.array(leaf)))
  return leaves


def filled(adapter, tree, recorded, group):
  """The tree of parameters with the values that another record holds in a group."""
  found = {name: adapter.stored(name, value) for name, value in group_of(recorded, group).items()}
  own = leaves_of(tree)
  wrong = [name for name in sorted(own.keys() | found.keys())
           if name not in own or name not in found or own[name].shape != found[name].shape]
  if wrong:
    raise SystemExit(f'parameters of other names or shapes: {", ".join(wrong)}')
  values = iter([found[name] for name in own])
  return jax.tree.map(lambda leaf: jax.device_put(jnp.array(next(values)), leaf.sharding), tree)


def group_of(recorded, group) -> dict[str, np.ndarray]:
  """{path: array} of 'GROUP/path'."""
  return {key.partition('/')[2]: recorded[key] for key in recorded
          if key.partition('/')[0] == group}


def record_row(adapter, row, other=None) -> dict[str, np.ndarray]:
  """All numbers of a row; other: the record to start and to sample from."""
  config = adapter.config(row.file, row.argument)
  rows.tiny(adapter, config)
  for key, value in row.changes.items():
    adapter.set(config, key, value)
  parts = adapter.build(config)
  with adapter.device(parts):
    found = trained(adapter, parts, other)
    # Numbers are told as they are, trees as the checkout has them.
    ema = found.pop('')
    nats, level = adapter.bound(parts, ema)
    found |= {'bound/nats': nats, 'bound/level': level}
    for name, draw in rows.draws_of(row, config, adapter.facts(parts).classes).items():
      changed = config.copy_and_resolve_references()
      for key, value in draw.changes.items():
        adapter.set(changed, key, value)
      found |= drawn(adapter, adapter.build(changed, parts), ema, draw, f'draws/{name}')
  return {key: np.asarray(value) for key, value in found.items()}


def trained(adapter, parts, other):
  """Numbers of training; under '' the tree of averaged parameters to sample from."""
  state = adapter.start(parts)
  found = leaves_of(adapter.params(state), 'init', adapter.stored)
  if other is not None:
    start = lambda: filled(adapter, adapter.params(state), other, 'start')
    state = adapter.replaced(state, start(), start())
  found |= leaves_of(adapter.params(state), 'start', adapter.stored)
  update, batch_at = adapter.update(parts), adapter.batches(parts)
  lines = []
  for step in range(rows.STEPS):
    state, scalars = update(state, batch_at(step))
    lines.append(scalars)
  lines = jax.device_get(lines)
  found |= {f'scalars/{name}': np.stack([line[name] for line in lines]) for name in lines[0]}
  trees = {
    'params': adapter.params(state), 'ema': adapter.ema(state), **adapter.moments(state)}
  for name, tree in trees.items():
    found |= leaves_of(tree, name, adapter.stored)
  ema = adapter.ema(state)
  return found | {'': ema if other is None else filled(adapter, ema, other, 'ema')}


def drawn(adapter, parts, params, draw, name):
  """Samples of a draw, cached and by the definition, and the calls that the first ones needed."""
  facts, found = adapter.facts(parts), {}
  labels = np.full(rows.NUM, -1, np.int32)
  if facts.classes:
    labels[:-1] = np.arange(rows.NUM - 1) % facts.classes
  inputs = [params, adapter.keys(parts), labels]
  if draw.given:
    tokens = adapter.batches(parts)(1000)['tokens'][:rows.NUM]
    mask, lead, stop = rows.given_tokens(tokens, draw.stop, facts)
    inputs += [jnp.asarray(tokens), jnp.asarray(mask)]
  for way, cached in dict(cached=True, definition=False).items():
    if draw.given:
      run = adapter.walk(parts, cached, lead, stop)
    else:
      run = adapter.sampler(parts, cached)
    found[f'{name}/{way}'], calls = run(*inputs)
    if calls is not None:
      found[f'{name}/calls'] = calls
  return found
