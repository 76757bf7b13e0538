"""What a workdir keeps of its run's data, so that sampling, filling, scoring and exporting need
neither the data nor the place where they lay.

  WORKDIR/data.json    facts of the examples, splits, fingerprint, what is known exactly, and the
                       codec with what it learnt; form 1 is FORM below
  WORKDIR/codec/NAME   what of the codec is a file of its own, such as tokenizer.json

A workdir without them, of an earlier version, is opened where its data is; to train on writes them.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from adiff.codec import base as codec_base
from adiff.data import base as data_base
from adiff.machine import files, input_file, json_file
from adiff.run import build, choose
from adiff.run import workdir as workdir_lib
from adiff.sequence import spec as spec_lib

FILE, FOLDER, VERSION = workdir_lib.DATA, 'codec', 1
FORM = {
  'version': int,
  'fingerprint': str,  # of the tokens, as in contract.json
  'facts': {
    'medium': str, 'shape': [int], 'levels': int, 'coords?': [[int]],
    'conds': {str: {'class': str}},  # and its fields, such as names of the classes of a label
  },
  'splits': {str: int},  # training first; examples of the source, before they are cut into rows
  'exact': {str: float},
  'codec': {'name': str},  # and its arguments, but for those that are files
  'files': {str: str},  # sha256 of each in the folder
  'digest': str,  # of all the rest
}
_CONDS = {one.__name__: one for one in (spec_lib.Label,)}
_ADVICE = 'restore it from a backup, or delete it and train on where the data is'
_FILE_BYTES = 2**28


@dataclasses.dataclass(frozen=True, eq=False)
class Kept(data_base.Source):
  """The facts of a data set that may be elsewhere; it is opened when examples are asked for, and
  raises FileNotFoundError where it is not."""

  told: dict  # what data.json holds
  facts_of: codec_base.Facts
  open: Callable[[], data_base.Coded]  # the data set itself

  @functools.cached_property
  def there(self) -> data_base.Coded:
    """The data set itself, through its codec; the same as was trained on."""
    return self.open()

  @property
  def facts(self):
    return self.facts_of

  @property
  def splits(self):
    return tuple(self.told['splits'])

  @property
  def fingerprint(self):
    return self.told['fingerprint']

  @property
  def exact(self):
    return self.told['exact']

  def size(self, split):
    return self.told['splits'][data_base.check_split(split, self.splits)]

  def examples(self, split, indices):
    return self.there.source.examples(split, indices)

  @property
  def decodes(self):
    return self.there.source.decodes

  def check(self):
    self.there.source.check()

  def law_test(self, examples):
    return self.there.source.law_test(examples)

  @property
  def corpus(self) -> Any:
    """As data.rows.Documents has it."""
    return self.there.source.corpus


@dataclasses.dataclass(frozen=True, eq=False)
class KeptCoded(data_base.Encoded):
  """What is kept, seen through the codec that is kept; rows and their number are the data's."""

  def size(self, split):
    return self.source.there.size(split)

  def examples(self, split, indices):
    return self.source.there.examples(split, indices)


def parts(workdir, config, *, examples=False, others=False) -> build.Parts:
  """The parts of a workdir's config, checked against its contract.

  The data is not touched before examples are asked for; examples: they will be, so that it is
  opened now. others: data of the same form will do, too. Raises ValueError for damaged or foreign
  files and other data, FileNotFoundError where data that is needed is not there.
  """
  told = read(workdir)
  if told is None:
    built = _with_data(workdir, config)
  elif others:
    built = build.build(config, build.build_coded(config, _codec(workdir, told)))
    _check_form(workdir, told, built)
  else:
    coded = _coded(workdir, config, told)
    built = build.build(config, coded.source.there if examples else coded)
  stood_for = {'data': workdir_lib.trained_on(workdir)} if others else {}
  workdir_lib.check_contract(workdir, {**built.contract, **stood_for})
  return built


def _check_form(workdir, told, built):
  """Raises ValueError where the examples of parts are of another form than what is kept, or their
  classes are others."""
  there, _ = _told(built)
  found, wanted = json_file.plain(there['facts']), told['facts']
  for key in found:
    if found[key] != wanted.get(key):
      raise ValueError(
        f'the data of --data has {key} {str(found[key])[:200]}, and {workdir} was trained on '
        f'{str(wanted.get(key))[:200]}; evaluate it on data of that form'
      )


def codec(workdir, config) -> codec_base.Codec | None:
  """The codec that a workdir keeps, to train on with; None where it keeps none, or was made by
  another choice of it."""
  told = read(workdir) if workdir_lib.same_choice(workdir, 'codec', config) else None
  return None if told is None else _codec(workdir, told)


def write(workdir, parts: build.Parts) -> None:
  """Writes the files, unless they are there. Raises ValueError where those are of other data."""
  found = read(workdir)
  if found is not None:
    if found['fingerprint'] != parts.coded.fingerprint:
      raise ValueError(
        f'{os.path.join(workdir, FILE)} is of other data ({found["fingerprint"]}) than '
        f'contract.json ({parts.coded.fingerprint}); {_ADVICE}'
      )
    return
  told, texts = _told(parts)
  if texts:
    with files.folder(os.path.join(workdir, FOLDER), tuple(texts)) as draft:
      for name, content in texts.items():
        with files.whole(os.path.join(draft, name), 'wb') as file:
          file.write(content)
      told['files'] = {name: files.sha256(os.path.join(draft, name)) for name in texts}
  files.write_json(os.path.join(workdir, FILE), {**told, 'digest': _digest(told)})


