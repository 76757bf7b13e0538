r"""Families of image generators beside each other, at equal cost: FAMILY-DATA.

  python -m adiff.main --config=configs/generators.py:gan-toy --workdir=runs/gan
  python -m adiff.main --config=configs/generators.py:unet-digits --workdir=runs/unet
  python -m adiff.main --config=configs/generators.py:mar-digits --workdir=runs/mar
  python -m adiff.main --config=configs/generators.py:gan-mnist --config.data.data_dir=DIR \
      --workdir=runs/gan_mnist

  python -m adiff.main --config=configs/tokenizer.py:digits_signs --workdir=runs/digits_signs
  python -m adiff.main --config=configs/generators.py:infinity-digits \
      --config.codec.workdir=runs/digits_signs --workdir=runs/infinity

toy: a square of 25 Gaussians on a plane, without labels; the report counts those that are covered.
digits: 8x8 pixels of 17 levels, 5.2 TFLOP of training, as much as configs/digits.py:short takes.
mnist, cifar10: 28x28 grey and 32x32 colour pixels, 12 TFLOP; DIR holds NAME/VERSION as TFDS lays it
out. Sized for two cores and minutes. Families over codes (configs/coded.py) need a workdir that has
trained them: coded.ROWS names the row of configs/tokenizer.py. Rows of ImageNet size stand in
configs/imagenet256.py.
"""

from configs import base, coded, digits, images

# steps {DATA: number}: the rows that a family has, and their steps of training
ROWS = {
  'gan': dict(
    about='a network that makes the picture of noise in one call, against a critic',
    steps=dict(toy=4000, digits=2480, mnist=1660),
  ),
  'dit': dict(
    about='the picture as one block, denoised step by step by a transformer',
    steps=dict(toy=2900, digits=4750, mnist=1320, cifar10=975),
  ),
  'flow': dict(
    about='likewise, along straight lines: rectified flow',
    steps=dict(digits=4750, mnist=1320, cifar10=975),
  ),
  'unet': dict(
    about='likewise, by a U-Net instead of a transformer',
    steps=dict(digits=1600, mnist=1070, cifar10=783),
  ),
  'block': dict(
    about='strips or quarters one after another, given clean ones before',
    steps=dict(digits=2500, mnist=735, cifar10=582),
  ),
  'acdit': dict(
    about='square blocks, given clean ones before (ACDiT)',
    steps=dict(digits=740, mnist=2480, cifar10=2390),
  ),
  'xar': dict(
    about='square blocks, given noisy ones before (xAR)',
    steps=dict(digits=1170, mnist=4030, cifar10=3850),
  ),
  'frequency': dict(
    about='frequencies one after another, low to high',
    steps=dict(digits=2500, mnist=735, cifar10=537),
  ),
  'mar': dict(
    about='a few tokens of one block in each call, sampled by a head (MAR)',
    steps=dict(digits=1250, mnist=778),
  ),
  'mar_causal': dict(
    about='token by token in a random order, likewise, with a cache',
    steps=dict(digits=1120, mnist=703),
  ),
  'maskgit': dict(
    about='grey levels of one block, the surest first (MaskGIT)', steps=dict(digits=574, mnist=149),
  ),
  'pixelcnn': dict(
    about='grey levels one after another, by causal convolutions',
    steps=dict(digits=1800, mnist=1300),
  ),
  'pixel_ar': dict(
    about='likewise, by a causal transformer', steps=dict(digits=464, mnist=178),
  ),
  **coded.ROWS,
}
FLAGS = dict(toy='', digits='')  # of data that no folder holds


def _expected(family, data):
  """The entry of a row that nobody has measured."""
  flags = [FLAGS.get(data, '--config.data.data_dir=DIR')]
  flags += ['--config.codec.workdir=RUN'] if coded.codec_of(f'{family}-{data}') else []
  return base.expect('cores', flags=' '.join(filter(None, flags)))


EXPECTED = {
  **{f'{family}-{data}': _expected(family, data) for family, row in ROWS.items()
     for data in row['steps']},
  'gan-toy': base.expect(
    'cores', minutes=3, commit='9bf7d30', modes=(25.0, 1.0), energy=(0.0, 0.01),
  ),
  'dit-toy': base.expect('cores', minutes=3, commit='9bf7d30', modes=(25.0, 1.0)),
}
ARGUMENTS = tuple(EXPECTED)


