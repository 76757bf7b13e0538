"""Config -> parts. The only reader of the config's choices; it validates once, in words.

What a name may be stands in the tables below; choose.py resolves one.
"""

import dataclasses
import functools
import hashlib
from typing import Any

import numpy as np

from adiff.codec import patches, pyramid, tokenizers
from adiff.data import chain, corpora, digits, images, latents, mixture
from adiff.data import spec as spec_lib
from adiff.data import text as text_data
from adiff.learn import base as learn_base
from adiff.learn import lessons, optim, plain
from adiff.machine import sharding
from adiff.nn import denoiser
from adiff.nn import network as network_lib
from adiff.process import base as process_base
from adiff.process import gaussian, masked, mixed, uniform
from adiff.run import check, choose
from adiff.sample import truncation
from adiff.sample.solvers import base as solvers_base
from adiff.sample.solvers import (
  entropy_bound,
  first_hitting,
  first_order,
  heun,
  multistep,
  scheduled,
  self_condition,
  threshold,
)
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import draw as draw_lib
from adiff.sequence import plan as plan_lib

CODECS = {'patches': patches.Patches, 'pyramid': pyramid.Pyramid}
TOKENIZERS = {
  'bytes': lambda corpus: tokenizers.Bytes(),
  'characters': lambda corpus: tokenizers.characters_of(
    document for split in corpus.splits for document in corpus.documents(split)
  ),
  'subwords': lambda corpus, path, size: (
    tokenizers.subwords_from(path) if path
    else tokenizers.subwords_of(corpus.documents('train'), size)
  ),
}
DATA = {
  'chain': chain.Chain,
  'mixture': mixture.Mixture,
  'latents': latents.Latents,
  'digits': lambda codec: digits.Digits(codec(digits.SHAPE, digits.LEVELS)),
  'tfds': lambda codec, dataset, data_dir: images.TfdsImages(codec, dataset, data_dir),
  'image_folder': lambda codec, data_dir, size, channels: images.ImageFolder(
    codec, data_dir, size, channels=channels
  ),
  'text': lambda tokenizer, align, path, num_tokens, packed: _text(
    corpora.Files(path) if path else corpora.PythonDocs(), tokenizer, num_tokens, packed, align
  ),
  'tfds_text': lambda tokenizer, align, dataset, data_dir, heldout, num_tokens, packed: _text(
    corpora.TfdsText(dataset, data_dir, heldout), tokenizer, num_tokens, packed, align
  ),
}
BLOCKS = {
  name: getattr(blocks_lib, name)
  for name in ('whole', 'tokens', 'equal', 'cells', 'frames', 'scales')
}
PROCESSES = {
  'gaussian': gaussian.Gaussian,
  'masked': masked.Masked,
  'uniform': uniform.Uniform,
  'mixed': mixed.Mixed,
}
DRAWS = {name: getattr(draw_lib, name) for name in ('uniform', 'logit_normal', 'clipped', 'ones')}
SPACINGS = {name: getattr(plan_lib, name) for name in ('linear', 'cosine', 'power', 'reveals')}
SOLVERS = {
  'first_order': first_order.FirstOrder,
  'heun': heun.Heun,
  'multistep': multistep.Multistep,
  'first_hitting': first_hitting.FirstHitting,
  'threshold': threshold.Threshold,
  'entropy_bound': entropy_bound.EntropyBound,
  'scheduled': scheduled.Scheduled,
}
MODELS = {'denoiser': denoiser.Denoiser}


