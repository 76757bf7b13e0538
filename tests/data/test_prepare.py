"""Pictures are prepared once, from whatever they lie in, and are the ones that others read."""

import io
import json
import pathlib
import shutil
import tarfile

import grain
import numpy as np
import PIL.Image
import pytest
from absl import logging
from grain import experimental
from tensorboardX import crc32c

from adiff.data import batches, pictures, prepare, raw, record_file, tfds, tfds_folder
from adiff.machine import input_file
from adiff.run import build
from configs import images
from launch import soak_chain

SPLITS = {'train': (5, 4, 3), 'validation': (2,)}
SIZE = 8


def run(*arguments):
  """The command, as it is called; returns its exit code."""
  try:
    prepare.main([f'--size={SIZE}', *map(str, arguments)])
  except SystemExit as ended:
    return ended.code
  return 0


def everything(source, split):
  """(images, labels) of a split."""
  found = source.examples(split, np.arange(source.size(split)))
  return found['example'], found['label']


def contents(folder):
  """{name: bytes} of the set that was written to a folder."""
  return {path.name: path.read_bytes() for path in (folder / '1.0.0').iterdir()}


@pytest.fixture(scope='module')
def waves(tmp_path_factory):
  """A set of TFRecords of pictures of any size, as TFDS lays it out."""
  folder = tmp_path_factory.mktemp('raw') / 'waves' / '1.0.0'
  soak_chain.made_up(folder, SPLITS)
  return folder


@pytest.fixture(scope='module')
def prepared(waves, tmp_path_factory):
  """What one host makes of it."""
  out = tmp_path_factory.mktemp('prepared') / 'waves8'
  assert run(f'--train={waves}:train', f'--test={waves}:validation', f'--out={out}') == 0
  return out


# ---- Records -------------------------------------------------------------------------------------


@pytest.mark.parametrize('length', [0, 1, 3, 4, 4095, 4096, 4097, 4099, 9000])
def test_the_checksum_is_that_of_the_standard_and_of_another_writer(length):
  assert record_file.crc32c(b'123456789') == 0xE3069283
  data = np.random.default_rng(length).bytes(length)
  assert record_file.crc32c(data) == crc32c.crc32c(data)


def test_tfrecords_are_read_as_others_read_and_write_them(tmp_path):
  theirs = pathlib.Path(grain.__file__).parent / '_src/python/testdata'
  theirs = theirs / 'morris_sequence_first_5.tfrecord'
  assert list(record_file.tfrecords(theirs)) == [b'1', b'1 1', b'2 1', b'1 2 1 1', b'1 1 1 2 2 1']
  records = [b'', b'one', bytes(5000)]
  record_file.write_tfrecords(tmp_path / 'ours', records)
  assert list(experimental.TFRecordIterDataset(str(tmp_path / 'ours'))) == records


def test_a_bit_that_changed_and_a_torn_end_are_told_with_their_place(tmp_path):
  path = tmp_path / 'records'
  record_file.write_tfrecords(path, [b'first', b'second'])
  whole = path.read_bytes()
  for place, words in (
    (2, 'record 0 at byte 0: its length'), (13, 'record 0 at byte 0 has not'),
    (25, 'record 1 at byte 21: its length'), (35, 'record 1 at byte 21 has not'),
  ):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1:])
    with pytest.raises(input_file.Unreadable, match=words):
      list(record_file.tfrecords(path))
  for end in (21 + 5, len(whole) - 1):
    path.write_bytes(whole[:end])
    with pytest.raises(input_file.Unreadable, match='record 1 at byte 21: the file ends within'):
      list(record_file.tfrecords(path))


# ---- Preparing -----------------------------------------------------------------------------------


def test_what_was_prepared_is_what_the_source_gives_when_it_is_scaled_on_the_way(
  waves, prepared, tmp_path
):
  soak_chain.made_up(tmp_path / 'waves' / '1.0.0', SPLITS, kind='array_record')
  with pytest.raises(ValueError, match='any size; write the pixels a side .*data.size=256'):
    tfds.Tfds('waves', str(tmp_path))
  with pytest.raises(ValueError, match='tfrecord, which has no .*python -m adiff.data.prepare'):
    tfds.Tfds('waves', str(waves.parents[1]), size=SIZE)
  scaled = tfds.Tfds('waves', str(tmp_path), size=SIZE)
  ready = tfds.Tfds('waves8', str(prepared.parent))
  assert ready.shape == scaled.shape == (SIZE, SIZE, 3)
  assert ready.classes == scaled.classes == soak_chain.CLASSES
  assert (ready.size('train'), ready.size('test')) == (12, 2)
  for split, other in (('train', 'train'), ('test', 'validation')):
    for one, two in zip(everything(ready, split), everything(scaled, other), strict=True):
      np.testing.assert_array_equal(one, two)
  first = next(raw.find(f'{waves}:train').units[0].read())
  assert PIL.Image.open(io.BytesIO(first.content)).size != (SIZE, SIZE)
  image = pictures.decode(io.BytesIO(first.content), 'it', SIZE, 3)
  np.testing.assert_array_equal(everything(ready, 'train')[0][0], image)
  assert len(np.unique(everything(ready, 'train')[1])) == 3


