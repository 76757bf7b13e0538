"""Every key of a config, with its default and its meaning. Code never supplies a default of its
own.

A choice is a dictionary with a `name` and its arguments; `choose` replaces one as a whole. What a
name may be, and which arguments it takes, is the table of choices.py. None is a value of its own
("history: as noisy as it is").
"""

import ml_collections

from configs.choices import CHOICES

NUMBERS_OR_NONE = dict(reach=int, edit=float, noise=float)  # arguments that are a number, or None


def choose(config, key, name, **arguments):
  """Sets config[key] to the choice `name`, with the defaults of CHOICES for what is not given."""
  arguments = {**CHOICES[key][name], **arguments}
  for argument, kind in NUMBERS_OR_NONE.items():
    if argument in arguments and arguments[argument] is None:
      arguments[argument] = ml_collections.config_dict.placeholder(kind)
  with config.unlocked():
    config[key] = ml_collections.ConfigDict(dict(name=name, **arguments))


def of_kind(config, kind, **own):
  """Says of one kind of tokens what is not as the config says of all: names of choices, with their
  defaults, and numbers; see `kinds` in get_config."""
  section = ml_collections.ConfigDict(dict(config.kinds.get(kind, {})))
  for key, value in own.items():
    if key in CHOICES:
      choose(section, key, value)
    else:
      section[key] = value
  with config.unlocked():
    config.kinds[kind] = section


def expect(device, *, minutes=None, commit='', flags='', **numbers):
  """What a row of a config ends at: an entry of its table EXPECTED {argument: entry}, which
  --mode=reproduce reads. It is no part of the config: a run stays what it is.

  device: what it wants: cores (two of a CPU, within an hour), gpu (one), or TPUs as in v5e:16x16.
  minutes: it takes there. numbers: {key of `numbers` in eval.json: (value, how far from it another
  seed or machine may end)}, measured at `commit`; none: not measured. flags: what the command needs
  besides --config, such as the place of the data.
  """
  return dict(device=device, minutes=minutes, commit=commit, flags=flags, numbers=numbers)


def debug(config, **sizes):
  """Makes a large config small: a network, a batch and a run for two cores and a minute.

  sizes: keys of config.data and config.blocks; latents are made up.
  """
  for section in (config.data, config.blocks):
    section.update({key: value for key, value in sizes.items() if key in section})
  if config.data.name == 'latents':
    config.data.made_up, config.data.num_classes = True, min(config.data.num_classes, 10)
  small = dict(
    width=64, depth=2, heads=4, widths=(16, 32), blocks=1, attend=(1,), head_width=16, steps=8
  )
  for section in (config.model, config.head):
    section.update({key: value for key, value in small.items() if key in section})
  config.train.steps, config.train.batch_size, config.optim.warmup = 100, 16, 10
  config.train.eval_every = config.train.checkpoint_every = 50
  config.optim.learning_rate, config.train.ema = 1e-3, 0.99
  config.eval.batch_size, config.eval.examples, config.eval.num = 32, 64, 40
  config.eval.samplers = tuple(config.eval.samplers)[:1]  # each is compiled
  config.plan.steps = min(config.plan.steps, 8)
  config.mesh.update(dict(data=-1, fsdp=1, tensor=1, sequence=1, slices=1))


