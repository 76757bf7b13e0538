"""What a workdir can do, in a process of its own: python moved.py WORKDIR EXAMPLES.npz OUT.npz."""

import sys

import numpy as np

import adiff
from adiff.machine import compilation
from adiff.run import exported, generate


def arrays(workdir, examples, place) -> dict:
  """{name: array} of samples, holes that are filled, scores, and an exported sampler."""
  model = adiff.load(workdir)
  found = {'sampled': np.array(model.sample(4, seed=3, progress=False).examples)}
  found['scored'] = model.score(examples, samples=2).nats
  if model.parts.spec.medium == 'text':
    found['written'] = np.array(model.generate(['All the', 'merely'], num_tokens=8))
    found['filled'] = np.array(model.fill('All the', 4, ''))
  else:
    found['filled'] = np.array(model.fill(examples[0], last_block(model), num=2).examples)
  generate.to_folder(model.parts, model.params, place, batch=4, seed=3, step=model.step)
  found['exported'] = np.asarray(exported.Sampler(place).sample(0, 4)[0])
  return found


def last_block(model) -> np.ndarray:
  """bool, of an example's first axes: where the tokens of the last block are."""
  blocks, grid, shape = model.parts.blocks, model.parts.spec.grid, model.parts.source.facts.shape
  mask = blocks.to_raster(blocks.block_of_token == blocks.num_blocks - 1, axis=0).reshape(grid)
  for axis, size in enumerate(grid):
    mask = mask.repeat(shape[axis] // size, axis)
  return mask


if __name__ == '__main__':
  compilation.keep()
  workdir, examples, out = sys.argv[1:]
  with np.load(examples) as file:
    np.savez(out, **arrays(workdir, file['examples'], f'{out}.exported'))
