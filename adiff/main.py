r"""The binary: trains, evaluates, samples.

  python -m adiff.main --config=configs/digits.py --workdir=runs/digits
  python -m adiff.main --mode=eval --workdir=runs/digits
  python -m adiff.main --mode=judge --samples=samples.npz --reference=runs/digits --out=judged
  python -m adiff.main --mode=sample --workdir=runs/digits --num=50000 --out=samples.npz
  python -m adiff.main --mode=sample --workdir=runs/text --prompt='The function' --steps=8
  python -m adiff.main --mode=export --workdir=runs/digits --batch=16 --out=served
  python -m adiff.main --mode=follow --workdir=runs/digits
  python -m adiff.main --mode=encode --workdir=runs/digits --out=data/tokens
  python -m adiff.main --mode=compare --workdirs=runs/digits,runs/other --out=compare
  python -m adiff.main --mode=dryrun --config=configs/lm.py:110m --topology=v5e:4x4
  python -m adiff.main --mode=reproduce --config=configs/digits.py:short
  python -m adiff.main --mode=study --study=toy --out=runs/studies/toy

Exit codes: 0 finished; 75 stopped by a signal, or left by another process, and something is saved:
run the same command again; 2 a mistake that one sentence names; 1 anything else, and a reproduced
number that is not what its config expects.
"""

import functools
import os
import re
import signal
import sys

from absl import flags
from ml_collections import config_flags

from adiff.machine import compilation, mistakes
from adiff.run import config_file, modes

