r"""Codecs that are trained: between pictures and codes, for any generator.

  python -m adiff.main --config=configs/tokenizer.py:debug --workdir=runs/codec
  python -m adiff.main --config=configs/tokenizer.py:mnist_fsq --config.data.data_dir=DIR \
      --workdir=runs/fsq
  python -m adiff.main --config=configs/images.py:mnist --config.data.data_dir=DIR \
      --config.codec.name=trained --config.codec.workdir=runs/fsq --config.process.name=masked \
      --config.solver.name=first_order --workdir=runs/generator

mnist and cifar10: DIR holds NAME/VERSION as TFDS lays it out; folder: pictures of any size, cut to
64x64. Behind _ stands the quantiser. A codec is trained on the tokens of config.codec, small
patches: they are the strided stem of its networks. Sized for two cores and minutes.

  python -m adiff.main --mode=dryrun --topology=v5e:8x8 \
      --config=configs/tokenizer.py:imagenet256_var --config.data.data_dir=DIR

imagenet256: grids, widths, codes and codebooks are the published ones, in networks of ours: every
grid has blocks of one number in both directions, and grids change by a fold and a product.
docs/tokenizers.md has the parameters of both beside each other.
"""

import ml_collections

from configs import base

ROWS = {
  'mnist_vae': dict(about='28x28 grey pixels to 7x7, vectors of 4 floats'),
  'mnist_vq': dict(about='28x28 grey pixels to 7x7, codes of 10 bits from a codebook'),
  'mnist_fsq': dict(about='28x28 grey pixels to 7x7, codes of 10 bits, rounded'),
  'mnist_bits': dict(about='28x28 grey pixels to 7x7, codes of 10 bits, signs'),
  'mnist_multiscale': dict(about='28x28 grey pixels to 1x1 .. 7x7, codes of 10 bits'),
  'mnist_signs': dict(about='28x28 grey pixels to 1x1 .. 7x7, codes of 10 bits, signs'),
  'cifar10_vae': dict(about='32x32 pixels to 8x8, vectors of 8 floats'),
  'cifar10_vq': dict(about='32x32 pixels to 8x8, codes of 10 bits from a codebook'),
  'cifar10_fsq': dict(about='32x32 pixels to 8x8, codes of 10 bits, rounded'),
  'cifar10_bits': dict(about='32x32 pixels to 8x8, codes of 10 bits, signs'),
  'cifar10_multiscale': dict(about='32x32 pixels to 1x1 .. 8x8, codes of 10 bits'),
  'cifar10_signs': dict(about='32x32 pixels to 1x1 .. 8x8, codes of 10 bits, signs'),
  'folder_vae': dict(about='pictures of any size, cut to 64x64 pixels, to 8x8 vectors of 8 floats'),
  'folder_vq': dict(about='pictures of any size, cut to 64x64 pixels, to 8x8 codes of 10 bits'),
  'folder_fsq': dict(about='pictures of any size, cut to 64x64 pixels, to 8x8 codes of 10 bits'),
  'folder_bits': dict(about='pictures of any size, cut to 64x64 pixels, to 8x8 codes of 10 bits'),
  'folder_multiscale': dict(about='pictures of any size, cut to 64x64 pixels, to 1x1 .. 8x8 codes'),
  'shapes_vq': dict(about='32x32 pixels of shapes to 8x8, codes of 11 bits from a codebook'),
  'shapes_fsq': dict(about='32x32 pixels of shapes to 8x8, codes of 10 bits, rounded'),
  'digits_vq': dict(about="scikit-learn's digits to 4x4, codes of 7 bits from a codebook"),
  'digits_signs': dict(about="scikit-learn's digits to 1x1 .. 4x4, codes of 7 bits, signs"),
  'debug': dict(about="scikit-learn's digits, 8x8 pixels to 4x4, codes of 7 bits, seconds"),
}
PUBLISHED = {  # on 256x256 pixels: features of each grid, and what stands between the networks
  'imagenet256_sd': dict(
    about='to 32x32, vectors of 4 floats (Stable Diffusion, arXiv:2112.10752)',
    widths=(128, 256, 512, 512), quantiser='vae', of=dict(dim=4, kl=5e-9),
  ),
  'imagenet256_mar': dict(
    about='to 16x16, vectors of 16 floats (MAR, arXiv:2406.11838)',
    widths=(128, 128, 256, 256, 512), quantiser='vae', of=dict(dim=16, kl=1e-9),
  ),
  'imagenet256_vqgan': dict(
    about='to 16x16, 16,384 vectors of 256 floats (VQGAN, arXiv:2012.09841)',
    widths=(128, 128, 256, 256, 512), quantiser='vq', of=dict(vocab=16384, dim=256),
  ),
  'imagenet256_llamagen': dict(
    about='to 16x16, 16,384 vectors of 8 floats and length 1 (LlamaGen, arXiv:2406.06525)',
    widths=(128, 128, 256, 256, 512), quantiser='vq', of=dict(vocab=16384, dim=8, cosine=True),
  ),
  'imagenet256_var': dict(
    about='to 1x1 .. 16x16, 4,096 vectors of 32 floats (VAR, arXiv:2404.02905)',
    widths=(160, 160, 320, 320, 640), quantiser='multiscale',
    of=dict(sides=(1, 2, 3, 4, 5, 6, 8, 10, 13, 16), vocab=4096, dim=32),
  ),
  'imagenet256_infinity': dict(
    about='to 1x1 .. 16x16, 16 signs (as of Infinity, arXiv:2412.04431)',
    widths=(128, 128, 256, 256, 512), quantiser='multiscale',
    of=dict(sides=(1, 2, 4, 6, 8, 12, 16), vocab=2**16, dim=16, signs=True),
  ),
}
ROWS |= {name: dict(about=f'ImageNet {row["about"]}') for name, row in PUBLISHED.items()}
QUANTISERS = {
  'vae': dict(dim=4, kl=1e-4),
  'vq': dict(vocab=1024, dim=8),
  'fsq': dict(levels=(8, 5, 5, 5)),
  'bits': dict(bits=10, entropy=0.01, commitment=0.05),
  'multiscale': dict(vocab=1024, dim=8),
  'signs': dict(vocab=1024, dim=10, signs=True),  # of multiscale
}
DATA = '--config.data.data_dir=DIR'
MADE = ('debug', 'digits_vq', 'digits_signs', 'shapes_vq', 'shapes_fsq')  # without a folder
EXPECTED = {
  **{name: base.expect('cores', flags='' if name in MADE else DATA) for name in ROWS},
  **{name: base.expect('v5e:8x8', flags=DATA) for name in PUBLISHED},
  'mnist_vae': base.expect(
    'cores', minutes=5, commit='d2f5e01', flags=DATA, psnr=(30.3, 0.5),
    read_alike_convolutional=(0.999, 0.01), latent_mean=(0.0, 0.15), latent_deviation=(0.0, 0.15),
  ),
  **{f'mnist_{quantiser}': base.expect(
    'cores', minutes=5, commit=commit, flags=DATA, psnr=(psnr, 0.5), codes_share=(share, 0.05),
    read_alike_convolutional=(alike, 0.01),
  ) for quantiser, commit, psnr, share, alike in (
    ('vq', 'beb8f9f', 27.6, 0.999, 0.996), ('fsq', 'd2f5e01', 27.3, 0.967, 0.996),
    ('bits', 'd2f5e01', 24.7, 0.947, 0.99), ('multiscale', 'beb8f9f', 26.4, 1.0, 0.994),
  )},
}
ARGUMENTS = tuple(ROWS)
UNUSED = ('blocks', 'process', 'draw', 'spacing', 'solver', 'head', 'model')  # by a codec


