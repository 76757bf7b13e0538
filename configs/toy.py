r"""Every regime on data whose exact answers are known; a minute each on two cores.

  python -m adiff.main --config=configs/toy.py:block --workdir=runs/toy
  python -m adiff.main --config=configs/toy.py:block-gaussian --workdir=runs/toy_gaussian

ROW or ROW-PROCESS. Symbols come from a Markov chain (scales in one pass: a tree), floats from a
Gaussian mixture; the report sets the bound against the exact entropy and tests the law of samples.
"""

from configs import base

PROCESSES = dict(any=('masked', 'uniform', 'gaussian'), masked=('masked',), gaussian=('gaussian',))

# row: (blocks, history, draw, atom at 0, steps, delay, processes)
ROWS = dict(
  full=(dict(name='whole'), 0.0, 'uniform', 0.0, 32, None, 'any'),
  ar=(dict(name='tokens'), 0.0, 'ones', 0.0, 1, None, 'masked'),
  ar_continuous=(dict(name='tokens'), 0.0, 'uniform', 0.0, 32, None, 'gaussian'),
  block=(dict(name='equal', size=2), 0.0, 'uniform', 0.0, 32, None, 'any'),
  # Smaller delays (a pyramid) work too, --config.plan.delay=8; their law is approximate, see
  # adiff/sequence/plan.py.
  forcing=(dict(name='equal', size=2), None, 'uniform', 0.2, 32, None, 'any'),
  scales=(dict(name='scales', sides=(1, 2, 4)), 0.0, 'ones', 0.0, 1, None, 'masked'),
  scales_denoised=(dict(name='scales', sides=(1, 2, 4)), 0.0, 'uniform', 0.0, 32, None, 'any'),
  frames=(dict(name='frames', grid=(3, 2), per_block=1), 0.0, 'uniform', 0.0, 32, None, 'any'),
)

ARGUMENTS = tuple(
  f'{row}-{process}' for row, values in ROWS.items() for process in PROCESSES[values[-1]]
)


def get_config(argument='block'):
  """A config of ROW or ROW-PROCESS; a row's first process is its default."""
  row, _, process = argument.partition('-')
  if row not in ROWS or (process and argument not in ARGUMENTS):
    raise ValueError(
      f'configs/toy.py has no {argument!r}; write one of {", ".join(ROWS)}, or '
      f'{", ".join(ARGUMENTS)}'
    )
  blocks, history, draw, zero, steps, delay, processes = ROWS[row]
  process = process or PROCESSES[processes][0]
  c = base.get_config()
  c.name = f'toy {row} {process}'
  num_tokens = sum(side**2 for side in blocks['sides']) if 'sides' in blocks else 6
  base.choose(c, 'data', 'mixture' if process == 'gaussian' else 'chain', num_tokens=num_tokens)
  base.choose(c, 'blocks', **blocks)
  c.history = history
  if row == 'scales':  # made in one pass: its data must not ask for more
    c.data.sides = blocks['sides']
  if process == 'gaussian':
    base.choose(c, 'process', 'gaussian', clip=0.0)
    base.choose(c, 'solver', 'heun')
  else:
    base.choose(c, 'process', process)
  base.choose(c, 'draw', draw)
  c.atoms.zero = zero
  c.plan.steps, c.plan.delay = steps, delay
  if process == 'uniform':
    c.plan.steps = 2 * steps  # a token may jump more than once: finer steps for the same error
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
