r"""Image sets read from disk: TFDS layouts (no TensorFlow needed) and folders of pictures.

  python -m adiff.main --config=configs/images.py:mnist --config.data.data_dir=DIR --workdir=runs/m

mnist and cifar10: DIR holds NAME/VERSION as TFDS lays it out. folder: DIR/CLASS/*.png or .jpg.
Sized for one accelerator. On a laptop:

  python -m adiff.main --config=configs/images.py:mnist --config.data.data_dir=DIR \
      --config.model.width=64 --config.model.heads=4 --config.train.steps=200 --workdir=runs/m
"""

from configs import base

ROWS = dict(
  mnist=dict(about='28x28 grey pixels, a row of 4x4 patches a block'),
  cifar10=dict(about='32x32 pixels, four quarters'),
  folder=dict(about='pictures of any size, cut to 32x32 pixels, four quarters'),
)
EXPECTED = {name: base.expect('gpu', flags='--config.data.data_dir=DIR') for name in ROWS}
ARGUMENTS = tuple(ROWS)


def get_config(argument='mnist'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    raise ValueError(f'configs/images.py has no {argument!r}; write one of {", ".join(ARGUMENTS)}')
  c = base.get_config()
  c.name = f'images {argument}'
  if argument == 'folder':
    base.choose(c, 'data', 'image_folder', size=32)
  else:
    base.choose(c, 'data', 'tfds', dataset=argument)
  base.choose(c, 'codec', 'patches', patch=4)
  if argument == 'mnist':
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
  return c.lock()
