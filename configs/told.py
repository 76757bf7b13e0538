r"""Every class of condition on data whose law is known, whatever is told; minutes on two cores.

  python -m adiff.main --config=configs/told.py:memory --workdir=runs/told

Strings of a Markov chain whose every step depends on what one is told (adiff/data/told.py). The
report sets the bound against the exact conditional entropy, and tests every sample against its own
law.
"""

from configs import base

ROWS = dict(
  features=dict(
    about='two labels by name, floats of the example, and of every token',
    by=('label', 'style', 'mood', 'map'),
  ),
  memory=dict(
    about='words whose encoder is trained along, and rows of floats, read by cross-attention',
    by=('words', 'notes'),
  ),
)
EXPECTED = {argument: base.expect('cores') for argument in ROWS}
ARGUMENTS = tuple(ROWS)


def get_config(argument='memory'):
  """A config of one of ROWS."""
  if argument not in ROWS:
    raise ValueError(f'configs/told.py has no {argument!r}; write one of {", ".join(ROWS)}')
  c = base.get_config()
  c.name = f'told {argument}'
  base.choose(c, 'data', 'told', by=ROWS[argument]['by'])
  base.choose(c, 'blocks', 'equal', size=2)
  base.choose(c, 'model', 'denoiser', width=64, depth=2, heads=4, rotary_base=100.0)
  c.plan.steps = 16
  c.optim.learning_rate = 2e-3
  c.train.cond_dropouts = tuple((name, 0.1) for name in ROWS[argument]['by'])
  c.train.steps, c.train.batch_size = 3000, 256
  c.train.eval_every = c.train.checkpoint_every = 1500
  c.eval.batch_size, c.eval.num, c.eval.steps = 512, 4096, ()
  return c.lock()
