"""What `import adiff` gives: load a model, train one, register a class."""

from adiff.learn import base
from adiff.machine import checkpoint, cost
from adiff.run import choose, kept, language, overrides, places, roles, shipped
from adiff.run import model as model_lib
from adiff.run import own as own_lib
from adiff.run import train as train_lib
from adiff.run import workdir as workdir_lib
from adiff.run.choose import register as register


def load(
  workdir, *, step=None, settings=(), block_size=None, steps=None, solver=None, data=None
) -> model_lib.Model:
  """The model of a workdir, or one that ships with adiff ('digits', 'text'; see shipped.py): its
  averaged parameters at a step (None: the newest). It needs no data; data: where they lie now, for
  `model.parts.source.examples`.

  settings: 'key=value' overrides, as --set. block_size, steps, solver: see overrides.py. A model of
  text is a language.Model, which also writes on.
  """
  workdir = shipped.place(workdir)
  config = workdir_lib.load(workdir, settings)
  config = overrides.arrange(config, workdir, block_size=block_size, steps=steps, solver=solver)
  config = places.placed(config, data)
  parts = kept.parts(workdir, config)
  roles.check_sampled(parts, workdir)
  step, params = checkpoint.restore_params(workdir, cost.params(parts), step=step)
  chosen = language.Model if parts.spec.medium == 'text' else model_lib.Model
  return chosen(parts, params, str(workdir), step)


def train(config, workdir, *, progress=True, **own) -> model_lib.Model:
  """Trains in this process as the binary does, and returns the model; pictures of samples appear on
  the way. Interrupt it (the kernel's stop button) and it saves; the same call goes on.

  config: a config, or 'images' for pictures of your own, see own.images for what it takes:

    model = adiff.train('images', 'runs/pets', data='pets.zip', minutes=2)

  Raises what `run.train` does.
  """
  if isinstance(config, str) and config != 'images':
    raise ValueError(f"there is no {config!r} to train; write 'images', or pass a config")
  if not isinstance(config, str) and own:
    raise ValueError(f"{next(iter(own))} goes with adiff.train('images', ..), not with a config")
  chosen = own_lib.images(workdir, **own) if config == 'images' else own_lib.Chosen(config, None)
  if choose.find('recipe', chosen.config.recipe.name).role != base.DENOISER:
    raise ValueError(
      'adiff.train returns what can be sampled, which a codec cannot; train it with '
      'adiff.run.train.train, or on the command line'
    )
  finished = train_lib.train(
    chosen.config, workdir, progress=progress, show=_show, coded=chosen.coded
  ) == 0
  config, trained = chosen.config, load(workdir)
  if not finished:
    print(f'stopped at step {trained.step} of {config.train.steps}; the same call goes on')
  return trained


def _show(step, name, image) -> None:
  """A picture below the cell, where there is a notebook."""
  try:
    from IPython import display, get_ipython
  except ImportError:
    return
  if get_ipython() is not None:
    from adiff.judge.page import images

    print(f'{name} at step {step}')
    display.display(display.Image(images.png_bytes(image)))

