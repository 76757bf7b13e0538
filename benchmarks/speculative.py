"""Speculative decoding of trained networks: what a token takes, and what of it the draft does.

  python -m adiff.main --config=configs/shakespeare.py:ar --config.data.data_dir=DIR \
      --workdir=runs/ar
  python -m adiff.main --config=configs/shakespeare.py:block16 --config.model.width=64 \
      --config.model.depth=2 --config.data.data_dir=DIR --workdir=runs/block16
  python -m benchmarks.speculative --target=runs/ar --draft=runs/block16

`calls`: of the target, a token, mean over examples; an example is counted as if it were made alone.
`drafts`: likewise of the draft, with those that write the keys of its finished blocks. `weighted`:
the same with each call of the draft counted as what it costs, in floating-point operations, beside
one of the target: the operations of a token over those of one call of the target. The law of the
samples is the target's, whatever the draft is (tests/sample/test_speculative.py).
"""

import argparse
import pathlib

import jax

from adiff.machine import cost, provenance
from adiff.run import drafted, generate
from adiff.sample import speculative

ROOT = pathlib.Path(__file__).resolve().parents[1]
COLUMNS = 'draft', 'parameters', 'tokens a draft', 'calls', 'drafts', 'accepted', 'weighted'


def cells(target, draft, tokens, keys) -> tuple:
  """The numbers of a row of the table, without the draft's parameters."""
  counts = jax.jit(lambda keys: speculative.sample(target, draft, keys, tokens)[1])(keys)
  num = target.blocks.num_tokens
  calls, drafts, accepted = (float(leaf.mean()) / num for leaf in counts)
  one = speculative.Speculation(target, draft, tokens)
  at, symbols = one.start(), one.start().x[:tokens]
  verify = cost.count(lambda at: one.verified(at, symbols), at).flops
  propose = cost.count(lambda at: one.drafted(keys[0], 0, at), at).flops
  write = cost.count(lambda at: one.written(0, at), at).flops
  written = num // draft.blocks.sizes[0] / num
  operations = calls * verify + (drafts - written) * propose + written * write
  return calls, drafts, accepted, operations / verify


def main():
  """Measures, and writes the page."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--target', required=True, help='workdir of the autoregressive network')
  parser.add_argument('--draft', nargs='+', required=True, help='workdirs of networks that draft')
  parser.add_argument('--tokens', type=int, nargs='+', default=[2, 4, 6, 8], help='a draft')
  parser.add_argument('--num', type=int, default=64, help='examples')
  parser.add_argument(
    '--report', type=pathlib.Path, default=ROOT / 'benchmarks' / 'speculative.md'
  )
  options = parser.parse_args()
  parts, params = drafted.opened(options.target)
  target, keys = drafted.reader(parts, params), jax.random.split(jax.random.key(0), options.num)
  plain = generate.rollout(parts, 1).flops / target.blocks.num_tokens
  lines = []
  for place in options.draft:
    other, own = drafted.opened(place)
    draft, size = drafted.reader(other, own), sum(leaf.size for leaf in jax.tree.leaves(own))
    for tokens in options.tokens:
      found = (f'{number:.3f}' for number in cells(target, draft, tokens, keys))
      row = f'{pathlib.Path(place).name}', f'{size:,}', str(tokens), *found
      lines.append(f'| {" | ".join(row)} |')
      print(lines[-1], flush=True)
  options.report.write_text('\n'.join([
    '# Speculative decoding', '',
    f'Target: {parts.config.name}, {sum(leaf.size for leaf in jax.tree.leaves(params)):,} '
    f'parameters, {plain / 1e6:.2f} MFLOP a token without a draft. {options.num} examples of '
    f'{target.blocks.num_tokens} tokens. Hardware: {provenance.hardware()}; commit '
    f'{provenance.commit()}. Command: `python -m benchmarks.speculative --target=RUN --draft RUN '
    '..`; what the columns mean: benchmarks/speculative.py.', '',
    f'| {" | ".join(COLUMNS)} |', '|' + ' --- |' * len(COLUMNS), *lines, '',
  ]))


if __name__ == '__main__':
  main()
