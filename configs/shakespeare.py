r"""tiny_shakespeare by characters, in the setting of nanoGPT's laptop run; docs/results.md.

  python -m adiff.main --config=configs/shakespeare.py:ar --workdir=runs/ar \
      --config.data.data_dir=FOLDER_OF_TFDS

ROW is one of configs/text.py. The first 90% of the text train, the last 10% are held out.
"""

from configs import base, text

ROWS = {name: dict(about=row['about']) for name, row in text.ROWS.items()}
_DATA = '--config.data.data_dir=FOLDER_OF_TFDS'
EXPECTED = {
  **{name: base.expect('cores', flags=_DATA) for name in ROWS},
  'ar': base.expect(
    'cores', minutes=5, commit='90ec762', flags=_DATA, nats_per_token=(1.637, 0.015)
  ),
}
ARGUMENTS = tuple(ROWS)


def get_config(argument='ar'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    raise ValueError(
      f'configs/shakespeare.py has no {argument!r}; write one of {", ".join(ARGUMENTS)}'
    )
  c = base.get_config()
  c.name = f'shakespeare {argument}'
  base.choose(c, 'data', 'tfds_text', num_tokens=64, heldout='validation+test')
  base.choose(c, 'codec', 'characters')
  text.choose_row(c, argument)
  base.choose(c, 'model', 'denoiser', width=128, depth=4, heads=4, rotary_base=10_000.0)
  c.cond_dropout = 0.0
  c.optim.learning_rate, c.optim.warmup, c.optim.final = 3e-3, 100, 0.1
  c.optim.weight_decay = 0.1
  c.train.steps, c.train.batch_size = 2000, 12
  c.train.eval_every = c.train.checkpoint_every = 1000
  c.eval.batch_size, c.eval.samples, c.eval.num = 64, 1, 32
  return c.lock()
