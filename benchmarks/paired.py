r"""Two checkouts of the project, program by program: is the new one as cheap and as fast?

  python benchmarks/paired.py programs OLD NEW --json=programs.json
  python benchmarks/paired.py times OLD NEW --minutes=3 --programs='train-deep2-*'

OLD and NEW are folders; the interpreter, its packages and the programs' sizes are the same for
both. Programs are training steps of two streams (benchmarks/train.py's network), rollouts
(benchmarks/sample.py's) and an exported sampler of digits, cut to 0.1 to 2 seconds on two cores.

programs: each is compiled by a process of its own, without the persistent cache. Compared are the
products that the project counts itself (loops at their length), and what XLA says: its operations
and bytes (the body of a loop counts once), and bytes of arguments, results, temporaries, and of all
together less what is used twice (peak). `text` says whether both checkouts gave the compiler the
same program. Exit code 1 if anything grew by more than 1%.

times: two processes compile the same program and then take turns, never both at once, in pairs of
random order, as many old-new as new-old. The ratio new/old of each pair is free of what the machine
does from minute to minute. Shown are their median, their geometric mean and its 95% interval
(Student's t on logarithms). A program is done once its interval ends below 1.05, after LEAST pairs
at the soonest; else when the pairs or minutes are spent. Exit code 1 if an interval ends above it.
Looking again and again lets more pass than one look would: simulated at a spread of 15% a pair and
100 pairs, 13% of programs that are slower by 5%, 2% by 8%, and 95% of those that are as fast.

What depends on the project's API is in paired_programs.py.
"""

import argparse
import contextlib
import fnmatch
import hashlib
import json
import math
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import paired_programs

GROWN, SLOWER = 1.01, 1.05  # new/old, above which a program fails
LEAST = 10  # pairs before an interval is believed
WARM = 2  # runs before the first that counts
# As launch/environment.sh has it for one program in a process.
TUNABLES = ':'.join(
  f'glibc.malloc.{one}' for one in ('hugetlb=1', 'mmap_max=0', 'trim_threshold=100000000000')
)

# ---- Workers ------------------------------------------------------------------------------------


def measure(adiff, program):
  """{quantity: number}, and 'text', of a program that is compiled and not run."""
  import jax

  abstract = jax.eval_shape(program.arguments)
  lowered = program.function.lower(*abstract)
  compiled = lowered.compile()
  said, memory = compiled.cost_analysis(), compiled.memory_analysis()
  counted = program.counted or program
  products = adiff.cost.count(counted.function, *jax.eval_shape(counted.arguments))
  arguments, results, temporary, twice = (
    getattr(memory, f'{name}_size_in_bytes') for name in ('argument', 'output', 'temp', 'alias')
  )
  # Names of results follow the tree of the state and are no part of the program.
  text = re.sub(r'jax\.result_info = "[^"]*"', '', lowered.as_text())
  return {
    'products flops': products.flops, 'XLA flops': said['flops'],
    'XLA bytes accessed': said['bytes accessed'], 'argument bytes': arguments,
    'result bytes': results, 'temporary bytes': temporary,
    'peak bytes': arguments + results + temporary - twice,
    'text': hashlib.sha256(text.encode()).hexdigest()[:12],
  }


def ready(program):
  """() -> seconds of one run; compiled and warm."""
  import jax

  if program.sample is None:
    arguments = jax.block_until_ready(jax.jit(program.arguments)())
    compiled = program.function.lower(*arguments).compile()

  def once():
    nonlocal arguments
    begun = time.perf_counter()
    if program.sample is not None:
      program.sample()
    else:
      results = jax.block_until_ready(compiled(*arguments))
    seconds = time.perf_counter() - begun
    if program.carried:
      arguments = results[0], *arguments[1:]
    return seconds

  for _ in range(WARM):
    once()
  return once