def test_two_hosts_one_of_them_killed_write_the_bytes_of_one(waves, prepared, tmp_path, capsys):
  out = tmp_path / 'waves8'
  words = [f'--train={waves}:train', f'--test={waves}:validation', f'--out={out}']
  assert run(*words, '--shard=1/2') == 0
  assert '2 of 4 shards' in capsys.readouterr().out
  with pytest.raises(FileNotFoundError, match='no version folder'):
    tfds.Tfds('waves8', str(tmp_path))
  lost = out / '1.0.0' / tfds_folder.shard('waves8', 'train', 1, 3)
  lost.unlink()
  assert run(*words, '--shard=0/2') == 0 and 'other hosts' in capsys.readouterr().out
  assert run(*words, '--shard=1/2') == 0 and '12 in train, 2 in test' in capsys.readouterr().out
  assert contents(out) == contents(prepared)
  assert run(*words) == 0 and contents(out) == contents(prepared)


def test_a_killed_shard_leaves_nothing_behind(waves, tmp_path, monkeypatch):
  decode, count = pictures.decode, iter(range(100))

  def dies(*arguments):
    if next(count) == 7:
      raise KeyboardInterrupt
    return decode(*arguments)

  monkeypatch.setattr(pictures, 'decode', dies)
  with pytest.raises(KeyboardInterrupt):
    run(f'--train={waves}:train', f'--out={tmp_path}/waves8', '--workers=1')
  names = {path.name for path in (tmp_path / 'waves8' / '1.0.0').iterdir()}
  whole = {tfds_folder.shard('waves8', 'train', index, 3) for index in (0, 1)}
  assert names == {prepare.ABOUT, *whole}  # the seventh picture lies in the third


def tar_with(path, members):
  with tarfile.open(path, 'w') as tar:
    for name, content in members.items():
      member = tarfile.TarInfo(name)
      member.size = len(content)
      tar.addfile(member, io.BytesIO(content))
  return path


def test_folders_tars_and_records_of_the_same_pictures_become_the_same_set(waves, tmp_path):
  found = [picture for unit in raw.find(f'{waves}:train').units for picture in unit.read()]
  folder, members = tmp_path / 'folder', {}
  for index, picture in enumerate(found):
    label = soak_chain.CLASSES.index(picture.label)
    name = f'{label}/{index}'
    (folder / str(label)).mkdir(parents=True, exist_ok=True)
    (folder / f'{name}.jpg').write_bytes(picture.content)
    for kind, content in (('jpg', picture.content), ('cls', b'%d' % label),
                          ('txt', b'wave %d' % index), ('npy', b'not read')):
      members[f'{name}.{kind}'] = content
  tar_with(tmp_path / '0.tar', members)
  how = '--test_every=4', '--quality=90'
  assert run(f'--train={folder}', f'--out={tmp_path}/a', *how) == 0
  tars, records = f'--train={tmp_path}/*.tar', f'--train={waves}/waves-train*'
  assert run(tars, f'--out={tmp_path}/b', '--num_classes=3', '--captions', *how) == 0
  assert run(records, f'--out={tmp_path}/c', '--num_classes=4', '--first=-1', *how) == 0
  sets = [tfds.Tfds(name, str(tmp_path)) for name in 'abc']
  assert [one.num_classes for one in sets] == [3, 3, 4]
  pairs = [
    sorted((image.tobytes(), label - (one.num_classes == 4)) for split in one.splits
           for image, label in zip(*everything(one, split), strict=True)) for one in sets
  ]
  assert pairs[0] == pairs[1] == pairs[2] and len(pairs[0]) == len(found)
  assert [one.size('test') for one in sets] == [3, 3, 4]  # every fourth of each file
  shard = tmp_path / 'b/1.0.0' / tfds_folder.shard('b', 'test', 0, 1)
  record = next(record_file.array_records(shard))
  assert tfds_folder.parse(record, 'it')['captions'] == [b'wave 0']


