"""Networks of diffusers at our weights, and ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn import denoiser, unet
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions

MISSING = 'the peers extra (torch, diffusers) is not installed'
torch = pytest.importorskip('torch', reason=MISSING)
diffusers = pytest.importorskip('diffusers', reason=MISSING)
embeddings = pytest.importorskip('diffusers.models.embeddings', reason=MISSING)
processor = pytest.importorskip('diffusers.models.attention_processor', reason=MISSING)


def loaded(module, weights):
  """The module of torch with these weights {name: array}, all of them."""
  module.load_state_dict({name: torch.tensor(np.asarray(w).copy()) for name, w in weights.items()})
  return module.eval()


def linear(of, name):
  """Weights of a Linear of torch, called so, of {'kernel', 'bias'} of a Dense or DenseGeneral."""
  kernel = of['kernel'].reshape(of['kernel'].shape[0], -1)
  return {f'{name}.weight': kernel.T} | ({f'{name}.bias': of['bias']} if 'bias' in of else {})


def convolution(of, name):
  return {f'{name}.weight': np.transpose(of['kernel'], (3, 2, 0, 1)), f'{name}.bias': of['bias']}


def group_norm(of, name):
  return {f'{name}.weight': of['scale'], f'{name}.bias': of['bias']}


def residual(of, name):
  """Weights of a ResnetBlock2D of those of a conv.Block."""
  beside = {'kernel': of['beside']['kernel'][None, None], 'bias': of['beside']['bias']} if (
    'beside' in of) else None
  return {
    **group_norm(of['first_norm'], f'{name}.norm1'), **convolution(of['first'], f'{name}.conv1'),
    **linear(of['signal'], f'{name}.time_emb_proj'),
    **group_norm(of['second_norm'], f'{name}.norm2'), **convolution(of['second'], f'{name}.conv2'),
    **(convolution(beside, f'{name}.conv_shortcut') if beside else {}),
  }


def attending(of, name):
  """Weights of an Attention of those of a conv.Attention, whose products have no bias."""
  found = {**group_norm(of['norm'], f'{name}.group_norm'), **linear(of['out'], f'{name}.to_out.0')}
  for part in 'qkv':
    found |= linear({**of[part], 'bias': np.zeros(len(of[part]['kernel']))}, f'{name}.to_{part}')
  return {key: weight.astype(np.float32) for key, weight in found.items()}


def unet_weights(params, model):
  """Weights of UNet2DModel of those of a unet.Unet."""
  found = {
    **convolution(params['in'], 'conv_in'), **convolution(params['out'], 'conv_out'),
    **group_norm(params['norm'], 'conv_norm_out'),
    **linear(params['level']['hidden'], 'time_embedding.linear_1'),
    **linear(params['level']['out'], 'time_embedding.linear_2'),
    'class_embedding.weight': params['label']['row']['embedding'],
    **residual(params['middle_0'], 'mid_block.resnets.0'),
    **attending(params['middle_attention'], 'mid_block.attentions.0'),
    **residual(params['middle_1'], 'mid_block.resnets.1'),
  }
  last = len(model.widths) - 1
  for level in range(last + 1):
    places = {
      f'there_{level}': (f'down_blocks.{level}', model.blocks),
      f'back_{level}': (f'up_blocks.{last - level}', model.blocks + 1),
    }
    for own, (theirs, count) in places.items():
      for i in range(count):
        found |= residual(params[f'{own}_{i}'], f'{theirs}.resnets.{i}')
        if level in model.attend:
          found |= attending(params[f'{own}_{i}_attention'], f'{theirs}.attentions.{i}')
    if level < last:
      found |= residual(params[f'halve_{level}'], f'down_blocks.{level}.downsamplers.0')
    if level:
      found |= residual(params[f'double_{level}'], f'up_blocks.{last - level}.upsamplers.0')
  return found


def test_the_unet_is_that_of_diffusers_at_equal_weights():
  side, widths, labels = 8, (16, 24, 32), np.array([2, -1, 0])
  conds = {'label': conditions.Label(4)}
  model = unet.Unet(3, 5, (side, side), conds, widths=widths, blocks=2, attend=(1,), head_width=8)
  whole = blocks_lib.whole(side * side)
  slots = whole.slots(np.zeros((side * side, 2)))
  rng = np.random.default_rng(6)
  x = rng.normal(size=(3, side * side, 3)).astype(np.float32)
  t = np.array([0.07, 0.5, 0.93], np.float32)

  def ask(x, t):
    return ask_lib.Ask(
      x, t, slots, cond={'label': jnp.broadcast_to(labels[:, None], (3, side * side))})

  shapes = jax.eval_shape(lambda key: model.init(key, ask(x, t[:, None])), jax.random.key(0))
  params = jax.tree.map(lambda leaf: (0.5 * (leaf.ndim == 1) + rng.normal(size=leaf.shape) * (
    0.3 if leaf.ndim == 1 else np.prod(leaf.shape[:-1]) ** -0.5)).astype(np.float32), shapes)
  found = jax.jit(lambda params, x, t: model.denoise(params)(ask(x, t)).out)(params, x, t[:, None])

  plain, plain_up = 'ResnetDownsampleBlock2D', 'ResnetUpsampleBlock2D'
  theirs = diffusers.UNet2DModel(
    sample_size=side, in_channels=3, out_channels=5, block_out_channels=widths, layers_per_block=2,
    down_block_types=(plain, 'AttnDownBlock2D', plain),
    up_block_types=(plain_up, 'AttnUpBlock2D', plain_up), attention_head_dim=8,
    norm_num_groups=8, attn_norm_num_groups=8, norm_eps=1e-6, num_class_embeds=5,
    resnet_time_scale_shift='scale_shift', downsample_type='resnet', upsample_type='resnet',
  )
  wide = 4 * widths[0]  # more features of the level than its default
  theirs.time_proj = embeddings.Timesteps(wide, True, 0)
  theirs.time_embedding = embeddings.TimestepEmbedding(wide, wide)
  loaded(theirs, unet_weights(params, model))
  with torch.no_grad():
    image = torch.tensor(x.reshape(3, side, side, 3).transpose(0, 3, 1, 2))
    out = theirs(image, torch.tensor(1000 * t), torch.tensor(np.where(labels < 0, 4, labels)))
  expected = out.sample.numpy().transpose(0, 2, 3, 1).reshape(3, -1, 5)
  assert np.abs(expected).max() > 0.5
  np.testing.assert_allclose(found, expected, atol=1e-4)


def opposite(leaf):
  """The leaf with features in pairs of opposite sign, whose mean is 0."""
  first = leaf[..., ::2]
  return np.stack([first, -first], -1).reshape(leaf.shape)


def dit_params(model, ask, rng):
  """Random parameters of a denoiser whose features keep a mean of 0, so that RMSNorm is LayerNorm:
  all that is added to them comes in pairs of opposite sign, and pairs share a gate."""

  def paired(leaf):  # shift, scale, gate of the attention, then of the MLP
    parts = np.split(leaf, 6, axis=-1)
    for gate in (2, 5):
      parts[gate] = np.repeat(parts[gate][..., ::2], 2, axis=-1)
    return np.concatenate(parts, axis=-1)

  def fill(path, leaf):
    name = '/'.join(part.key for part in path)
    size = max(leaf.shape[-2], 8) if leaf.ndim > 1 else 8
    made = rng.normal(size=leaf.shape) * size ** -0.5
    if name.endswith(('norm_q/scale', 'norm_k/scale')):
      return 1 + made
    if name.endswith('scale'):
      return np.ones(leaf.shape)
    if name.startswith('position'):
      return np.zeros(leaf.shape)
    if name.startswith('token') or name.endswith(('attention_out/kernel', 'mlp_out/kernel')):
      return opposite(made)
    gated = name.startswith('modulation/') or name.endswith('/modulation')
    return paired(made) if gated else made

  shapes = jax.eval_shape(lambda key: model.init(key, ask), jax.random.key(0))
  found = jax.tree_util.tree_map_with_path(fill, shapes)
  return jax.tree.map(lambda leaf: leaf.astype(np.float32), found)


def dit_block(params, own, name):
  """Weights of a BasicTransformerBlock of those of a layer and of what all layers share."""
  shared = params['modulation']
  qkv, gate_and_up = own['qkv']['kernel'], own['mlp_in']['kernel']
  width = len(qkv)
  return {
    **linear(params['level']['hidden'], f'{name}.norm1.emb.timestep_embedder.linear_1'),
    **linear(params['level']['out'], f'{name}.norm1.emb.timestep_embedder.linear_2'),
    f'{name}.norm1.emb.class_embedder.embedding_table.weight': params['label']['row']['embedding'],
    f'{name}.norm1.linear.weight': shared['kernel'].T,
    f'{name}.norm1.linear.bias': shared['bias'] + own['modulation'],
    **{f'{name}.attn1.to_{part}.weight': qkv[:, i].reshape(width, -1).T
       for i, part in enumerate('qkv')},
    f'{name}.attn1.norm_q.weight': own['norm_q']['scale'],
    f'{name}.attn1.norm_k.weight': own['norm_k']['scale'],
    f'{name}.attn1.to_out.0.weight': own['attention_out']['kernel'].reshape(-1, width).T,
    f'{name}.ff.net.0.proj.weight': np.concatenate([gate_and_up[:, 1], gate_and_up[:, 0]], 1).T,
    f'{name}.ff.net.2.weight': own['mlp_out']['kernel'].T,
    f'{name}.ff.net.0.proj.bias': np.zeros(2 * gate_and_up.shape[2], np.float32),
    f'{name}.ff.net.2.bias': np.zeros(width, np.float32),
  }


def test_the_denoiser_is_the_dit_of_diffusers_at_weights_that_both_can_have():
  # DiT with a gated MLP and normalised queries and keys, whose layers share their embeddings of
  # level and label. Places are told in the input, and rotary positions are all 0.
  side, channels, width, heads, depth = 4, 3, 32, 2, 3
  num, dim, labels = side * side, 4 * channels, np.array([2, -1, 0])
  model = denoiser.Denoiser(
    dim + num, dim, {'label': conditions.Label(4)}, width=width, depth=depth, heads=heads,
    mlp_ratio=6.0,
  )
  slots, rng = blocks_lib.whole(num).slots(np.zeros((num, 1))), np.random.default_rng(8)
  x = rng.normal(size=(3, num, dim)).astype(np.float32)
  places = np.broadcast_to(np.eye(num, dtype=np.float32), (3, num, num))
  t = np.array([[0.07], [0.5], [0.93]], np.float32)

  def ask(x, t):
    cond = {'label': jnp.broadcast_to(labels[:, None], (3, num))}
    return ask_lib.Ask(jnp.concatenate([x, places], axis=-1), t, slots, cond=cond)

  params = dit_params(model, ask(x, t), rng)
  found = jax.jit(lambda params, x, t: model.denoise(params)(ask(x, t)).out)(params, x, t)

  theirs = diffusers.DiTTransformer2DModel(
    num_attention_heads=heads, attention_head_dim=width // heads, in_channels=channels,
    num_layers=depth, sample_size=2 * side, patch_size=2, activation_fn='swiglu',
    attention_bias=False, num_embeds_ada_norm=4, norm_eps=1e-6,
  )
  token = params['token']['vector']
  kernel = token['kernel'][:dim].reshape(2, 2, channels, width)
  weights = {
    'pos_embed.proj.weight': kernel.transpose(3, 2, 0, 1), 'pos_embed.proj.bias': token['bias'],
    **linear(params['modulation_out'], 'proj_out_1'), **linear(params['out'], 'proj_out_2'),
  }
  for i, layer in enumerate(theirs.transformer_blocks):
    layer.norm1.emb.time_proj = embeddings.Timesteps(width, True, 0)
    layer.norm1.emb.timestep_embedder = embeddings.TimestepEmbedding(width, width)
    layer.attn1 = processor.Attention(
      width, heads=heads, dim_head=width // heads, bias=False, out_bias=False, qk_norm='rms_norm',
      eps=1e-6,
    )
    own = params['last_layer']
    if i < depth - 1:
      own = jax.tree.map(lambda leaf, i=i: leaf[i], params['layers'])
    weights |= dit_block(params, own, f'transformer_blocks.{i}')
  theirs.pos_embed.pos_embed = torch.tensor(token['kernel'][None, dim:].copy())
  loaded(theirs, weights)
  patches = x.reshape(3, side, side, 2, 2, channels)
  image = patches.transpose(0, 5, 1, 3, 2, 4).reshape(3, channels, 2 * side, 2 * side)
  with torch.no_grad():
    out = theirs(
      torch.tensor(image), torch.tensor(1000 * t[:, 0]),
      torch.tensor(np.where(labels < 0, 4, labels)),
    ).sample.numpy()
  out = out.reshape(3, channels, side, 2, side, 2).transpose(0, 2, 4, 3, 5, 1)
  expected = out.reshape(3, num, dim)
  assert np.abs(expected).max() > 0.5
  np.testing.assert_allclose(found, expected, atol=1e-4)
