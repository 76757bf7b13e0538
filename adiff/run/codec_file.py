"""A codec in a folder, with what it learnt: in the JSON of its owner, a workdir or a set of tokens,
and in files where an argument is a long text.

  FOLDER/codec/NAME   such as tokenizer.json
"""

import os

from adiff.codec import base as codec_base
from adiff.machine import files, input_file, json_file
from adiff.run import choose, codecs, places

FOLDER = 'codec'
FORM = {
  # and its arguments, but for those that are files
  'codec': {'name': str, 'kinds?': {str: {'name': str}}},
  'files': {str: str},  # sha256 of each in the folder
}
_FILE_BYTES = 2**30  # as trained codecs of 200 million parameters take


def write(folder, name, codec: codec_base.Codec) -> dict:
  """Writes the files of a codec, a choice of that name; returns the rest, in FORM. Raises
  ValueError for what can be no JSON, OSError where the folder cannot be written."""
  choice, texts = _without_texts(codecs.as_choice(name, codec), codec)
  try:
    told = {'codec': json_file.plain(choice), 'files': {}}
  except TypeError as error:
    raise ValueError(
      f'codec {name} has learnt what is no JSON ({error}), so that no workdir can keep it; make '
      'its fields numbers, texts and tuples of them'
    ) from error
  if texts:
    with files.folder(os.path.join(folder, FOLDER), tuple(texts)) as draft:
      for file_name, content in texts.items():
        with files.whole(os.path.join(draft, file_name), 'wb') as file:
          file.write(content)
      told['files'] = {one: files.sha256(os.path.join(draft, one)) for one in texts}
  return told


def read(folder, told: dict, *, where, advice) -> codec_base.Codec:
  """The codec, with what it learnt. told: in FORM; where: the file that told it; advice: what to do
  where that is of no use. Raises ValueError."""
  choice = json_file.tuples(told['codec'])

  def add_texts(choice, prefix=''):
    for argument, name in choose.find('codec', choice['name']).files.items():
      path = os.path.join(folder, FOLDER, prefix + name)
      choice[argument] = _text(path, told['files'].get(prefix + name), os.path.basename(where))
    for kind, own in choice.get('kinds', {}).items():
      add_texts(own, f'{kind}.')

  add_texts(choice)
  with input_file.told(where, 'holds no codec', advice):
    return codecs.of_choice(choice)


def _without_texts(choice, codec, prefix='') -> tuple[dict, dict[str, bytes]]:
  """(the choice without its long texts, {file: text})."""
  texts = {prefix + file: choice.pop(key).encode() for key, file in codec.files.items()}
  for kind, own in choice.get('kinds', {}).items():
    texts |= _without_texts(own, codec.kinds[kind], f'{kind}.')[1]
  return choice, texts


def completed(choice, stored) -> dict:
  """The codec of a config, with what it leaves open ('' and ()) as `stored` has it, a codec in a
  folder (data/encoded.py), where that is the same one: it cannot be learnt from tokens. stored:
  None where examples are there to learn from.

  Raises ValueError for another name; other arguments are told apart by the codec's digest.
  """
  if stored is None:
    return dict(choice)
  own = {key: value for key, value in choice.items() if value not in ('', ())}
  told = json_file.tuples(stored.told['codec'])
  if own['name'] != told['name']:
    raise ValueError(
      f'{stored.where} tells of tokens of the codec {told["name"]}, and config.codec.name is '
      f'{own["name"]!r}; write --config.codec.name={told["name"]}, or encode the data with the '
      'other one'
    )
  if any(key in own for key in places.of('codec', told['name'])):  # it is read from there
    return dict(choice)
  there = read(stored.folder, stored.told, where=stored.where, advice='encode the data again')
  return {**codecs.arguments(there), **own}


def _text(path, digest, owner):
  """The text of a codec's file; digest: sha256 of its bytes. owner: the file that tells of it."""
  try:
    content = input_file.read(path, limit=_FILE_BYTES)
  except FileNotFoundError as error:
    raise ValueError(
      f'there is no {path}, which {owner} beside it tells of; restore it from a backup, or delete '
      f'{owner}, too, and train on where the data is'
    ) from error
  if files.sha256(path) != digest:
    raise ValueError(
      f'{path} is not what {owner} beside it was written with; restore it from a backup'
    )
  return content.decode('utf-8')
