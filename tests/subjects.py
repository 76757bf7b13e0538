"""Folders that adiff reads, made small, and the functions that read them as its modes do."""

import collections
import contextlib
import dataclasses
import functools
import json
import types

import jax
import jax.numpy as jnp
import judged
import numpy as np
import PIL.Image
import tiny
import tiny_data
import token_sets

from adiff.codec import bytes as bytes_lib
from adiff.codec import patches, subwords
from adiff.data import corpora, image_folder, latents, rows, stream, tfds, tfds_text
from adiff.judge import reference as reference_lib
from adiff.judge import section, training
from adiff.judge.page import images
from adiff.machine import checkpoint, cost, logs
from adiff.run import (
  build,
  compare,
  exported,
  follow,
  foreign,
  generate,
  kept,
  overrides,
  references,
  report,
  shards,
)
from adiff.run import workdir as workdir_lib
from launch import convert

PNG = images.png_bytes(images.grid([[[[0]]]], 2))
SHAPE = (4, 4, 3)


@dataclasses.dataclass(frozen=True)
class Subject:
  """A folder that can be read, and what reads it."""

  make: collections.abc.Callable  # of a folder that is not there yet
  readers: dict  # {glob of what is tampered with: (functions of the folder, ..)}


@functools.cache
def parts():
  """A small config's."""
  return build.build(tiny.config('block-masked').lock())


def state():
  """Zeros."""
  return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), cost.state(parts()))


def make_run(folder):
  """A workdir with everything in it."""
  with workdir_lib.lock(folder):
    workdir_lib.claim(folder, parts().config, parts().contract)
    kept.write(folder, parts())
    with contextlib.closing(checkpoint.Checkpoints(folder, best='nats')) as keeper:
      for step in (1, 2):
        keeper.save(step, state())
        keeper.wait()
        keeper.rate(step, {'nats': 1.0 / step})
  log = logs.Logs(folder, total_steps=9, tokens_per_step=9, progress=False)
  with contextlib.closing(log):
    for step in (1, 2):
      log.write(step, {'loss': 1.0, 'loss_per_block': np.ones(3), 'loss_per_level': np.ones(4)})
      log.write(step, {'test/nats': 3.0, 'test/per_block': np.ones(3)})
  sections = [section.Section('All', (
    section.Facts((section.Fact('nats', 'nats', 1.5, (1.0, 2.0), 'It is.', 'low', 'of a kind',
                                {'corpus': 2.0}, 'a tile'),)),
    section.Table('Bird', (section.Column('x', 'X', 'high', 'What it is.', 'of a kind', 2),), (
      section.Group('Ours', ({'name': 'one', 'x': 1.5, 'x_ci95': 0.5},)),
      section.Group('Theirs', ({'name': 'three', 'x': 3},), ranked=False),
    )),
    section.Figure('bars', PNG, 'Bars', 'pixels', {'values': (1.0, 2.0)}),
    section.Text('words', 'folded', 'a summary'), section.Text('words'),
    section.Passages(('one', 'two'), ('', 'three'), 'title'),
    section.Reveal('order', ('a', 'b'), (0, -1), (0, 1), 4),
  ))]
  told = {
    'title': 'a run', 'command': 'a command', 'commit': 'abc', 'hardware': '2 cores', 'step': 9,
    'date': '2025-01-01', 'split': 'test', 'data': 'chain', 'config': {'train': {'steps': 9}},
    'profile': {'nats': [1.0, 2.0], 'error': [0.1, 0.1]}, 'numbers': section.numbers(sections),
  }
  report.write(folder, 'report.html', 'eval.json', told, sections)
  (folder / 'eval' / '2').mkdir(parents=True)


def make_old(folder):
  """A workdir of version 2."""
  make_run(folder)
  for name, change in (('config.json', {}), ('contract.json', {'version': 2})):
    told = json.loads((folder / name).read_text()) | change
    kept = {key: value for key, value in told.items() if key not in ('head', 'recipe', 'judge')}
    (folder / name).write_text(json.dumps(kept))


def use(folder):
  """As --mode=eval, sample, export and follow begin."""
  config = overrides.arrange(workdir_lib.load(folder), folder)
  checkpoint.restore_params(folder, cost.params(kept.parts(folder, config)))
  follow.done(follow.place(folder))


