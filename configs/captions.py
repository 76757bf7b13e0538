r"""Captioned pictures of one's own, made in either direction: metadata.jsonl beside the pictures.

  python -m adiff.main --config=configs/captions.py:t2i --config.data.data_dir=DIR --workdir=runs/x
  python -m adiff.main --config=configs/captions.py:joint --config.data.data_dir=D --workdir=runs/y
  python -m adiff.main --data=DIR --minutes=10

A line {"file_name": .., "text": ..} a picture (adiff/data/captioned_folder.py); 96 bytes of the
caption and 64 patches of 4x4 pixels. The report shows pictures made for held-out captions beside
those that they are of, and says how often one is likelier by its own caption than by another. With
--config.data.category=KEY, a further key of the lines, it says how often the category asked for is
made. `model.given(image=..).score(text=..)` says how likely a caption is. The last command fills
the row own in, by the pictures, the devices and the time (adiff/run/own.py).
"""

from configs import base

ROWS = dict(
  t2i=dict(about='pictures of captions'),
  own=dict(about='pictures of your own with captions, which --data fills in'),
  joint=dict(about='both directions in one network; pictures are shown'),
)
EXPECTED = {name: base.expect('cores', flags='--config.data.data_dir=DIR') for name in ROWS}
EXPECTED['t2i'] = base.expect(  # of 1,906 emoji, unguided
  'cores', minutes=40, commit='072cdfc', own_caption=(0.753, 0.06), asked_category=(0.337, 0.07),
  flags='--config.data.data_dir=DIR --config.data.category=category --config.eval.num=190',
)
ARGUMENTS = tuple(ROWS)


def get_config(argument='t2i'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    raise ValueError(
      f'configs/captions.py has no {argument!r}; write one of {", ".join(ARGUMENTS)}'
    )
  c = base.get_config()
  c.name = f'captions {argument}'
  base.choose(c, 'data', 'captioned_folder', length=96)
  base.choose(c, 'codec', 'joint')
  base.choose(c, 'blocks', 'joint', order=('text', 'image'))
  base.choose(c, 'process', 'joint')
  base.of_kind(c, 'text', process='masked', blocks='whole', codec='none', steps=32)
  base.of_kind(c, 'text', dropout=0.1)  # for guidance.scale
  base.of_kind(
    c, 'image', process='gaussian', blocks='whole', codec='patches', solver='heun', steps=16
  )
  c.kinds.image.codec.patch = 4
  if argument == 'joint':
    c.train.orders = (('image', 'text'),)
  elif argument == 'own':
    base.of_kind(c, 'text', weight=0.1)
  else:
    base.of_kind(c, 'text', weight=0.0)  # it is given, and only read
  base.choose(c, 'model', 'denoiser', width=128, depth=4, heads=4)
  c.judge.name = 'captioned'
  c.optim.learning_rate = 2e-3
  c.train.steps, c.train.batch_size = 3200, 32
  c.train.eval_every, c.train.checkpoint_every = 1600, 400
  c.eval.batch_size, c.eval.num, c.eval.samples, c.eval.steps = 64, 64, 16, ()
  if argument == 'own':
    _own(c)
  return c.lock()


def _own(c):
  """As configs/images.py:own: nothing in the update depends on the number of steps."""
  base.of_kind(c, 'image', blocks='cells', solver='multistep', spacing='power', steps=8)
  c.kinds.image.blocks.cell, c.kinds.image.spacing.exponent = (4, 4), 1.5
  c.kinds.image.process.prediction = 'x0'  # a narrow network carries no noise of whole patches
  c.train.ema = 0.995
  c.optim.schedule, c.optim.warmup = 'constant', 20
  c.eval.num, c.eval.samples = 32, 2
