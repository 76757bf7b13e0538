"""Our training step and our samplers beside PyTorch packages, on the cores of this process.

All networks are transformers of one depth and width on as many tokens and examples, in float32,
trained by AdamW (ours also clips the gradient and averages the parameters). Of a peer's two forms,
eager and torch.compile, the one whose call took less after a warm-up takes part; `form` names it.

FLOPs are those of the matrix products that a program computes, masked scores included: of ours
`adiff.cost`, of peers torch's counter. The matmul rate is the better one of JAX and PyTorch in this
run. `ours over peer` compares calls a second, at equal FLOPs FLOP/s; both are above one where ours
is faster. Samplers draw few samples at once and take a third of the rounds, at least two.

`equal task` is two_streams.py, our layers in plain PyTorch. flex_attention has no backward pass on
a CPU: AnyFlow-FAR, which asks for it, is given the dense product with the same mask.
"""

import importlib.metadata
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adiff import build, cost, generate
from benchmarks import turns
from configs import base, toy

try:
  import autoregressive_diffusion_pytorch as lucidrains
  import diffusers
  import torch
  import torch.nn.functional as F
  import x_transformers
  from diffusers.models.transformers import transformer_anyflow_far as far
  from torch.nn.attention.flex_attention import create_mask
  from torch.utils.flop_counter import FlopCounterMode

  from benchmarks import two_streams
except ImportError as error:
  raise SystemExit(
    f"The suite peers needs {error.name}: write python -m pip install 'adiff[bench]'"
  ) from error

DEPTH, HEAD = 6, 64  # layers, channels of a head
TOKENS, BATCH, BLOCKS = 256, 16, 4
SAMPLES = 4  # drawn together
LONG, LONG_BATCH = 1024, 2  # the equal task once more
CHANNELS, VOCAB = 4, 256  # a vector token is a patch of 2 x 2 x CHANNELS
STEPS = 25  # of a sampler, a block
SIDE = 1024  # of the matrices whose product gives the rate


def _attention_flops(q, k, v, *_, **__):
  return 4 * q[0] * q[1] * q[2] * k[2] * q[3]


# What torch's counter knows of the fused attention of a GPU only; recomputed scores do not count.
FUSED = {
  torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
  torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward:
    lambda grad, *shapes, **_: 2 * _attention_flops(*shapes),
}


class Candidate(NamedTuple):
  """One program of a task; `thunk` is a call of it."""

  peer: str
  form: str
  thunk: Callable
  parameters: int
  flops: float
  version: str
  remark: str = ''


def measure(task, candidates, rounds, limits, batch=None):
  """Rows of candidates that took turns; the first is ours. batch: samples a call makes."""
  times = turns.take_turns({one.peer: one.thunk for one in candidates}, rounds)
  square = torch.full((SIDE, SIDE), 1 / SIDE)
  limits.look(2 * SIDE**3 / min(_seconds(lambda: square @ square) for _ in range(20)))
  rows = []
  for one in candidates:
    row = {
      'task': task, 'peer': one.peer, 'form': one.form, 'M parameters': one.parameters / 1e6,
      **turns.summary(times[one.peer]), 'GFLOP': one.flops / 1e9,
    }
    if batch:
      row['s a sample'] = row['ms'] / 1e3 / batch
    row['GFLOP/s'] = 1e3 * row['GFLOP'] / row['ms']
    row['of the matmul rate'] = 1e9 * row['GFLOP/s'] / limits.rate
    if rows:
      row['ours over peer'] = turns.ratio(times[one.peer], times[candidates[0].peer])
      row['ours over peer at equal FLOPs'] = row['ours over peer'] * rows[0]['GFLOP'] / row['GFLOP']
    rows.append({**row, 'version': one.version, 'remark': one.remark})
  torch.compiler.reset()  # how often it compiles is limited a function, not a network
  return rows


def ours(row, width, *, tokens=None, batch=None, remark='', sample=False):
  """A row of configs/toy.py at the size of the suite: its training step or its sampler."""
  config = toy.get_config(row)
  tokens, batch = tokens or TOKENS, batch or BATCH
  config.data.num_tokens = tokens
  if config.process.name == 'gaussian':
    config.data.dim = 4 * CHANNELS
    base.choose(config, 'solver', 'first_order')
  else:
    config.data.vocab = VOCAB
  if config.draw.name == 'ones':
    config.blocks.stream = 'shifted'
  if config.blocks.name == 'equal':
    config.blocks.size = tokens // BLOCKS
  config.plan.steps = 1 if config.draw.name == 'ones' else STEPS
  config.model.width, config.model.depth, config.model.heads = width, DEPTH, width // HEAD
  config.train.batch_size = batch
  parts = build.build(config)
  key = jax.random.key(0)
  state = jax.jit(parts.recipe.init)(key)
  if sample:
    function = generate.make_sampler(parts)
    labels = generate.balanced_labels(parts.spec.num_classes, 0, batch)
    arguments = state.params, generate.example_keys(0, 0, batch), jnp.asarray(labels)
  else:
    function = parts.recipe.update
    rows = jnp.zeros_like(parts.process.prior(key, (batch, tokens)))
    arguments = state, {'tokens': rows, 'label': jnp.zeros(batch, jnp.int32)}, key
  flops = cost.count(function, *arguments).flops
  call = turns.call(turns.compiled(function, *arguments)[0], *arguments)
  size = sum(leaf.size for leaf in jax.tree.leaves(state.params))
  return Candidate('ours', 'jit', call, size, flops, f'jax {jax.__version__}', remark)


