"""Families of image generators over codes and over scales: rows of configs/generators.py."""

from configs import base

# codecs {DATA: the row of configs/tokenizer.py that trains what config.codec.workdir names}
ROWS = {
  'vqgan_ar': dict(
    about='codes of a trained codec one after another (VQGAN)',
    steps=dict(digits=1930, mnist=1910, cifar10=1440),
    codecs=dict(digits='digits_vq', mnist='mnist_vq', cifar10='cifar10_vq'),
  ),
  'var': dict(
    about='scales of codes, each in one call (VAR); of digits scales of pixels',
    steps=dict(digits=830, mnist=1490, cifar10=775),
    codecs=dict(mnist='mnist_multiscale', cifar10='cifar10_multiscale'),
  ),
  'infinity': dict(
    about='likewise, a logit a bit, trained to make up for mistakes in coarser scales (Infinity)',
    steps=dict(digits=1810, mnist=1745, cifar10=905),
    codecs=dict(digits='digits_signs', mnist='mnist_signs', cifar10='cifar10_signs'),
  ),
  'flowar': dict(
    about='scales of pixels, each by flow matching in a head over the whole scale (FlowAR)',
    steps=dict(digits=1120), codecs={},
  ),
}
PIXELS = (1, 2, 4, 8)  # sides of pictures of digits
SIDES = dict(digits=(1, 2, 4), mnist=(1, 2, 4, 7), cifar10=(1, 2, 3, 4, 6, 8))  # of codes


def codec_of(argument):
  """The row of configs/tokenizer.py that an argument FAMILY-DATA needs, or None."""
  family, _, data = argument.partition('-')
  return ROWS.get(family, {}).get('codecs', {}).get(data)


def vqgan_ar(c, data):
  """One stream in raster order, guided in logits (VQGAN, arXiv:2012.09841)."""
  base.choose(c, 'codec', 'trained')
  base.choose(c, 'blocks', 'tokens')
  _in_one_call(c, data)
  c.model.shifted = True


def var(c, data):
  """One stream of hints, a scale a call (VAR, arXiv:2404.02905)."""
  _scales(c, data)
  if data == 'digits':
    base.choose(c, 'codec', 'pyramid', sides=PIXELS, discrete=True)
    c.blocks.sides, c.train.batch_size = PIXELS, 32  # 85 tokens


def infinity(c, data):
  """The same stream; up to three tenths of the coarser bits are flipped as finer scales read them
  (Infinity, arXiv:2412.04431)."""
  _scales(c, data)
  base.choose(c, 'head', 'bits')
  c.train.requantise = 0.3


def flowar(c, data):
  """A trunk that is called once a scale, and a head that makes the scale of noise in small steps
  (FlowAR, arXiv:2412.15205)."""
  del data
  base.choose(c, 'codec', 'pyramid', sides=PIXELS)
  base.choose(c, 'blocks', 'scales', sides=PIXELS)
  _in_one_call(c, 'digits')
  base.choose(c, 'process', 'masked_vectors', schedule='flow', prediction='flow', eta=0.0)
  base.choose(
    c, 'head', 'diffusion', width=64, depth=3, together=4, multiply=1, steps=16, solver='heun'
  )
  c.model.hinted, c.guidance.first, c.train.batch_size = 'alone', 1.0, 16
  c.eval.samples = 16


def var_d16(c):
  """VAR-d16: 200 epochs of codes that --mode=encode has made; the guidance of the last scale adds
  1.5 times what the label tells."""
  base.choose(c, 'data', 'encoded')
  base.choose(c, 'codec', 'trained')
  base.choose(c, 'blocks', 'scales', sides=(1, 2, 3, 4, 5, 6, 8, 10, 13, 16))
  base.choose(
    c, 'model', 'denoiser', width=1024, depth=16, heads=16, modulated='layers', hinted='alone',
    dtype='bfloat16', attention='kernel', remat='layers',
  )
  _symbols(c)
  c.guidance.first, c.guidance.scale = 1.0, 2.5
  c.truncation.top_k, c.truncation.top_p = 900, 0.96
  c.optim.learning_rate, c.optim.b2, c.optim.weight_decay = 3e-4, 0.95, 0.05
  c.optim.warmup, c.optim.final, c.optim.clip = 6000, 0.1, 2.0
  c.train.steps, c.train.batch_size, c.train.ema = 333_000, 768, 0.9999
  c.train.eval_every = c.train.checkpoint_every = 5000
  c.eval.batch_size, c.eval.examples, c.eval.num = 256, 4096, 256


def _scales(c, data):
  """Guidance grows from none at the first scale on, as VAR's."""
  base.choose(c, 'codec', 'trained')
  base.choose(c, 'blocks', 'scales', sides=SIDES[data])
  _in_one_call(c, data)
  c.model.hinted, c.guidance.first = 'alone', 1.0


def _in_one_call(c, data):
  _symbols(c)
  c.train.batch_size, c.train.ema = 64 if data == 'digits' else 32, 0.99
  c.guidance.scale = c.guidance.first = 1.2 if data == 'digits' else 1.5


def _symbols(c):
  """Each made in one call; the bound is the likelihood itself."""
  base.choose(c, 'process', 'masked')
  base.choose(c, 'draw', 'ones')
  base.choose(c, 'spacing', 'linear')
  base.choose(c, 'solver', 'first_order')
  c.plan.steps, c.eval.samples, c.eval.steps = 1, 1, ()
