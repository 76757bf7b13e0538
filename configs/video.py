r"""Videos of 16 frames in the latent space of an autoencoder: blocks of four frames.

  python -m adiff.main --mode=dryrun --topology=v5p:4x4x8 --config=configs/video.py:1b
  launch/tpu_pod.sh video --config=configs/video.py:1b --workdir=/mnt/runs/video \
      --config.data.data_dir=/mnt/video_latents
  python -m adiff.main --config=configs/video.py:1b-debug --workdir=runs/debug

4,096 tokens an example, every block reads slightly noised frames before it; sampled with a cache,
so that the first frames are there early. 1b-debug: the same choices, made small, on made-up
latents: two cores, a minute.
"""

from configs import base

ROWS = {'1b': dict(about='blocks of four frames, a slightly noisy past')}
SIZES = dict(debug=dict(about='made small, on made-up latents'))
EXPECTED = {
  '1b': base.expect('v5p:4x4x8', flags='--config.data.data_dir=DIR'),
  '1b-debug': base.expect('cores'),
}
ARGUMENTS = ('1b', '1b-debug')


def get_config(argument='1b'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    raise ValueError(f'configs/video.py has no {argument!r}; write one of {", ".join(ARGUMENTS)}')
  c = base.get_config()
  c.name = f'video {argument}'
  base.choose(c, 'data', 'latents', shape=(16, 32, 32, 16), num_classes=0)
  base.choose(c, 'codec', 'latents', patch=2)
  base.choose(c, 'blocks', 'frames', grid=(16, 16, 16), per_block=4)
  base.choose(c, 'process', 'gaussian', schedule='flow', prediction='flow', clip=0.0)
  base.choose(c, 'draw', 'logit_normal')
  base.choose(
    c, 'model', 'denoiser', width=1792, depth=26, heads=28, dtype='bfloat16', attention='kernel',
    remat='layers',
  )
  base.choose(c, 'solver', 'multistep')
  c.plan.steps = 25
  c.history = 0.02  # a little noise on the past: errors of early frames do less harm
  c.cond_dropout = 0.0
  c.optim.learning_rate, c.optim.weight_decay, c.optim.warmup = 1e-4, 0.01, 1000
  c.optim.schedule = 'wsd'
  c.train.steps, c.train.batch_size, c.train.ema = 400_000, 256, 0.9999
  c.train.eval_every = c.train.checkpoint_every = 2500
  c.eval.batch_size, c.eval.examples, c.eval.num, c.eval.steps = 128, 512, 32, ()
  c.mesh.fsdp = 32
  if argument == '1b-debug':
    base.debug(c, shape=(4, 8, 8, 4), grid=(4, 4, 4), per_block=1)
  return c.lock()