def resume(folder):
  """As training begins."""
  kept.codec(folder, parts().config)
  with workdir_lib.lock(folder):
    workdir_lib.claim(folder, parts().config, parts().contract)
    kept.write(folder, parts())
    with contextlib.closing(checkpoint.Checkpoints(folder, best='nats')) as keeper:
      keeper.restore(cost.state(parts()))
    logs.Logs(folder, total_steps=9, tokens_per_step=9, start_step=2, progress=False).close()


def tell(folder):
  """As an evaluation ends."""
  training.of(logs.read(folder), step=2, flops_per_step=1.0)


def side_by_side(folder):
  """--mode=compare."""
  compare.compare([str(folder), str(folder.parent / 'other')], folder.parent / 'compared')


def budget(folder):
  """--solver=budget."""
  overrides.arrange(parts().config, folder, steps=2, solver='budget')


def converted(folder):
  """python -m launch.convert."""
  convert.convert(folder, folder.parent / 'converted')


def make_exported(folder):
  """An exported sampler."""
  def run(params, seed, start, labels):
    return jnp.zeros((3, 4, 4)) + params['a'][None] + labels[:, None, None].astype(float)

  codec = dataclasses.asdict(patches.Patches((4, 4, 1), patch=2, levels=17))
  exported.write(
    folder, run, {'a': np.ones((4, 4), np.float32)}, batch=3, labels=[0, 1], seed=7,
    codec={'name': 'patches', **codec}, about={'step': 5},
  )


def make_shards(folder):
  """Samples on their way, with all shards there."""
  folder.mkdir()
  kept, shards._merge = shards._merge, lambda job, file: 1 / 0
  try:
    sample(folder)
  except ZeroDivisionError:
    pass
  finally:
    shards._merge = kept


def make_pictures(folder):
  """A folder of classes."""
  rng = np.random.default_rng(0)
  for name, kind, suffix in (('a', 'RGB', 'png'), ('b', 'RGBA', 'png'), ('c', 'RGB', 'jpg'),
                             ('d', 'P', 'png'), ('e', 'L', 'jpg')):
    (folder / name).mkdir(parents=True)
    for index in range(2):
      picture = PIL.Image.fromarray(rng.integers(0, 255, (9, 7, 4), np.uint8)).convert(kind)
      exif = PIL.Image.Exif()
      exif[0x112] = 6
      picture.save(folder / name / f'{index}.{suffix}', exif=exif)


def every(source):
  """Reads all examples."""
  for split in source.splits:
    source.examples(split, np.arange(source.size(split)))


def read_pictures(folder):
  source = image_folder.ImageFolder(folder, 4)
  with contextlib.suppress(ValueError, OSError):  # the second reader must stand it, too
    source.check()
  every(source)
  return source.fingerprint


def make_latents(folder):
  (folder / 'train').mkdir(parents=True)
  (folder / 'test').mkdir()
  (folder / 'latents.json').write_text(json.dumps({'mean': [0.0] * 3, 'std': [1.0] * 3}))
  for split in ('train', 'test'):
    np.save(folder / split / '0.npy', np.ones((5, *SHAPE), np.float16))
    np.save(folder / split / '0.label.npy', np.arange(5))


def read_latents(folder):
  source = latents.Latents(folder, SHAPE, num_classes=7)
  every(source)
  return source.statistics


def make_texts(folder):
  (folder / 'texts').mkdir(parents=True)
  for index in range(4):
    (folder / 'texts' / f'{index}.txt').write_text(tiny_data.WORDS[:300])
  tiny_data._tokenizer(folder / 'tokenizer.json')
  stream_of(folder)


def stream_of(folder):
  """The tokenised stream of three documents, in files."""
  kept, stream.RAM_CHARACTERS = stream.RAM_CHARACTERS, 0
  try:
    return stream.tokenise(['abc', 'de', ''], bytes_lib.Bytes(), folder / 'stream')
  finally:
    stream.RAM_CHARACTERS = kept


def read_texts(folder):
  for place in (folder / 'texts', folder / 'texts' / '1.txt'):
    corpus = corpora.Files(place)
    texts = [list(corpus.documents(split)) for split in corpus.splits]
    assert len(texts) == 2 and len(corpus.fingerprint) == 16