def peer(name, package, model, run, *, compiles=True, remark=''):
  """A peer: run(model) does the work; compiles: try torch.compile too."""
  forms = {'eager': lambda: run(model)}
  with FlopCounterMode(display=False, custom_mapping=FUSED) as counter:
    run(model)
  size = sum(weight.numel() for weight in model.parameters())
  if compiles:
    fast = torch.compile(model)
    try:
      run(fast)
      forms['compiled'] = lambda: run(fast)
    except Exception as error:  # of any stage of the compiler
      remark = '; '.join(filter(None, [remark, f'does not compile: {type(error).__name__}']))
  version = f'{package} {importlib.metadata.version(package)}'
  form = min(forms, key=lambda form: _seconds(forms[form]))
  return Candidate(name, form, forms[form], size, counter.get_total_flops(), version, remark)


def _seconds(thunk):
  begun = time.monotonic()
  thunk()
  return time.monotonic() - begun


def trained(name, package, model, loss, remark=''):
  """A peer's training step; loss(model) is a scalar."""
  optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

  def step(model):
    optimizer.zero_grad()
    loss(model).backward()
    optimizer.step()

  return peer(name, package, model, step, remark=remark)


def _noisy(x, blocks):
  """(noisy x, velocity, level [B, blocks]) of tokens x [B, N, D] on the cosine schedule."""
  level = torch.rand(len(x), blocks)
  angle = level.repeat_interleave(x.shape[1] // blocks, dim=1)[..., None] * torch.pi / 2
  noise, alpha, sigma = torch.randn_like(x), torch.cos(angle), torch.sin(angle)
  return alpha * x + sigma * noise, alpha * noise - sigma * x, level


def dit(width, sample=False):
  """Full attention, one stream."""
  side = 2 * round(TOKENS**0.5)
  model = diffusers.DiTTransformer2DModel(
    num_attention_heads=width // HEAD, attention_head_dim=HEAD, in_channels=CHANNELS,
    num_layers=DEPTH, sample_size=side, patch_size=2,
  )
  batch = SAMPLES if sample else BATCH
  images = torch.randn(batch, CHANNELS, side, side)
  labels = torch.zeros(batch, dtype=torch.long)
  schedule = diffusers.DDIMScheduler()
  schedule.set_timesteps(STEPS)

  def loss(model):
    noise, t = torch.randn_like(images), torch.randint(1000, (batch,))
    x = schedule.add_noise(images, noise, t)
    return F.mse_loss(model(x, timestep=t, class_labels=labels).sample, noise)

  @torch.no_grad()
  def draw(model):
    x = torch.randn_like(images)
    for t in schedule.timesteps:
      out = model(x, timestep=t.expand(batch), class_labels=labels).sample
      x = schedule.step(out, t, x).prev_sample

  which = 'diffusers DiTTransformer2DModel', 'diffusers', model
  return peer(*which, draw, remark=f'DDIM, {STEPS} steps') if sample else trained(*which, loss)


def _dense(query, key, value, *, attn_mask=None, scale=None, **_):
  """What AnyFlow-FAR asks of flex_attention, as a product that a CPU can differentiate."""
  q, k, v = (one.transpose(1, 2) for one in (query, key, value))
  return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, scale=scale).transpose(1, 2)


