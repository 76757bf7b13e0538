r"""Captions and pictures of coloured shapes in one sequence, made in either direction.

  python -m adiff.main --config=configs/shapes.py:joint --workdir=runs/shapes
  python -m adiff.main --config=configs/shapes.py:t2i --workdir=runs/shapes_t2i
  python -m adiff.main --config=configs/shapes.py:t2i_whole --workdir=runs/shapes_t2i_whole
  python -m adiff.main --config=configs/shapes.py:caption --workdir=runs/shapes_caption

20 words and 64 patches of 4x4 pixels (adiff/data/shapes.py). The report makes pictures for captions
of the test split and says by skill how many show what was asked for, as a program reads them, or
makes captions for pictures and says how many are true; --config.eval.split=unseen takes what
training never shows.
"""

from configs import base

ROWS = dict(
  joint=dict(about='both directions in one network; pictures are judged', blocks='rows'),
  t2i=dict(about='pictures of captions, two rows of patches a block', blocks='rows'),
  t2i_whole=dict(about='pictures of captions, one block: diffusion', blocks='whole'),
  caption=dict(about='captions of pictures, five words a block', blocks='whole'),
  caption_ar=dict(about='captions of pictures, a word after the other', blocks='whole'),
)
EXPECTED = {name: base.expect('cores') for name in ROWS}
ARGUMENTS = tuple(ROWS)


def get_config(argument='t2i'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    raise ValueError(f'configs/shapes.py has no {argument!r}; write one of {", ".join(ARGUMENTS)}')
  c = base.get_config()
  c.name = f'shapes {argument}'
  base.choose(c, 'data', 'shapes')
  base.choose(c, 'codec', 'joint')
  captions = argument.startswith('caption')
  base.choose(c, 'blocks', 'joint', order=('image', 'text') if captions else ('text', 'image'))
  base.choose(c, 'process', 'joint')
  # All words at once, so that they are read both ways; 16 tokens of a picture.
  base.of_kind(c, 'text', process='masked', blocks='whole', codec='none', steps=20)
  if not captions:
    base.of_kind(c, 'text', dropout=0.1)  # for guidance.scale
  base.of_kind(
    c, 'image', process='gaussian', codec='patches', solver='heun', steps=16,
    blocks='equal' if ROWS[argument]['blocks'] == 'rows' else 'whole',
  )
  c.kinds.image.codec.patch = 4
  if ROWS[argument]['blocks'] == 'rows':
    c.kinds.image.blocks.size = 16
  if captions:
    ar = argument == 'caption_ar'
    base.of_kind(
      c, 'text', draw='ones' if ar else 'uniform', blocks='tokens' if ar else 'equal',
      steps=1 if ar else 5,
    )
    if not ar:
      c.kinds.text.blocks.size = 5
  if argument == 'joint':
    c.train.orders = (('image', 'text'),)
  else:
    # What is given: its own law matters little.
    base.of_kind(c, 'image' if captions else 'text', weight=0.1)
  base.choose(c, 'model', 'denoiser', width=128, depth=4, heads=4)
  c.judge.name = 'captioning' if captions else 'composition'
  c.optim.learning_rate = 1e-3
  c.train.steps, c.train.batch_size = 2000, 64
  c.train.eval_every = c.train.checkpoint_every = 1000
  c.eval.batch_size, c.eval.examples, c.eval.num, c.eval.steps = 128, 512, 1000, ()
  return c.lock()