def get_config(argument='debug'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    known = ', '.join(ARGUMENTS)
    raise ValueError(f'configs/tokenizer.py has no {argument!r}; write one of {known}')
  c = base.get_config()
  c.name = f'tokenizer {argument}'
  with c.unlocked():
    for kind in UNUSED:
      c[kind] = ml_collections.ConfigDict(dict(name=''))
  data, _, quantiser = argument.partition('_')
  if data == 'debug':
    return _debug(c)
  if argument in PUBLISHED:
    return _published(c, **PUBLISHED[argument])
  scales = quantiser in ('multiscale', 'signs')
  base.choose(c, 'quantiser', 'multiscale' if scales else quantiser, **QUANTISERS[quantiser])
  if data == 'digits':
    return _digits(c)
  if scales:
    c.quantiser.sides = (1, 2, 4, 7) if data == 'mnist' else (1, 2, 3, 4, 6, 8)  # 1,300 bits
  elif quantiser == 'vae' and data != 'mnist':
    c.quantiser.dim = 8
  base.choose(c, 'recipe', 'autoencoder')
  base.choose(c, 'codec', 'patches', patch=2)
  if data == 'folder':
    base.choose(c, 'data', 'image_folder', size=64)
    base.choose(c, 'coder', 'conv', widths=(32, 64, 96))
  elif data == 'shapes':
    base.choose(c, 'data', 'shapes', parts=('image',))
    base.choose(c, 'codec', 'patches', patch=4)
    base.choose(c, 'coder', 'conv', widths=(96,), local=True)
    if quantiser == 'vq':
      c.quantiser.vocab = 2048
  else:
    base.choose(c, 'data', 'tfds', dataset=data)
    base.choose(c, 'coder', 'conv', widths=(32, 64) if data == 'mnist' else (64, 96))
  if data == 'cifar10' and scales:  # half the time of a step
    base.choose(c, 'codec', 'patches', patch=4)
    base.choose(c, 'coder', 'conv', widths=(96,))
  c.train.steps = 1200 if data == 'mnist' else 2000
  c.train.batch_size, c.train.ema = 64, 0.995
  c.train.log_every, c.train.eval_every, c.train.checkpoint_every = 20, 500, 500
  c.train.flip = data in ('cifar10', 'folder')
  c.optim.learning_rate, c.optim.warmup, c.optim.weight_decay = 2e-3, 100, 0.0
  c.eval.examples, c.eval.num = 2000, 2000
  c.eval.features = data not in ('folder', 'shapes')
  return c.lock()


def _digits(c):
  """Half a minute."""
  base.choose(c, 'data', 'digits')
  base.choose(c, 'codec', 'patches', patch=1)
  base.choose(c, 'coder', 'conv', widths=(16, 32))
  base.choose(c, 'recipe', 'autoencoder')
  c.quantiser.vocab = 128
  if c.quantiser.name == 'multiscale':
    c.quantiser.sides, c.quantiser.dim = (1, 2, 4), 7
  c.train.steps, c.train.batch_size, c.train.ema = 600, 64, 0.99
  c.train.log_every, c.train.eval_every, c.train.checkpoint_every = 20, 300, 300
  c.optim.learning_rate, c.optim.warmup, c.optim.weight_decay = 3e-3, 50, 0.0
  c.eval.num, c.eval.features = 360, True
  return c.lock()


def _published(c, about, widths, quantiser, of):
  """Days on a pod. Weights of kl are those of the papers, of sums over a picture, as means."""
  del about
  base.choose(c, 'data', 'tfds', dataset='imagenet256')
  base.choose(c, 'codec', 'patches', patch=1)
  base.choose(c, 'coder', 'conv', widths=widths, blocks=3, attention=True, dtype='bfloat16')
  base.choose(c, 'quantiser', quantiser, **of)
  base.choose(
    c, 'recipe', 'adversarial', start=20_000, critic_widths=(64, 128, 256, 512)
  )
  c.train.steps, c.train.batch_size, c.train.ema, c.train.flip = 200_000, 256, 0.999, True
  c.train.eval_every = c.train.checkpoint_every = 5000
  c.optim.learning_rate, c.optim.warmup, c.optim.weight_decay = 1e-4, 1000, 0.0
  c.eval.examples, c.eval.num = 5000, 5000
  return c.lock()


def _debug(c):
  """Seconds on a core."""
  base.choose(c, 'data', 'digits')
  base.choose(c, 'codec', 'patches', patch=1)
  base.choose(c, 'coder', 'conv', widths=(8, 16))
  base.choose(c, 'quantiser', 'fsq', levels=(5, 5, 5))
  base.choose(c, 'recipe', 'autoencoder')
  c.train.steps, c.train.batch_size, c.train.ema, c.optim.warmup = 60, 32, 0.9, 10
  c.train.log_every, c.train.eval_every, c.train.checkpoint_every = 10, 30, 30
  c.optim.learning_rate, c.optim.weight_decay = 4e-3, 0.0
  c.eval.examples, c.eval.num = 64, 64
  return c.lock()
