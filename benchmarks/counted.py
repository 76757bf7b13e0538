r"""What claims are decided by that needs no training: calls, operations, bytes, masks, lines, laws.

  python -m benchmarks.counted                 all of SUITES
  python -m benchmarks.counted lines edits     some

Writes FOLDER/NAME.json, records (adiff/judge/verdicts.py) that --mode=study --study=claims reads.
Families: AR is token by token, blocks are four, one block is diffusion; all share one network.
Sizes are those of toys; what is counted does not depend on weights, but for `laws`, whose are
random.
"""

import argparse
import ast
import io
import pathlib
import tokenize

import jax
import jax.numpy as jnp
import numpy as np

from adiff.judge import paths
from adiff.machine import files, provenance
from adiff.nn import denoiser
from adiff.process import masked
from adiff.run import build, editing, generate
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from configs import base, toy

ROOT = pathlib.Path(__file__).resolve().parents[1]
STEPS, BLOCKS = 64, 4  # of a block of floats; blocks of a sequence
WIDTH, DEPTH = 64, 2
FAMILIES = {'AR': 'ar-masked', 'blocks': 'block-gaussian', 'one block': 'full-gaussian'}
# What one family alone needs: its law of noise, how it is sampled, what its network has besides.
OWN = {
  'AR': ('process/absorbing', 'process/masked', 'sample/solvers/first_order', 'nn/shifted'),
  'diffusion': ('process/gaussian', 'sample/solvers/multistep'),
  'masked diffusion': ('process/absorbing', 'process/masked', 'sample/solvers/first_hitting'),
  'MAR': ('process/masked_vectors', 'nn/heads/diffusion', 'sample/solvers/scheduled'),
  'PixelCNN': ('process/absorbing', 'process/masked', 'nn/pixelcnn', 'nn/heads/logistics'),
  'GAN': ('learn/gan', 'learn/critic', 'nn/generator'),
}


def code_lines(text) -> int:
  """Lines with code on them: without blank ones, comments and docstrings."""
  shown = set()
  for token in tokenize.generate_tokens(io.StringIO(text).readline):
    if token.type not in (
      tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
      tokenize.ENDMARKER,
    ):
      shown |= set(range(token.start[0], token.end[0] + 1))
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
      first, *_ = node.body
      shown -= set(range(first.lineno, first.end_lineno + 1))
  return len(shown)


def lines():
  """Lines of code that a family has besides what all of them share."""
  return [
    {'family': family, 'lines': sum(
      code_lines((ROOT / f'adiff/{file}.py').read_text()) for file in own), 'files': ', '.join(own)}
    for family, own in OWN.items()
  ]


def parts_of(family, num_tokens) -> build.Parts:
  """A model of a family over so many tokens: symbols of 16 levels, or one float each."""
  config = toy.get_config(FAMILIES[family])
  with config.unlocked():
    config.data.num_tokens, config.data.size = num_tokens, 64
    if config.process.name == 'gaussian':
      config.data.dim, config.plan.steps = 1, STEPS
      base.choose(config, 'solver', 'first_order')
    else:
      config.data.vocab, config.model.shifted = 16, True
    if config.blocks.name == 'equal':
      config.blocks.size = num_tokens // BLOCKS
    config.model.width, config.model.depth = WIDTH, DEPTH
  return build.build(config)


def calls():
  """Calls one after another and operations of one sample, pixel by pixel and as one block; at 256
  pixels a side the calls alone."""
  found = []
  for side in (8, 16, 32):
    ar, whole = (generate.rollout(parts_of(name, side**2), 1) for name in ('AR', 'one block'))
    found.append({
      'side': side, 'AR calls': ar.evaluations, 'one block calls': whole.evaluations,
      'AR GFLOP': ar.flops / 1e9, 'one block GFLOP': whole.flops / 1e9,
    })
  return [*found, {'side': 256, 'AR calls': 256**2, 'one block calls': STEPS}]


def memory():
  """KiB that sampling one example needs besides the parameters: what the compiled program takes for
  64 examples, over 64; the cache is part of it."""
  found = []
  for tokens in (64, 256):
    for family in FAMILIES:
      parts, num = parts_of(family, tokens), 64
      params = jax.eval_shape(lambda key, parts=parts: parts.recipe.served(parts.recipe.init(key)),
                              jax.random.key(0))
      arguments = params, jax.eval_shape(lambda num=num: generate.example_keys(0, 0, num)), (
        jax.ShapeDtypeStruct((num,), np.int32))
      taken = generate.make_sampler(parts).lower(*arguments).compile().memory_analysis()
      found.append({
        'tokens': tokens, 'family': family,
        'KiB a sample': taken.temp_size_in_bytes / num / 2**10,
        'cache KiB': generate.rollout(parts, num).cache_bytes / num / 2**10,
      })
  return found


