r"""Studies: rows of configs side by side, at equal training FLOPs, each with several seeds.

  python -m adiff.main --mode=study                       lists them
  python -m adiff.main --mode=study --study=toy --out=runs/studies/toy
  python -m adiff.main --mode=study --study=claims --out=runs/studies/claims

A study is an entry of STUDIES. Its first row is the one that the others are compared with. A file
configs/studies.py in the current folder stands before this one.
"""


FRECHET = ('frechet', 'Fréchet distance', 'low')


def study(about, *, rows, flops, metric=FRECHET, seeds=3, settings=(), tuned=()):
  """An entry of STUDIES.

  rows: {name: (FILE.py:ROW, 'KEY=VALUE', ..)}, keys of the config that are changed. flops: of the
  training of each run; config.train.steps follows from it. metric: (key in eval.json, of samples or
  of the run; heading; low or high, what is better). settings: 'KEY=VALUE', of every row. tuned:
  settings of which each row takes the best one, each 'KEY=VALUE;KEY=VALUE' of sampling alone,
  chosen on a network with a seed of its own.
  """
  return dict(about=about, rows=rows, flops=flops, metric=metric, seeds=seeds, settings=settings,
              tuned=tuned)


DIGITS = 'configs/digits.py'
TEXT = 'configs/text.py'
STUDIES = {
  'toy': study(
    'a Markov chain as blocks, one block and token by token: a minute, to see what studies are',
    rows={
      'block': ('configs/toy.py:block-masked',), 'whole': ('configs/toy.py:full-masked',),
      'tokens': ('configs/toy.py:ar-masked',),
    },
    flops=3e10, metric=('nats', 'Bound (nats)', 'low'), seeds=2,
    settings=('train.eval_every=0', 'optim.warmup=10', 'eval.num=256', 'eval.examples=256'),
  ),
  'images-digits': study(
    "blocks against the same network as one block, scales and symbols, on scikit-learn's digits",
    rows={
      'block': (f'{DIGITS}:short',), 'whole': (f'{DIGITS}:whole',), 'scales': (f'{DIGITS}:scales',),
      'block, noised history': (f'{DIGITS}:short', 'history=0.1'),
      'block, label in history': (f'{DIGITS}:short', 'history_cond=true'),
      'masked': (f'{DIGITS}:masked',),
    },
    flops=4.5e12, settings=('train.eval_every=0', 'train.checkpoint_every=1000'),
    tuned=('guidance.scale=1.0;guidance.first=1.0', 'guidance.scale=1.2;guidance.first=1.2',
           'guidance.scale=1.5;guidance.first=1.5'),
  ),
}
