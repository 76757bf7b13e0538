r"""A sampler in a folder of its own, which starts without tracing: what a server loads.

  python -m adiff.main --mode=export --workdir=runs/digits --batch=16 --out=runs/digits/exported
  python -m adiff.run.exported runs/digits/exported --num=100 --out=samples.npz

The folder holds program.bin (jax.export), params.npz and about.json with the digests of both, and
is replaced as a whole. Sampling needs jax and numpy alone; opening a folder runs nothing but the
compiled program in it: no pickle, no config.
"""

import argparse
import json
import os

from adiff.machine import compilation

compilation.keep()

import jax  # noqa: E402
import numpy as np  # noqa: E402
import tqdm  # noqa: E402
from jax import export  # noqa: E402

from adiff.data import facts_file  # noqa: E402
from adiff.machine import array_file, files, input_file, json_file, mistakes  # noqa: E402
from adiff.run import asked, codecs, output  # noqa: E402
from adiff.sequence import tokens as tokens_lib  # noqa: E402

FORMAT = 3
# Of several kinds of tokens a program answers with Tokens: kinds and runs, as JSON.
export.register_pytree_node_serialization(
  tokens_lib.Tokens, serialized_name='adiff.Tokens',
  serialize_auxdata=lambda static: json.dumps(static).encode(),
  deserialize_auxdata=lambda text: json_file.tuples(json_file.parse(text, list, where='a program')),
)
ABOUT, PARAMS, PROGRAM = output.EXPORT
ADVICE = 'it is no exported sampler, write one with --mode=export'
PROGRAM_BYTES = 2**30
_FORM = {'format': int, 'batch': int, 'seed': int, 'labels': [int], 'platforms': [str],
         'codec': {'name': str}, 'facts?': facts_file.FORM, 'sha256': {PARAMS: str, PROGRAM: str}}


def write(folder, run, params, *, batch, labels, seed, codec, about) -> str:
  """Writes the folder.

  run: (params, seed, start, labels [batch]) -> tokens [batch, N, ..] in raster order, a function
  that jax.jit takes; examples start .. start + batch - 1 of a seed. labels: int32, one an example
  and used in a circle. codec: {name, **arguments} of what decodes
  the tokens. about: further facts for about.json. Raises ValueError where the folder belongs to
  something else, OSError where it cannot be written.
  """
  leaves, tree = jax.tree.flatten(params)
  program = export.export(
    jax.jit(lambda leaves, *rest: run(jax.tree.unflatten(tree, leaves), *rest))
  )(
    [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves],
    *(jax.ShapeDtypeStruct((), np.uint32), jax.ShapeDtypeStruct((), np.int32)),
    jax.ShapeDtypeStruct((batch,), np.int32),
  )
  output.check_export(folder)
  with files.folder(folder, output.EXPORT) as draft:
    place = lambda file: os.path.join(draft, file)
    with files.whole(place(PROGRAM), 'wb') as file:
      file.write(program.serialize())
    with files.whole(place(PARAMS), 'wb') as file:
      np.savez(file, *(np.asarray(leaf) for leaf in leaves))
    files.write_json(place(ABOUT), {
      'format': FORMAT, 'batch': batch, 'seed': seed, 'labels': np.asarray(labels).tolist(),
      'platforms': list(program.platforms), 'jax': jax.__version__, 'codec': codec,
      'sha256': {file: files.sha256(place(file)) for file in (PARAMS, PROGRAM)}, **about,
    })
  return folder


