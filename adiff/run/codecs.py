"""Codecs by name. One that was trained is put together here, of choices that its file tells."""

import dataclasses
import math
from typing import Any

from adiff.codec import base as codec_base
from adiff.nn import autoencoder as autoencoder_lib
from adiff.run import choose
from adiff.sequence import spec as spec_lib


def resolve(choice, **provided) -> codec_base.Codec:
  """The codec of a choice, as choose.resolve."""
  return choose.resolve('codec', choice, made=made, **provided)


def arguments(codec: codec_base.Codec) -> dict[str, Any]:
  """The arguments of a codec, with what it learnt, but for functions, which `resolve` provides."""
  return {key: value for key, value in dataclasses.asdict(codec).items() if not callable(value)}


def as_choice(name, codec: codec_base.Codec) -> dict[str, Any]:
  """The codec as a choice of that name; one of several kinds holds those of its kinds as such."""
  choice = {'name': name, **arguments(codec)}
  if 'kinds' in choice:
    choice['kinds'] = {
      kind: as_choice(choose.called('codec', own), own) for kind, own in codec.kinds.items()
    }
  return choice


def of_choice(choice) -> codec_base.Codec:
  """Inverse of `as_choice`; raises ValueError for what is no codec."""
  choice = dict(choice)
  kinds = {kind: of_choice(own) for kind, own in choice.pop('kinds', {}).items()}
  return resolve(choice, kinds=kinds)


def made(about) -> tuple[codec_base.Codec, autoencoder_lib.Autoencoder]:
  """(codec, autoencoder) that the file of a trained codec tells of, in codec.trained.FORM. Raises
  ValueError for what no autoencoder can be made of."""
  codec = resolve(about['codec'])
  spec = codec.spec(codec_base.Facts(about['medium'], about['shape'], about['levels']))
  return codec, autoencoder(about, spec)


def autoencoder(config, spec: spec_lib.Spec) -> autoencoder_lib.Autoencoder:
  """The autoencoder of config.coder and config.quantiser, of tokens. Raises ValueError for tokens
  that are no floats on a grid."""
  if spec.kind.discrete or math.prod(spec.grid) != spec.num_tokens:
    raise ValueError(
      'a codec is trained on floats on a grid, which these tokens are not; take codec.name=patches '
      'with codec.discrete=False'
    )
  quantiser = choose.resolve('quantiser', config['quantiser'])
  coder = choose.resolve(
    'coder', config['coder'], grid=tuple(spec.grid), dim=spec.kind.dim,
    num_channels=quantiser.num_channels,
  )
  return autoencoder_lib.Autoencoder(coder, quantiser)