_CONFIG = config_flags.DEFINE_config_file(
  'config', None,
  'Config of a training run, FILE.py or FILE.py:ROW, from the list below; keys are overridden by '
  '--config.KEY=VALUE. configs/base.py explains every key.',
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
  'workdir',
  None,
  'Folder of the run: checkpoints, metrics, pictures, report. The same workdir resumes.',
)
_DATA = flags.DEFINE_string(
  'data', None, f'{modes.using("data")}: the folder or file where the data of the run lies now.'
)
_MINUTES = flags.DEFINE_float(
  'minutes', None, 'train, with --data and without --config: pictures of your own are learnt from '
  'for so long (adiff/run/own.py). Default: 5.',
)
_MODE = flags.DEFINE_enum(
  'mode',
  'train',
  [mode for mode in modes.USES if mode != modes.PROMPTED],
  'train needs --config and --workdir; eval, sample, export and follow need --workdir alone, and '
  'read the config there. export writes a sampler that starts without tracing, see '
  'adiff/run/exported.py; follow evaluates every checkpoint of a run while it trains. encode '
  'writes what the codec of --workdir makes of its data to --out, see adiff/run/encode.py. compare '
  'sets the finished runs of --workdirs side by side. dryrun needs --config alone, and compiles '
  'its programs for --topology. reproduce trains and evaluates a row of --config, and compares its '
  'numbers with those that it expects; without --config it lists all rows. study trains rows of '
  'configs side by side, see configs/studies.py; without --study it lists all studies.',
)
_WORKDIRS = flags.DEFINE_list('workdirs', [], f'{modes.using("workdirs")}: the workdirs, as A,B,C.')
_STUDY = flags.DEFINE_string(
  'study', None, 'study: its name; the same --out goes on where it was stopped.'
)
flags.DEFINE_string(
  'step', None, f'{modes.using("step")}: the checkpoint, N or best. Default: the newest. eval also '
  'takes several, N,M,.. or all, and draws curves.'
)
flags.DEFINE_enum(
  'average', 'ema', ['ema', 'raw'], f'{modes.using("average")}: the average of the parameters, or '
  'the last ones.',
)
_SPLIT = flags.DEFINE_string(
  'split', None, f"{modes.using('split')}: the held-out split. Default: the config's eval.split."
)
_SAMPLES = flags.DEFINE_string(
  'samples', None, f'{modes.using("samples")}: FILE.npz with arr_0 or examples, or a folder of '
  'pictures.'
)
_REFERENCE = flags.DEFINE_string(
  'reference', None, f'{modes.using("reference")}: a workdir, a folder of pictures, an .npz of '
  'examples, or of statistics.'
)
_FEATURES = flags.DEFINE_string(
  'features', None, f'{modes.using("features")}: of which network, efficientnet (the extra of that '
  'name) or a file with the weights of the FID Inception network. Default: what the reference '
  'tells of, or else a classifier of its own.',
)
flags.DEFINE_multi_string(
  'set', [], f'{modes.using("set")}: KEY=VALUE, a sampling key of the config to change, for '
  'example plan.steps=4. Repeatable.',
)
flags.DEFINE_multi_string(
  'prompt', [],
  'sample, text models: write on from this text, block by block on the terminal. Repeatable: '
  'several prompts are one batch.',
)
flags.DEFINE_integer(
  'tokens', None, f'{modes.using("tokens")}: symbols to write at most. Default: to the end of the '
  'row.', lower_bound=1,
)
flags.DEFINE_integer(
  'block_size', None, f'{modes.using("block_size")}: equal blocks of another size, for networks '
  'that learnt several (train.block_sizes).', lower_bound=1,
)
flags.DEFINE_integer(
  'steps', None, f'{modes.using("steps")}: network steps a block, as --set=plan.steps.',
  lower_bound=1,
)
flags.DEFINE_string(
  'solver', None, f'{modes.using("solver")}: another solver, NAME or NAME(key=value, ..): '
  'first_order, first_hitting, threshold(threshold=0.8), entropy_bound(bound=0.5), '
  'scheduled(choose=confidence), or budget: the best plan for --steps calls a block, from the '
  'profile in eval.json; of gaussian tokens from one that is measured at once.',
)
flags.DEFINE_integer('num', 256, 'sample: how many, labels balanced.', lower_bound=1)
flags.DEFINE_string(
  'cond', None, f'{modes.using("cond")}: FILE.npz of what to ask for, see adiff/run/asked_for.py.'
)
flags.DEFINE_string(
  'given', None, 'sample: an .npz with an array [n, ..] for each kind of tokens that is given; the '
  'others are made, one example for each. The network must have learnt that order.',
)
flags.DEFINE_string(
  'edit', None, 'sample: FILE.npz of what to fill, vary or enlarge, see adiff/run/editing.py.'
)
_OUT = flags.DEFINE_string(
  'out', None, 'sample: the .npz to write, default WORKDIR/samples.npz; export: the folder, '
  'default WORKDIR/exported; compare and judge: the folder, default compare or judged; eval: the '
  'folder, default WORKDIR with its own settings, else WORKDIR/evals/NAME; encode: the folder; '
  'study: the folder, default runs/studies/NAME.',
)
flags.DEFINE_integer(
  'seed', None, f"{modes.using('seed')}: seed of samples, or of moves. Default: the config's.",
  lower_bound=0, upper_bound=2**32 - 1,
)
flags.DEFINE_integer(
  'batch', 256, f'{modes.using("batch")}: examples in one compiled call.', lower_bound=1
)
flags.DEFINE_integer(
  'copies', 1, 'encode: of every training picture, all but the first moved.', lower_bound=1
)
flags.DEFINE_bool('flip', False, 'encode: half of the further copies are mirrored.')
flags.DEFINE_integer(
  'crop', 0, 'encode: pixels by which further copies are shifted at most.', lower_bound=0
)
_PROFILE = flags.DEFINE_integer(
  'profile', 0, 'train: write a trace of this many steps to WORKDIR/profile.', lower_bound=0
)
_TOPOLOGY = flags.DEFINE_string(
  'topology', '', 'dryrun: the devices, such as v5e:16x16, v5p:4x4x8 or cpu:8. Default: those here.'
)
_PROCESSES = flags.DEFINE_string(
  'processes', None, f'{modes.using("processes")}: run as one of several processes: auto where JAX '
  'can ask the cluster (TPU pods, Slurm), else INDEX/COUNT@HOST:PORT of the first process.'
)
_GATHER = flags.DEFINE_integer(
  'gather', 1800, 'With --processes: seconds until the last process must be there. Hosts of a pod '
  'come one by one; a process that died before it came is not noticed sooner.', lower_bound=1,
)
flags.register_validator(
  'step', lambda step: step is None or re.fullmatch(r'best|all|\d{1,10}(,\d{1,10})*', step),
  'write N, several as N,M, best or all',
)
_REFUSALS = (  # what absl and ml_collections raise for a mistake in a flag or a config
  flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError, ImportError, SyntaxError
)
_HELP = {'--help', '-help', '-h', '--helpfull', '--helpshort'}