def test_what_lies_beside_a_picture_in_a_tar_file_is_its_own(waves, tmp_path, caplog):
  picture = next(iter(raw.find(f'{waves}:train').units[0].read())).content
  path = tar_with(tmp_path / 'a.tar', {
    '0.jpg': picture, '0.json': b'{"caption": null, "label": 3}', '0.txt': b'a wave',
    'of 2021.05.01.jpg': picture,
  })
  (found,) = raw.find(str(path)).units[0].read()
  assert (found.label, found.captions) == (3, (b'a wave',))
  assert 'of 2021.05.01.jpg and what is called like it are left out' in caplog.text
  path = tar_with(tmp_path / 'b.tar', {'0.jpg': picture, '0.png': picture})
  with pytest.raises(ValueError, match='0 has several pictures among'):
    list(raw.find(str(path)).units[0].read())


def test_classes_are_told_by_name_where_two_sources_number_them_otherwise(waves, tmp_path):
  other = shutil.copytree(waves, tmp_path / 'other' / '1.0.0')
  names = ('blue', 'red', 'green')
  (other / 'label.labels.txt').write_text('\n'.join(names))
  for test in (waves, other):
    out = tmp_path / f'set{test == other:d}'
    assert run(f'--train={waves}:train', f'--test={test}:validation', f'--out={out}') == 0
  one, two = (everything(tfds.Tfds(f'set{n}', str(tmp_path)), 'test')[1] for n in (0, 1))
  np.testing.assert_array_equal(two, [soak_chain.CLASSES.index(names[label]) for label in one])


def test_what_is_no_picture_is_refused_by_name_or_left_out_and_counted(
  tmp_path, capsys, monkeypatch
):
  said = []
  monkeypatch.setattr(logging, 'warning', lambda text, *words: said.append(text % words))
  for index in range(4):
    PIL.Image.new('RGB', (9, 12), (index, 0, 0)).save(tmp_path / f'{index}.png')
  (tmp_path / '2.png').write_bytes(b'no picture')
  assert run(f'--train={tmp_path}', f'--out={tmp_path}/set', '--test_every=2') == 2
  assert '2.png is no readable image' in capsys.readouterr().err
  assert run(f'--train={tmp_path}', f'--out={tmp_path}/left', '--test_every=2', '--skip_bad') == 0
  assert '1 left out' in capsys.readouterr().out and '2.png' in said[-1]
  source = tfds.Tfds('left', str(tmp_path))
  assert source.num_classes == 0 and source.size('train') + source.size('test') == 3
  info = json.loads((tmp_path / 'left/1.0.0/dataset_info.json').read_text())
  assert '1 left out' in info['description'] and pictures.RULE.capitalize() in info['description']


def test_a_config_reads_what_was_prepared(prepared):
  config = images.get_config('cifar10')
  with config.unlocked():
    config.data.dataset, config.data.data_dir = prepared.name, str(prepared.parent)
    config.codec.patch, config.blocks.cell = 2, (2, 2)
  parts = build.build(config)
  assert parts.blocks.num_blocks == 4 and parts.spec.num_classes == 3
  fed = batches.Batches(parts.coded, 'train', 4, seed=0, blocks=parts.blocks)
  batch = fed.batch_at(0)
  pictures, labels = everything(parts.source, 'train')
  made = parts.coded.decode(parts.blocks.to_raster(batch['tokens']))
  np.testing.assert_array_equal(made, pictures[fed.indices_at(0)])
  np.testing.assert_array_equal(batch['label'], labels[fed.indices_at(0)])


# ---- Mistakes ------------------------------------------------------------------------------------


def tar_of(path, name, kind=tarfile.REGTYPE, content=b'x'):
  with tarfile.open(path, 'w') as tar:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, '/etc/passwd' if kind == tarfile.SYMTYPE else ''
    member.size = len(content) if kind == tarfile.REGTYPE else 0
    tar.addfile(member, io.BytesIO(content))
  return path


def records_of(path, **features):
  record_file.write_tfrecords(path, [tfds_folder.example(features)])
  return path


def spoilt(waves, folder):
  """A copy of the set with a byte of a picture changed."""
  (folder / '1.0.0').mkdir()
  for path in waves.iterdir():
    (folder / '1.0.0' / path.name).write_bytes(path.read_bytes())
  path = next((folder / '1.0.0').glob('*train*'))
  content = bytearray(path.read_bytes())
  content[200] ^= 1
  path.write_bytes(content)
  return folder / '1.0.0'


