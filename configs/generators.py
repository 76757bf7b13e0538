r"""Families of image generators beside each other, at equal cost: FAMILY-DATA.

  python -m adiff.main --config=configs/generators.py:gan-toy --workdir=runs/gan
  python -m adiff.main --config=configs/generators.py:unet-digits --workdir=runs/unet
  python -m adiff.main --config=configs/generators.py:mar-digits --workdir=runs/mar
  python -m adiff.main --config=configs/generators.py:gan-mnist --config.data.data_dir=DIR \
      --workdir=runs/gan_mnist

toy: a square of 25 Gaussians on a plane, without labels; the report counts those that are covered.
digits: 8x8 pixels of 17 levels. mnist: 28x28 grey pixels; DIR holds NAME/VERSION as TFDS lays it
out. Sized for two cores and minutes.
"""

from configs import base

# steps {DATA: number}: the rows that a family has, and their steps of training
ROWS = {
  'gan': dict(
    about='a network that makes the picture of noise in one call, against a critic',
    steps=dict(toy=4000, mnist=3000),
  ),
  'diffusion': dict(
    about='the picture as one block, denoised step by step',
    steps=dict(toy=2900, mnist=2400),  # FLOPs of the GAN's
  ),
  'unet': dict(
    about='likewise, by a U-Net instead of a transformer', steps=dict(digits=1600, mnist=1200),
  ),
  'mar': dict(
    about='a few tokens of one block in each call, sampled by a head (MAR)',
    steps=dict(digits=1250),
  ),
  'mar_causal': dict(
    about='token by token in a random order, likewise, with a cache', steps=dict(digits=1120),
  ),
  'pixelcnn': dict(
    about='grey levels one after another, by causal convolutions',
    steps=dict(digits=1800, mnist=700),
  ),
}
FLAGS = dict(mnist='--config.data.data_dir=DIR', cifar10='--config.data.data_dir=DIR')
EXPECTED = {
  **{
    f'{family}-{data}': base.expect('cores', flags=FLAGS.get(data, ''))
    for family, row in ROWS.items() for data in row['steps']
  },
  'gan-toy': base.expect(
    'cores', minutes=3, commit='9bf7d30', modes=(25.0, 1.0), energy=(0.0, 0.01),
  ),
  'diffusion-toy': base.expect('cores', minutes=3, commit='9bf7d30', modes=(25.0, 1.0)),
}
ARGUMENTS = tuple(EXPECTED)