def read_tokenizer(folder):
  found = subwords.subwords_from(folder / 'tokenizer.json')
  found.text(found.symbols('All the world'))
  return found.digest


def make_tfds(dataset, folder):
  folder.mkdir()
  tiny_data._tfds(folder / dataset)


def read_tfds_images(folder):
  source = tfds.Tfds('mnist', folder)
  every(source)
  return source.fingerprint


def read_tfds_text(folder):
  source = tfds_text.TfdsText('tiny_shakespeare', folder, num_tokens=8)
  every(source)
  rows.Rows(source, bytes_lib.Bytes(), cache_dir=folder / 'cache').size('test')


def make_reference(folder):
  """Statistics of real images, and samples beside them."""
  images = np.random.default_rng(0).integers(0, 17, (40, 4, 4, 1), np.uint8)
  splits = {'train': images[:30], 'test': images[30:]}
  own = judged.subject(
    judged.sampled(images), levels=17, size=lambda split: len(splits[split]),
    examples=lambda split, rows: {
      'example': splits[split][rows], 'label': np.full(len(rows), -1, np.int32)},
  )
  references.write(folder / references.FILE, reference_lib.Reference.make(own))
  np.savez(folder / 'samples.npz', images[:8], np.arange(8))


def read_reference(folder):
  references.read(folder / references.FILE).scores(np.zeros((8, 4, 4, 1), np.uint8))


def read_samples(folder):
  foreign.read(folder / 'samples.npz').as_data(17, (4, 4, 1))


def read_exported(folder):
  exported.Sampler(folder).sample(0, 4)


class Zeros:
  """Stands for generate.Sampler, and is as fast."""

  def __init__(self, *arguments, **how):
    del arguments, how

  def sample(self, start, num, progress=None):
    del start, progress
    return np.zeros((num, parts().spec.num_tokens), np.int32), np.zeros(num, np.int32), None, 0


def sample(folder):
  """--mode=sample, which goes on where shards are."""
  kept, generate.Sampler = generate.Sampler, Zeros
  try:
    shards.to_file(
      parts(), {'a': np.ones(3)}, types.SimpleNamespace(shape={}, is_multi_process=False),
      num=10, seed=0, batch_size=4,
      out=str(folder / 'samples.npz'), shard=4,
    )
  finally:
    generate.Sampler = kept


SUBJECTS = {
  'run': Subject(make_run, {
    'config.json': (use, resume), 'contract.json': (use, resume), 'data.json': (use, resume),
    'metrics.jsonl': (resume, tell),
    'eval.json': (side_by_side, budget), 'pictures/bars.png': (side_by_side,),
    'checkpoints/digests/2.json': (use, resume), 'checkpoints/2/state/**/*': (use, resume),
    'checkpoints/measured.json': (resume,), 'lock': (resume,),
  }),
  'old': Subject(make_old, {'config.json': (converted,), 'contract.json': (converted,)}),
  'exported': Subject(make_exported, {'*': (read_exported,)}),
  'shards': Subject(make_shards, {'samples.npz.parts/*': (sample,)}),
  'reference': Subject(make_reference, {
    'reference.npz': (read_reference,), 'samples.npz': (read_samples,)}),
  'pictures': Subject(make_pictures, {'*/*': (read_pictures,)}),
  'latents': Subject(make_latents, {'**/*.*': (read_latents,)}),
  'texts': Subject(make_texts, {
    'texts/1.txt': (read_texts,), 'tokenizer.json': (read_tokenizer,), 'stream/*': (stream_of,),
  }),
  'tokens': Subject(token_sets.make, {
    'set/encoded.json': token_sets.READERS, 'set/*/*.npz': token_sets.READERS,
    'set/made_by.json': (token_sets.encode_on,),
  }),
  'mnist': Subject(functools.partial(make_tfds, 'mnist'), {
    'mnist/1.0.0/*': (read_tfds_images,)}),
  'words': Subject(functools.partial(make_tfds, 'tiny_shakespeare'), {
    'tiny_shakespeare/1.0.0/*': (read_tfds_text,)}),
}
WEIGHTS = {'run': 8, 'old': 1, 'exported': 2, 'shards': 1, 'reference': 2, 'pictures': 3,
           'latents': 2, 'texts': 2, 'tokens': 2, 'mnist': 2, 'words': 1}  # how often each is drawn
