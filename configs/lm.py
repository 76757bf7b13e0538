r"""A language model of 141M parameters (91M besides the tables of symbols) on rows of 1,024 tokens.

  python -m adiff.main --mode=dryrun --topology=v5e:4x4 --config=configs/lm.py:110m
  launch/tpu_pod.sh lm --config=configs/lm.py:110m --workdir=/mnt/runs/lm \
      --config.data.path=/mnt/corpus --config.codec.path=/mnt/tokenizer.json
  python -m adiff.main --config=configs/lm.py:110m-debug --workdir=runs/debug

configs/text.py:block16-base, placed on a pod. 110m-debug: the same choices, made small, on the
documentation that ships inside Python: two cores, a minute.
"""

from configs import base, text

ROWS = {'110m': dict(about='blocks of 16 tokens, 141M parameters')}
SIZES = dict(debug=dict(about='made small, on bytes of the documentation inside Python'))
EXPECTED = {
  '110m': base.expect(
    'v5e:4x4', flags='--config.data.path=FOLDER --config.codec.path=tokenizer.json'
  ),
  '110m-debug': base.expect('cores'),
}
ARGUMENTS = ('110m', '110m-debug')


def get_config(argument='110m'):
  """A config of one of ARGUMENTS."""
  if argument not in ARGUMENTS:
    raise ValueError(f'configs/lm.py has no {argument!r}; write one of {", ".join(ARGUMENTS)}')
  c = text.get_config('block16-base').unlock()
  c.name = f'lm {argument}'
  c.model.attention = 'kernel'
  if argument == '110m-debug':
    base.debug(c, num_tokens=64)
    base.choose(c, 'codec', 'bytes')
  return c.lock()