def work(checkout, name, served):
  """A worker: a line of JSON about its program; or, served, one when it is ready and one with the
  seconds of a run for each line that it reads."""
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)  # whatever else prints does not answer
  answer = lambda value: print(json.dumps(value), file=answers, flush=True)
  adiff = paired_programs.project(pathlib.Path(checkout))
  program = paired_programs.PROGRAMS[name](adiff)
  if not served:
    answer(measure(adiff, program))
    return 0
  run = ready(program)
  answer('ready')
  for _ in sys.stdin:
    answer(run())
  return 0


class Worker:
  """A process with one checkout and one program."""

  def __init__(self, checkout, name, served):
    environment = {
      'JAX_PLATFORMS': 'cpu', **os.environ,
      'PYTHONPATH': f'{checkout}{os.pathsep}{pathlib.Path(__file__).parent}',
      'GLIBC_TUNABLES': TUNABLES, 'JAX_ENABLE_COMPILATION_CACHE': 'false',
    }
    # -P: the modules beside this script are no library.
    command = [sys.executable, '-P', __file__, 'worker', str(checkout), name, *served * ['served']]
    self._what = f'{name} of {checkout}'
    self._process = subprocess.Popen(
      command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )

  def answer(self):
    """Its next line."""
    line = self._process.stdout.readline()
    if not line:
      raise RuntimeError(f'{self._what} ended with {self._process.wait()}')
    return json.loads(line)

  def run(self) -> float:
    """Seconds of one run."""
    with contextlib.suppress(BrokenPipeError):  # it is gone: `answer` says so
      print(file=self._process.stdin, flush=True)
    return self.answer()

  def close(self):
    """Ends it."""
    self._process.kill()
    self._process.communicate()


# ---- What is told -------------------------------------------------------------------------------


def programs(options) -> Iterator[dict]:
  """Rows of programs' costs, shown as they come."""
  show(('program', 'quantity', 'old', 'new', 'ratio', ''))
  for name in options.programs:
    found = []
    for checkout in (options.old, options.new):
      with contextlib.closing(Worker(checkout, name, False)) as worker:
        found.append(worker.answer())
    for quantity, old in found[0].items():
      new = found[1][quantity]
      row = {'program': name, 'quantity': quantity, 'old': old, 'new': new}
      if quantity == 'text':
        show((name, quantity, old, new, 'same' if old == new else 'differs', ''))
      else:
        row['ratio'] = new / old if old else 1.0 if new == old else math.inf
        row['failed'] = row['ratio'] > GROWN
        show((name, quantity, f'{old:.10g}', f'{new:.10g}', f'{row["ratio"]:.4f}',
              'more' if row['failed'] else ''))
      yield row


def times(options) -> Iterator[dict]:
  """Rows of programs' times, shown as they come."""
  show(('program', 'old s', 'new s', 'pairs', 'median', 'mean', '95% interval', ''))
  for name in options.programs:
    old, new = pairs(options, name)
    ratios = [b / a for a, b in zip(old, new, strict=True)]
    low, mean, high = interval(ratios)
    row = {
      'program': name, 'median': statistics.median(ratios), 'mean': mean, 'low': low, 'high': high,
      'failed': high > SLOWER, 'old': old, 'new': new,
    }
    verdict = 'slower' if low > SLOWER else 'undecided' if high > SLOWER else ''
    show((
      name, f'{statistics.median(old):.3f}', f'{statistics.median(new):.3f}', str(len(ratios)),
      f'{row["median"]:.4f}', f'{mean:.4f}', f'{low:.4f} .. {high:.4f}', verdict,
    ))
    yield row


