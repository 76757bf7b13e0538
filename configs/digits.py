r"""Class-conditional block diffusion of handwritten digits (8x8): the first run.

  python -m adiff.main --config=configs/digits.py --workdir=runs/digits
  python -m adiff.main --config=configs/digits.py:long --workdir=runs/digits_long
"""

from configs import base


def get_config(argument='short'):
  c = base.get_config()
  c.name = f'digits {argument}'
  base.choose(c, 'data', 'digits')
  base.choose(c, 'codec', 'patches', patch=4)
  base.choose(c, 'blocks', 'tokens')
  base.choose(c, 'process', 'gaussian', eta=1.0)
  base.choose(c, 'model', 'denoiser', width=128, depth=2, heads=4, dropout=0.1)
  c.train.steps = 300
  c.eval.num, c.eval.features = 1797, True
  return c.lock()
