r"""Every regime on data whose exact answers are known; a minute each on two cores.

  python -m adiff.main --config=configs/toy.py:block --workdir=runs/toy
  python -m adiff.main --config=configs/toy.py:block-gaussian --workdir=runs/toy_gaussian

ROW or ROW-PROCESS. Symbols come from a Markov chain (scales in one pass: a tree), floats from a
Gaussian mixture; the report sets the bound against the exact entropy and tests the law of samples.
"""

from configs import base

ANY = ('masked', 'uniform', 'gaussian')

ROWS = dict(
  full=dict(
    about='one block: diffusion', blocks=dict(name='whole'), history=0.0, draw='uniform', zero=0.0,
    steps=32, processes=ANY,
    measured='nats, bound / exact: masked 4.988 / 4.969, uniform 4.997 / 4.969, gaussian 1.685 / '
    '1.674 (commit c0f24e0)',
  ),
  ar=dict(
    about='blocks of one token: autoregression', blocks=dict(name='tokens'), history=0.0,
    draw='ones', zero=0.0, steps=1, processes=('masked',),
    measured='nats, bound / exact: 4.98 / 4.969 (commit d268f47)',
  ),
  ar_continuous=dict(
    about='autoregression over floats', blocks=dict(name='tokens'), history=0.0, draw='uniform',
    zero=0.0, steps=32, processes=('gaussian',),
    measured='nats, bound / exact: 1.722 / 1.674 (commit 168ae3b)',
  ),
  block=dict(
    about='blocks of two tokens, clean past', blocks=dict(name='equal', size=2), history=0.0,
    draw='uniform', zero=0.0, steps=32, processes=ANY,
    measured='nats, bound / exact: masked 4.987 / 4.969, uniform 4.992 / 4.969, gaussian 1.714 / '
    '1.674 (commit c0f24e0)',
  ),
  # Smaller delays (a pyramid) work too, --config.plan.delay=8; their law is approximate, see
  # adiff/sequence/plan.py.
  forcing=dict(
    about='blocks of two tokens, the past as noisy as it is', blocks=dict(name='equal', size=2),
    history=None, draw='uniform', zero=0.2, steps=32, processes=ANY,
    measured='nats, bound / exact: masked 4.99 / 4.969, uniform 4.992 / 4.969, gaussian 1.718 / '
    '1.674 (commit c0f24e0)',
  ),
  scales=dict(
    about='next scale, in one pass', blocks=dict(name='scales', sides=(1, 2, 4)), history=0.0,
    draw='ones', zero=0.0, steps=1, processes=('masked',),
    measured='nats, bound / exact: 16.6 / 16.57 (commit c0f24e0)',
  ),
  scales_denoised=dict(
    about='next scale, denoised', blocks=dict(name='scales', sides=(1, 2, 4)), history=0.0,
    draw='uniform', zero=0.0, steps=32, processes=ANY,
    measured='nats, bound / exact: masked 16.76 / 16.64 (commit c0f24e0), uniform 16.74 / 16.64, '
    'gaussian 6.175 / 6.005 (commit d268f47)',
  ),
  frames=dict(
    about='frame by frame', blocks=dict(name='frames', grid=(3, 2), per_block=1), history=0.0,
    draw='uniform', zero=0.0, steps=32, processes=ANY,
    measured='nats, bound / exact: masked 4.987 / 4.969 (commit c0f24e0), uniform 4.992 / 4.969, '
    'gaussian 1.714 / 1.674 (commit d268f47)',
  ),
)

ARGUMENTS = tuple(f'{name}-{process}' for name, row in ROWS.items() for process in row['processes'])


def get_config(argument='block'):
  """A config of ROW or ROW-PROCESS; a row's first process is its default."""
  name, _, process = argument.partition('-')
  if name not in ROWS or (process and argument not in ARGUMENTS):
    raise ValueError(
      f'configs/toy.py has no {argument!r}; write one of {", ".join(ROWS)}, or '
      f'{", ".join(ARGUMENTS)}'
    )
  row = ROWS[name]
  blocks, process = row['blocks'], process or row['processes'][0]
  c = base.get_config()
  c.name = f'toy {name} {process}'
  num_tokens = sum(side**2 for side in blocks['sides']) if 'sides' in blocks else 6
  base.choose(c, 'data', 'mixture' if process == 'gaussian' else 'chain', num_tokens=num_tokens)
  base.choose(c, 'blocks', **blocks)
  c.history = row['history']
  if name == 'scales':  # made in one pass: its data must not ask for more
    c.data.sides = blocks['sides']
  if process == 'gaussian':
    base.choose(c, 'process', 'gaussian', clip=0.0)
    base.choose(c, 'solver', 'heun')
  else:
    base.choose(c, 'process', process)
  base.choose(c, 'draw', row['draw'])
  c.atoms.zero, c.plan.steps = row['zero'], row['steps']
  if process == 'uniform':
    c.plan.steps *= 2  # a token may jump more than once: finer steps for the same error
  base.choose(c, 'model', 'denoiser', width=64, depth=3, heads=4, rotary_base=100.0)
  c.cond_dropout = 0.1
  c.optim.learning_rate = 2e-3
  # Every row sees as many tokens; those with scales have 21 an example instead of 6.
  c.train.steps, c.train.batch_size = 2000 * 6 // num_tokens, 128
  c.train.eval_every = 1000
  c.train.checkpoint_every = 1000
  c.eval.batch_size, c.eval.num, c.eval.steps = 512, 2048, ()
  c.eval.samples = 4 if process == 'masked' else 16
  return c.lock()
