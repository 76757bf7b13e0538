"""The PyTorch packages of benchmarks/peers.py, in a process of their own.

`prepare` makes a program and says what it is, `call` calls it: by name and number, so that another
process can ask.
"""

import copy
import importlib.metadata
import os
import time

import autoregressive_diffusion_pytorch as lucidrains
import diffusers
import torch
import torch.nn.functional as F
import x_transformers
from autoregressive_diffusion_pytorch import autoregressive_diffusion
from diffusers.models.transformers import transformer_anyflow_far as far
from torch.nn.attention.flex_attention import create_mask
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import images, two_streams
from benchmarks.peers import BATCH, BLOCKS, CHANNELS, DEPTH, HEAD, SAMPLES, STEPS, TOKENS, VOCAB

SIDE = 1024  # of the matrices whose product gives the rate

_programs = []  # of the task at hand


def prepare(kind, *arguments, **how) -> dict:
  """Makes a program by the function of this name; peers.Candidate's fields but for `thunk`, and its
  `number`."""
  torch.set_num_threads(len(os.sched_getaffinity(0)))  # as many as JAX takes
  torch.manual_seed(0)
  thunk, facts = globals()[kind](*arguments, **how)
  _programs.append(thunk)
  return {**facts, 'number': len(_programs) - 1}


def call(number):
  """One call."""
  _programs[number]()


def clear():
  """Forgets all programs."""
  _programs.clear()
  torch.compiler.reset()  # how often it compiles is limited a function, not a network


def matmul_rate() -> float:
  """FLOP/s of one large product."""
  square = torch.full((SIDE, SIDE), 1 / SIDE)
  return 2 * SIDE**3 / min(_seconds(lambda: square @ square) for _ in range(20))


def _attention_flops(q, k, v, *_, **__):
  return 4 * q[0] * q[1] * q[2] * k[2] * q[3]


# What torch's counter knows of the fused attention of a GPU only; recomputed scores do not count.
FUSED = {
  torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
  torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward:
    lambda grad, *shapes, **_: 2 * _attention_flops(*shapes),
}


