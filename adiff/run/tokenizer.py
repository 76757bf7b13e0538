"""What the config of a codec that is trained stands for: an autoencoder of config.codec's tokens.

It has no blocks, process, plan or sampler, and says in a sentence where a config names one.
"""

import dataclasses
import functools

import jax

from adiff.learn import optim
from adiff.machine import array_file, files, sharding
from adiff.nn import autoencoder as autoencoder_lib
from adiff.nn import classifier, efficientnet, lpips
from adiff.run import choose, codecs, published, taught
from adiff.run import eyes as eyes_lib
from adiff.run import parts as parts_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import values

UNUSED = ('blocks', 'process', 'draw', 'spacing', 'solver', 'head', 'model')  # choices
UNTAUGHT = (  # keys of config.train that are about blocks and noise
  'block_sizes', 'random_length', 'requantise', 'given', 'complementary', 'next_token',
  'cond_dropouts', 'sizes',
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts(parts_lib.Parts):
  """Its model is the autoencoder, and its data are seen through the codec that this stands on."""

  eyes: str = ''  # digest of the network of a perceptual distance

  @property
  def autoencoder(self) -> autoencoder_lib.Autoencoder:
    return self.model

  @property
  def arranged(self) -> blocks_lib.Blocks:
    """The raster order."""
    return blocks_lib.whole(self.spec.num_tokens)

  def check_mesh(self, mesh) -> None:
    """Raises ValueError where a training step cannot be split over it."""
    for axis in ('tensor', 'sequence'):
      if mesh.shape[axis] > 1:
        raise ValueError(
          f'mesh.{axis}={mesh.shape[axis]}: a codec is split over data and fsdp alone; write 1'
        )
    train = self.config.train
    sharding.check_fits(
      mesh, heads=1, batch_size=train.batch_size, parts=train.microbatches,
      num_slots=self.spec.num_tokens,
    )

  @property
  def contract(self):
    return {**super().contract, **({'eyes': self.eyes} if self.eyes else {})}


def build(config, coded) -> Parts:
  """All parts; raises ValueError for what cannot work, with what to write instead."""
  for kind in UNUSED:
    if config[kind].name:
      raise ValueError(
        f'recipe {config.recipe.name} trains a codec, which has no {kind}; begin with a row of '
        f"configs/tokenizer.py, or write config.{kind} = dict(name='')"
      )
  for key in UNTAUGHT:
    if config.train[key]:
      raise ValueError(
        f'config.train.{key}={values.shown(config.train[key])} is about blocks, which a codec that '
        'is trained has none of; leave it away'
      )
  model = codecs.autoencoder(config, coded.spec)
  tx, _ = optim.make(**dict(config.optim), total_steps=config.train.steps)
  num, (seen, eyes) = config.train.microbatches, _seen(config, coded)

  def recipe(microbatches):
    return choose.resolve(
      'recipe', config.recipe,
      autoencoder=model, seen=seen, tx=tx, ema=config.train.ema, microbatches=microbatches,
      lessons=taught.lessons_of(config, coded, blocks_lib.whole(coded.spec.num_tokens)),
    )

  parts = Parts(
    config=config, coded=coded, model=model, recipe=recipe(num), counted=recipe(1), eyes=eyes
  )
  parts.recipe.needs(parts)
  return parts


def _seen(config, coded):
  """((x, y) [B, N, D] -> their distance in the features of a network, its digest) of
  recipe.perceptual_from; (None, '') where it names no file. Raises ValueError for tokens that are
  no pictures it can see."""
  path, layout = config.recipe.get('perceptual_from', ''), coded.codec.layout()
  if not path:
    return None, ''
  where = f'config.recipe.perceptual_from={path}'
  try:
    distance, channels, side, digest = _network(path)
  except FileNotFoundError as error:
    raise ValueError(f'{where}: there is no such file; name the eyes.npz of a workdir') from error
  except ValueError as error:
    raise ValueError(f'{where}: {error}') from error
  if layout is None or layout.shape[-1] not in channels or min(layout.shape[:2]) < side:
    wanted = ' or '.join(map(str, channels))
    raise ValueError(
      f'{where} sees pictures of {wanted} channels and {side} pixels a side at least, which these '
      'tokens are not; take another file, or codec.name=patches'
    )

  def seen(x, y):
    return distance(*(one.reshape(len(one), -1)[:, layout] for one in (x, y)))

  return seen, digest


def _network(path):
  """((pictures, pictures) -> scalar, channels of pictures, their least side, digest) of a network
  by name, or of a file: .safetensors is LPIPS, and else a classifier that a page has kept."""
  if path == published.EFFICIENTNET:
    net = efficientnet.params(published.efficientnet_weights())
    digest = files.digest(path, *jax.tree.leaves(net))
    return functools.partial(efficientnet.distance, net), (1, 3), efficientnet.LEAST, digest
  if str(path).endswith('.safetensors'):
    net = lpips.of(array_file.weights(path))
    digest = files.digest('lpips', *jax.tree.leaves(net))
    return functools.partial(lpips.distance, net), (1, 3), lpips.SIDE, digest
  found, _ = eyes_lib.read(path)
  channels = (found.params[0][0].shape[2],)
  return functools.partial(classifier.distance, found.params), channels, 1, found.digest
