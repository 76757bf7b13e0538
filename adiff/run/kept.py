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

from adiff.codec import base as codec_base
from adiff.data import base as data_base
from adiff.data import facts_file
from adiff.learn import base as learn_base
from adiff.machine import files, input_file, json_file
from adiff.run import build, choose, codec_file, codecs, sequences
from adiff.run import workdir as workdir_lib

FILE, VERSION = workdir_lib.DATA, 1
FORM = {
  'version': int,
  'fingerprint': str,  # of the tokens, as in contract.json
  'facts': facts_file.FORM,
  'splits': {str: int},  # training first; examples of the source, before they are cut into rows
  'exact': {str: float},
  **codec_file.FORM,
  'digest': str,  # of all the rest
}
_ADVICE = 'restore it from a backup, or delete it and train on where the data is'


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

  def law_test(self, examples, told=None):
    return self.there.source.law_test(examples, told)

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

  Of pictures of the size plan.size. The data is not touched before examples are asked for;
  examples: they will be, so that it is opened now. others: data of the same form will do, too.
  Raises ValueError for damaged or foreign files and other data, FileNotFoundError where data that
  is needed is not there.
  """
  told = read(workdir)
  if told is None:
    built = _with_data(workdir, config)
  elif others:
    built = build.build(config, sequences.coded(config, _codec(workdir, told)))
    _check_form(workdir, told, built)
  else:
    coded = _coded(workdir, config, told)
    built = build.build(config, coded.source.there if examples else coded)
  stood_for = {'data': workdir_lib.trained_on(workdir)} if others else {}
  workdir_lib.check_contract(workdir, {**built.contract, **stood_for})
  return built.sampled


def _check_form(workdir, told, built):
  """Raises ValueError where the examples of parts are of another form than what is kept, or their
  classes are others."""
  found, wanted = json_file.plain(facts_file.told(built.source.facts)), told['facts']
  for key in found:
    if found[key] != wanted.get(key):
      raise ValueError(
        f'the data of --data has {key} {str(found[key])[:200]}, and {workdir} was trained on '
        f'{str(wanted.get(key))[:200]}; evaluate it on data of that form'
      )


def codec(workdir, config) -> codec_base.Codec | None:
  """The codec that a workdir keeps, to train on with; None where it keeps none, or was made by
  another choice of it."""
  told = read(workdir) if workdir_lib.same_codec(workdir, config) else None
  return None if told is None else _codec(workdir, told)


def stored(workdir, config) -> tuple[dict, codec_base.Codec]:
  """(what data.json holds, the codec), or the codec that was trained there; raises ValueError where
  a workdir has none."""
  told = read(workdir)
  if told is None:
    raise ValueError(
      f'{workdir} has no {FILE}, and so no codec to encode with; name the workdir of a run, or, of '
      'an earlier version, train on where its data is'
    )
  if choose.find('recipe', config.recipe.name).role == learn_base.CODEC:
    choice = {'name': 'trained', 'workdir': os.fspath(workdir)}
    return {**told, 'codec': choice}, codecs.resolve(choice).fit(None)
  return told, _codec(workdir, told)


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
  source = parts.source
  told = {
    'version': VERSION,
    'fingerprint': parts.coded.fingerprint,
    'facts': facts_file.told(source.facts),
    'splits': {split: source.size(split) for split in source.splits},
    'exact': source.exact,
    **codec_file.write(workdir, parts.config.codec.name, parts.coded.codec),
  }
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


def _coded(workdir, config, told):
  """What a workdir keeps, as data seen through a codec."""
  path, found = os.path.join(workdir, FILE), _codec(workdir, told)
  with input_file.told(path, 'holds no facts of data', _ADVICE):
    source = Kept(told, facts_file.read(told['facts']), functools.partial(
      _opened, workdir, config, found, told['fingerprint']
    ))
    found.spec(source.facts)
  return KeptCoded(source, found)


def _codec(workdir, told):
  """The codec, with what it learnt."""
  return codec_file.read(workdir, told, where=os.path.join(workdir, FILE), advice=_ADVICE)


def _opened(workdir, config, codec, fingerprint):
  """The data set itself; raises FileNotFoundError where it is not, ValueError for another one."""
  try:
    coded = sequences.coded(config, codec)
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
