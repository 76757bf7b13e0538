r"""Text, from autoregression to diffusion: every regime of one table, from a laptop to 141M.

  python -m adiff.main --config=configs/text.py:block16 --workdir=runs/text
  python -m adiff.main --config=configs/text.py:ar --workdir=runs/ar --config.data.path=FOLDER
  python -m adiff.main --config=configs/text.py:block16-base --workdir=runs/lm \
      --config.data.path=FOLDER --config.codec.path=tokenizer.json

ROW or ROW-SIZE. Without a path the text is the documentation that ships inside Python. Then

  python -m adiff.main --mode=sample --workdir=runs/text --prompt='The function'
"""

from configs import base

# size: tokens a block, 0: one block. zero: share of blocks that train at level 0
ROWS = dict(
  full=dict(
    about='one block: diffusion', size=0, history=0.0, draw='uniform',
    zero=0.0, process='masked', solver='scheduled',
  ),
  ar=dict(
    about='blocks of one token: autoregression', size=1, history=0.0, draw='ones',
    zero=0.0, process='masked', solver='first_hitting',
  ),
  block4=dict(
    about='blocks of 4 tokens', size=4, history=0.0, draw='uniform',
    zero=0.0, process='masked', solver='first_hitting',
  ),
  block16=dict(
    about='blocks of 16 tokens', size=16, history=0.0, draw='uniform',
    zero=0.0, process='masked', solver='first_hitting',
  ),
  block64=dict(
    about='blocks of 64 tokens', size=64, history=0.0, draw='uniform',
    zero=0.0, process='masked', solver='first_hitting',
  ),
  forcing=dict(
    about='blocks of 16 tokens, the past as noisy as it is', size=16, history=None, draw='uniform',
    zero=0.2, process='masked', solver='first_order',
  ),
  uniform=dict(
    about='blocks of 16 tokens, random symbols for noise', size=16, history=0.0, draw='uniform',
    zero=0.0, process='uniform', solver='first_order',
  ),
)

SIZES = dict(
  laptop=dict(
    about='rows of 128 tokens, width 96: the default', num_tokens=128, width=96, depth=3, heads=4,
    batch=8, steps=1100, learning_rate=3e-3,
  ),
  small=dict(
    about='rows of 512 tokens, width 384', num_tokens=512, width=384, depth=8, heads=6, batch=64,
    steps=20_000, learning_rate=1e-3,
  ),
  base=dict(
    about='rows of 1,024 tokens, 141M parameters', num_tokens=1024, width=768, depth=12, heads=12,
    batch=512, steps=250_000, learning_rate=4e-4,
  ),
)

# Of the documentation inside Python 3.11; that of another version differs a little.
EXPECTED = {
  **{name: base.expect('cores') for name in ROWS},
  'block16': base.expect('cores', minutes=6, commit='cfb3bc2', bits_per_byte=(2.29, 0.05)),
  'block16-small': base.expect('gpu', flags='--config.data.path=FOLDER'),
  'block16-base': base.expect(
    'v5e:4x4', flags='--config.data.path=FOLDER --config.codec.path=tokenizer.json'
  ),
}
EXPECTED['block16-laptop'] = EXPECTED['block16']

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
  sizes = SIZES[size]
  c = base.get_config()
  c.name = f'text {argument}'
  base.choose(c, 'data', 'text', num_tokens=sizes['num_tokens'])
  base.choose(c, 'codec', 'subwords', size=2048 if size == 'laptop' else 32_768)
  choose_row(c, row)
  base.choose(
    c, 'model', 'denoiser', width=sizes['width'], depth=sizes['depth'], heads=sizes['heads'],
    rotary_base=10_000.0, dtype='float32' if size == 'laptop' else 'bfloat16',
    remat='layers' if size == 'base' else 'none',
  )
  c.cond_dropout = 0.0
  c.optim.learning_rate, c.optim.warmup, c.optim.final = sizes['learning_rate'], 100, 0.1
  c.optim.weight_decay = 0.1
  c.train.steps, c.train.batch_size = sizes['steps'], sizes['batch']
  c.train.eval_every = c.train.checkpoint_every = max(500, c.train.steps // 20)
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


def choose_row(config, name):
  """Sets what makes a row of the table: blocks, history, draw, process, solver and steps."""
  row = ROWS[name]
  size, masked = row['size'], row['process'] == 'masked'
  if not size:
    base.choose(config, 'blocks', 'whole')
  elif size == 1:
    base.choose(config, 'blocks', 'tokens')
  else:
    base.choose(config, 'blocks', 'equal', size=size)
  config.history = row['history']
  base.choose(config, 'draw', row['draw'])
  config.atoms.zero = row['zero']
  base.choose(config, 'process', row['process'])
  base.choose(config, 'solver', row['solver'])
  config.plan.steps = 64 if not size else size if masked else 2 * size
  if row['solver'] == 'scheduled':
    config.plan.steps = min(64, config.data.num_tokens)
  config.eval.steps = ()
