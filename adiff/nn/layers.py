"""The layers of the denoiser, a group after another.

Layers of a group read as far back, each group in a cache of its own: one scan a group. All layers
but the last have their parameters in one stack, whatever the groups; the last one makes queries of
the wanted slots alone.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from adiff.nn import attention, block, layout, network, rotary
from adiff.nn import cache as cache_lib
from adiff.sequence import values


def through(trunk: nn.Module, h, ask, modulation, lengths, wanted, key) -> tuple[jax.Array, list]:
  """(h of the wanted slots, [(keys, values)] of every layer and all slots). trunk: the module whose
  parameters the layers are; the rest as denoiser.Trunk has it."""
  of, slots = trunk.of, ask.slots
  turns = rotary.turns(slots.coords, of.width // of.heads, base=of.rotary_base)
  sizes = dict(
    width=of.width, heads=of.heads, mlp_ratio=of.mlp_ratio, dropout=of.dropout,
    dtype=jnp.dtype(of.dtype), lengths=lengths, modulates=of.modulated == block.LAYERS,
  )
  remembered, given = _remembered(of, ask)
  groups = _groups(of, ask.cache)
  cached = [
    pair for group, cache in groups for pair in (
      [None] * (group.end - group.first) if cache is None else zip(cache.k, cache.v, strict=True)
    )
  ]
  keys = None if key is None else jax.random.split(key, of.depth)

  def own(part):
    """What these layers, or one, have of their own."""
    stacked = cached[part]
    if isinstance(part, slice):
      stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *stacked)
    recalled = jax.tree.map(lambda leaf: leaf[part], remembered)
    return block.Own(stacked, recalled, None if keys is None else keys[part])

  fresh = []
  for group, cache in groups:
    inner = slice(group.first, min(group.end, of.depth - 1))
    if inner.start < inner.stop:
      seen = _seen(of, group, cache, slots, slots)
      shared = block.Shared(modulation, turns, seen, _shown(given))
      if inner.start == 0 and trunk.is_initializing():
        _make(sizes, of.depth - 1, h, own(slice(0, of.depth - 1)), shared)
      stack = trunk.get_variable('params', network.STACK)
      params = jax.tree.map(lambda leaf, inner=inner: leaf[inner], stack)
      h, written = _scanned(of, sizes, params, h, own(inner), shared)
      count = inner.stop - inner.start
      fresh += [jax.tree.map(lambda leaf, i=i: leaf[i], written) for i in range(count)]
  queries = jax.tree.map(lambda leaf: leaf[..., slice(*wanted)], slots._replace(coords=None))
  given = None if given is None else given[:, slice(*wanted)]
  seen = _seen(of, *groups[-1], queries, slots)
  last_layer = _recomputed(of)(**sizes, wanted=wanted, name='last_layer')
  h, written = last_layer(h, own(-1), block.Shared(modulation, turns, seen, _shown(given)))
  return h, [*fresh, written]


def written(of: network.Network, ask, fresh) -> tuple[cache_lib.Cache, ...]:
  """The caches behind a call whose `fresh` keys and values are kept: those that it read with them
  at their end, or new ones."""
  def behind(group, cache):
    own = fresh[group.first:group.end]
    if cache is None:
      return cache_lib.begun(own, ask.slots, ask.keep)
    return cache_lib.append(
      cache, own, ask.slots, ask.keep, reach=group.reach, sinks=group.sinks
    )

  return tuple(
    behind(group, cache) for group, cache in _groups(of, ask.cache) if group.keeps
  )


def groups_of(depth, reach, sinks) -> tuple[network.Group, ...]:
  """The groups of `depth` layers; arguments as Denoiser has them. Raises ValueError for others."""
  counted = reach if isinstance(reach, tuple) else ((depth, reach),)
  pinned = sinks if isinstance(sinks, tuple) else (sinks,) * len(counted)
  if sum(num for num, _ in counted) != depth or len(pinned) != len(counted):
    raise ValueError(
      f'model.reach={values.shown(reach)} and model.sinks={values.shown(sinks)} must say of all '
      f'model.depth={depth} layers how far they read; write (layers, reach) of each group, from '
      'the first layer on, and one number of sinks or as many'
    )
  groups, first = [], 0
  for (num, own), own_sinks in zip(counted, pinned, strict=True):
    groups.append(network.Group(first, first + num, own, own_sinks))
    first += num
  return tuple(groups)


def _make(sizes, length, h, own, shared):
  """The parameters of the stack."""
  nn.scan(
    block.Block, variable_axes={'params': 0}, split_rngs={'params': True},
    in_axes=(0, nn.broadcast), length=length,
  )(**sizes, name=network.STACK)(h, own, shared)


def _scanned(of, sizes, params, h, own, shared):
  """(h, (keys, values) [layers, ..]) after layers with these parameters."""
  layer = block.Block(**sizes, parent=None)

  def apply(params, h, own, shared):
    return layer.apply({'params': params}, h, own, shared)

  recompute = of.remat != 'none'
  if recompute:
    apply = jax.checkpoint(apply, prevent_cse=False, policy=block.REMAT[of.remat])

  def one(h, layer):
    return apply(layer[0], h, layer[1], shared)

  length = len(jax.tree.leaves(params)[0])
  # what is recomputed must stay in a loop
  return jax.lax.scan(one, h, (params, own), length=length, unroll=1 if recompute else length)


def _recomputed(of):
  """The class of the last layer."""
  if of.remat == 'none':
    return block.Block
  return nn.remat(block.Block, prevent_cse=False, policy=block.REMAT[of.remat])


def _groups(of, caches):
  """[(group, its cache or None)]."""
  own = iter(() if caches is None else caches)
  return [(group, next(own, None) if group.keeps else None) for group in of.groups]


def _seen(of, group, cache, queries, slots):
  """What queries see, in layers of a group, of its cache and of the call's own slots."""
  pieces = (slots,) if cache is None else (cache.slots, slots)
  shape = layout.local_heads(of.heads), of.width // of.heads
  head = jax.ShapeDtypeStruct(shape, jnp.dtype(of.dtype)) if of.attention == 'kernel' else None
  return attention.visible(queries, pieces, group.reach, group.sinks, head=head)


def _remembered(of, ask):
  """((keys, values) [layers, P, H, R, D] of all memories, bool [B, S, R] who sees them: the null
  row of each always); (None, None) where there are none."""
  recalled = [ask.cond[name] for name in of.memories]
  if not recalled:
    return None, None
  keys = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=3), *(
    one.keys for one in recalled
  ))
  beside = ((0, 0), (0, 0), (1, 0))
  given = [jnp.pad(one.mask, beside, constant_values=True) for one in recalled]
  return keys, jnp.concatenate(given, axis=2)


def _shown(given) -> attention.Seen | None:
  """What slots see of memories."""
  return None if given is None else attention.shown(given, given.shape[-1])
