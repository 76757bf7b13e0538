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
    mask = np.zeros(examples.shape[1:], bool)
    mask[-1:] = True
    found['filled'] = np.array(model.fill(examples[0], mask, num=2).examples)
  generate.to_folder(model.parts, model.params, place, batch=4, seed=3, step=model.step)
  found['exported'] = np.asarray(exported.Sampler(place).sample(0, 4)[0])
  return found


if __name__ == '__main__':
  compilation.keep()
  workdir, examples, out = sys.argv[1:]
  with np.load(examples) as file:
    np.savez(out, **arrays(workdir, file['examples'], f'{out}.exported'))