def run() -> int:
  """One call of the binary, flags parsed; returns its exit code."""
  modes.check(_MODE.value, modes.given(flags.FLAGS))
  if _MODE.value == 'compare':
    from adiff.run import compare

    return compare.compare(_WORKDIRS.value, _OUT.value or 'compare')
  if _MODE.value == 'judge':
    from adiff.run import judging

    places = _SAMPLES.value, _REFERENCE.value, _OUT.value or 'judged'
    how = dict(split=_SPLIT.value, data=_DATA.value, features=_FEATURES.value)
    return judging.judge(*places, **how)
  from adiff.machine import hosts

  if _PROCESSES.value:
    hosts.start(_PROCESSES.value, _GATHER.value, sys.argv[1:])  # early: deaths are noticed
  # After --help, which needs none of them.
  mistakes.keep_frames()
  if _MODE.value == 'study':
    from adiff.run import study

    return study.run(_STUDY.value, _OUT.value, _DATA.value)
  from adiff.run import dryrun, own, places, reproduce, train, use

  if _MODE.value == 'reproduce':
    if _CONFIG.value is None:
      return reproduce.tell()
    path = config_flags.get_config_filename(flags.FLAGS['config'])
    return reproduce.reproduce(_CONFIG.value, path, _WORKDIR.value)
  if _MODE.value == 'dryrun':
    return dryrun.dryrun(_CONFIG.value, _TOPOLOGY.value)
  if _MODE.value == 'train':
    workdir, data, minutes = _WORKDIR.value, _DATA.value, _MINUTES.value
    if _CONFIG.value is None:
      return own.run(workdir, data, minutes, profile=_PROFILE.value)
    return train.train(places.placed(_CONFIG.value, data), workdir, profile=_PROFILE.value)
  if flags.FLAGS.prompt:
    return use.write(flags.FLAGS)
  with hosts.on_signals((signal.SIGTERM, signal.SIGINT), hosts.exit_unfinished, several=True):
    return (use.encoded if _MODE.value == 'encode' else use.use)(flags.FLAGS)


def _parse(argv):
  """Reads the flags and the config; a mistake in either is a ValueError of one sentence."""
  if _HELP & set(argv[1:]):
    from adiff.run import listing

    print(__doc__ + flags.FLAGS.main_module_help() + '\n' + listing.text())
    sys.exit(0)
  try:
    parser = flags.FLAGS['config'].parser
    if getattr(parser.parse, 'func', None) is not config_file.read:  # once a process
      parser.parse = functools.partial(config_file.read, parser.parse)
    rest = flags.FLAGS(argv)[1:]
    getattr(_CONFIG.value, 'keys', None)  # Where the file could not be read, this raises.
  except _REFUSALS as error:
    raise ValueError(
      f'{mistakes.sentence(error)} (--help lists flags and configs, configs/base.py the keys)'
    ) from error
  if rest:
    raise ValueError(f'{rest[0]!r} is no flag; write --FLAG=VALUE, --help lists them')


def main() -> None:
  """Entry point of `python -m adiff.main`."""
  compilation.keep()
  try:
    _parse(sys.argv)
    sys.exit(run())
  except (ValueError, OSError, FloatingPointError) as error:
    if not mistakes.told(error):
      raise
    print(f'adiff: {mistakes.sentence(error)}', file=sys.stderr, flush=True)
    if isinstance(error, OSError):  # threads may wait for the storage, or print after the sentence
      sys.stdout.flush()
      os._exit(2)
    sys.exit(2)
  except MemoryError as error:
    print(
      f'adiff: this needs more memory than there is: {mistakes.sentence(error)}; write smaller '
      'sizes, such as eval.num or batch_size', file=sys.stderr, flush=True,
    )
    sys.exit(2)
  except RuntimeError as error:
    from adiff.machine import hosts

    if not hosts.lost(error):
      raise
    hosts.leave(mistakes.sentence(error)[:300])


if __name__ == '__main__':
  main()