def get_config(argument='gan-toy'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    known = ', '.join(ARGUMENTS)
    raise ValueError(f'configs/generators.py has no {argument!r}; write one of {known}')
  family, _, data = argument.partition('-')
  c = base.get_config()
  c.name = f'generators {argument}'
  base.choose(c, 'blocks', 'whole')
  base.choose(c, 'process', 'gaussian')
  c.train.steps, c.train.log_every = ROWS[family]['steps'][data], 100
  if data == 'toy':
    _toy(c)
  elif data == 'digits':
    _digits(c)
  else:
    _pictures(c, data)
  MAKE[family](c, data)
  return c.lock()


# ---- Data ----------------------------------------------------------------------------------------


def _toy(c):
  base.choose(c, 'data', 'mixture', num_tokens=1, dim=2, components=25, grid=True, labelled=False)
  c.process.clip = 0.0
  c.cond_dropout = 0.0
  c.train.batch_size, c.eval.batch_size, c.eval.num, c.eval.steps = 256, 512, 2048, ()
  c.train.eval_every = c.train.checkpoint_every = 1000


def _digits(c):
  base.choose(c, 'data', 'digits')
  base.choose(c, 'codec', 'patches', patch=1)
  c.train.batch_size, c.eval.batch_size, c.eval.num, c.eval.steps = 64, 360, 1797, ()
  c.train.eval_every = c.train.checkpoint_every = 800
  c.eval.samples, c.eval.features = 16, True


def _pictures(c, dataset):
  base.choose(c, 'data', 'tfds', dataset=dataset)
  base.choose(c, 'codec', 'patches', patch=2)
  c.train.batch_size, c.eval.batch_size, c.eval.num, c.eval.steps = 64, 256, 2000, ()
  c.train.eval_every = c.train.checkpoint_every = 500
  c.eval.examples, c.eval.features = 2000, True


# ---- Families: what each changes -----------------------------------------------------------------


def _gan(c, data):
  """R3GAN's losses (arXiv:2501.05441); b1 = 0, as there."""
  c.process.prediction, c.plan.steps, c.cond_dropout = 'x0', 1, 0.0
  base.choose(c, 'solver', 'first_order')
  base.choose(c, 'recipe', 'gan')
  c.optim.b1, c.optim.schedule, c.optim.weight_decay, c.optim.warmup = 0.0, 'cosine', 0.0, 100
  c.optim.learning_rate, c.optim.final = 1e-3, 0.1
  c.train.ema = 0.999
  if data == 'toy':
    base.choose(c, 'model', 'generator', latent=2, widths=(128,), blocks=2)
    c.recipe.critic_widths, c.recipe.critic_blocks = (128,), 2
    c.recipe.penalty_weight = 0.1
  else:
    base.choose(c, 'model', 'generator', latent=64, widths=(32, 64), blocks=1)
    c.recipe.critic_widths, c.recipe.critic_blocks = (16, 32), 1
    c.recipe.penalty_weight = 1.0


def _diffusion(c, data):
  base.choose(c, 'solver', 'heun' if data == 'toy' else 'multistep')
  c.plan.steps = 32
  c.optim.learning_rate = 2e-3
  if data == 'toy':
    base.choose(c, 'model', 'denoiser', width=128, depth=3, heads=4)
  else:
    c.codec.patch = 4
    c.process.prediction = 'x0'
    base.choose(c, 'model', 'denoiser', width=96, depth=4, heads=4)
    c.plan.steps, c.train.ema = 16, 0.99


def _unet(c, data):
  base.choose(c, 'solver', 'multistep')
  base.choose(c, 'model', 'unet', widths=(24, 48), blocks=1, head_width=24)
  c.plan.steps, c.train.ema = 16, 0.99
  c.optim.learning_rate = 2e-3
  if data == 'digits':
    base.choose(c, 'spacing', 'power', exponent=2.0)
    c.guidance.scale = c.guidance.first = 1.2
    c.model.dropout = 0.2
  else:
    c.process.prediction = 'x0'


def _mar(c, data):
  """16 tokens of 2x2 pixels: eight calls reveal them by the cosine, in a random order."""
  _vectors(c)
  base.choose(c, 'spacing', 'cosine')
  base.choose(c, 'solver', 'scheduled')
  c.model.apart, c.plan.steps = True, 8


def _mar_causal(c, data):
  """The same tokens in a random order, the same for all pictures; a call each."""
  _vectors(c)
  base.choose(c, 'blocks', 'shuffled')
  base.choose(c, 'draw', 'ones')
  base.choose(c, 'solver', 'first_order')
  c.model.shifted, c.plan.steps = True, 1


def _vectors(c):
  c.codec.patch = 2
  base.choose(c, 'process', 'masked_vectors')
  base.choose(c, 'head', 'diffusion', width=64, depth=3)
  base.choose(c, 'model', 'denoiser', width=96, depth=3, heads=4, dropout=0.2)
  c.guidance.scale = c.guidance.first = 1.2
  c.optim.learning_rate, c.train.ema = 3e-3, 0.99


def _pixelcnn(c, data):
  """PixelCNN++'s law of a level (arXiv:1701.05517); the bound is the likelihood itself."""
  base.choose(c, 'codec', 'patches', patch=1, discrete=True)
  base.choose(c, 'blocks', 'tokens')
  base.choose(c, 'process', 'masked')
  base.choose(c, 'draw', 'ones')
  base.choose(c, 'solver', 'first_order')
  base.choose(c, 'head', 'logistics')
  base.choose(c, 'model', 'pixelcnn', width=32, depth=4)
  c.plan.steps, c.eval.samples, c.train.ema = 1, 1, 0.99
  c.optim.learning_rate = 2e-3
  if data == 'digits':
    c.model.dropout = 0.2
  else:
    c.train.batch_size, c.eval.num = 32, 500


MAKE = dict(
  gan=_gan,
  diffusion=_diffusion,
  unet=_unet,
  mar=_mar,
  mar_causal=_mar_causal,
  pixelcnn=_pixelcnn,
)