@dataclasses.dataclass(frozen=True)
class Parts:
  """What a config stands for."""

  config: Any
  source: spec_lib.Source
  process: process_base.Process
  # blocks and their draw, of every block size that the network learns
  geometries: tuple[tuple[blocks_lib.Blocks, draw_lib.Draw], ...]
  plan: plan_lib.Plan
  solver: solvers_base.Solver
  model: network_lib.Network
  recipe: learn_base.Recipe
  counted: learn_base.Recipe  # the same recipe, of a program in which nothing is computed twice

  @property
  def spec(self) -> spec_lib.Spec:
    return self.source.spec

  @property
  def blocks(self) -> blocks_lib.Blocks:
    """Those of the config, which are sampled and judged."""
    return self.geometries[0][0]

  @property
  def draw(self) -> draw_lib.Draw:
    return self.geometries[0][1]

  @property
  def history_cond(self) -> bool:
    """Do history slots carry the condition?"""
    return history_cond(self.config, self.blocks, self.model)

  @property
  def narrow(self) -> solvers_base.Narrow:
    """The cut of the law that symbols are sampled from."""
    return truncation.narrow(**dict(self.config.truncation))

  @property
  def reveals(self) -> tuple[tuple[int, ...], ...] | None:
    """What `likelihood.bound` asks: a network that was trained on pure noise alone is judged
    there."""
    one_pass = self.config.draw.name == 'ones' and max(self.blocks.sizes) > 1
    return tuple((n,) for n in self.blocks.sizes) if one_pass else None

  @property
  def guidance(self) -> np.ndarray:
    """[K] guidance scale of each block."""
    guide = self.config.guidance
    first = guide.first if guide.scale != 1 else 1.0
    return np.linspace(first, guide.scale, self.blocks.num_blocks, dtype=np.float32)

  @functools.cached_property
  def contract(self) -> dict:
    """What a checkpoint means, beyond its arrays; evaluation and sampling refuse another one."""
    order = hashlib.sha256(np.asarray(self.blocks.order, np.int32).tobytes()).hexdigest()[:16]
    process = dataclasses.asdict(self.process)
    return {
      'levels': '0 clean, 1 noise',
      'process': {
        'name': self.config.process.name,
        **{k: v for k, v in process.items() if k not in ('eta', 'clip')},
      },
      'blocks': {'order': order, 'num_tokens': self.blocks.num_tokens},
      'shifted': self.model.shifted,
      'history_cond': self.history_cond,
      'codec': dict(self.config.codec),
      'data': self.source.fingerprint,
    }


def _text(corpus, tokenizer, num_tokens, packed, align):
  """Text with the tokenizer that was made for its corpus."""
  return text_data.Text(corpus, tokenizer(corpus), num_tokens, packed=packed, align=align)


def build_source(config) -> spec_lib.Source:
  """The data set, seen through its codec."""
  whole, texts = ('chain', 'mixture', 'latents'), ('text', 'tfds_text')
  kind = 'whole' if config.data.name in whole else 'text' if config.data.name in texts else 'image'
  fits = {'whole': ('none',), 'text': tuple(TOKENIZERS), 'image': tuple(CODECS)}
  if config.data.name in DATA and config.codec.name not in fits[kind]:
    raise ValueError(
      f'config.codec.name={config.codec.name!r} does not fit '
      f'config.data.name={config.data.name!r}; it takes {" or ".join(fits[kind])}'
    )

  def codec(shape, count):
    return choose.resolve('codec', CODECS, config.codec, shape=shape, levels=count)

  def tokenizer(corpus):
    return choose.resolve('codec', TOKENIZERS, config.codec, corpus=corpus)

  # Packed documents are filled up to whole blocks.
  align = max(block_size(config), *config.train.block_sizes, 1)
  return choose.resolve('data', DATA, config.data, codec=codec, tokenizer=tokenizer, align=align)


def block_size(config) -> int:
  """Tokens of a block of a sequence cut into equal ones; 1 for other geometries."""
  if config.blocks.name == 'whole' and 'num_tokens' in config.data:
    return config.data.num_tokens
  return config.blocks.size if config.blocks.name == 'equal' else 1


def build_solver(choice, process) -> solvers_base.Solver:
  """The solver, which must serve the process."""
  solver = choose.resolve('solver', SOLVERS, choice)
  solver.check(process)
  return solver


def build_process(config, spec) -> process_base.Process:
  """The process, which must fit the kind of tokens."""
  discrete = config.process.name != 'gaussian'
  if config.process.name in PROCESSES and discrete != bool(spec.vocab):
    kind, other = ('symbols', 'floats') if discrete else ('floats', 'symbols')
    change = (
      f'codec.discrete={discrete}'
      if config.codec.name != 'none'
      else f'data.name={"chain" if discrete else "mixture"}'
    )
    raise ValueError(
      f'process {config.process.name} needs tokens that are {kind} but the data has {other}; set '
      f'{change}'
    )
  choice = dict(config.process)
  if 'clip' in choice:
    choice['clip'] = choice['clip'] or None
  return choose.resolve('process', PROCESSES, choice, vocab=spec.vocab, dim=spec.dim, bin=spec.bin)


def build_blocks(config, spec) -> blocks_lib.Blocks:
  """The blocks, which must cover the data's tokens."""
  blocks = choose.resolve(
    'blocks',
    BLOCKS,
    config.blocks,
    num_tokens=spec.num_tokens,
    grid=spec.grid,
    history=config.history,
  )
  if blocks.num_tokens != spec.num_tokens:
    raise ValueError(
      f'blocks sum to {blocks.num_tokens} tokens but {config.data.name} rows have '
      f'{spec.num_tokens}; '
      f'change config.blocks or the codec so that they agree'
    )
  return dataclasses.replace(blocks, causal=bool(config.train.next_token))