MISTAKES = {  # arguments, of a folder and the set; words
  'nothing there': (lambda at, waves: ['--train=/nowhere/*.tar'], 'there is no /nowhere'),
  'no picture': (lambda at, waves: [f'--train={at}'], 'holds no .png, .jpg and'),
  'no split': (lambda at, waves: [f'--train={waves}:held'], "no split 'held'; it has train, val"),
  'a set': (lambda at, waves: [f'--train={waves}'], 'name a split of it'),
  'a changed byte': (lambda at, waves: [f'--train={spoilt(waves, at)}:train'], 'has not the check'),
  'no records': (lambda at, waves: [f'--train={waves}/features.json'], 'it is no TFRecord file'),
  'no example': (lambda at, waves: [f'--train={records_of(at / "r", other=[b"x"])}'],
                 'no encoded picture as image or image/encoded, but other'),
  'who counts': (lambda at, waves: [f'--train={waves}/waves-train*'], 'nobody says how many'),
  'few classes': (lambda at, waves: [f'--train={waves}/waves-train*', '--num_classes=2'],
                  'is of the class 2, which is none of the 2'),
  'fewer than none': (lambda at, waves: [f'--train={waves}:train', '--num_classes=-1'], 'no nu'),
  'classes twice': (lambda at, waves: [f'--train={waves}:train', '--num_classes=3'],
                    'says itself that it has 3 classes'),
  'names twice': (lambda at, waves: [f'--train={waves}/waves-train*', f'--classes={named(at)}'],
                  'the name of a class a line, each once'),
  'a tar that leads out': (lambda at, waves: [f'--train={tar_of(at / "a.tar", "../1.jpg")}'],
                           "holds '../1.jpg', which leads out"),
  'a link in a tar': (
    lambda at, waves: [f'--train={tar_of(at / "a.tar", "1.jpg", tarfile.SYMTYPE)}'], 'is a link'),
  'a tar without pictures': (lambda at, waves: [f'--train={tar_of(at / "a.tar", "1.txt")}'],
                             '1 has no picture among txt'),
  'a torn tar': (lambda at, waves: [f'--train={torn(tar_of(at / "a.tar", "1.jpg"))}'], 'is torn'),
  'a bucket': (lambda at, waves: [f'--train={waves}:train', '--out=gs://mine/set'], 'mount the'),
  'no size': (lambda at, waves: [f'--train={waves}:train', '--size=0'], '--size=0 must lie in'),
  'no quality': (lambda at, waves: [f'--train={waves}:train', '--quality=101'], 'JPEG, or 0 for'),
  'channels': (lambda at, waves: [f'--train={waves}:train', '--channels=2'], 'or 1 for grey'),
  'no host': (lambda at, waves: [f'--train={waves}:train', '--shard=2/2'], 'no INDEX/COUNT'),
  'all held out': (lambda at, waves: [f'--train={waves}:train', '--test_every=1'], 'nothing to'),
  'no name': (lambda at, waves: [f'--train={waves}:train', f'--out={at}/Out-1'], 'end it with'),
  'taken': (lambda at, waves: [f'--train={waves}:train', f'--out={foreign(at)}'],
            "holds 'mine', which would be lost"),
  'other arguments': (lambda at, waves: [f'--train={waves}:train', f'--out={begun(at, waves)}'],
                      'was begun with size = 4, and here it is 8'),
}


def named(folder):
  (folder / 'names').write_text('one\ntwo\none\n')
  return folder / 'names'


def torn(path):
  path.write_bytes(path.read_bytes()[:1024])
  return path


def foreign(folder):
  (folder / 'out' / '1.0.0').mkdir(parents=True)
  (folder / 'out' / '1.0.0' / 'mine').write_text('')
  return folder / 'out'


def begun(folder, waves):
  run(f'--train={waves}:train', f'--out={folder}/out', '--size=4')
  return folder / 'out'


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_is_told_in_a_sentence(mistake, waves, tmp_path, capsys):
  arguments, words = MISTAKES[mistake]
  given = arguments(tmp_path, waves)
  out = [] if any(word.startswith('--out') for word in given) else [f'--out={tmp_path}/out']
  capsys.readouterr()
  assert run(*out, *given) == 2
  said = capsys.readouterr().err
  line = said.strip().splitlines()[-1]
  assert line.startswith('adiff: ') and words in line
