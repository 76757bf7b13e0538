r"""Image sets read from disk: TFDS layouts (no TensorFlow needed) and pictures of your own.

  python -m adiff.main --config=configs/images.py:mnist --config.data.data_dir=DIR --workdir=runs/m
  python -m adiff.main --config=configs/images.py:mnist-laptop --config.data.data_dir=DIR \
      --workdir=runs/laptop
  python -m adiff.main --data=DIR --minutes=10

mnist and cifar10: DIR holds NAME/VERSION as TFDS lays it out. folder, own: DIR/CLASS/*.png or other
pictures, a .zip of it, or pictures without classes, which also take --config.guidance.scale=1
--config.guidance.first=1. Sized for one accelerator; the rows -laptop for
one core and ten minutes. The last command fills the row own in, by the pictures, the devices and
the time (adiff/run/own.py), as adiff.train('images', ..) does.
"""

from configs import base

ROWS = {
  'mnist': dict(about='28x28 grey pixels, a row of 4x4 patches a block'),
  'cifar10': dict(about='32x32 pixels, four quarters'),
  'folder': dict(about='pictures of any size, cut to 32x32 pixels, four quarters'),
  'own': dict(about='pictures of your own, which --data fills in; as it stands for two cores'),
  'mnist-laptop': dict(about='four rows of 7x7 patches, ten minutes of one core'),
  'cifar10-laptop': dict(about='quarters of 8x8 patches, ten minutes of one core'),
}
EXPECTED = {
  name: base.expect(
    'gpu' if name in ('mnist', 'cifar10', 'folder') else 'cores',
    flags='--config.data.data_dir=DIR',
  )
  for name in ROWS
}
ARGUMENTS = tuple(ROWS)


def get_config(argument='mnist'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    raise ValueError(f'configs/images.py has no {argument!r}; write one of {", ".join(ARGUMENTS)}')
  name, _, laptop = argument.partition('-')
  c = base.get_config()
  c.name = f'images {argument}'
  if name in ('folder', 'own'):
    base.choose(c, 'data', 'image_folder', size=32)
  else:
    base.choose(c, 'data', 'tfds', dataset=name)
  base.choose(c, 'codec', 'patches', patch=4)
  if name == 'mnist':
    base.choose(c, 'blocks', 'equal', size=7)  # rows of 7 patches
  else:
    base.choose(c, 'blocks', 'cells', cell=(4, 4))  # four quarters
  base.choose(c, 'process', 'gaussian')
  base.choose(c, 'spacing', 'power', exponent=1.5)
  base.choose(c, 'solver', 'multistep')
  base.choose(c, 'model', 'denoiser', width=384, depth=8, heads=6, dropout=0.1)
  c.guidance.scale = c.guidance.first = 1.5
  c.plan.steps = 16
  c.train.steps, c.train.batch_size = 50_000, 256
  c.train.log_every, c.train.eval_every, c.train.checkpoint_every = 100, 5000, 2500
  c.train.ema = 0.9999
  c.optim.learning_rate = 1e-3
  c.eval.steps = (8, 16)
  c.eval.examples, c.eval.samples = 2000, 2
  if laptop:
    _laptop(c)
  elif name == 'own':
    _own(c)
  return c.lock()


def _laptop(c):
  """Makes a config small enough for one core and ten minutes."""
  if c.data.dataset == 'mnist':
    c.codec.patch, c.blocks.size = 7, 4
  else:
    c.codec.patch, c.blocks.cell = 8, (2, 2)
  c.process.prediction = 'x0'  # a narrow network does not carry the noise of a whole patch
  c.model.width, c.model.depth, c.model.heads, c.model.dropout = 96, 4, 4, 0.0
  c.train.steps, c.train.batch_size, c.train.ema = 600, 64, 0.99
  c.train.log_every, c.train.eval_every, c.train.checkpoint_every = 20, 300, 300
  c.optim.learning_rate, c.optim.warmup = 2e-3, 50
  c.eval.examples, c.eval.num, c.eval.steps, c.eval.features = 500, 500, (), True


def _own(c):
  """Makes a config small enough for two cores and minutes. Nothing in the update depends on the
  number of steps, which is chosen once the update is timed."""
  c.codec.patch, c.blocks.cell = 8, (2, 2)
  c.process.prediction = 'x0'  # a narrow network does not carry the noise of a whole patch
  c.model.width, c.model.depth, c.model.heads, c.model.dropout = 96, 4, 4, 0.0
  c.train.steps, c.train.batch_size, c.train.ema = 1000, 32, 0.995
  c.train.log_every, c.train.eval_every, c.train.checkpoint_every = 20, 250, 250
  c.optim.schedule, c.optim.learning_rate, c.optim.warmup = 'constant', 2e-3, 20
  c.plan.steps = 8
  c.eval.batch_size, c.eval.examples, c.eval.num, c.eval.steps = 64, 256, 128, ()