def get_config(argument='gan-toy'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    known = ', '.join(ARGUMENTS)
    raise ValueError(f'configs/generators.py has no {argument!r}; write one of {known}')
  family, _, data = argument.partition('-')
  c = _toy() if data == 'toy' else _pictures(data)
  c.name = f'generators {argument}'
  c.train.steps, c.train.log_every = ROWS[family]['steps'][data], 100
  MAKE[family](c, data)
  return c.lock()


# ---- Data: where a family begins, one block of vectors that a transformer denoises ---------------


def _toy():
  c = base.get_config().unlock()
  base.choose(c, 'data', 'mixture', num_tokens=1, dim=2, components=25, grid=True, labelled=False)
  base.choose(c, 'blocks', 'whole')
  base.choose(c, 'process', 'gaussian', clip=0.0)
  base.choose(c, 'solver', 'heun')
  base.choose(c, 'model', 'denoiser', width=128, depth=3, heads=4)
  c.plan.steps, c.optim.learning_rate, c.cond_dropout = 32, 2e-3, 0.0
  c.train.batch_size, c.eval.batch_size, c.eval.num, c.eval.steps = 256, 512, 2048, ()
  c.train.eval_every = c.train.checkpoint_every = 1000
  return c


def _pictures(data):
  """Patches of 4x4 pixels."""
  if data == 'digits':
    c = digits.get_config('whole').unlock()
    c.train.eval_every = c.train.checkpoint_every = 800
    return c
  c = images.get_config(f'{data}-laptop').unlock()
  base.choose(c, 'blocks', 'whole')
  c.codec.patch, c.guidance.scale, c.guidance.first = 4, 1.0, 1.0
  c.train.eval_every = c.train.checkpoint_every = 500
  c.eval.examples, c.eval.num, c.eval.batch_size = 2000, 2000, 256
  return c


# ---- Families: what each changes -----------------------------------------------------------------


def _dit(c, data):
  """Nothing (DiT, arXiv:2212.09748)."""


def _flow(c, data):
  """Straight lines from noise to data (arXiv:2209.03003), by Euler's steps."""
  c.process.schedule = c.process.prediction = 'flow'
  base.choose(c, 'spacing', 'linear')
  base.choose(c, 'solver', 'first_order')
  c.plan.steps, c.eval.steps = 16, (4, 8, 16)


def _unet(c, data):
  c.codec.patch = 1 if data == 'digits' else 2
  base.choose(c, 'model', 'unet', widths=(24, 48), blocks=1, head_width=24)
  c.model.dropout = 0.2 if data == 'digits' else 0.0
  c.plan.steps, c.optim.learning_rate = 16, 2e-3
  c.train.batch_size, c.train.ema = 64, 0.99


def _gan(c, data):
  """R3GAN's losses (arXiv:2501.05441); b1 = 0, as there."""
  c.process.prediction, c.plan.steps, c.cond_dropout = 'x0', 1, 0.0
  base.choose(c, 'solver', 'first_order')
  base.choose(c, 'recipe', 'gan')
  c.optim.b1, c.optim.weight_decay, c.optim.warmup = 0.0, 0.0, 100
  c.optim.learning_rate, c.optim.final, c.train.ema = 1e-3, 0.1, 0.999
  if data == 'toy':
    base.choose(c, 'model', 'generator', latent=2, widths=(128,), blocks=2)
    c.recipe.critic_widths, c.recipe.critic_blocks = (128,), 2
    c.recipe.penalty_weight = 0.1
  else:
    c.codec.patch = 1 if data == 'digits' else 2
    base.choose(c, 'model', 'generator', latent=64, widths=(32, 64), blocks=1)
    c.recipe.critic_widths, c.recipe.critic_blocks = (16, 32), 1
    c.recipe.penalty_weight = 1.0
    c.guidance.scale = c.guidance.first = 1.0
    c.train.batch_size, c.eval.steps = 64, ()


# ---- Blocks


def _block(c, data):
  """Digits: configs/digits.py:short. Strips of seven patches, quarters of pictures in colour."""
  if data == 'digits':
    base.choose(c, 'blocks', 'tokens')
  elif data == 'mnist':
    base.choose(c, 'blocks', 'equal', size=7)
  else:
    base.choose(c, 'blocks', 'cells', cell=(4, 4))


def _acdit(c, data):
  """Four quarters, with the schedule of configs/imagenet256.py:acdit_xl (arXiv:2412.07720)."""
  _quarters(c, data)
  c.process.schedule = 'linear'


def _xar(c, data):
  """The same quarters, each as noisy as it is for those after it (xAR, arXiv:2502.20388)."""
  _quarters(c, data)
  c.history, c.atoms.zero = None, 0.05  # a noisy past, and clean ones as sampling has them
  c.process.schedule, c.process.eta = 'flow', 1.0
  base.choose(c, 'draw', 'logit_normal')
  base.choose(c, 'solver', 'first_order')


def _quarters(c, data):
  """Four by four patches, a quarter of them a block."""
  c.codec.patch = dict(digits=2, mnist=7, cifar10=8)[data]
  base.choose(c, 'blocks', 'cells', cell=(2, 2))


def _frequency(c, data):
  """As many blocks as `block` has, or twice; the numbers are standardised, not bounded."""
  base.choose(c, 'codec', 'frequencies', size=16)
  if data == 'digits':
    base.choose(c, 'blocks', 'tokens')
  else:
    base.choose(c, 'blocks', 'equal', size=7 if data == 'mnist' else 8)
  c.process.clip = 0.0


# ---- Vectors that a head samples


def _mar(c, data):
  """Eight calls reveal the tokens by the cosine, in a random order."""
  _vectors(c, data)
  base.choose(c, 'spacing', 'cosine')
  base.choose(c, 'solver', 'scheduled')
  c.model.apart, c.plan.steps = True, 8


def _mar_causal(c, data):
  """The same tokens in a random order, the same for all pictures; a call each."""
  _vectors(c, data)
  base.choose(c, 'blocks', 'shuffled')
  base.choose(c, 'draw', 'ones')
  base.choose(c, 'solver', 'first_order')
  c.model.shifted, c.plan.steps, c.eval.steps = True, 1, ()


def _vectors(c, data):
  c.codec.patch = 2 if data == 'digits' else 4
  base.choose(c, 'process', 'masked_vectors')
  base.choose(c, 'head', 'diffusion', width=64, depth=3)
  c.guidance.scale = c.guidance.first = 1.2
  c.train.batch_size, c.train.ema = 64, 0.99


# ---- Grey levels as symbols


def _maskgit(c, data):
  """MaskGIT (arXiv:2202.04200), of pixels."""
  _levels(c, data)
  base.choose(c, 'spacing', 'cosine')
  base.choose(c, 'solver', 'scheduled', choose='confidence')
  c.plan.steps = 8


def _pixelcnn(c, data):
  """PixelCNN++'s law of a level (arXiv:1701.05517); the bound is the likelihood itself."""
  _one_by_one(c, data)
  base.choose(c, 'head', 'logistics')
  base.choose(c, 'model', 'pixelcnn', width=32, depth=4)
  c.model.dropout = 0.2 if data == 'digits' else 0.0
  c.guidance.scale = c.guidance.first = 1.0
  c.optim.learning_rate, c.train.ema = 2e-3, 0.99


def _pixel_ar(c, data):
  """A stream of pixels, as Image GPT reads it (Chen et al., ICML 2020)."""
  _one_by_one(c, data)
  c.model.shifted = True


def _one_by_one(c, data):
  _levels(c, data)
  base.choose(c, 'blocks', 'tokens')
  base.choose(c, 'draw', 'ones')
  base.choose(c, 'solver', 'first_order')
  c.plan.steps, c.eval.samples, c.eval.steps = 1, 1, ()


def _levels(c, data):
  base.choose(c, 'codec', 'patches', patch=1, discrete=True)
  base.choose(c, 'process', 'masked')
  base.choose(c, 'spacing', 'linear')
  c.train.batch_size = 64 if data == 'digits' else 16
  if data != 'digits':
    c.eval.num = 500


MAKE = dict(
  gan=_gan,
  dit=_dit,
  flow=_flow,
  unet=_unet,
  block=_block,
  acdit=_acdit,
  xar=_xar,
  frequency=_frequency,
  mar=_mar,
  mar_causal=_mar_causal,
  maskgit=_maskgit,
  pixelcnn=_pixelcnn,
  pixel_ar=_pixel_ar,
  vqgan_ar=coded.vqgan_ar,
  var=coded.var,
  infinity=coded.infinity,
  flowar=coded.flowar,
)