def pairs(options, name) -> tuple[list[float], list[float]]:
  """(seconds of the old, seconds of the new), pair by pair."""
  chance, found, orders = random.Random(name), ([], []), []
  with contextlib.ExitStack() as held:
    workers = []
    for checkout in (options.old, options.new):
      workers.append(held.enter_context(contextlib.closing(Worker(checkout, name, True))))
      workers[-1].answer()  # it is compiled before the next one begins
    ends = time.monotonic() + 60 * options.minutes
    for done in range(1, options.pairs + 1):
      if not orders:
        orders = [(0, 1), (1, 0)]
        chance.shuffle(orders)
      for which in orders.pop():
        found[which].append(workers[which].run())
      ratios = [b / a for a, b in zip(*found, strict=True)]
      looked = done >= LEAST and not orders  # as many of either order
      if looked and interval(ratios)[2] <= SLOWER or time.monotonic() > ends:
        break
  return found


def interval(ratios) -> tuple[float, float, float]:
  """(lower end, geometric mean, upper end) with 95% confidence."""
  from scipy import special

  logs = [math.log(one) for one in ratios]
  middle, count = statistics.fmean(logs), len(logs)
  if count < 2:
    return 0.0, math.exp(middle), math.inf
  half = special.stdtrit(count - 1, 0.975) * statistics.stdev(logs) / math.sqrt(count)
  return tuple(math.exp(middle + off) for off in (-half, 0, half))


def show(cells):
  """Prints a line of either table."""
  wide = (24, 20, 14, 14, 8, 0) if len(cells) == 6 else (24, 7, 7, 5, 7, 7, 18, 0)
  line = '  '.join(cell.ljust(size) for cell, size in zip(cells, wide, strict=True))
  print(line.rstrip(), flush=True)


def version(checkout) -> str:
  """The commit of a checkout, and whether it was changed since."""
  command = ['git', '-C', str(checkout), 'describe', '--always', '--dirty']
  return subprocess.run(command, capture_output=True, text=True).stdout.strip() or 'no commit'


def folder(text) -> pathlib.Path:
  """A checkout."""
  path = pathlib.Path(text).resolve()
  if not (path / 'adiff').is_dir():
    raise argparse.ArgumentTypeError(f'{text} has no folder adiff')
  return path


def names(text) -> list[str]:
  """Programs, by their names or patterns of them."""
  found = []
  for one in text.split(','):
    matched = fnmatch.filter(paired_programs.PROGRAMS, one)
    if not matched:
      raise argparse.ArgumentTypeError(f'{one} is none of {", ".join(paired_programs.PROGRAMS)}')
    found += [name for name in matched if name not in found]
  return found


def main() -> int:
  """Compares; 1 if a program failed."""
  if sys.argv[1:2] == ['worker']:
    checkout, name, *served = sys.argv[2:]
    return work(checkout, name, bool(served))
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  commands = parser.add_subparsers(dest='command', required=True)
  for compare, what in ((programs, 'operations and memory'), (times, 'seconds, in pairs')):
    one = commands.add_parser(compare.__name__, help=what)
    one.set_defaults(compare=compare)
    one.add_argument('old', type=folder)
    one.add_argument('new', type=folder)
    one.add_argument(
      '--programs', type=names, default=list(paired_programs.PROGRAMS), metavar='A,B',
      help=f'names or patterns (*-guided); default: all of {", ".join(paired_programs.PROGRAMS)}',
    )
    one.add_argument('--json', type=pathlib.Path, help='a file for the rows')
  one.add_argument('--pairs', type=int, default=100, help='of a program, at most')
  one.add_argument(
    '--minutes', type=float, default=5.0, help='of a program, compilation not counted, at most'
  )
  options = parser.parse_args()
  facts = {side: f'{at} {version(at)}' for side, at in (('old', options.old), ('new', options.new))}
  print(f'old: {facts["old"]}\nnew: {facts["new"]}', flush=True)
  rows = []
  for row in options.compare(options):
    rows.append(row)
    if options.json:  # at once: the rest takes long
      options.json.write_text(json.dumps({**facts, 'rows': rows}, indent=1) + '\n')
  failed = dict.fromkeys(row['program'] for row in rows if row.get('failed'))
  print(f'failed: {", ".join(failed)}' if failed else 'all passed')
  return bool(failed)


if __name__ == '__main__':
  sys.exit(main())
