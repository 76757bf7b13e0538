r"""Text, from autoregression to diffusion: every regime of one table, from a laptop to 110M.

  python -m adiff.main --config=configs/text.py:block16 --workdir=runs/text
  python -m adiff.main --config=configs/text.py:ar --workdir=runs/ar --config.data.path=FOLDER
  python -m adiff.main --config=configs/text.py:block16-base --workdir=runs/lm \
      --config.data.path=FOLDER --config.codec.path=tokenizer.json

ROW or ROW-SIZE. Without a path the text is the documentation that ships inside Python. Then

  python -m adiff.main --mode=sample --workdir=runs/text --prompt='The function'
"""

from configs import base

# row: (block size, history, draw, atom at 0, process, solver); 0: one block
ROWS = dict(
  full=(0, 0.0, 'uniform', 0.0, 'masked', 'scheduled'),
  ar=(1, 0.0, 'ones', 0.0, 'masked', 'first_hitting'),
  block4=(4, 0.0, 'uniform', 0.0, 'masked', 'first_hitting'),
  block16=(16, 0.0, 'uniform', 0.0, 'masked', 'first_hitting'),
  block64=(64, 0.0, 'uniform', 0.0, 'masked', 'first_hitting'),
  forcing=(16, None, 'uniform', 0.2, 'masked', 'first_order'),
  uniform=(16, 0.0, 'uniform', 0.0, 'uniform', 'first_order'),
)

# size: (tokens, width, depth, heads, batch, steps, learning rate); base has 110M parameters
SIZES = dict(
  laptop=(128, 96, 3, 4, 8, 1100, 3e-3),
  small=(512, 384, 8, 6, 64, 20_000, 1e-3),
  base=(1024, 768, 12, 12, 512, 250_000, 4e-4),
)

SAMPLERS = ('threshold(threshold=0.5)', 'scheduled(choose=confidence)@4', 'budget@4')
ARGUMENTS = (*ROWS, *(f'block16-{size}' for size in SIZES))  # and any other ROW-SIZE


def get_config(argument='block16'):
  """A config of ROW or ROW-SIZE."""
  row, _, size = argument.partition('-')
  if row not in ROWS or size not in ('', *SIZES):
    raise ValueError(
      f'configs/text.py has no {argument!r}; write ROW or ROW-SIZE with ROW one of '
      f'{", ".join(ROWS)} and SIZE one of {", ".join(SIZES)}'
    )
  size = size or 'laptop'
  num_tokens, width, depth, heads, batch, steps, learning_rate = SIZES[size]
  c = base.get_config()
  c.name = f'text {argument}'
  base.choose(c, 'data', 'text', num_tokens=num_tokens)
  base.choose(c, 'codec', 'subwords', size=2048 if size == 'laptop' else 32_768)
  choose_row(c, row)
  base.choose(
    c, 'model', 'denoiser', width=width, depth=depth, heads=heads, rotary_base=10_000.0,
    dtype='float32' if size == 'laptop' else 'bfloat16',
    remat='layers' if size == 'base' else 'none',
  )
  c.cond_dropout = 0.0
  c.optim.learning_rate, c.optim.warmup, c.optim.final = learning_rate, 100, 0.1
  c.optim.weight_decay = 0.1
  c.train.steps, c.train.batch_size = steps, batch
  c.train.eval_every = c.train.checkpoint_every = max(500, steps // 20)
  c.eval.batch_size, c.eval.examples, c.eval.samples, c.eval.num = 16, 512, 4, 64
  c.eval.samplers = SAMPLERS if row in ('full', 'block16', 'block64') else ()
  if size == 'laptop':
    c.train.ema = 0.99
    if c.draw.name == 'uniform':  # nearly clean blocks teach little and weigh much
      base.choose(c, 'draw', 'clipped', low=0.2, high=1.0)
  else:
    c.optim.warmup, c.train.ema = 2000, 0.9999
  if row.startswith('block'):
    c.train.next_token = 1.0  # most of what a short training learns
  return c.lock()


def choose_row(config, row):
  """Sets what makes a row of the table: blocks, history, draw, process, solver and steps."""
  size, history, draw, zero, process, solver = ROWS[row]
  num_tokens = config.data.num_tokens
  if not size:
    base.choose(config, 'blocks', 'whole')
  elif size == 1:
    base.choose(config, 'blocks', 'tokens')
  else:
    base.choose(config, 'blocks', 'equal', size=size)
  config.history = history
  base.choose(config, 'draw', draw)
  config.atoms.zero = zero
  base.choose(config, 'process', process)
  base.choose(config, 'solver', solver)
  config.plan.steps = 64 if not size else size if process == 'masked' else 2 * size
  if solver == 'scheduled':
    config.plan.steps = min(64, num_tokens)
  config.eval.steps = ()
