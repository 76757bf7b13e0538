"""What a name may be in every choice of a config, and which arguments it takes: their defaults.

Code never supplies a default of its own; a test compares this table with the files.
"""

CHOICES = dict(
  data=dict(
    # a Markov chain, exact answers known (symbols); with the sides of a pyramid, a tree
    chain=dict(num_tokens=6, vocab=3, size=65536, seed=0, sides=()),
    # a Gaussian mixture, likewise (floats)
    # grid: a square of components on a plane; labelled: is the component told?
    mixture=dict(
      num_tokens=6, dim=1, components=3, size=65536, seed=0, grid=False, labelled=True
    ),
    # two kinds of tokens, symbols of a chain and floats of the component that they name, likewise
    coupled=dict(
      num_symbols=4, vocab=3, num_floats=2, dim=1, components=3, size=65536, seed=0
    ),
    # three rows of panels that follow one abstract rule, some rules held out (symbols)
    raven=dict(size=65536, seed=0),
    # strings that depend on what one is told, by any class of condition, exact answers known
    told=dict(by=('label',), num_tokens=4, vocab=3, size=65536, seed=0),
    # pictures of coloured shapes with captions of a grammar; side 32 or 64. parts: kinds of tokens,
    # of text, plan and image; a caption that is none is a Memory, read by cross-attention
    shapes=dict(side=32, parts=('text', 'image'), size=131072, seed=0, captions='drawn'),
    drawn=dict(side=32, size=131072, seed=0),  # the pictures of these alone
    digits=dict(),  # scikit-learn's 1,797 handwritten digits, 8x8 pixels of 17 levels
    # any image set of TFDS, read from data_dir/DATASET/VERSION; size: pixels a side that pictures
    # are cropped and scaled to, 0: as they are
    tfds=dict(dataset='mnist', data_dir='', size=0),
    # a folder or .zip of CLASS/*.png, or an .npz of an array, cropped and scaled to size; every
    # test_every-th is held out
    image_folder=dict(data_dir='', size=32, channels=3, test_every=10, skip_unreadable=False),
    # pictures and metadata.jsonl with a caption for each: two kinds of tokens, text as bytes
    captioned_folder=dict(data_dir='', size=32, length=64, test_every=10, category=''),
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
    # and conditions made of the picture: edges, layout, low (the mean of factor x factor pixels)
    controlled=dict(patch=4, control=('edges',), factor=4),
    pyramid=dict(sides=(1, 2, 4, 8), discrete=False),  # average-pooled images, coarse to fine
    # `size` frequencies of the cosine transform a token, low to high; (): the data's moments
    frequencies=dict(size=4, mean=(), std=()),
    # squares of latents, less mean, over std of the channels; (): those that the data says
    latents=dict(patch=1, mean=(), std=()),
    bytes=dict(),  # text as UTF-8
    characters=dict(alphabet=''),  # text as characters; '': those of its corpus
    # a tokenizer.json of the library tokenizers; '': a byte-level BPE of `size` symbols learnt from
    # the corpus. json: the text of such a file
    subwords=dict(path='', size=1024, json=''),
    # what a workdir was trained to be (configs/tokenizer.py). text: of its codec.json
    trained=dict(workdir='', text=''),
  ),
  coder=dict(  # the two networks of a codec that is trained
    conv=dict(
      widths=(32, 64),  # features of each grid, from fine to coarse; each halves the one before
      blocks=1,  # residual blocks on a grid
      attention=False,  # on the coarsest grid
      local=False,  # the encoder sees every place of the code by itself: equal places, equal codes
      frames=1,  # of a film, that a code tells of, but for the first one
      dtype='float32',  # of the computation: float32, bfloat16
    ),
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
    shuffled=dict(size=1, seed=0),  # likewise, in a random order of tokens
    backwards=dict(size=1),  # likewise, from the last token to the first
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
      weight='plain',  # plain, min_snr, velocity
      gamma=5.0,  # of min_snr and velocity
      eta=0.0,  # steps: 0 deterministic .. 1 ancestral
      temperature=1.0,  # of the noise that these add
      clip=1.0,  # bound on |x0_hat| in sampling; 0 for none
      log_snr=(-10.0, 9.0),  # ends of the bound's integral
    ),
    joint=dict(),  # several kinds of tokens: that of each in `kinds`
    masked=dict(),
    # vectors that are known or not, for head diffusion; the rest is of its small steps, as gaussian
    masked_vectors=dict(
      schedule='cosine', prediction='v', eta=1.0, temperature=1.0, clip=1.0, log_snr=(-10.0, 9.0),
    ),
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
    shift=dict(shift=5.0),  # more steps at high levels, where it is above 1
    reveals=dict(counts=(1,)),  # tokens of a block revealed in each of plan.steps steps
  ),
  solver=dict(
    first_order=dict(),
    heun=dict(),
    multistep=dict(),
    # networks that are told s (model.told): one call from t to s; or to 0, then fresh noise up to s
    flow_map=dict(),
    consistency=dict(),
    trajectory=dict(),  # of recipe trajectory: a step reads what the block was before earlier ones
    # masked tokens that noise of `dim` floats decides: by a flow from noise to a symbol's vector in
    # `steps` steps, one token after another; or by what a network has learnt of that, in few calls
    code_flow=dict(dim=4, steps=16),
    decoded=dict(dim=4),
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
    # symbols that are ordered, such as grey levels: a mixture of so many logistics, cut into bins
    logistics=dict(components=5),
    bits=dict(chained=False),  # a logit a bit, of 2^n symbols; chained: given the bits before it
    # samples vectors itself, by a small network that denoises them, for process masked_vectors
    diffusion=dict(
      width=128, depth=3,  # of that network
      together=0,  # heads of attention in it, among the tokens of a block; 0: each by itself
      multiply=4,  # samples of noise a token and training step
      steps=32, solver='first_order',  # of a sample: small steps, and what makes them
    ),
  ),
  recipe=dict(
    plain=dict(),  # gradient descent on the loss, see config.train
    # Few steps, of process gaussian. teacher: a workdir of the same codec and process, or a model
    # that ships with adiff; '': none. Its guidance becomes the student's own; or, with
    # model.guided, the student is told it, and learns the teacher at all `scales` from low to high.
    progressive=dict(
      teacher='',
      scales=(1.0, 4.0),
      first=4, last=1,  # steps a block of the first stage and of the last; each halves them
      stage=1000,  # updates of a stage; the last one takes what is left
    ),
    consistency=dict(
      teacher='',
      scales=(1.0, 4.0),
      first=8, last=64,  # steps of the grid, at first and at last
      double=200,  # updates after which it doubles
    ),
    continuous_consistency=dict(
      teacher='',
      scales=(1.0, 4.0),
      warmup=1000,  # updates over which the derivative along the path comes in
      offset=0.1,  # of the norm that tangents are divided by
      width=0.0,  # of the difference in t that stands for the derivative; 0: a forward derivative
    ),
    meanflow=dict(
      teacher='',
      scales=(1.0, 4.0),
      flow=0.5,  # share of blocks that learn the flow alone; of examples alone rather 0.25
      improved=True,  # its derivative along the network's own flow, not the example's
      power=0.0, offset=0.01,  # an error e counts e / (e + offset)^power
      width=0.0,  # as above
    ),
    shortcut=dict(
      teacher='',
      scales=(1.0, 4.0),
      finest=32,  # steps a block of the smallest step
      flow=0.75,  # share of blocks that learn the flow alone
      ramp=False,  # weigh an error by 0.1 + 0.9 alpha
    ),
    # each state of the teacher's path from all before it, for one block and solver trajectory;
    # model.reach says which layers read them
    trajectory=dict(
      teacher='',
      scales=(1.0, 4.0),
      states=4,  # steps, those of plan.steps
      inner=4,  # steps of the teacher for each
    ),
    # the law of what config.plan and config.solver make, by the difference of two denoisers: the
    # teacher, and a critic that learns what is made
    matching=dict(
      teacher='',
      states='self',  # what the student is asked about: its own rollout, or noised data
      every=5,  # updates of the critic for each of the student
      critic_rate=1.0,  # learning rate of the critic beside the student's
      levels=(0.02, 0.98),  # at which the two are compared
      through_cache=False,  # does the gradient reach the past, by keys and values?
    ),
    # of process masked: all tokens at once, as an autoregressive teacher makes them of the same
    # noise; sampled by solver decoded
    distilled_decoding=dict(
      teacher='',
      flow=16,  # steps of its flow from noise to a token
      steps=1,  # calls a block that are learnt: plan.steps divides it
    ),
    # trains a codec: distance of reconstructions, l1 |x - y| + l2 (x - y)^2 + perceptual |f(x) -
    # f(y)|^2 in features f of a file, eyes.npz or LPIPS, or of `efficientnet` (the extra), and the
    # losses of the quantiser
    autoencoder=dict(l1=0.0, l2=1.0, perceptual=0.0, perceptual_from=''),
    adversarial=dict(  # likewise, and a critic of patches must not tell data from reconstructions
      l1=1.0, l2=0.0, perceptual=0.0, perceptual_from='',
      form='hinge',  # hinge, softplus, relativistic
      weight=0.5,  # times the ratio of gradients at the last kernel of the decoder
      start=1000,  # step at which the critic comes in
      penalty='lecam', penalty_weight=0.001,  # on the critic: none, r1, both, lecam
      critic_widths=(32, 64), critic_blocks=1,  # as of coder conv
    ),
    # a network that makes examples of noise in one call, and such a critic of them
    gan=dict(
      form='relativistic', penalty='both', penalty_weight=0.1, critic_widths=(32, 64),
      critic_blocks=1,
    ),
  ),
  judge=dict(  # see `eval` below
    law=dict(),  # tests samples against the law of the data
    composition=dict(),  # pictures of shapes for real captions: how many are true, by skill
    captioning=dict(),  # captions for real pictures of shapes: how many are true
    captioned=dict(),  # real captions in anybody's words: pictures for them, are they the likelier
    control=dict(),  # how well samples follow the maps that they were asked for
    rules=dict(),  # how many samples of panels follow a rule, and which ones
    image=dict(),  # shows samples, and measures them in the features of a classifier
    text=dict(),  # words, entropy, which token came when, other samplers
  ),
  model=dict(
    # residual convolutions from the first `latent` floats of noise to a grid, for recipe gan
    generator=dict(latent=64, widths=(32, 64), blocks=1, dtype='float32'),
    # residual convolutions from a fine grid to a coarse one and back, for one block of vectors
    unet=dict(
      widths=(64, 128),  # features of each grid, from fine to coarse; each halves the one before
      blocks=2,  # residual blocks on a grid
      attend=(1,),  # which of the grids attend, 0 is the finest; the middle does always
      head_width=32,  # features of a head of attention
      dropout=0.0, told='t', remat='none', dtype='float32',  # as of denoiser, but offload
    ),
    # causal convolutions on a grid of symbols, token by token, for blocks of one masked token
    pixelcnn=dict(
      width=64,  # features of either stream, from above and from the left
      depth=4,  # residual blocks of either
      dropout=0.0, dtype='float32',  # as of denoiser
    ),
    denoiser=dict(
      width=128,
      depth=4,
      heads=4,
      mlp_ratio=4.0,
      dropout=0.0,
      # what makes scales, shifts and gates of levels and conditions: one network that all layers
      # share, with an offset a layer; or layers: one in each, as in DiT, half as many weights again
      modulated='shared',
      encoder=2,  # layers of what reads a condition's symbols, trained along
      rotary_base=100.0,  # 10,000 for long texts
      # blocks that a block looks back; None: all, 0: none. Then a cache holds no more than these.
      # ((2, None), (4, 0)): all in the first two layers, none in the next four
      reach=None,
      sinks=0,  # first blocks that are seen from everywhere; or (0, 1), of each such group
      self_condition=False,  # show the network its own last estimate
      # show what the codec tells of a token once coarser ones are made: none; beside: its slot
      # carries both; alone: instead of the token, in one stream, for scales made in one pass
      hinted='none',
      # which levels the network is told: t, or also how far ahead it is asked for, the difference
      # t - s, or s itself, a pair; at first, and for s = t always, they are the same network
      told='t',
      # what it is told of its guidance, which then needs one call: none; the scale; or also the
      # interval of levels. For recipes of few steps; at scale 1 it is the same network
      guided='none',
      # one stream in which a token's slot carries the token before it: half the slots, for blocks
      # of one masked token that train on pure noise (draw ones) alone
      shifted=False,
      # of one block of masked vectors: known ones do not read hidden ones
      apart=False,
      # what the backward pass recomputes: none; dots: all but projections, little work; layers:
      # whole ones, a third more work; offload: as layers, their inputs wait in the host's memory
      remat='none',
      dtype='float32',  # of the computation: float32, bfloat16; parameters and softmax stay float32
      attention='xla',  # or kernel: the fused one of TPUs and GPUs, elsewhere as xla
    ),
  ),
)
