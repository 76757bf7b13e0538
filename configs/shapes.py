r"""Captions and pictures of coloured shapes in one sequence, made in either direction.

  python -m adiff.main --config=configs/shapes.py:t2i --workdir=runs/shapes_t2i
  python -m adiff.main --config=configs/shapes.py:joint --workdir=runs/shapes
  python -m adiff.main --config=configs/shapes.py:t2i_cross --workdir=runs/shapes_t2i_cross
  python -m adiff.main --config=configs/tokenizer.py:shapes_vq --workdir=runs/shapes_vq
  python -m adiff.main --mode=encode --workdir=runs/shapes_vq --out=runs/shapes_codes
  python -m adiff.main --config=configs/shapes.py:codes --config.codec.workdir=runs/shapes_vq \
      --config.data.data_dir=runs/shapes_codes --workdir=runs/shapes_t2i_codes
  python -m adiff.main --config=configs/shapes.py:codes_plan \
      --config.kinds.image.codec.workdir=runs/shapes_vq --workdir=runs/shapes_codes_plan
  python -m adiff.main --config=configs/shapes.py:plan --workdir=runs/shapes_plan
  python -m adiff.main --config=configs/shapes.py:caption --workdir=runs/shapes_caption

20 words and 64 patches of 4x4 pixels, and for plan between them 12 symbols of where which shape of
which colour lies (adiff/data/shapes.py). The report makes pictures for captions of the test split
and says by skill how many show what was asked for, as a program reads them, or makes captions for
pictures and says how many are true; --config.eval.split=unseen takes what training never shows.
"""

from configs import base

ROWS = dict(
  joint=dict(about='both directions in one network; pictures are judged', blocks='rows'),
  t2i=dict(about='pictures of captions, one block: diffusion', blocks='whole'),
  t2i_rows=dict(about='pictures of captions, two rows of patches a block', blocks='rows'),
  t2i_cross=dict(
    about='pictures of captions that are read by cross-attention', blocks='whole', parts=('image',),
  ),
  codes=dict(
    about='pictures of captions, codes of a trained codec one after another: DALL-E',
    blocks='tokens', parts=('image',),
  ),
  codes_plan=dict(
    about='plans of captions, then codes of the picture, one symbol after another',
    blocks='tokens', parts=('text', 'plan', 'image'), steps=4650,
  ),
  plan=dict(
    about='plans of captions, a symbol after the other, and pictures of both', blocks='whole',
    parts=('text', 'plan', 'image'),
  ),
  caption=dict(about='captions of pictures, five words a block', blocks='whole'),
  caption_once=dict(about='captions of pictures, five words at once', blocks='whole'),
  caption_ar=dict(about='captions of pictures, a word after the other', blocks='whole'),
)
EXPECTED = {name: base.expect('cores') for name in ROWS}
# Unguided.
EXPECTED['codes_plan'] = base.expect(
  'cores', minutes=56, commit='8234260', true_single=(0.702, 0.08),
  true_mean_of_the_skills=(0.324, 0.04), flags='--config.kinds.image.codec.workdir=RUN',
)
EXPECTED['codes'] = base.expect(
  'cores', minutes=45, commit='2b62981', true_single=(0.555, 0.08),
  true_mean_of_the_skills=(0.326, 0.04),
  flags='--config.codec.workdir=RUN --config.data.data_dir=DIR',
)
ARGUMENTS = tuple(ROWS)
# Of pictures: what they are, and not the noise on them; the weight of fine levels is bounded.
LEARNT = dict(prediction='x0', weight='velocity', gamma=5.0)


def get_config(argument='t2i'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    raise ValueError(f'configs/shapes.py has no {argument!r}; write one of {", ".join(ARGUMENTS)}')
  c = base.get_config()
  c.name = f'shapes {argument}'
  base.choose(c, 'data', 'shapes', parts=ROWS[argument].get('parts', ('text', 'image')))
  captions = argument.startswith('caption')
  if captions:
    c.data.captions = 'full'  # of a drawn one another drawn one is as rich in 57% alone
  if argument == 'codes':
    _of_codes(c)
  elif len(c.data.parts) > 1:
    _in_sequence(c, argument, captions)
  else:
    base.choose(c, 'codec', 'patches', patch=4)
    base.choose(c, 'blocks', 'whole')
    base.choose(c, 'process', 'gaussian', **LEARNT)
    base.choose(c, 'solver', 'heun')
    c.plan.steps = 16
  base.choose(
    c, 'model', 'denoiser', width=128, depth=4, heads=4, shifted=argument == 'codes'
  )
  c.judge.name = 'captioning' if captions else 'composition'
  # Many small steps: see docs/kinds.md.
  c.optim.learning_rate = 3e-3
  c.train.steps, c.train.batch_size = ROWS[argument].get('steps', 8000), 16
  c.train.eval_every, c.train.checkpoint_every = 4000, 1000
  c.eval.batch_size, c.eval.examples, c.eval.num, c.eval.steps = 128, 512, 1000, ()
  return c.lock()


def _of_codes(c):
  """Symbols that --mode=encode has made of pictures, by the chain rule in one stream."""
  base.choose(c, 'data', 'encoded')
  base.choose(c, 'codec', 'trained')
  base.choose(c, 'blocks', 'tokens')
  base.choose(c, 'process', 'masked')
  base.choose(c, 'draw', 'ones')
  base.choose(c, 'solver', 'first_order')
  c.plan.steps = 1


def _in_sequence(c, argument, captions):
  """The kinds of tokens, and which of them is given."""
  base.choose(c, 'codec', 'joint')
  base.choose(c, 'blocks', 'joint', order=c.data.parts[::-1] if captions else c.data.parts)
  base.choose(c, 'process', 'joint')
  # All words at once, so that they are read both ways; 16 tokens of a picture.
  base.of_kind(c, 'text', process='masked', blocks='whole', codec='none', steps=20)
  if not captions:
    base.of_kind(c, 'text', dropout=0.1)  # for guidance.scale
  if 'plan' in c.data.parts:  # a symbol after the other, each by the chain rule
    base.of_kind(
      c, 'plan', process='masked', blocks='tokens', codec='none', draw='ones', steps=1
    )
  blocks = ROWS[argument]['blocks']
  if blocks == 'tokens':  # codes of a trained codec
    base.of_kind(
      c, 'image', process='masked', codec='trained', blocks=blocks, draw='ones', steps=1
    )
  else:
    base.of_kind(
      c, 'image', process='gaussian', codec='patches', solver='heun', steps=16,
      blocks='equal' if blocks == 'rows' else 'whole',
    )
    c.kinds.image.codec.patch = 4
    c.kinds.image.process.update(LEARNT)
  if blocks == 'rows':
    c.kinds.image.blocks.size = 16
  if captions:
    diffused, ar = argument == 'caption', argument == 'caption_ar'
    base.of_kind(
      c, 'text', draw='uniform' if diffused else 'ones', blocks='tokens' if ar else 'equal',
      steps=5 if diffused else 1,
    )
    if not ar:
      c.kinds.text.blocks.size = 5
  if argument == 'joint':
    c.train.orders = (('image', 'text'),)
  else:
    base.of_kind(c, 'image' if captions else 'text', weight=0.0)  # it is given, and only read
