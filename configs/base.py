"""Every key of a config, with its default and its meaning. Code never supplies a default of its
own.

A choice is a dictionary with a `name` and its arguments; `choose` replaces one as a whole. What a
name may be, and which arguments it takes, is the table CHOICES below. None is a value of its own
("history: as noisy as it is").
"""

import ml_collections

CHOICES = dict(
  data=dict(
    # a Markov chain, exact answers known (symbols); with the sides of a pyramid, a tree
    chain=dict(num_tokens=6, vocab=3, size=65536, seed=0, sides=()),
    # a Gaussian mixture, likewise (floats)
    mixture=dict(num_tokens=6, dim=1, components=3, size=65536, seed=0),
    # two kinds of tokens, symbols of a chain and floats of the component that they name, likewise
    coupled=dict(
      num_symbols=4, vocab=3, num_floats=2, dim=1, components=3, size=65536, seed=0
    ),
    digits=dict(),  # scikit-learn's 1,797 handwritten digits, 8x8 pixels of 17 levels
    # any image set of TFDS, read from data_dir/DATASET/VERSION; size: pixels a side that pictures
    # are cropped and scaled to, 0: as they are
    tfds=dict(dataset='mnist', data_dir='', size=0),
    # a folder or .zip of CLASS/*.png, or an .npz of an array, cropped and scaled to size; every
    # test_every-th is held out
    image_folder=dict(data_dir='', size=32, channels=3, test_every=10, skip_unreadable=False),
    # latents of an autoencoder, encoded beforehand, see adiff/data/latents.py; shape (H, W, C) or
    # (T, H, W, C). made_up: random fields instead
    latents=dict(data_dir='', shape=(32, 32, 4), num_classes=0, made_up=False),
    # tokens that --mode=encode has made of any of these, to train on with the same codec; the last
    # two of texts, as below, num_tokens=0: as in the run whose data was encoded
    encoded=dict(data_dir='', num_tokens=0, packed=False),
    # a UTF-8 file or a folder of them; '': the documentation that ships inside Python. packed:
    # whole documents, several a row, instead of rows cut anywhere
    text=dict(path='', num_tokens=256, packed=False),
    # any text set of TFDS; heldout: splits to evaluate on, such as 'validation+test'; '': test
    tfds_text=dict(
      dataset='tiny_shakespeare', data_dir='', heldout='', num_tokens=256, packed=False
    ),
  ),
  codec=dict(
    none=dict(),  # examples are tokens already
    joint=dict(),  # several kinds of tokens: that of each in `kinds`
    # patch x patch pixels a token; discrete: symbols (patch must be 1)
    patches=dict(patch=1, discrete=False),
    pyramid=dict(sides=(1, 2, 4, 8), discrete=False),  # average-pooled images, coarse to fine
    # squares of latents, less mean, over std of the channels; (): those that the data says
    latents=dict(patch=1, mean=(), std=()),
    bytes=dict(),  # text as UTF-8
    characters=dict(alphabet=''),  # text as characters; '': those of its corpus
    # a tokenizer.json of the library tokenizers; '': a byte-level BPE of `size` symbols learnt from
    # the corpus. json: the text of such a file
    subwords=dict(path='', size=1024, json=''),
  ),
  quantiser=dict(  # between encoder and decoder of a codec that is trained
    # a channel a bit, without a codebook
    bits=dict(
      bits=10,
      sphere=False,  # features have length 1 (BSQ), or any (LFQ)
      commitment=0.25,  # weight of what is lost by rounding
      entropy=0.1,  # weight of: each feature sure of its code, all codes used
      diversity=1.0,  # weight of the second part beside the first
      temperature=1.0,  # of soft bits
      group=10,  # bits whose joint use is counted exactly
    ),
    fsq=dict(levels=(8, 5, 5, 5)),  # channels that are rounded, each to so many levels
    multiscale=dict(  # scales of pictures, each of what the coarser ones have left
      sides=(1, 2, 4, 7),  # of the scales, up to the grid of features
      vocab=1024,
      dim=8,
      signs=False,  # a code is the signs of all channels, not a vector of a codebook
      phi=0.5,  # share of a convolution behind every scale
      phis=4,  # such convolutions
      decay=0.99, restart=0.1, commitment=0.25,  # as of vq
    ),
    # several codes a place, each of what the ones before have left; as vq
    residual=dict(
      depth=4, vocab=256, dim=8,
      shared=False,  # one codebook for all depths
      decay=0.99, restart=0.1, commitment=0.25,
    ),
    vae=dict(  # vectors
      dim=4,
      kl=1e-3,  # weight of what they tell beyond a normal prior, in nats a token
      free=0.0,  # nats a channel and token that cost nothing more
      noise=None,  # deviation of all latents; None: the encoder's
    ),
    vq=dict(  # the nearest vector of a codebook
      vocab=1024,
      dim=8,
      cosine=False,  # vectors of length 1
      rotation=False,  # the gradient is turned as features are, or copied
      decay=0.99,  # of the codebook, a running mean of features
      restart=0.1,  # codes used by less than this share of an even use begin again; 0: none
      commitment=0.25,  # weight of what is lost by rounding
      entropy=0.0, diversity=1.0, temperature=1.0,  # as of bits
    ),
  ),
  blocks=dict(
    whole=dict(),  # one block: full-sequence diffusion
    tokens=dict(),  # one token a block: autoregression
    equal=dict(size=2),  # `size` consecutive tokens a block
    cells=dict(cell=(2, 2)),  # boxes of the token grid
    frames=dict(grid=(3, 2), per_block=1),  # whole frames of a (frames, ...) grid
    scales=dict(sides=(1, 2, 4)),  # side x side tokens a block, coarse to fine
    # several kinds of tokens: the blocks of each in `kinds`, all of the first kind in `order`, then
    # all of the next; turns: they take turns
    joint=dict(order=(), turns=False),
  ),
  process=dict(
    gaussian=dict(
      schedule='cosine',  # cosine, linear (variance preserving), flow (rectified flow)
      prediction='v',  # x0, eps, v, flow
      weight='plain',  # plain, min_snr
      gamma=5.0,  # of min_snr
      eta=0.0,  # steps: 0 deterministic .. 1 ancestral
      clip=1.0,  # bound on |x0_hat| in sampling; 0 for none
      log_snr=(-10.0, 9.0),  # ends of the bound's integral
    ),
    joint=dict(),  # several kinds of tokens: that of each in `kinds`
    masked=dict(),
    uniform=dict(objective='cross_entropy'),  # or bound
    mixed=dict(random=0.1, objective='cross_entropy'),  # masks, and this share of random symbols
  ),
  draw=dict(
    # shared: one level an example instead of one a block
    uniform=dict(low=0.0, high=1.0, shared=False),
    logit_normal=dict(mean=0.0, std=1.0, shared=False),
    clipped=dict(low=0.3, high=0.8, shared=False),
    ones=dict(),  # always all noise
  ),
  spacing=dict(
    linear=dict(),
    cosine=dict(),
    power=dict(exponent=2.0),
    reveals=dict(counts=(1,)),  # tokens of a block revealed in each of plan.steps steps
  ),
  solver=dict(
    first_order=dict(),
    heun=dict(),
    multistep=dict(),
    # masked tokens; a block is finished when none is left, plan.steps is an upper bound
    first_hitting=dict(),  # one random token a step: the exact law
    threshold=dict(threshold=0.9, edit=None),  # all tokens the network is that sure of
    entropy_bound=dict(bound=0.1),  # as many tokens as keep their joint entropy within the bound
    scheduled=dict(choose='random'),  # as many as the spacing says: random, or by confidence
  ),
  head=dict(
    # outputs are made where there is loss, and not kept; with fewer than `least` a token, as linear
    chunked=dict(least=1024),
    linear=dict(),
  ),
  recipe=dict(plain=dict()),  # gradient descent on the loss, see `train` below
  judge=dict(  # see `eval` below
    law=dict(),  # tests samples against the law of the data
    image=dict(),  # shows samples, and measures them in the features of a classifier
    text=dict(),  # words, entropy, which token came when, other samplers
  ),
  model=dict(
    denoiser=dict(
      width=128,
      depth=4,
      heads=4,
      mlp_ratio=4.0,
      dropout=0.0,
      encoder=2,  # layers of what reads a condition's symbols, trained along
      rotary_base=100.0,  # 10,000 for long texts
      # blocks that a block looks back; None: all, 0: none. Then a cache holds no more than these
      reach=None,
      sinks=0,  # first blocks that are seen from everywhere
      self_condition=False,  # show the network its own last estimate
      # one stream in which a token's slot carries the token before it: half the slots, for blocks
      # of one masked token that train on pure noise (draw ones) alone
      shifted=False,
      # what the backward pass recomputes: none; dots: all but projections, little work; layers:
      # whole ones, a third more work; offload: as layers, their inputs wait in the host's memory
      remat='none',
      dtype='float32',  # of the computation: float32, bfloat16; parameters and softmax stay float32
      attention='xla',  # or kernel: the fused one of TPUs and GPUs, elsewhere as xla
    ),
  ),
)


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
  config.model.width, config.model.depth, config.model.heads = 64, 2, 4
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
  c.quantiser = ml_collections.ConfigDict(dict(name=''))  # '': the recipe takes none
  choose(c, 'blocks', 'equal')
  # of several kinds of tokens, what is said of one alone, by its name: codec, blocks, process, draw,
  # spacing, solver, head, steps, history, weight (in the loss); the rest is as said of all
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
  c.train.microbatches = 1  # gradient accumulation: parts of a batch, each with its own noise
  # further sizes of equal blocks that the same network learns; the batch is dealt out among all
  c.train.block_sizes = ()
  # ((NAME, SHARE), ..): besides cond_dropout, shares that lose this condition, each by itself
  c.train.cond_dropouts = ()
  # further orders of kinds that the same network learns, such as (('image', 'text'),)
  c.train.orders = ()
  c.train.random_length = 0.0  # share of examples that end at a random token
  # share of examples that show some tokens, without loss: prompts and holes then have their law
  c.train.given = 0.0
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
  c.mesh = ml_collections.ConfigDict()  # devices an axis; -1, once: what is left
  c.mesh.data = -1  # copies of the parameters, each with its rows of the batch
  c.mesh.fsdp = 1  # parts of the parameters, each with its rows of the batch
  c.mesh.tensor = 1  # parts of the heads and of the MLP's features
  c.mesh.sequence = 1  # parts of every row's tokens, for rows that are too long for one device
  c.mesh.slices = 1  # groups of devices that a slow network joins, each with its rows of the batch
  return c.lock()
