r"""ImageNet 256x256, in pixels or the latent space of an autoencoder: published networks.

  python -m adiff.main --mode=dryrun --topology=v5e:16x16 --config=configs/imagenet256.py:acdit_xl
  launch/tpu_pod.sh acdit --config=configs/imagenet256.py:acdit_xl --workdir=/mnt/runs/acdit \
      --config.data.data_dir=/mnt/imagenet_latents
  python -m adiff.main --config=configs/imagenet256.py:acdit_xl-debug --workdir=runs/debug

acdit_xl: four square blocks of 16x16 latents read clean ones before them (ACDiT, arXiv:2412.07720;
its text in sections 3 and 4). xar_b: four cells of 8x8 latents read noisy ones before them (xAR,
arXiv:2502.20388). dit_xl: one block, patches of 2x2 (DiT, arXiv:2212.09748). Our network shares one
modulation among all layers, so its parameters are fewer than theirs. mar_b: 16x16 latents that a
head samples, a few in each call (MAR-B, arXiv:2406.11838), 208 million parameters. adm: a U-Net on
pixels (ADM, arXiv:2105.05233), 554 million; DIR holds imagenet256 as TFDS lays it out. var_d16: ten
scales of codes that --mode=encode has made with configs/tokenizer.py:imagenet256_var (VAR,
arXiv:2404.02905), a modulation a layer, 310 million. NAME-debug: the same choices, made small, on
made-up latents: two cores, a minute; var_d16 has none.
"""

from configs import base, coded

ROWS = dict(
  acdit_xl=dict(
    about='four square blocks, clean past (ACDiT-XL)', shape=(32, 32, 4), patch=1, width=1152,
    depth=28, heads=16, batch=1024, steps=1_200_000, mesh=dict(fsdp=16),
  ),
  xar_b=dict(
    about='four cells, noisy past (xAR-B)', shape=(16, 16, 16), patch=1, width=768, depth=24,
    heads=12, batch=2048, steps=500_000, mesh=dict(),
  ),
  dit_xl=dict(
    about='one block (DiT-XL/2)', shape=(32, 32, 4), patch=2, width=1152, depth=28, heads=16,
    batch=256, steps=7_000_000, mesh=dict(),
  ),
  mar_b=dict(
    about='a few of 256 vectors in each call, sampled by a head (MAR-B)', shape=(16, 16, 16),
    patch=1, width=768, depth=24, heads=12, batch=2048, steps=500_000, mesh=dict(),
  ),
  adm=dict(
    about='a U-Net on pixels (ADM)', shape=(256, 256, 3), patch=1, batch=256, steps=1_980_000,
    mesh=dict(fsdp=16),
  ),
)
CODES = {'var_d16': dict(about='ten scales of codes, each in one call (VAR-d16)')}
SIZES = dict(debug=dict(about='made small, on made-up latents'))
EXPECTED = {
  **{name: base.expect('v5e:16x16', flags='--config.data.data_dir=DIR') for name in ROWS},
  **{f'{name}-debug': base.expect('cores') for name in ROWS},
  'var_d16': base.expect(
    'v5e:16x16', flags='--config.data.data_dir=DIR --config.codec.workdir=RUN'
  ),
}
ARGUMENTS = (*ROWS, *(f'{name}-debug' for name in ROWS), *CODES)
ROWS |= CODES


def get_config(argument='acdit_xl'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    raise ValueError(
      f'configs/imagenet256.py has no {argument!r}; write one of {", ".join(ARGUMENTS)}'
    )
  name, _, debug = argument.partition('-')
  row = ROWS[name]
  c = base.get_config()
  c.name = f'imagenet256 {argument}'
  if name == 'var_d16':
    coded.var_d16(c)
    return c.lock()
  base.choose(c, 'data', 'latents', shape=row['shape'], num_classes=1000)
  base.choose(c, 'codec', 'latents', patch=row['patch'])
  base.choose(c, 'process', 'gaussian', clip=0.0)
  if 'width' in row:
    base.choose(
      c, 'model', 'denoiser', width=row['width'], depth=row['depth'], heads=row['heads'],
      dtype='bfloat16', attention='kernel', remat='layers',
    )
  base.choose(c, 'solver', 'multistep')
  c.plan.steps = 25
  c.guidance.scale = c.guidance.first = 1.5
  c.optim.learning_rate, c.optim.weight_decay, c.optim.warmup = 1e-4, 0.0, 1000
  c.train.steps, c.train.batch_size, c.train.ema = row['steps'], row['batch'], 0.9999
  c.train.eval_every = c.train.checkpoint_every = 5000
  c.eval.batch_size, c.eval.examples, c.eval.num, c.eval.steps = 256, 4096, 256, ()
  c.mesh.update(row['mesh'])
  if name == 'acdit_xl':
    base.choose(c, 'blocks', 'cells', cell=(16, 16))
    c.process.schedule, c.process.prediction, c.optim.schedule = 'linear', 'v', 'wsd'
  elif name == 'xar_b':
    base.choose(c, 'blocks', 'cells', cell=(8, 8))
    c.process.schedule = c.process.prediction = 'flow'
    base.choose(c, 'draw', 'logit_normal')
    c.history, c.atoms.zero = None, 0.05  # a noisy past, and clean ones as sampling has them
    base.choose(c, 'solver', 'first_order')
    c.process.eta, c.plan.steps = 1.0, 50
    c.guidance.first, c.guidance.scale = 1.0, 2.7
  else:
    base.choose(c, 'blocks', 'whole')
    c.process.schedule, c.process.prediction, c.plan.steps = 'linear', 'eps', 50
    if name == 'mar_b':
      _mar(c)
    elif name == 'adm':
      _adm(c, made_up=bool(debug))
  if debug:
    base.debug(c, shape=(8, 8, row['shape'][-1]), cell=(4, 4))
  return c.lock()


def _mar(c):
  """Its encoder and decoder of 12 layers are one network here; known tokens read no hidden ones."""
  base.choose(c, 'process', 'masked_vectors', clip=0.0)
  base.choose(c, 'head', 'diffusion', width=1024, depth=6, steps=100)
  base.choose(c, 'draw', 'clipped', low=0.7, high=1.0)
  base.choose(c, 'spacing', 'cosine')
  base.choose(c, 'solver', 'scheduled')
  c.model.apart, c.plan.steps = True, 64
  c.optim.learning_rate, c.optim.weight_decay, c.optim.b2 = 8e-4, 0.02, 0.95
  c.optim.schedule, c.optim.warmup = 'constant', 62_500  # of 100 epochs


def _adm(c, made_up):
  if not made_up:
    base.choose(c, 'data', 'tfds', dataset='imagenet256')
    base.choose(c, 'codec', 'patches', patch=1)
    c.process.clip = 1.0
  base.choose(
    c, 'model', 'unet', widths=(256, 256, 512, 512, 1024, 1024), attend=(3, 4, 5), head_width=64,
    dtype='bfloat16', remat='layers',
  )
