r"""Pictures of coloured shapes that follow a map: their edges, layout, or low resolution.

  python -m adiff.main --config=configs/edit.py:edges --workdir=runs/edges
  python -m adiff.main --config=configs/edit.py:layout --workdir=runs/layout
  python -m adiff.main --config=configs/edit.py:superres --workdir=runs/superres
  python -m adiff.main --mode=sample --workdir=runs/superres --cond=low.npz
  python -m adiff.main --config=configs/edit.py:layout_sizes --workdir=runs/sizes
  python -m adiff.main --mode=eval --workdir=runs/sizes '--set=plan.size=[40,40]'

64 patches of 4x4 pixels in one block; a token is told the part of the map that lies in its patch.
The report asks for the maps of held-out pictures and says how well samples follow them, with the
map and without; of layout_sizes at any --set=plan.size. docs/editing.md has what else one network
does: holes, variations.
"""

from configs import base

ROWS = dict(
  edges=dict(about='pictures of their edges', control='edges', strength=2.0, steps=1200),
  layout=dict(
    about='pictures of where something stands', control='layout', strength=2.0, steps=700
  ),
  layout_sizes=dict(
    about='likewise, at five sizes and shapes of pictures', control='layout', strength=2.0,
    steps=2000, sizes=((24, 24), (48, 48), (24, 48), (48, 24)),
  ),
  superres=dict(about='pictures of their low resolution', control='low', strength=1.0, steps=700),
)
# On cores that others used, too. How far another seed ends from it was not measured.
EXPECTED = dict(
  edges=base.expect('cores', minutes=6, commit='8155e33', edges_f1=(0.858, 0.05)),
  layout=base.expect('cores', minutes=3, commit='8155e33', layout_iou=(0.924, 0.05)),
  layout_sizes=base.expect('cores'),
  superres=base.expect('cores'),
)
ARGUMENTS = tuple(ROWS)


def get_config(argument='edges'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    raise ValueError(f'configs/edit.py has no {argument!r}; write one of {", ".join(ARGUMENTS)}')
  c = base.get_config()
  c.name = f'edit {argument}'
  base.choose(c, 'data', 'drawn')
  row = ROWS[argument]
  base.choose(c, 'codec', 'controlled', patch=4, control=(row['control'],))
  c.guidance.scales = ((row['control'], row['strength']),)
  base.choose(c, 'blocks', 'whole')
  # What pictures are, and not the noise on them; the weight of fine levels is bounded.
  base.choose(c, 'process', 'gaussian', prediction='x0', weight='velocity')
  base.choose(c, 'solver', 'multistep')
  base.choose(c, 'model', 'denoiser', width=96, depth=3, heads=4)
  c.plan.steps = 16
  c.optim.learning_rate = 3e-3
  c.train.steps, c.train.batch_size = row['steps'], 16
  c.train.sizes = row.get('sizes', ())
  c.train.eval_every = c.train.checkpoint_every = 500
  c.judge.name = 'control'
  c.eval.batch_size, c.eval.examples, c.eval.num, c.eval.steps = 128, 256, 256, ()
  return c.lock()