def read(workdir) -> dict | None:
  """What data.json holds; None where there is none. Raises ValueError for one that was changed."""
  path = os.path.join(workdir, FILE)
  try:
    version = json_file.read(path, {'version': int}, advice=_ADVICE)['version']
  except FileNotFoundError:
    return None
  if version != VERSION:
    raise ValueError(
      f'{path} has version {version} and this program reads {VERSION}; use the version of adiff '
      'that wrote it'
    )
  told = json_file.read(path, FORM, advice=_ADVICE)
  if told['digest'] != _digest(told):
    raise ValueError(f'{path} is not what was written, by its digest; {_ADVICE}')
  return told


def _digest(told):
  """16 hex digits of all but the digest."""
  rest = {key: value for key, value in json_file.plain(told).items() if key != 'digest'}
  return files.digest(json.dumps(rest, sort_keys=True))


def _told(parts):
  """(what data.json will hold, {name: bytes} of the codec's files)."""
  coded, name = parts.coded, parts.config.codec.name
  source, facts = coded.source, coded.source.facts
  arguments = dataclasses.asdict(coded.codec)
  texts = {file: arguments.pop(key).encode() for key, file in coded.codec.files.items()}
  try:
    arguments = json_file.plain(arguments)
  except TypeError as error:
    raise ValueError(
      f'codec {name} has learnt what is no JSON ({error}), so that no workdir can keep it; make '
      'its fields numbers, texts and tuples of them'
    ) from error
  return {
    'version': VERSION,
    'fingerprint': coded.fingerprint,
    'facts': {
      'medium': facts.medium, 'shape': list(facts.shape), 'levels': facts.levels,
      'coords': None if facts.coords is None else np.asarray(facts.coords).tolist(),
      'conds': {
        key: {'class': type(cond).__name__, **dataclasses.asdict(cond)}
        for key, cond in facts.conds.items()
      },
    },
    'splits': {split: source.size(split) for split in source.splits},
    'exact': source.exact,
    'codec': {'name': name, **arguments},
    'files': {},
  }, texts


def _coded(workdir, config, told):
  """What a workdir keeps, as data seen through a codec."""
  path, found = os.path.join(workdir, FILE), _codec(workdir, told)
  with input_file.told(path, 'holds no facts of data', _ADVICE):
    source = Kept(told, _facts(told['facts']), functools.partial(
      _opened, workdir, config, found, told['fingerprint']
    ))
    found.spec(source.facts)
  return KeptCoded(source, found)


def _facts(told):
  """The facts of data.json."""
  conds = {}
  for name, cond in told['conds'].items():
    arguments = workdir_lib.tuples(cond)
    conds[name] = _CONDS[arguments.pop('class')](**arguments)
  coords = told.get('coords')
  return codec_base.Facts(
    told['medium'], tuple(told['shape']), told['levels'], conds,
    None if coords is None else np.array(coords, np.int32),
  )


def _codec(workdir, told):
  """The codec, with what it learnt."""
  path, choice = os.path.join(workdir, FILE), workdir_lib.tuples(told['codec'])
  for argument, name in choose.find('codec', choice['name']).files.items():
    choice[argument] = _text(os.path.join(workdir, FOLDER, name), told['files'].get(name))
  with input_file.told(path, 'holds no codec', _ADVICE):
    return choose.resolve('codec', choice)


def _text(path, digest):
  """The text of a codec's file; digest: sha256 of its bytes."""
  try:
    content = input_file.read(path, limit=_FILE_BYTES)
  except FileNotFoundError as error:
    raise ValueError(
      f'there is no {path}, which {FILE} beside it tells of; restore it from a backup, or delete '
      f'{FILE}, too, and train on where the data is'
    ) from error
  if files.sha256(path) != digest:
    raise ValueError(
      f'{path} is not what {FILE} beside it was written with; restore it from a backup'
    )
  return content.decode('utf-8')


def _opened(workdir, config, codec, fingerprint):
  """The data set itself; raises FileNotFoundError where it is not, ValueError for another one."""
  try:
    coded = build.build_coded(config, codec)
    found = coded.fingerprint  # some look for the data now
  except FileNotFoundError as error:
    raise FileNotFoundError(
      f'the data of {workdir} is not here ({_why(error)}); write --data=PLACE, where it lies now'
    ) from error
  workdir_lib.check_data(workdir, fingerprint, found)
  return coded


def _with_data(workdir, config):
  """The parts of a workdir that keeps nothing of its data."""
  try:
    return build.build(config)
  except FileNotFoundError as error:
    raise FileNotFoundError(
      f'{workdir} has no {FILE}, which earlier versions did not write, and its data is not here '
      f'({_why(error)}); bring the data back and train on, or evaluate with --data=PLACE'
    ) from error


def _why(error):
  """What is missing, without what a config would have to say."""
  return str(error).partition('; ')[0]
