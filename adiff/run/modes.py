"""Which flags a mode of the binary uses. One that it does not use is refused: somebody meant
something by it."""

PROMPTED = 'sample with --prompt'  # a mode of its own: it writes on the terminal
_WORKDIR = ('workdir', 'set', 'block_size', 'steps', 'solver')  # its config, arranged
_SEVERAL = ('processes', 'gather')
USES = {
  'train': ('config', 'workdir', 'data', 'minutes', 'profile', *_SEVERAL),
  'eval': (*_WORKDIR, 'step', 'average', 'data', 'split', 'out', *_SEVERAL),
  'sample': (*_WORKDIR, 'step', 'num', 'cond', 'given', 'edit', 'out', 'seed', 'batch', *_SEVERAL),
  PROMPTED: (*_WORKDIR, 'step', 'prompt', 'tokens', 'seed'),
  'export': (*_WORKDIR, 'step', 'out', 'seed', 'batch', *_SEVERAL),
  'follow': (*_WORKDIR, 'data', *_SEVERAL),
  'encode': ('workdir', 'data', 'out', 'batch', 'copies', 'flip', 'crop', 'seed', *_SEVERAL),
  'judge': ('samples', 'reference', 'features', 'data', 'split', 'out'),
  'compare': ('workdirs', 'out'),
  'reproduce': ('config', 'workdir', *_SEVERAL),
  'study': ('study', 'data', 'out'),
  'dryrun': ('config', 'topology'),
}


def using(flag) -> str:
  """The modes that use a flag, in words."""
  found = [mode for mode, flags in USES.items() if flag in flags]
  *most, last = [mode for mode in found if mode != PROMPTED or 'sample' not in found]
  return f'{", ".join(most)} and {last}' if most else last


def given(values) -> list[str]:
  """Those flags that are on the command line, of absl's FlagValues; a key of the config stands for
  the config."""
  known = {flag for flags in USES.values() for flag in flags}
  present = (
    name.partition('.')[0] for name in values
    if values[name].present and not (name == 'workdir' and values[name].value == '')
  )
  return [name for name in dict.fromkeys(present) if name in known]


def changes(mode, values) -> tuple[str, ...]:
  """The flags of the command that make an evaluation another than the run's own, as they are
  written; values: absl's FlagValues."""
  chosen = ['set', 'block_size', 'steps', 'solver', 'data']
  chosen += ['step', 'average', 'split'] if mode == 'eval' else []
  found = []
  for name in chosen:
    value, default = values[name].value, values[name].default
    each = value if isinstance(value, list) else [value]
    found += [f'--{name}={one}' for one in each if one not in (None, default)]
  return tuple(found)


def check(mode, given) -> None:
  """Raises ValueError for a flag of `given` that the mode does not use, or one that it lacks."""
  mode = PROMPTED if mode == 'sample' and 'prompt' in given else mode
  for flag in given:
    if flag not in USES[mode]:
      raise ValueError(
        f'--{flag} is not used by --mode={mode} but by {using(flag)}; leave it away, or write '
        'another mode'
      )
  if 'gather' in given and 'processes' not in given:
    raise ValueError('--gather says how long --processes waits; write that, too')
  own = mode == 'train' and 'config' not in given and 'data' in given  # pictures of one's own
  if 'minutes' in given and not own:
    raise ValueError('--minutes goes with --data and without --config, which has its train.steps')
  listing = mode == 'reproduce' and 'workdir' not in given
  if 'workdir' in USES[mode] and 'workdir' not in given and not own and not listing:
    raise ValueError('--workdir is missing; write for example --workdir=runs/digits')
  for flag in ('given', 'edit'):
    if flag in given and 'num' in given:
      raise ValueError(f'--{flag} says how many examples there are; leave --num away')
  if 'given' in given and 'edit' in given:
    raise ValueError('--given is of kinds of tokens, --edit of one kind; write one of them')
  if mode == 'encode' and 'out' not in given:
    raise ValueError('--out is missing; write for example --out=/data/tokens, a folder')
  if 'config' in USES[mode] and 'config' not in given and not own and not listing:
    raise ValueError(
      '--config is missing; write for example --config=configs/digits.py, --help lists them all; '
      'or only --data=FOLDER for pictures of your own'
    )

