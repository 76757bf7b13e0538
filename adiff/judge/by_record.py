"""Rules on what benchmarks left: a claim as a number and a word, by counts, bytes, seconds, laws.

Each takes records and returns a verdict; where a row or a column is missing it raises Lacking.
Columns are those of the files in benchmarks/; a cell [value, low, high] has an interval.
"""

from adiff.judge.verdicts import (
  MIXED,
  NOT_MEASURED,
  REFUTED,
  SEEDS,
  SUPPORTED,
  Lacking,
  Record,
  Verdict,
  of_halves,
)


def _cell(row, name):
  """A number, or the middle of an interval."""
  value = row[name]
  if value is None:
    raise Lacking(f'no {name}')
  return value[0] if isinstance(value, list) else value


def interactive(rollouts: Record) -> Verdict:
  """A block of eight takes at most half of the time of the whole sequence, and as long behind 256
  others as behind 16."""
  blocks, whole = rollouts.row(rollout='blocks'), rollouts.row(rollout='full sequence')
  short, long = _reaching(rollouts)
  first = _cell(blocks, 'ms') / 8
  return Verdict(
    of_halves(first < _cell(whole, 'ms') / 2, _cell(long, 'ms') < 1.1 * _cell(short, 'ms')),
    f'one of 8 blocks takes {first:.0f} ms, the whole {_cell(whole, "ms"):.0f}; a block '
    f'of a long rollout {_cell(long, "ms"):.0f} ms, of a short one {_cell(short, "ms"):.0f}',
  )


def _reaching(rollouts):
  """The rows of a short and of a long rollout of equal reach."""
  found = [row for row in rollouts.rows if str(row.get('rollout')).startswith('reach')]
  if len(found) != 2:
    raise Lacking('no two rollouts with a reach')
  return found


def sums_to_one(laws: Record, trained: Record) -> Verdict:
  """Probabilities of all strings sum to 1 for AR, those of a bound to less; and the bound of a
  trained network is above the exact value."""
  ar, whole = (_cell(laws.row(family=name), 'sum') for name in ('AR', 'one block'))
  calls = [_cell(laws.row(family=name), 'calls a score') for name in ('AR', 'one block')]
  over = _cell(trained.row(entry='toy-full-masked'), 'over')
  return Verdict(
    of_halves(abs(ar - 1) < 1e-4, whole < 1 - 1e-4, calls[0] < calls[1], over > 0),
    f'sum over all strings: AR {ar:.5f}, bound of one block {whole:.3f}; {calls[0]:g} against '
    f'{calls[1]:g} calls a score; bound of a trained toy {over:.2%} above the exact value',
  )


def weighted(bounds: Record) -> Verdict:
  """64 paths are within 1% of the model's own value, by the interval, for every model."""
  apart = []
  for row in bounds.rows:
    _, low, high = row['64 paths less own']
    apart.append(max(abs(low), abs(high)) / _cell(row, 'its own value'))
  one = [_cell(row, 'one path') / _cell(row, 'its own value') - 1 for row in bounds.rows]
  return Verdict(
    of_halves(*(value < 0.01 for value in apart)),
    f'64 paths at most {max(apart):.2%} off (one path {max(one):.2%}), {len(apart)} models',
  )


def slow_to_sample(speeds: Record) -> Verdict:
  """AR trains on as many tokens a second as one block, within a fifth, and samples fewer."""
  def ours(task):
    return speeds.row(task=task, peer='ours')

  trained = _cell(ours('step: one block'), 'ms') / _cell(ours('step: next symbol'), 'ms')
  sampled = _cell(ours('sample: one block'), 's a sample') / _cell(
    ours('sample: next symbol'), 's a sample')
  return Verdict(
    SUPPORTED if trained > 0.8 and sampled < 1 else REFUTED,
    f'tokens a second of AR over one block of 25 steps: {trained:.2f} in training, {sampled:.1f} '
    'in sampling',
  )


def suits_devices(speeds: Record) -> Verdict:
  """Samplers that make many tokens in a call reach twice the share of the machine's rate of matrix
  products that token by token does."""
  shares = {
    name: _cell(speeds.row(task=f'sample: {name}', peer='ours'), 'of the matmul rate')
    for name in ('next symbol', 'blocks', 'one block')
  }
  held = [shares[name] > 2 * shares['next symbol'] for name in ('blocks', 'one block')]
  told = ', '.join(f'{name} {share:.0%}' for name, share in shares.items())
  return Verdict(of_halves(*held), f'of the rate of matrix products, in sampling on a CPU: {told}')