def peer(name, package, model, run, *, compiles=True, compiled=torch.compile, remark=''):
  """(thunk, facts) of run(model), which does the work; compiles: try `compiled` of the model too.
  """
  forms = {'eager': lambda: run(model)}
  with FlopCounterMode(display=False, custom_mapping=FUSED) as counter:
    run(model)
  size = sum(weight.numel() for weight in model.parameters())
  seconds = 0.0
  if compiles:
    fast = compiled(model)
    try:
      seconds = _seconds(lambda: run(fast))
      forms['compiled'] = lambda: run(fast)
    except Exception as error:  # of any stage of the compiler
      remark = '; '.join(filter(None, [remark, f'does not compile: {type(error).__name__}']))
  form = min(forms, key=lambda form: _seconds(forms[form]))
  return forms[form], {
    'peer': name, 'form': form, 'parameters': size, 'flops': counter.get_total_flops(),
    'version': f'{package} {importlib.metadata.version(package)}', 'remark': remark,
    'compiling': seconds,
  }


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
    mask = blocked(**how)
    return create_mask(mask.mask_mod, None, None, *mask.seq_lengths, device='cpu')

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
  """A causal trunk with a small denoiser a token; kind: a class of lucidrains'."""
  model = getattr(lucidrains, kind)(
    dim=width, max_seq_len=TOKENS, depth=DEPTH, dim_head=HEAD, heads=width // HEAD,
    mlp_width=width, dim_input=4 * CHANNELS, decoder_kwargs={'attn_flash': True},
  )
  x = torch.randn(BATCH, TOKENS, 4 * CHANNELS)
  return trained(
    f'lucidrains {kind}', 'autoregressive-diffusion-pytorch', model,
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


def equal_task(width, tokens, batch, name):
  """Two streams, our layers; name: of an attention."""
  x = torch.randn(batch, tokens, 4 * CHANNELS)
  model = two_streams.TwoStreams(
    x.shape[-1], width, DEPTH, width // HEAD, tokens, BLOCKS,
    two_streams.ATTENTION[name](tokens, BLOCKS),
  )

  def loss(model):
    noisy, target, level = _noisy(x, BLOCKS)
    return F.mse_loss(model(noisy, x, level), target)

  return trained(f'torch, {name}', 'torch', model, loss)


# ---- benchmarks/images.py ------------------------------------------------------------------------


UNET = 'diffusers UNet2DModel', 'diffusers'


def _unet(width, call):
  """(the U-Net whose layers are ours, its layout in memory: the one whose `call` takes less)."""
  widths = images.unet_widths(width)
  down, up = ['ResnetDownsampleBlock2D'] * len(widths), ['ResnetUpsampleBlock2D'] * len(widths)
  down[images.ATTEND], up[-1 - images.ATTEND] = 'AttnDownBlock2D', 'AttnUpBlock2D'
  model = diffusers.UNet2DModel(
    sample_size=images.SIDE, in_channels=images.COLOURS, out_channels=images.COLOURS,
    block_out_channels=widths, layers_per_block=2, down_block_types=down, up_block_types=up,
    attention_head_dim=HEAD, norm_num_groups=8, attn_norm_num_groups=8, num_class_embeds=2,
    resnet_time_scale_shift='scale_shift', downsample_type='resnet', upsample_type='resnet',
  )
  layouts = {
    'channels first': model,
    'channels last': copy.deepcopy(model).to(memory_format=torch.channels_last),
  }
  for one in layouts.values():
    call(one)
  layout = min(layouts, key=lambda name: _seconds(lambda: call(layouts[name])))
  return layouts[layout], layout


def _pictures(batch):
  """(noise [B, C, H, W], labels [B])."""
  noise = torch.randn(batch, images.COLOURS, images.SIDE, images.SIDE)
  return noise, torch.zeros(batch, dtype=torch.long)


def unet_step(width, batch):
  """A U-Net's training step."""
  (pictures, labels), schedule = _pictures(batch), diffusers.DDIMScheduler()

  def loss(model):
    noise, t = torch.randn_like(pictures), torch.randint(1000, (batch,))
    x = schedule.add_noise(pictures, noise, t)
    return F.mse_loss(model(x, t, class_labels=labels).sample, noise)

  model, layout = _unet(width, lambda model: loss(model).backward())
  return trained(*UNET, model, loss, layout)


def unet(width, batch):
  """A U-Net's sampler."""
  (noise, labels), schedule = _pictures(batch), diffusers.DDIMScheduler()
  schedule.set_timesteps(images.STEPS)

  @torch.inference_mode()
  def draw(model):
    x = torch.randn_like(noise)
    for t in schedule.timesteps:
      out = model(x, t, class_labels=labels).sample
      x = schedule.step(out, t, x).prev_sample

  model, layout = _unet(width, draw)
  return peer(*UNET, model, draw, remark=layout)


def codes(width, batch):
  """Plain autoregression on symbols, with the cache."""
  net = x_transformers.TransformerWrapper(
    num_tokens=images.VOCAB + 1, max_seq_len=images.TOKENS, attn_layers=x_transformers.Decoder(
      dim=width, depth=images.DEPTH, heads=width // HEAD, attn_dim_head=HEAD, attn_flash=True)
  ).eval()
  start = torch.zeros(batch, 1, dtype=torch.long)

  @torch.inference_mode()
  def draw(net):
    x_transformers.AutoregressiveWrapper(net).eval().generate(start, images.TOKENS, cache_kv=True)

  return peer('x-transformers AutoregressiveWrapper', 'x-transformers', net, draw)


def vectors(width, batch):
  """Autoregression on vectors, with the cache, each by the small denoiser."""
  autoregressive_diffusion.tqdm = lambda steps, **_: steps  # two bars a token take time, too
  model = lucidrains.AutoregressiveDiffusion(
    dim=width, max_seq_len=images.TOKENS, depth=images.DEPTH, dim_head=HEAD, heads=width // HEAD,
    mlp_width=width, dim_input=images.DIM, decoder_kwargs={'attn_flash': True},
    diffusion_kwargs={'num_sample_steps': images.SMALL},
  ).eval()

  def compiled(model):
    fast = copy.deepcopy(model)
    fast.denoiser.compile()  # most of the calls, all of one shape
    return fast

  return peer(
    'lucidrains AutoregressiveDiffusion', 'autoregressive-diffusion-pytorch', model,
    torch.inference_mode()(lambda model: model.sample(batch_size=batch)), compiled=compiled,
  )
