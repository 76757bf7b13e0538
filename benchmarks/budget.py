r"""Is the best plan of a budget best? Bounds of k-step plans on rows that did not choose them.

  python -m benchmarks.budget --workdir=runs/text

Every other one of the held-out rows gives the profile, nats of one masked token by the number of
masked ones in its block, and for every budget of calls the plan that is optimal for it
(adiff/sample/budget.py). On the others L_k, the nats of one masked token with exactly k of a
block's B masked, is measured for every row and k, so that a plan n_1 .. n_S has the bound sum_j n_j
L_{m_j} / B nats a token, m_j = n_j + .. + n_S, on every row (ARDM, arXiv:2110.02037, section 3.2).
All k see the same masks, nested, so plans are compared row by row.
"""

import argparse
import pathlib

import numpy as np

from adiff.judge import likelihood, subset
from adiff.machine import checkpoint, cost, provenance, sharding
from adiff.run import build, loss_profile
from adiff.run import workdir as workdir_lib
from adiff.sample import budget
from adiff.sequence import plan as plan_lib

ROOT = pathlib.Path(__file__).resolve().parents[1]
RIVALS = {'uniform': plan_lib.linear(), 'cosine': plan_lib.cosine()}


def read(workdir):
  """(parts, step, averaged parameters) of a workdir; raises ValueError where its blocks have no
  budget."""
  config = workdir_lib.load(workdir)
  parts = build.build(config)
  workdir_lib.check_contract(workdir, parts.contract)
  if not loss_profile.has_profile(parts) or parts.blocks.sizes[0] < 4:
    raise ValueError(
      f'{workdir} has no budgets to compare; choose a run with process masked, a draw that is not '
      'ones, equal blocks of at least 4 tokens, and rows that are not packed'
    )
  return parts, *checkpoint.restore_params(workdir, cost.params(parts))


def bound(nats, plan):
  """[n] nats a token of a plan on each row of `masked_nats`."""
  left = np.cumsum(plan[::-1])[::-1]
  return nats[:, left - 1] @ np.asarray(plan, float) / nats.shape[1]


def compare(nats, profile) -> list[dict]:
  """A row a budget: {'calls', 'plan', 'bound', and of each rival its plan and the difference}, with
  95% intervals over rows of text."""
  size, compared = len(profile), []
  for calls in range(2, size // 2 + 1):
    plan = budget.optimal(profile, calls)
    own = bound(nats, plan)
    row = {'calls': calls, 'plan': plan, 'bound': likelihood.interval(own)}
    for name, spacing in RIVALS.items():
      other = budget.counts(spacing, size, calls)
      row[name] = other, *likelihood.interval(own - bound(nats, other))
    compared.append(row)
  return compared


def page(options, parts, step, chosen, counts, compared) -> str:
  """The table, in Markdown."""
  size = parts.blocks.sizes[0]
  differences = [(mean, half) for row in compared for _, mean, half in (row[n] for n in RIVALS)]
  better = sum(all(row[n][1] + row[n][2] < 0 for n in RIVALS) for row in compared)
  worse = any(mean - half > 0 for mean, half in differences)
  lines = [
    '# Budgets: the plan is measured', '',
    f'{parts.config.name}, step {step}, blocks of {size} tokens. Profile from '
    f'{counts[0]} held-out rows of {parts.blocks.num_tokens} tokens, bounds on {counts[1]} '
    f'others, {options.samples} masks each. Hardware: {provenance.hardware()}; commit '
    f'{provenance.commit()}. Command: `python -m benchmarks.budget --workdir={options.workdir} '
    f'--samples={options.samples}`.', '',
    'Nats a token with 95% intervals over rows. `calls`: network calls a block. `plan`: tokens '
    'that each call reveals. Differences: optimal plan minus the other, paired by row; below zero '
    'the optimal plan is better.', '',
    '| calls | plan | bound | minus uniform | minus cosine |', '| --- | --- | --- | --- | --- |',
  ]
  for row in compared:
    cells = [_difference(row, name) for name in RIVALS]
    lines.append(
      f'| {row["calls"]} | {_plan(row["plan"])} | {row["bound"][0]:.4f} +- '
      f'{row["bound"][1]:.4f} | {" | ".join(cells)} |'
    )
  return '\n'.join([
    *lines, '',
    f'Never worse beyond the interval: {"no" if worse else "yes"}. Strictly better than both at '
    f'{better} of {len(compared)} budgets.', '',
    'Profile, nats of one masked token with 1 .. B of its block masked: '
    f'{", ".join(f"{nats:.3f}" for nats in chosen)}.', '',
  ])


def _plan(plan):
  return '+'.join(map(str, plan))


def _difference(row, name):
  """Mean and interval as text; says where the other plan is the same, or makes fewer calls."""
  other, mean, half = row[name]
  if other == row['plan']:
    return 'same plan'
  fewer = f' ({len(other)} calls)' if len(other) < row['calls'] else ''
  return f'{mean:+.4f} +- {half:.4f}{fewer}'


def main():
  """Measures, and writes the page."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--workdir', required=True, help='a trained masked model with equal blocks')
  parser.add_argument('--report', type=pathlib.Path, default=ROOT / 'benchmarks' / 'budget.md')
  parser.add_argument('--samples', type=int, default=8, help='masks a row and number of tokens')
  options = parser.parse_args()
  try:
    parts, step, params = read(options.workdir)
  except (ValueError, OSError) as error:
    parser.exit(2, f'adiff: {" ".join(str(error).split())}\n')
  config, mesh = parts.config, sharding.make_mesh()
  size = parts.coded.size(config.eval.split)
  rows = subset.spread(size, config.eval.examples if config.eval.examples else size)
  ours, others, how = rows[::2], rows[1::2], dict(samples=options.samples, progress=True)
  chosen = loss_profile.measure(parts, params, mesh, ours, **how).mean(0)
  compared = compare(loss_profile.measure(parts, params, mesh, others, **how), chosen)
  counts = len(ours), len(others)
  options.report.write_text(page(options, parts, step, chosen, counts, compared))
  print(options.report.read_text())


if __name__ == '__main__':
  main()