def fewer_steps(students: Record) -> Verdict:
  """A student whose gap at two steps a block is below a fifth of that of the teacher with as few
  steps, in every seed."""
  told, held = [], []
  for row in students.rows:
    gap = row['gap ratio, 2 steps']
    if isinstance(gap, list):  # of three seeds: mean and range
      held.append(gap[2] < 0.2)
      told.append(f'{row["recipe"]} {gap[0]:.3f}')
  if not held or students.seeds is None or students.seeds < SEEDS:
    raise Lacking('no student of three seeds')
  return Verdict(of_halves(*held), f'gap at 2 steps a block: {", ".join(told)}', students.seeds)


def lifts(speculative: Record, drafted: Record) -> Verdict:
  """Fewer calls one after another, of symbols and of steps; the law is proved by tests."""
  calls = min(_cell(row, 'calls') for row in speculative.rows)
  plain, *others = (_cell(row, 'calls') for row in drafted.rows)
  return Verdict(
    of_halves(calls < 1, min(others) < plain),
    f'text: {calls:.2f} calls of the target a token, which cost more operations than without a '
    f'draft; gaussian steps: {min(others):g} calls for {plain:g}; laws: '
    'tests/sample/test_speculative.py, test_drafted_steps.py',
  )


def unlike_kinds(laws: Record) -> Verdict:
  """The bound of a network is above its own likelihood: ranking one with the other ranks a gap."""
  row = laws.row(family='one block')
  gap = _cell(row, 'bound') - _cell(row, 'own')
  return Verdict(
    SUPPORTED if gap > 0 else REFUTED,
    f'one network: bound {_cell(row, "bound"):.3f}, own likelihood {_cell(row, "own"):.3f} nats; '
    'pages rank equal kinds alone (tests/judge/test_judges.py)',
  )


def hundredfold(counted: Record) -> Verdict:
  """At 256 x 256 pixels AR makes at least 100 times the calls of 64 steps; and at 32 x 32 it costs
  more operations, too."""
  large, small = counted.row(side=256), counted.row(side=32)
  ratio = _cell(large, 'AR calls') / _cell(large, 'one block calls')
  work = _cell(small, 'AR GFLOP') / _cell(small, 'one block GFLOP')
  return Verdict(
    of_halves(ratio >= 100, work > 1),
    f'{_cell(large, "AR calls"):,} against {_cell(large, "one block calls")} calls, '
    f'{ratio:.0f} times; operations at 32 x 32: {work:.2f} times',
  )


def edits_anywhere(edits: Record) -> Verdict:
  """One block takes every mask, AR the next part alone."""
  whole, ar = edits.row(family='one block'), edits.row(family='AR')
  masks = [name for name in whole if name not in ('family', 'conditions')]
  taken = {row['family']: sum(row[name] for name in masks) for row in edits.rows}
  told = ', '.join(f'{family} {num} of {len(masks)}' for family, num in taken.items())
  return Verdict(
    of_halves(all(whole[name] for name in masks), [n for n in masks if ar[n]] == ['next']),
    f'masks that are filled, not refused: {told}',
  )


def flexible(edits: Record) -> Verdict:
  """Blocks do more conditional tasks without retraining than AR, and no fewer than one block."""
  ar, blocks, whole = (
    sum(value for name, value in edits.row(family=family).items() if name != 'family')
    for family in ('AR', 'blocks', 'one block')
  )
  return Verdict(
    of_halves(blocks > ar, blocks >= whole),
    f'tasks of one checkpoint, counted: AR {ar}, blocks {blocks}, one block {whole}',
  )


def least_memory(memory: Record) -> Verdict:
  """AR takes the fewest bytes of all families while it samples, cache included, at every length."""
  told, least = [], []
  for tokens in sorted({row['tokens'] for row in memory.rows}):
    own = {row['family']: _cell(row, 'KiB a sample') for row in memory.rows
           if row['tokens'] == tokens}
    least.append(min(own, key=own.get) == 'AR')
    told.append(f'{tokens} tokens: ' + ', '.join(f'{one} {kib:.0f}' for one, kib in own.items()))
  return Verdict(of_halves(*least), f'KiB a sample. {"; ".join(told)}')