def edits():
  """Which parts of a picture of 8 x 8 tokens can be made anew, the others given: 1 where they are,
  0 where the walk is refused; and conditions that the same checkpoint is told: label, maps."""
  rows, columns = np.indices((8, 8))
  masks = {
    'next': rows >= 4, 'previous': rows < 4,
    'hole': (abs(rows - 3.5) < 2) & (abs(columns - 3.5) < 2),
    'scattered': (rows + columns) % 2 == 0,
  }
  geometry = {
    'AR': blocks_lib.tokens(64), 'blocks': blocks_lib.equal(64, 64 // BLOCKS),
    'one block': blocks_lib.whole(64),
  }
  found = []
  for family, blocks in geometry.items():
    told = {}
    for name, hole in masks.items():
      hole = blocks.from_raster(hole.ravel(), axis=0)
      try:
        editing.check_given(blocks, hole, ~hole)
        told[name] = 1
      except ValueError:
        told[name] = 0
    found.append({'family': family, **told, 'conditions': 2})
  return found


def laws(vocab=3, tokens=4, many=1024):
  """Random networks over all strings: the sum of their probabilities by the bound; the bound and
  the own value of an example, which is the mean over all orders, in nats; and calls a score."""
  strings = jnp.asarray(np.indices((vocab,) * tokens).reshape(tokens, -1).T, jnp.int32)
  process, coords = masked.Masked(vocab), np.arange(tokens)[:, None]
  model, found = denoiser.Denoiser(tokens, vocab, width=16, depth=2, heads=2), []
  for family, blocks, draws in (
    ('AR', blocks_lib.tokens(tokens), 1), ('one block', blocks_lib.whole(tokens), many),
  ):
    denoise = model.denoise(_random(model, process, blocks, coords))

    def draw(key, denoise=denoise, blocks=blocks):
      return paths.by_order(
        denoise, key, strings, blocks=blocks, process=process, coords=coords).sum(1)

    drawn = jax.lax.map(jax.jit(draw), jax.random.split(jax.random.key(0), draws))
    drawn = np.asarray(drawn, np.float64)
    bound, own = drawn.mean(0), -np.log(np.exp(-drawn).mean(0))
    found.append({
      'family': family, 'sum': float(np.exp(-bound).sum()), 'own sum': float(np.exp(-own).sum()),
      'bound': float(np.exp(-own) @ bound), 'own': float(np.exp(-own) @ own),
      'calls a score': 1 if draws == 1 else tokens,
    })
  return found


def _random(model, process, blocks, coords):
  """Parameters that say something of every token; at its initial values a network is uniform."""
  key = jax.random.key(0)
  ask = ask_lib.Ask(process.prior(key, blocks.shape(1)), jnp.ones((1, blocks.num_tokens)),
                    blocks.token_slots(coords))
  leaves, tree = jax.tree.flatten(model.init(key, ask))
  keys = jax.random.split(key, len(leaves))
  return jax.tree.unflatten(tree, [
    leaf + 0.15 * jax.random.normal(own, leaf.shape) for leaf, own in zip(leaves, keys, strict=True)
  ])


SUITES = {one.__name__: one for one in (lines, calls, memory, edits, laws)}


def write(names, folder) -> None:
  """Measures what is named, and writes a record of each."""
  folder.mkdir(parents=True, exist_ok=True)
  for name in names:
    suite = SUITES[name]
    files.write_json(folder / f'{name}.json', {
      'about': ' '.join(suite.__doc__.split()),
      'command': f'python -m benchmarks.counted {name}', 'commit': provenance.commit(),
      'hardware': provenance.hardware(), 'rows': suite(),
    })
    print(folder / f'{name}.json')


def main():
  """Entry point."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('suites', nargs='*', choices=[*SUITES, []], default=[], help='all by default')
  parser.add_argument('--folder', type=pathlib.Path, default=ROOT / 'benchmarks')
  options = parser.parse_args()
  write(options.suites or SUITES, options.folder)


if __name__ == '__main__':
  main()