def anyflow(width, sample=False):
  """Two streams of frames, a frame a block."""
  far.dispatch_attention_fn = _dense
  side = 2 * round((TOKENS // BLOCKS) ** 0.5)
  batch = SAMPLES if sample else BATCH
  chunks, videos = [1] * BLOCKS, torch.randn(batch, BLOCKS, CHANNELS, side, side)
  model = diffusers.AnyFlowFARTransformer3DModel(
    num_attention_heads=width // HEAD, attention_head_dim=HEAD, in_channels=CHANNELS,
    out_channels=CHANNELS, text_dim=width, ffn_dim=4 * width, num_layers=DEPTH,
    full_chunk_limit=BLOCKS, chunk_partition=chunks,
  )
  text, clean = torch.zeros(batch, 1, width), torch.zeros(batch, BLOCKS)
  blocked = model.build_attention_mask

  def seen(**how):
    found = blocked(**how)
    return create_mask(found.mask_mod, None, None, *found.seq_lengths, device='cpu')

  both = seen(chunk_partition=chunks, height=side, width=side, has_clean_context=True)

  def loss(model):
    x, target, t = _noisy(videos.flatten(2), BLOCKS)
    out = model(
      x.view_as(videos), 1000 * t, 1000 * t, text, chunks, clean_hidden_states=videos,
      clean_timestep=clean, attention_mask=both,
    ).sample
    return F.mse_loss(out, target.view_as(videos))

  def draw(model):
    model.build_attention_mask = seen
    schedule = diffusers.FlowMapEulerDiscreteScheduler()
    pipeline = diffusers.AnyFlowFARPipeline(None, None, model, None, schedule)
    pipeline.set_progress_bar_config(disable=True)
    pipeline(
      prompt_embeds=text, height=8 * side, width=8 * side, num_frames=4 * BLOCKS - 3,
      num_inference_steps=STEPS, output_type='latent',
    )

  which = 'diffusers AnyFlowFARTransformer3DModel', 'diffusers', model
  remark = 'with cross-attention, to one text token'
  if sample:  # its cache makes the compiler begin anew in every block, up to its limit
    return peer(*which, draw, compiles=False, remark=f'{remark}; not compiled')
  return trained(*which, loss, remark)


def head(width, kind):
  """A causal trunk with a small denoiser a token."""
  model = kind(
    dim=width, max_seq_len=TOKENS, depth=DEPTH, dim_head=HEAD, heads=width // HEAD,
    mlp_width=width, dim_input=4 * CHANNELS, decoder_kwargs={'attn_flash': True},
  )
  x = torch.randn(BATCH, TOKENS, 4 * CHANNELS)
  return trained(
    f'lucidrains {kind.__name__}', 'autoregressive-diffusion-pytorch', model,
    lambda model: model(x), 'one stream; a small network denoises a token',
  )


def _x_transformer(width, kind):
  sizes = dict(dim=width, depth=DEPTH, heads=width // HEAD, attn_dim_head=HEAD)
  return x_transformers.TransformerWrapper(
    num_tokens=VOCAB + 1, max_seq_len=TOKENS, attn_layers=kind(**sizes, attn_flash=True)
  )


def next_token(width, sample=False):
  """Plain autoregression on symbols."""
  net = _x_transformer(width, x_transformers.Decoder)
  wrap = x_transformers.AutoregressiveWrapper
  x = torch.randint(VOCAB, (SAMPLES if sample else BATCH, TOKENS))
  which = 'x-transformers AutoregressiveWrapper', 'x-transformers', net
  if sample:
    return peer(*which, lambda net: wrap(net).generate(x[:, :1], TOKENS, cache_kv=True))
  return trained(*which, lambda net: wrap(net)(x), 'one stream')


def masked(width):
  """Masked symbols, full attention."""
  model = x_transformers.NonAutoregressiveWrapper(
    _x_transformer(width, x_transformers.Encoder), mask_id=VOCAB
  )
  x = torch.randint(VOCAB, (BATCH, TOKENS))
  which = 'x-transformers NonAutoregressiveWrapper', 'x-transformers', model
  return trained(*which, lambda model: model(x).loss)


def equal_task(width, tokens, batch, name, attend):
  """Two streams, our layers."""
  x = torch.randn(batch, tokens, 4 * CHANNELS)
  model = two_streams.TwoStreams(
    x.shape[-1], width, DEPTH, width // HEAD, tokens, BLOCKS, attend(tokens, BLOCKS)
  )

  def loss(model):
    noisy, target, level = _noisy(x, BLOCKS)
    return F.mse_loss(model(noisy, x, level), target)

  return trained(f'torch, {name}', 'torch', model, loss)


def suite(options, limits):
  """Rows by task and candidate; those of samplers take fewer rounds."""
  if options.width % HEAD:
    raise SystemExit(f'--width={options.width} must be a multiple of {HEAD}, the size of a head')
  torch.set_num_threads(len(os.sched_getaffinity(0)))  # as many as JAX takes
  torch.manual_seed(0)
  width = options.width
  rows = []
  heads = lucidrains.AutoregressiveDiffusion, lucidrains.AutoregressiveFlow
  tasks = {
    'step: one block': lambda: [ours('full-gaussian', width), dit(width)],
    'step: blocks': lambda: [ours('block-gaussian', width), anyflow(width)],
    'step: continuous tokens': lambda: [
      ours('ar_continuous', width, remark='two streams; the whole network denoises a token'),
      *(head(width, kind) for kind in heads),
    ],
    'step: next symbol': lambda: [ours('ar', width, remark='one stream'), next_token(width)],
    'step: masked symbols': lambda: [ours('full-masked', width), masked(width)],
    **{
      f'step: blocks, equal task, {tokens} tokens, batch {batch}': lambda t=tokens, b=batch: [
        ours('block-gaussian', width, tokens=t, batch=b),
        *(equal_task(width, t, b, *kind) for kind in two_streams.ATTENTION.items()),
      ]
      for tokens, batch in ((TOKENS, BATCH), (LONG, LONG_BATCH))
    },
  }
  for task, candidates in tasks.items():
    rows += measure(task, candidates(), options.rounds, limits)
  samplers = {
    'sample: one block': ('full-gaussian', dit),
    'sample: next symbol': ('ar', next_token),
    'sample: blocks': ('block-gaussian', anyflow),
  }
  for task, (row, kind) in samplers.items():
    pair = [ours(row, width, batch=SAMPLES, sample=True), kind(width, sample=True)]
    rows += measure(task, pair, max(2, options.rounds // 3), limits, SAMPLES)
  return rows