def endless(rollouts: Record) -> Verdict:
  """Milliseconds and bytes a block of a rollout 16 times as long; its quality is not measured, so
  that nothing is decided but by growth."""
  short, long = _reaching(rollouts)
  grows = _cell(long, 'ms') > 1.1 * _cell(short, 'ms') or long['cache MiB'] > short['cache MiB']
  return Verdict(
    REFUTED if grows else NOT_MEASURED,
    f'16 times the length: {_cell(long, "ms"):.0f} ms a block for {_cell(short, "ms"):.0f}, cache '
    f'{long["cache MiB"]:g} MiB for {short["cache MiB"]:g}; quality not measured',
  )


def simpler(lines: Record) -> Verdict:
  """Denoising has fewer lines of its own than AR, and than a GAN."""
  ours, *others = (lines.row(family=name)['lines'] for name in ('diffusion', 'AR', 'GAN'))
  told = ', '.join(f'{row["family"]} {row["lines"]}' for row in lines.rows)
  return Verdict(
    of_halves(*(ours < other for other in others)),
    f'lines of code that one family alone needs: {told}',
  )


def parallel_gain(walks: Record) -> Verdict:
  """Half the rounds and half the seconds, of the walk without a mismatch in the fewest rounds, at
  every number of steps."""
  steps = sorted({row['steps'] for row in walks.rows})
  fewer, faster = [], []
  for number in steps:
    rows = [row for row in walks.rows if row['steps'] == number]
    same = [row for row in rows if str(row['mismatches']).startswith('0 of')]
    if not same:
      raise Lacking(f'no walk of {number:g} steps without a mismatch')
    best = max(same, key=lambda row: _cell(row, 'fewer'))
    fewer.append(_cell(best, 'fewer'))
    faster.append(_seconds(best))
  told = ', '.join(f'{one:g} steps {few:.1f} times fewer rounds, {fast:.2f} times as fast'
                   for one, few, fast in zip(steps, fewer, faster, strict=True))
  return Verdict(
    of_halves(*(few >= 2 for few in fewer), *(fast >= 2 for fast in faster)),
    f'without a mismatch, on a CPU: {told}',
  )


def _seconds(row):
  """Sequential seconds over its own, of a cell '0.47 (0.20)'."""
  own, _, sequential = str(row['s (sequential)']).partition(' (')
  return float(sequential.rstrip(')')) / float(own)


def small_price(memory_of_states: Record, students: Record) -> Verdict:
  """With some number of states, of those with three seeds, students lose at most a fifth of what
  the naive teacher loses, whatever the seed, and earlier states cost at most 1.1% of operations."""
  held, told = [], []
  for row in students.rows:
    more, seeds = _cell(memory_of_states.row(states=row['states']), 'more'), row['seeds']
    told.append(f'{row["states"]:g} states gap ratio {_cell(row, "gap ratio"):g} ({seeds:g} '
                f'seed{"s" * (seeds > 1)}), {more:.2%} more operations')
    if seeds >= SEEDS:
      held.append(of_halves(row['gap ratio'][2] <= 0.2, more <= 0.011))
  word = next((word for word in (SUPPORTED, MIXED, REFUTED) if word in held), NOT_MEASURED)
  return Verdict(word, '; '.join(told), SEEDS if held else None)


def maps(followed: Record) -> Verdict:
  """How well maps are followed; of one seed, and at no other size."""
  told = '; '.join(f'{row["row"]}: {row["asked for"]}' for row in followed.rows)
  return Verdict(NOT_MEASURED, f'one seed, the size of training: {told}')


def by_use(others) -> Verdict:
  """Verdicts by use: the choice depends on it where they differ between uses."""
  uses = {
    'pictures': (5, 25), 'latency': (9,), 'cost': (2,), 'likelihood': (23,), 'editing': (39,),
    'memory': (40,), 'sampling speed': (27, 36), 'text': (33,),
  }
  words = {
    use: [others[number].word for number in numbers if others[number].word != NOT_MEASURED]
    for use, numbers in uses.items()
  }
  known = {use: own for use, own in words.items() if own}
  if len(known) < 3:
    raise Lacking(f'{len(known)} uses')
  all_ = {word for own in known.values() for word in own}
  word = SUPPORTED if all_ >= {SUPPORTED, REFUTED} or MIXED in all_ else REFUTED
  return Verdict(word, '; '.join(f'{use}: {", ".join(own)}' for use, own in known.items()))