class Sampler:
  """What `write` wrote."""

  def __init__(self, folder):
    """Raises ValueError in words for a folder that is not one of ours, or of another platform."""
    place = lambda file: os.path.join(folder, file)
    try:
      self.about = _about(place(ABOUT))
      content = input_file.read(place(PROGRAM), limit=PROGRAM_BYTES)
      stored = array_file.npz(place(PARAMS), advice=ADVICE)
      _check_whole(folder, self.about['sha256'])
    except FileNotFoundError as error:
      raise ValueError(f'{folder}: there is no {error.filename}; {ADVICE}') from error
    leaves = [stored[name] for name in sorted(stored, key=lambda name: (len(name), name))]
    platform = jax.default_backend()
    if platform not in self.about['platforms']:
      raise ValueError(
        f'{folder} was exported for {", ".join(self.about["platforms"])} and this is {platform}; '
        'export it there'
      )
    with input_file.told(place(PROGRAM), 'is no program', ADVICE):
      program = export.deserialize(bytearray(content))
    _check_fits(folder, program, leaves, self.about['batch'])
    self._leaves = jax.device_put(leaves)
    with input_file.told(place(ABOUT), 'names no codec', ADVICE):
      self._codec = codecs.of_choice(json_file.tuples(self.about['codec']))
      told = self.about.get('facts')
      self.facts = None if told is None else facts_file.read(told)
    self._run = jax.jit(program.call)

  def sample(self, start, num, *, seed=None, progress=None) -> tuple[np.ndarray, np.ndarray]:
    """(examples [num, ..], labels [num])."""
    start, num = asked.count('start', start, least=0), asked.count('num', num)
    asked.examples(start + num)
    size, labels = self.about['batch'], np.asarray(self.about['labels'], np.int32)
    seed = np.uint32(asked.seed(self.about['seed'] if seed is None else seed))
    wanted = np.take(labels, np.arange(start, start + num), mode='wrap')
    tokens = []
    for first in range(start, start + num, size):
      here = np.take(labels, np.arange(first, first + size), mode='wrap')
      tokens.append(self._run(self._leaves, seed, np.int32(first), here))
      if progress is not None:
        progress.update(min(size, start + num - first))
    tokens = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:num], *tokens)
    return self._codec.decode((), tokens), wanted


def _about(path):
  """about.json of an exported sampler of this format."""
  found = json_file.read(path, {'format': int}, advice=ADVICE)['format']
  if found != FORMAT:
    raise ValueError(f'{path} has format {found} and this program reads {FORMAT}; export it again')
  about = json_file.read(path, _FORM, advice=ADVICE)
  if about['batch'] < 1 or not 0 <= about['seed'] < 2**32 or not about['labels']:
    raise ValueError(f'{path} has a batch, a seed or labels that nothing can be; {ADVICE}')
  if not all(-1 <= label < 2**31 for label in about['labels']):
    raise ValueError(f'{path} has labels that are no classes; {ADVICE}')
  return about


def _check_whole(folder, digests):
  """Raises ValueError where the folder's files are not those of one export; asked once they have
  been read, for the folder may be replaced meanwhile."""
  for name, digest in digests.items():
    path = os.path.join(folder, name)
    if files.sha256(path) != digest:
      raise ValueError(
        f'{path} is not what was written with {ABOUT}; if it is just being exported, try again, '
        'else export it again'
      )


def _check_fits(folder, program, leaves, batch):
  """Raises ValueError for arrays that are not those of the program."""
  num = len(program.in_avals) - 3  # seed, start and labels come behind the parameters
  wanted = [(aval.shape, np.dtype(aval.dtype)) for aval in program.in_avals[:num]]
  if wanted != [(leaf.shape, leaf.dtype) for leaf in leaves]:
    raise ValueError(f'{folder} holds a program and the parameters of another one; {ADVICE}')
  if program.in_avals[-1].shape != (batch,):
    raise ValueError(f'{folder} holds a program of another batch than {batch}; {ADVICE}')


def main() -> None:
  """Samples from an exported sampler into an .npz."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('folder')
  parser.add_argument('--num', type=int, default=16, help='how many')
  parser.add_argument('--seed', type=int, help='default: that of the config')
  parser.add_argument(
    '--out', default='samples.npz', help='the .npz: arr_0, the examples, and arr_1, their labels'
  )
  options = parser.parse_args()
  with mistakes.in_a_sentence():
    asked.examples(options.num)
    output.check_file(options.out)
    with tqdm.tqdm(total=options.num, unit='sample', dynamic_ncols=True) as bar:
      sampler = Sampler(options.folder)
      examples, labels = sampler.sample(0, options.num, seed=options.seed, progress=bar)
    with files.whole(options.out, 'wb') as file:
      np.savez(file, **output.arrays(sampler.facts, examples, labels))
  print(options.out)


if __name__ == '__main__':
  main()