def history_cond(config, blocks, model) -> bool:
  """Do history slots carry the condition? They must where they are working slots, too."""
  return config.history_cond or blocks.history is None or model.shifted


def build_plan(config, blocks, *, steps=None) -> plan_lib.Plan:
  """The sampling plan; `steps` a block replaces the config's."""
  steps = steps or config.plan.steps
  budgets = (config.plan.first or steps,) + (steps,) * (blocks.num_blocks - 1)
  plan = plan_lib.Plan(
    blocks.num_blocks,
    budgets,
    config.plan.delay,
    spacing=choose.resolve('spacing', SPACINGS, config.spacing),
  )
  plan.check_history(blocks)
  return plan


def build_recipe(config, parts, model, microbatches) -> learn_base.Recipe:
  """How the parameters of the model move; parts: the geometries, the process and the data's spec of
  build."""
  geometries, process, spec = parts
  tx, _ = optim.make(**dict(config.optim), total_steps=config.train.steps)
  share = config.train.random_length
  return plain.Plain(
    model=model, tx=tx, process=process, coords=spec.coords,
    blocks=tuple(blocks for blocks, _ in geometries), draw=tuple(draw for _, draw in geometries),
    ema=config.train.ema, cond_dropout=config.cond_dropout, microbatches=microbatches,
    history_cond=history_cond(config, geometries[0][0], model),
    lessons=(lessons.RandomLength(share),) if share else (),
    complementary=config.train.complementary, next_token=config.train.next_token,
  )


def build(config, source=None) -> Parts:
  """All parts of a config; raises ValueError for what cannot work, with what to write instead.

  source: the data set of an earlier build of the same config.data and config.codec.
  """
  check.keys(config)
  check.numbers(config)
  source = source or build_source(config)
  spec = source.spec
  spec_lib.check_split(config.eval.split, source.splits)
  process = build_process(config, spec)
  geometries = build_geometries(config, spec)
  check.extras(config, len(geometries))
  blocks = geometries[0][0]
  plan = build_plan(config, blocks)
  solver = build_solver(config.solver, process)
  if config.guidance.scale != 1 and not spec.num_classes:
    raise ValueError(
      f'guidance.scale={config.guidance.scale} needs labels, and {config.data.name} has none; set '
      'it to 1'
    )
  model = choose.resolve(
    'model', MODELS, config.model,
    num_inputs=process.num_inputs, num_outputs=process.num_outputs, num_classes=spec.num_classes,
  )
  if model.num_hints:
    solver = self_condition.SelfCondition(solver, model.num_hints)
  check.shifted(config, model)
  parts, microbatches = (geometries, process, spec), config.train.microbatches
  recipe = counted = build_recipe(config, parts, model, microbatches)
  if model.remat != 'none' or microbatches != 1:
    counted = build_recipe(config, parts, model.recomputing('none'), 1)
  return Parts(config, source, process, geometries, plan, solver, model, recipe, counted)


def build_geometries(config, spec) -> tuple[tuple[blocks_lib.Blocks, draw_lib.Draw], ...]:
  """(blocks, draw) of the config, and of train.block_sizes; masked blocks of one token are always
  all noise, the chain rule."""
  blocks = build_blocks(config, spec)
  if config.draw.name == 'ones' and config.process.name != 'masked':
    raise ValueError(
      'draw ones trains on pure noise alone, which only process masked can learn from; set '
      'draw.name=uniform'
    )
  draw = choose.resolve('draw', DRAWS, config.draw)
  if config.atoms.zero or config.atoms.one:
    draw = draw_lib.atoms(draw, zero=config.atoms.zero, one=config.atoms.one)
  geometries = [(blocks, draw)]
  for size in config.train.block_sizes:
    other = blocks_lib.equal(spec.num_tokens, size, history=config.history)
    other = dataclasses.replace(other, causal=bool(config.train.next_token))
    ones = size == 1 and config.process.name == 'masked'
    geometries.append((other, draw_lib.ones() if ones else draw))
  return tuple(geometries)


def build_mesh(parts, devices=None) -> Any:
  """The mesh of the config over `devices`, see sharding.make_mesh, which training must fit."""
  config = parts.config
  mesh = sharding.make_mesh(**config.mesh, devices=devices)
  for blocks, _ in parts.geometries:
    sharding.check_fits(
      mesh, heads=parts.model.heads, batch_size=config.train.batch_size,
      parts=len(parts.geometries) * config.train.microbatches, num_slots=blocks.num_slots,
    )
  return mesh


def state_shardings(parts, mesh, abstract) -> Any:
  """Where the arrays of a state lie, as the network and the config say."""
  return sharding.state_shardings(
    mesh, abstract, tensor_axes=parts.model.tensor_axes(), offload=parts.config.train.offload
  )
