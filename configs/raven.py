r"""Panels that follow abstract rules, as in Raven's matrices: which regime finds the rules?

  python -m adiff.main --config=configs/raven.py:blocks --workdir=runs/raven_blocks
  python -m adiff.main --config=configs/raven.py:ar --workdir=runs/raven_ar
  python -m adiff.main --config=configs/raven.py:whole --workdir=runs/raven_whole

81 symbols, nine panels of nine cells (adiff/judge/panels.py, after arXiv:2411.07873). The report
says how many samples follow one rule in all rows, one that training shows or one that is held out,
and how often the ninth panel is right that is made of eight given ones; --config.eval.split=unseen
bounds the likelihood of samples of held-out rules. Rows are sized to take about as long as each
other, ten minutes on two cores; `whole` trains on given tokens, too, for it reads in any order.
"""

from configs import base

ROWS = dict(
  blocks=dict(
    about='a panel a block, masked diffusion within it; the default', steps=700, given=0.0,
  ),
  ar=dict(about='a cell after the other: autoregression over the panels', steps=1500, given=0.0),
  whole=dict(about='all panels at once: masked diffusion', steps=1500, given=0.5),
)
EXPECTED = {name: base.expect('cores') for name in ROWS}
ARGUMENTS = tuple(ROWS)


def get_config(argument='blocks'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    raise ValueError(f'configs/raven.py has no {argument!r}; write one of {", ".join(ARGUMENTS)}')
  c = base.get_config()
  c.name = f'raven {argument}'
  base.choose(c, 'data', 'raven')
  base.choose(c, 'process', 'masked')
  base.choose(c, 'model', 'denoiser', width=64, depth=4, heads=4, shifted=argument == 'ar')
  if argument == 'blocks':
    base.choose(c, 'blocks', 'equal', size=9)
    c.plan.steps = 9
  elif argument == 'ar':
    base.choose(c, 'blocks', 'tokens')
    base.choose(c, 'draw', 'ones')
    c.plan.steps = 1
  else:
    base.choose(c, 'blocks', 'whole')
    c.plan.steps = 81
  if argument != 'ar':
    base.choose(c, 'solver', 'first_hitting')  # the exact law of masked tokens, one a step
  c.judge.name = 'rules'
  c.optim.learning_rate = 2e-3
  c.train.steps, c.train.batch_size = ROWS[argument]['steps'], 32
  c.train.given = ROWS[argument]['given']
  c.train.eval_every = c.train.checkpoint_every = 250
  c.eval.batch_size, c.eval.examples, c.eval.num, c.eval.steps = 256, 1024, 1024, ()
  return c.lock()
