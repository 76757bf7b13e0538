r"""Students of few steps: a recipe, and the teacher that it learns from.

  python -m adiff.main --config=configs/few_steps.py:matching --workdir=runs/matching
  python -m adiff.main --config=configs/few_steps.py:consistency-long \
      --config.recipe.teacher=runs/digits_long --workdir=runs/consistency_long
  python -m adiff.main --config=configs/few_steps.py:matching-long \
      --config.recipe.teacher=runs/digits_long --config.init_from=runs/consistency_long \
      --workdir=runs/matching_long
  python -m adiff.main --config=configs/few_steps.py:matching-mnist --config.data.data_dir=DIR \
      --config.recipe.teacher=runs/laptop --workdir=runs/matching_mnist
  python -m adiff.main --mode=dryrun --config=configs/few_steps.py:shortcut-imagenet256
  python -m adiff.main --config=configs/few_steps.py:distilled_decoding \
      --config.recipe.teacher=runs/toy_ar --workdir=runs/decoding

RECIPE: of digits, four blocks of 4x4 pixels, from the model that ships. RECIPE-long: its teacher is
a run of configs/digits.py:long; RECIPE-mnist: of configs/images.py:mnist-laptop; and
RECIPE-imagenet256: of configs/imagenet256.py:acdit_xl. These three must be named: until then they
are untrained, for dry runs. consistency and continuous_consistency need teachers of v: they have no
-mnist, whose teacher predicts x0, nor the second one -imagenet256, of another schedule. matching
moves the law of what its student makes already: it starts best from a student of consistency.
trajectory makes one block: its teacher is a run of configs/digits.py:whole, of mnist-laptop with
--config.blocks.name=whole, or of configs/imagenet256.py:dit_xl, and must be named everywhere.
distilled_decoding: of the symbols of configs/toy.py:ar, all at once, its teacher a run of that. The
report sets a student of pictures beside its teacher with as few steps.
"""

from configs import base, digits, imagenet256, images, toy

SIZES = dict(
  long=dict(about='its teacher a run of configs/digits.py:long'),
  mnist=dict(about='its teacher a run of configs/images.py:mnist-laptop'),
  imagenet256=dict(about='its teacher a run of configs/imagenet256.py:acdit_xl'),
)
WIDTH = 0.04  # of t: a difference does not see what a derivative of a level's features is full of
ROWS = dict(
  progressive=dict(about='steps halved, stage by stage', solver='first_order', told='t'),
  consistency=dict(about='the end of the path from everywhere', solver='consistency', told='t'),
  continuous_consistency=dict(
    about='the same without a grid', solver='consistency', told='t', of=dict(width=WIDTH),
  ),
  meanflow=dict(
    about='the mean velocity', solver='flow_map', told='difference',
    of=dict(power=1.0, offset=1e-3, width=WIDTH),
  ),
  shortcut=dict(about='two steps in one', solver='flow_map', told='difference'),
  # A student that runs ahead of its critic goes astray.
  matching=dict(
    about='the law, by two denoisers', solver='consistency', told='t', rate=5e-5,
    of=dict(critic_rate=8.0),
  ),
  trajectory=dict(about='a state from all before it', solver='trajectory', told='t'),
  distilled_decoding=dict(about='symbols of a chain, all at once'),
)
DECODING = 'distilled_decoding'
UNTAUGHT = (
  'consistency-mnist', 'continuous_consistency-mnist', 'continuous_consistency-imagenet256',
)

EXPECTED = {
  **{name: base.expect('cores') for name in ROWS if name not in ('trajectory', DECODING)},
  **{
    name: base.expect('cores', flags='--config.recipe.teacher=RUN')
    for name in ('trajectory', DECODING)
  },
  # Other seeds move the Fréchet distance by up to 0.1, the gap ratio by up to 0.04.
  **{f'{name}-long': base.expect(
    'cores', minutes=6, commit=commit, frechet_2=(frechet, 0.15), gap_ratio_2=(ratio, 0.05),
    flags='--config.recipe.teacher=RUN' + ' --config.init_from=RUN' * (name == 'matching'),
  ) for name, commit, frechet, ratio in (
    ('progressive', '1e816d5', 0.44, 0.02), ('consistency', '1e816d5', 0.52, 0.04),
    ('meanflow', '73327ab', 0.587, 0.063), ('shortcut', '1e816d5', 0.564, 0.056),
    ('matching', '1e816d5', 0.41, 0.01),
  )},
  'shortcut-imagenet256': base.expect(
    'v5e:16x16', flags='--config.data.data_dir=DIR --config.recipe.teacher=RUN'
  ),
}
ARGUMENTS = tuple(EXPECTED)


def get_config(argument='matching'):
  """A config of one of ARGUMENTS, which stand for every row with each of SIZES but UNTAUGHT."""
  if argument == DECODING:
    return _decoding()
  name, _, size = argument.partition('-')
  if name not in ROWS or name == DECODING or size not in ('', *SIZES):
    raise ValueError(
      f'configs/few_steps.py has no {argument!r}; write one of {", ".join(ROWS)}, or of these but '
      f'the last with -{" or -".join(SIZES)}'
    )
  if argument in UNTAUGHT:
    raise ValueError(
      f'configs/few_steps.py has no {argument}: {name} needs a teacher of another prediction or '
      'schedule; write shortcut, meanflow, progressive or matching'
    )
  row, whole = ROWS[name], name == 'trajectory'
  if size in ('', 'long'):
    c = digits.get_config('whole' if whole else size if size else 'short').unlock()
    c.train.steps = 2000
    c.train.eval_every = c.train.checkpoint_every = 1000
  elif size == 'mnist':
    c = images.get_config('mnist-laptop').unlock()
  else:
    c = imagenet256.get_config('dit_xl' if whole else 'acdit_xl').unlock()
    c.train.steps = 20_000
  c.name = f'few steps {argument}'
  # The teacher's guidance becomes the student's own.
  c.guidance.scale = c.guidance.first = 1.0
  c.model.dropout, c.optim.warmup = 0.0, 50
  c.optim.learning_rate = min(c.optim.learning_rate, row.get('rate', 5e-4))
  c.model.told = row['told']
  c.plan.steps, c.eval.steps = 2, (1, 2, 4, 8)
  base.choose(c, 'solver', row['solver'])
  teacher = 'untrained' if size or whole else 'digits'
  base.choose(c, 'recipe', name, teacher=teacher, **row.get('of', {}))
  if name == 'progressive':
    c.recipe.stage = 3 * c.train.steps // 10  # the last one takes what is left
  if whole:
    _trajectory(c)
  return c.lock()


def _trajectory(c):
  """One block, whose states are read in the first layers: as of 28, six in the paper."""
  base.choose(c, 'blocks', 'whole')
  c.plan.steps, c.eval.steps = c.recipe.states, ()
  lower = round(c.model.depth * 6 / 28)
  with c.ignore_type():  # a number, or none, until here
    c.model.reach = ((lower, None), (c.model.depth - lower, 0))


def _decoding():
  """All tokens of a chain at once; its teacher a run of configs/toy.py:ar."""
  c = toy.get_config('ar').unlock()
  c.name = f'few steps {DECODING}'
  base.choose(c, 'blocks', 'whole')
  base.choose(c, 'draw', 'uniform')
  base.choose(c, 'solver', 'decoded')
  base.choose(c, 'recipe', DECODING, teacher='untrained')
  c.model.hinted, c.cond_dropout = 'beside', 0.0
  return c.lock()