def get_config():
  """The defaults."""
  c = ml_collections.ConfigDict()
  c.name = ''  # a word for reports
  c.seed = 0  # of everything: parameters, order of examples, noise, samples
  # a workdir whose averaged parameters to start from; another block size or process is allowed
  c.init_from = ''
  choose(c, 'data', 'chain')
  choose(c, 'codec', 'none')
  c.coder = ml_collections.ConfigDict(dict(name=''))  # '': the recipe takes none
  c.quantiser = ml_collections.ConfigDict(dict(name=''))  # likewise
  choose(c, 'blocks', 'equal')
  # Of several kinds of tokens, what is said of one alone, by its name: codec, blocks, process,
  # draw, spacing, solver, head, steps, history, weight (in the loss), dropout (share of examples
  # that train with it hidden in their history, for guidance). The rest is as said of all.
  c.kinds = ml_collections.ConfigDict()
  # Level at which a block reads its past: 0.0 clean, 0.02 "stabilised", None as noisy as it is.
  c.history = ml_collections.config_dict.placeholder(float)
  c.history = 0.0
  # do history slots carry the condition? (True costs guidance a second cache)
  c.history_cond = False
  choose(c, 'process', 'masked')
  choose(c, 'draw', 'uniform')
  # probabilities of the levels 0 and 1 on top of the draw
  c.atoms = ml_collections.ConfigDict(dict(zero=0.0, one=0.0))
  c.plan = ml_collections.ConfigDict()
  c.plan.steps = 8  # per block
  c.plan.first = 0  # steps of the first block, which has no history to lean on; 0: as the others
  c.plan.budgets = ()  # steps of each block, as solver `budget` deals them out; (): as above
  c.plan.size = ()  # rows and columns of the pictures that are made; (): as those of the data
  # steps a block waits for its predecessor; None: all
  c.plan.delay = ml_collections.config_dict.placeholder(int)
  choose(c, 'spacing', 'linear')
  choose(c, 'solver', 'first_order')
  choose(c, 'model', 'denoiser')
  choose(c, 'head', 'chunked')
  choose(c, 'recipe', 'plain')
  c.judge = ml_collections.ConfigDict(dict(name=''))  # '': the one of the data's medium
  # what is cut from the network's law before symbols are sampled from it: temperature, then the
  # top_k most likely stay (0: all), then the nucleus of mass top_p
  c.truncation = ml_collections.ConfigDict(dict(temperature=1.0, top_k=0, top_p=1.0))
  c.guidance = ml_collections.ConfigDict()
  c.guidance.scale = 1.0  # 1: none
  # scale on the first block; it changes linearly to `scale` on the last (with scale 1: ignored)
  c.guidance.first = 1.0
  # ((NAME, SCALE), ..): scales of several conditions, each given those before it; scale is 1, then
  c.guidance.scales = ()
  c.guidance.interval = (0.0, 1.0)  # of levels inside which guidance acts
  # Gaussian noise: the steps of a block together, and those of several blocks, until they are the
  # sequential walk's (adiff/sample/parallel.py). method: none, picard, anderson; or cascade, one
  # sweep of `blocks` that begin `start` steps after one another: another law. coordinate: what a
  # step holds while its start changes: its move (x), or its estimate of the noise or the data.
  # window: steps asked for together, 0: all. blocks: in flight; start: sweeps that each waits for
  # the one before. memory: sweeps that anderson looks back. tolerance: change, root mean square
  c.parallel = ml_collections.ConfigDict(dict(
    method='none', coordinate='data', window=0, blocks=1, start=3, memory=2, tolerance=0.01,
  ))
  # Masked blocks of one token: the network of a workdir drafts so many tokens in a call, in blocks
  # of its own, and this network's law accepts or replaces them (adiff/sample/speculative.py).
  # steps: gaussian noise with process.eta above 0: so many steps of a block are drafted from the
  # last answer, and one call accepts or replaces them (adiff/sample/drafted_steps.py); 0: none
  c.speculative = ml_collections.ConfigDict(dict(draft='', tokens=4, steps=0))
  c.cond_dropout = 0.1  # share of examples that train without all conditions, such as their label
  c.optim = ml_collections.ConfigDict()
  c.optim.name = 'adamw'
  c.optim.learning_rate = 1e-3
  c.optim.schedule = 'cosine'  # cosine, wsd, constant
  c.optim.warmup = 100  # steps
  c.optim.final = 0.0  # learning rate of the last step, as a share of the peak
  c.optim.decay_fraction = 0.2  # of wsd
  c.optim.b1 = 0.9
  c.optim.b2 = 0.99
  c.optim.eps = 1e-8
  c.optim.weight_decay = 0.01
  c.optim.clip = 1.0  # of the gradient's global norm
  c.train = ml_collections.ConfigDict()
  c.train.steps = 1000
  c.train.batch_size = 128  # of the whole job
  # what waits in the host's memory between updates: none, average, optimiser, both
  c.train.offload = 'none'
  c.train.share = 1.0  # of the training split that is trained on, spread over it
  c.train.microbatches = 1  # gradient accumulation: parts of a batch, each with its own noise
  # further sizes of equal blocks that the same network learns; the batch is dealt out among all
  c.train.block_sizes = ()
  # further sizes of pictures, (rows, columns) of pixels, that the same network learns: steps take
  # that of the data and these in turn
  c.train.sizes = ()
  # ((NAME, SHARE), ..): besides cond_dropout, shares that lose this condition, each by itself
  c.train.cond_dropouts = ()
  # further orders of kinds that the same network learns, such as (('image', 'text'),)
  c.train.orders = ()
  c.train.random_length = 0.0  # share of examples that end at a random token
  # share of examples that show some tokens, without loss: prompts and holes then have their law
  c.train.given = 0.0
  # codes of several scales: up to this share of them, or of their bits, is replaced as finer scales
  # read them, and those make up for it
  c.train.requantise = 0.0
  c.train.flip = False  # mirror half of the pictures, left to right; no symbols, then
  c.train.crop = 0  # pixels by which every picture is shifted at most, its edges repeated
  c.train.complementary = False  # every example twice, the second time with the other tokens masked
  # weight of a next-token loss on the history copy, which then reads its block token by token
  c.train.next_token = 0.0
  # decay of the parameters' average, warmed up; evaluation and sampling use the average
  c.train.ema = 0.999
  c.train.log_every = 20
  c.train.eval_every = 500  # bound on the test split, and a picture; 0: only at the end
  c.train.checkpoint_every = 500
  c.train.keep = 2  # newest checkpoints kept, besides the one with the best bound
  # besides, those whose step this divides are kept for ever; 0: none
  c.train.keep_every = 0
  c.train.workers = 0  # threads that decode pictures, on a host; 0: one a core
  c.eval = ml_collections.ConfigDict()
  c.eval.split = 'test'
  c.eval.batch_size = 128
  c.eval.examples = 0  # of the split, for the bound; 0: all
  c.eval.samples = 4  # of noise for each example of the final bound
  # paths an example of the importance-weighted bound, a power of two: orders of masked tokens, or
  # trajectories of gaussian noise; 0 or 1: none
  c.eval.orders = 0
  c.eval.chain = 1000  # steps of such a trajectory, each a network call
  # gaussian noise: steps of the probability-flow ODE whose likelihood is measured; 0: none
  c.eval.ode = 0
  c.eval.num = 256  # samples made for the report
  c.eval.steps = (2, 4, 8)  # steps a block for "quality against steps"
  # text: further samplers to compare, 'NAME(key=value)@STEPS', see adiff/run/overrides.py
  c.eval.samplers = ()
  # images: train the feature classifier and report distances (small images)
  c.eval.features = False
  # images of patches: seams, spectra, what a mistake in a block does to those behind it, and what a
  # classifier learns of samples
  c.eval.structure = False
  # trained codecs of images: a file of weights of the FID Inception network, in whose features
  # reconstructions are compared, too
  c.eval.inception = ''
  # the same of EfficientNet-Lite0, whose weights the extra `efficientnet` installs
  c.eval.efficientnet = False
  c.mesh = ml_collections.ConfigDict()  # devices an axis; -1, once: what is left
  c.mesh.data = -1  # copies of the parameters, each with its rows of the batch
  c.mesh.fsdp = 1  # parts of the parameters, each with its rows of the batch
  c.mesh.tensor = 1  # parts of the heads and of the MLP's features
  c.mesh.sequence = 1  # parts of every row's tokens, for rows that are too long for one device
  c.mesh.slices = 1  # groups of devices that a slow network joins, each with its rows of the batch
  return c.lock()
