r"""Studies: rows of configs side by side, at equal training FLOPs, each with several seeds.

  python -m adiff.main --mode=study                       lists them
  python -m adiff.main --mode=study --study=toy --out=runs/studies/toy
  python -m adiff.main --mode=study --study=claims --out=runs/studies/claims

A study is an entry of STUDIES. Its first row is the one that the others are compared with. A file
configs/studies.py in the current folder stands before this one.
"""


FRECHET = ('frechet', 'Fréchet distance', 'low')


def study(about, *, rows, flops=None, metric=FRECHET, seeds=3, settings=(), tuned=(), untuned=(),
          once=(), codecs=None, over=None):
  """An entry of STUDIES.

  rows: {name: (FILE.py:ROW, 'KEY=VALUE', ..)}, keys of the config that are changed. flops: of the
  training of each run; config.train.steps follows from it. metric: (key in eval.json, of samples or
  of the run; heading; low or high, what is better). settings: 'KEY=VALUE', of every row. tuned:
  settings of which each row takes the best one, each 'KEY=VALUE;KEY=VALUE' of sampling alone,
  chosen on a network with a seed of its own; untuned: rows that take none of them. once: rows that
  are trained with one seed. codecs: {row: FILE.py:ROW}, of rows over codes what trains their codec,
  as its config has it; `flops` are without it. over: an `axis` that every row goes over.
  """
  if flops is None:
    flops = 1e12 * max(over['values'])
  return dict(about=about, rows=rows, flops=flops, metric=metric, seeds=seeds, settings=settings,
              tuned=tuned, untuned=untuned, once=once, codecs=codecs or {}, over=over)


def axis(key, heading, values, *, law=False):
  """What each row of a study goes over: values of a key of the config, or of `flops`, TFLOP of
  training. law: the page tells the power law of each row; else the range that works."""
  return dict(key=key, heading=heading, values=values, law=law)


