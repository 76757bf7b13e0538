r"""Class-conditional block diffusion of handwritten digits (8x8 pixels, 17 levels): the first run.

  python -m adiff.main --config=configs/digits.py --workdir=runs/digits
  python -m adiff.main --config=configs/digits.py:long --workdir=runs/digits_long
  python -m adiff.main --config=configs/digits.py:scales --workdir=runs/digits_scales
  python -m adiff.main --config=configs/digits.py:masked --workdir=runs/digits_masked
  python -m adiff.main --config=configs/digits.py:whole --workdir=runs/digits_whole

short and long: four blocks, each a 4x4 patch of pixels as one token of 16 floats. whole: the same
tokens as one block, with the same network; it is ordinary diffusion. scales: average-
pooled images of side 1, 2, 4, 8, one after another. masked: 64 symbols, one row of 8 a block. var:
the levels of such images, each in one pass, in one stream of hints (VAR, arXiv:2404.02905).
--help shows what was measured, docs/results.md how.
"""

from configs import base

ROWS = dict(
  short=dict(about='four blocks of 4x4 pixels; the default'),
  long=dict(about='the same, wider and longer'),
  whole=dict(about='the network of the first row, one block: ordinary diffusion'),
  scales=dict(about='images of side 1, 2, 4, 8, one after another'),
  masked=dict(about='masked symbols, a row of 8 pixels a block'),
  var=dict(about='levels of pixels at side 1, 2, 4, 8, each scale in one pass'),
)
# Other initial values move the Fréchet distance by 0.05 to 0.1, other seeds of the samples by 0.03.
EXPECTED = dict(
  short=base.expect(
    'cores', minutes=3, commit='494858a', frechet=(0.595, 0.15), nats=(140.8, 2.0),
  ),
  long=base.expect(
    'cores', minutes=7, commit='494858a', frechet=(0.373, 0.15), nats=(140.8, 2.0),
  ),
  whole=base.expect(
    'cores', minutes=3, commit='ffad98a', frechet=(0.886, 0.15), nats=(130.8, 2.0),
  ),
  scales=base.expect('cores'),
  masked=base.expect('cores'),
  var=base.expect('cores'),
)
ARGUMENTS = tuple(ROWS)


def get_config(argument='short'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    raise ValueError(f'configs/digits.py has no {argument!r}; write one of {", ".join(ARGUMENTS)}')
  c = base.get_config()
  c.name = f'digits {argument}'
  base.choose(c, 'data', 'digits')
  base.choose(c, 'codec', 'patches', patch=4)
  base.choose(c, 'blocks', 'tokens')
  base.choose(c, 'process', 'gaussian')
  base.choose(c, 'spacing', 'power', exponent=2.0)
  base.choose(c, 'solver', 'multistep')
  base.choose(c, 'model', 'denoiser', width=96, depth=3, heads=4, dropout=0.2)
  c.guidance.scale = c.guidance.first = 1.2
  c.optim.learning_rate = 3e-3
  c.train.steps = 2500
  c.train.log_every = 25
  c.train.eval_every, c.train.checkpoint_every = 1250, 1250
  c.eval.batch_size = 360
  c.eval.num, c.eval.features = 1797, True
  c.eval.samples = 16
  if argument == 'long':
    c.guidance.scale = c.guidance.first = 1.05
    c.spacing.exponent = 2.5
    # 1,437 images: a wider network draws better ones only where dropout keeps it from overfitting.
    c.model.width, c.model.dropout = 128, 0.4
    c.train.steps = 6000
    c.train.eval_every = c.train.checkpoint_every = 2000
  elif argument == 'whole':
    base.choose(c, 'blocks', 'whole')
  elif argument == 'scales':
    base.choose(c, 'codec', 'pyramid', sides=(1, 2, 4, 8))
    base.choose(c, 'blocks', 'scales', sides=(1, 2, 4, 8))
  elif argument == 'masked':
    base.choose(c, 'codec', 'patches', patch=1, discrete=True)
    base.choose(c, 'blocks', 'equal', size=8)
    base.choose(c, 'process', 'masked')
    base.choose(c, 'spacing', 'linear')
    base.choose(c, 'solver', 'first_order')
  elif argument == 'var':
    base.choose(c, 'codec', 'pyramid', sides=(1, 2, 4, 8), discrete=True)
    base.choose(c, 'blocks', 'scales', sides=(1, 2, 4, 8))
    base.choose(c, 'process', 'masked')
    base.choose(c, 'draw', 'ones')
    base.choose(c, 'spacing', 'linear')
    base.choose(c, 'solver', 'first_order')
    c.model.hinted, c.plan.steps, c.eval.steps = 'alone', 1, ()
  return c.lock()
