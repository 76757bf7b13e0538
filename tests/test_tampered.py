"""Whatever was done to a file, its readers answer in a sentence, in time and in little memory."""

import contextlib
import pathlib
import random
import shutil
import signal

import pytest
import subjects
import tampering

from adiff.machine import mistakes

SECONDS = 20  # until a reader hangs
BYTES = 2 * 2**30  # that a reader may take
CHUNK, CHUNKS = 100, 50  # cases of a test; the suite has one, the soak all


class Late(BaseException):
  """A reader hangs; nobody may catch it."""


def late(number, frame):
  raise Late


def memory(*, reset=False):
  """The most bytes that this process held since the last reset, or holds."""
  if reset:
    pathlib.Path('/proc/self/clear_refs').write_text('5')
  status = pathlib.Path('/proc/self/status').read_text()
  return 1024 * int(status.split('VmHWM:')[1].split()[0])


def fault(read, folder):
  """What is wrong with how a reader answers; None where nothing is."""
  begun, before = memory(reset=True), signal.signal(signal.SIGALRM, late)
  signal.alarm(SECONDS)
  try:
    read(folder)
  except Late:
    return 'it hangs'
  except (ValueError, OSError) as error:
    sentence = mistakes.sentence(error)
    if not mistakes.told(error):
      return f'a traceback: {type(error).__name__}: {sentence[:300]}'
    if not 15 < len(sentence) < 1000 or not sentence.isprintable():
      return f'no sentence: {sentence[:1000]!r}'
  except BaseException as error:
    return f'a traceback: {type(error).__name__}: {str(error)[:300]}'
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
  return f'{memory() - begun} bytes' if memory() - begun > BYTES else None


def case(number, sound, place):
  """(what was done, [what is wrong with the answers]) of one case."""
  rng = random.Random(number)
  name = rng.choices(list(subjects.WEIGHTS), list(subjects.WEIGHTS.values()))[0]
  shutil.rmtree(place, ignore_errors=True)
  place.mkdir()
  folder = pathlib.Path(shutil.copytree(sound(name), place / 'subject'))
  if name == 'run':
    shutil.copytree(sound(name), place / 'other')
  pattern, readers = rng.choice(list(subjects.SUBJECTS[name].readers.items()))
  path = rng.choice(sorted(one for one in folder.glob(pattern) if one.is_file()))
  done = f'{number}: {name}/{path.relative_to(folder)}: {tampering.tamper(path, rng)}'
  read = rng.choice(readers)
  what = fault(read, folder)
  return done, [] if what is None else [f'{done}: {read.__name__}: {what}']


def test_what_a_terminal_obeys_is_not_shown():
  assert mistakes.sentence(ValueError('a\x1b[2J\x00 b\nc')) == 'a\ufffd[2J\ufffd b c'


@pytest.fixture(scope='module')
def sound(tmp_path_factory):
  """A function: name of a subject -> its folder, made once."""
  top = tmp_path_factory.mktemp('sound')

  def make(name):
    if not (top / name).exists():
      subjects.SUBJECTS[name].make(top / name)
    return top / name

  return make


@pytest.mark.parametrize('name', subjects.SUBJECTS)
def test_a_folder_that_nobody_touched_is_read_by_all(name, sound, tmp_path):
  for _, readers in subjects.SUBJECTS[name].readers.items():
    for read in readers:
      with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(tmp_path / 'case')
      folder = shutil.copytree(sound(name), tmp_path / 'case' / 'subject')
      shutil.copytree(sound(name), tmp_path / 'case' / 'other')
      read(folder)


@pytest.mark.parametrize('chunk', [
  pytest.param(chunk, marks=[pytest.mark.soak] * bool(chunk)) for chunk in range(CHUNKS)
])
def test_whatever_is_done_to_a_file_is_told_in_a_sentence(chunk, sound, tmp_path):
  wrong = []
  for number in range(CHUNK * chunk, CHUNK * (chunk + 1)):
    wrong += case(number, sound, tmp_path / 'case')[1]
  assert not wrong, '\n'.join(wrong)