GENERATORS = 'configs/generators.py'
BLOCK, WHOLE = (f'{GENERATORS}:block-digits',), (f'{GENERATORS}:dit-digits',)
LOOK = 'eval.structure=true'  # seams, spectra, mistakes
# Steps at which samples are compared; settings are chosen at those of the plan. Each of four blocks
# makes a quarter of the calls: these meet at 8, 16, 32 and 64 calls, and one block goes on to those
# that it is said to need.
OF_BLOCKS = 'eval.steps=[2,4,8,16]', 'plan.steps=8'
OF_TWO = 'eval.steps=[4,8,16,32]', 'plan.steps=16'
OF_WHOLE = 'eval.steps=[4,8,16,32,64,128]', 'plan.steps=32'
TO_64 = 'eval.steps=[4,8,16,32,64]', 'plan.steps=32'  # of dearer calls
CELLS = (f'{GENERATORS}:acdit-digits',)
QUARTERS = (f'{GENERATORS}:acdit-mnist',)  # of 16 tokens: cheap steps
SCALED = {
  'block': QUARTERS, 'whole': (*QUARTERS, 'blocks.name=whole', 'plan.steps=32'),
  'gan': (f'{GENERATORS}:gan-mnist',),
}
QUIET = ('train.eval_every=0', 'train.checkpoint_every=1000')
SCALES = tuple(f'guidance.scale={s};guidance.first={s}' for s in (1.0, 1.2, 1.5, 2.0, 3.0))
RAMPS = tuple(f'guidance.scale={s};guidance.first=1.0' for s in (1.5, 2.0, 3.0))
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
    "families of generators on scikit-learn's digits, blocks first",
    rows={
      'block': (*BLOCK, *OF_BLOCKS, LOOK), 'whole': (*WHOLE, *OF_WHOLE, LOOK),
      'maskgit': (f'{GENERATORS}:maskgit-digits', 'eval.steps=[4,16]'),
      **{name: (f'{GENERATORS}:{name}-digits',) for name in (
        'frequency', 'mar', 'mar_causal', 'pixelcnn', 'gan',
      )},
      'unet': (f'{GENERATORS}:unet-digits', *TO_64),
      'flow': (f'{GENERATORS}:flow-digits', *OF_WHOLE),
    },
    flops=4.5e12, settings=QUIET, tuned=SCALES, untuned=('gan',),
  ),
  'blocks-digits': study(  # block and whole are those of images-digits
    'what was tried to make blocks better than the same network as one block',
    rows={
      'block': (*BLOCK, LOOK), 'whole': (*WHOLE, *OF_WHOLE, LOOK),
      'noised history': (*BLOCK, 'history=0.1'),
      'two blocks': (*BLOCK, 'blocks.name=equal', 'blocks.size=2', *OF_TWO),
      'quarters of small tokens': (f'{GENERATORS}:acdit-digits',),
      'noisy history': (f'{GENERATORS}:xar-digits',),
      'label in history': (*BLOCK, 'history_cond=true'),
    },
    flops=4.5e12, settings=(*QUIET, *OF_BLOCKS), tuned=SCALES,
  ),
  'images-mnist': study(
    'families of generators on MNIST, blocks first',
    rows={
      'block': (f'{GENERATORS}:block-mnist', 'eval.steps=[1,2,4,8]'),  # of seven strips
      'whole': (f'{GENERATORS}:dit-mnist', *TO_64),
      'flow': (f'{GENERATORS}:flow-mnist', *TO_64), 'unet': (f'{GENERATORS}:unet-mnist', *TO_64),
      **{name: (f'{GENERATORS}:{name}-mnist',) for name in ('acdit', 'mar', 'frequency', 'gan')},
    },
    flops=12e12, settings=QUIET, tuned=SCALES, untuned=('gan',),
    once=('flow', 'unet', 'acdit', 'mar', 'frequency', 'gan'),
  ),
  'codes-mnist': study(
    'codes of MNIST: one after another, or scale after scale',
    rows={'vqgan_ar': (f'{GENERATORS}:vqgan_ar-mnist',), 'var': (f'{GENERATORS}:var-mnist',)},
    codecs={
      'vqgan_ar': 'configs/tokenizer.py:mnist_vq', 'var': 'configs/tokenizer.py:mnist_multiscale',
    },
    flops=12e12, settings=QUIET, tuned=(*SCALES, *RAMPS),
  ),
  'text': study(
    'language models by blocks: of 16 tokens, of one, and one block',
    rows={  # AR in one stream: it needs no second one
      'block': ('configs/text.py:block16',), 'AR': ('configs/text.py:ar', 'model.shifted=true'),
      'whole': ('configs/text.py:full',),
    },
    flops=6e12, metric=('bits_per_byte', 'Bound (bits a byte)', 'low'),
    settings=(*QUIET, 'eval.samplers=[]'),
  ),
  'raven': study(
    'who finds the rule of nine panels: a panel a block, cell after cell, or all at once',
    rows={name: (f'configs/raven.py:{name}',) for name in ('blocks', 'ar', 'whole')},
    flops=6.5e12, settings=QUIET,
    metric=('ninth_right_seen', 'Ninth panels right, seen rules', 'high'),
  ),
  'captions': study(
    'captions of pictures: five words a network call, or one',
    rows={
      'once': ('configs/shapes.py:caption_once',), 'ar': ('configs/shapes.py:caption_ar',),
      'diffused': ('configs/shapes.py:caption', 'kinds.text.steps=1'),
    },
    flops=40e12, seeds=2, settings=(*QUIET, 'eval.examples=256'),
    metric=('caption_rich', 'True and rich captions', 'high'),
  ),
  'stability': study(
    'learning rates by seeds: what diverges, what works, how far seeds differ',
    rows={
      'block': BLOCK, 'whole': (*WHOLE, 'plan.steps=32'), 'gan': (f'{GENERATORS}:gan-digits',),
    },
    flops=1e12, settings=(*QUIET, 'eval.steps=[]'),
    over=axis('optim.learning_rate', 'learning rate', (1e-4, 1e-3, 3e-3, 1e-2, 1e-1)),
  ),
  'scaling-flops': study(
    'more training, over a decade and a half', rows=SCALED,
    settings=(*QUIET, 'eval.steps=[]', 'optim.warmup=20'),
    over=axis('flops', 'TFLOP', (0.8, 2.5, 8.0, 25.0), law=True),
  ),
  'scaling-data': study(
    'more data, the same training', rows=SCALED, flops=6e12, settings=(*QUIET, 'eval.steps=[]'),
    over=axis('train.share', 'share of the data', (0.02, 0.05, 0.1, 0.25, 0.5, 1.0), law=True),
  ),
  'orders': study(
    'in which order 16 tokens of digits are made: the same network, four tokens a block',
    rows={
      'raster': (*CELLS, 'blocks.name=equal', 'blocks.size=4'),
      'reverse': (*CELLS, 'blocks.name=backwards', 'blocks.size=4'),
      'random': (*CELLS, 'blocks.name=shuffled', 'blocks.size=4'), 'cells': CELLS,
      'scales': (*CELLS, 'codec.name=pyramid', 'blocks.name=scales', 'blocks.sides=[1,2,4,8]'),
      'frequency': (
        *CELLS, 'codec.name=frequencies', 'blocks.name=equal', 'blocks.size=4', 'process.clip=0.0',
      ),
      'whole': (*CELLS, 'blocks.name=whole', *TO_64),
    },
    flops=4.5e12, settings=(*QUIET, *OF_BLOCKS),
  ),
}
