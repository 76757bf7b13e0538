"""What is said of autoregressive diffusion: a table of sentences, each with its measure and rule.

Block: several blocks, one after another. Whole: the same network with one block. AR: blocks of one
token. "Equal" means equal FLOPs of training. Rules were fixed before anything was measured, but for
those marked `late`.
"""

from adiff.judge import by_curve, by_family, by_record, by_study, verdicts
from adiff.judge.verdicts import Claim

# Studies.
DIGITS, CODES, TEXT, ORDERS = 'images-digits', 'codes-mnist', 'text', 'orders'
STABILITY, DATA, COMPUTE, RAVEN = 'stability', 'scaling-data', 'scaling-flops', 'raven'

CLAIMS = (
  Claim(
    1, 'Blocks need 1 to 16 steps, ordinary diffusion 100 to 1,000.',
    'fewest steps within 10% of the best Fréchet distance', 'block at most 16, whole at least 100',
    sources=(DIGITS,), decide=by_study.few_steps,
  ),
  Claim(
    2, 'Blocks are much faster and cheaper at equal quality.',
    'calls, FLOPs and seconds a sample up to the best Fréchet distance of the whole + 10%',
    'ratio below 1 over every cost: supported; over some: mixed',
    sources=(DIGITS,), decide=by_study.cheaper,
  ),
  Claim(3, 'Each next block is easier, given clean context.',
        'fewest steps and nats by block; context of another picture against its own',
        'steps fall; shuffled context costs nats',
        sources=(DIGITS, 'budget_steps'), decide=by_study.easier),
  Claim(4, 'The pieces fit together.', 'gradient across borders of blocks over that inside them; a '
        'forest on pairs of halves', 'ratio 0.95 to 1.05; pairs as real ones',
        sources=(DIGITS,), decide=by_study.seams),
  Claim(
    5, 'Quality is not compromised, and sometimes better.',
    'Fréchet distance, block against whole, at what both can pay', 'worse over no cost',
    sources=(DIGITS,), decide=by_study.not_worse,
  ),
  Claim(6, 'Generation is flexible and controllable.', 'tasks of one checkpoint by the error of '
        'their laws, asked class, edges, masks', 'blocks more than AR, no fewer than one block',
        sources=('edits',), decide=by_record.flexible, late=True),
  Claim(7, 'Training is stable, that of a GAN is not.', 'five learning rates by three seeds: share '
        'that diverges, spread, range that works', 'block within whole; GAN worse',
        sources=(STABILITY,), decide=by_curve.stable),
  Claim(8, 'No mode collapse.', 'modes of 25, recall, coverage, entropy of classes',
        'recall at most 0.05 below that of the others, interval included',
        sources=(DIGITS,), decide=by_family.varied, late=True),
  Claim(9, 'Real time and interactive.', 'frames a second, latency, time to the first block',
        'a block within half of the time of the whole; as fast in a long rollout',
        sources=('sample',), decide=by_record.interactive, late=True),
  Claim(10, '50 steps become 4, at 9.4 frames a second on one GPU.', 'teacher at 50 and student at '
        '4 steps: ratio of speed, gap of quality'),
  Claim(11, 'Three or four steps, five times less degradation, 1.1% more compute.',
        "gap ratio of the recipe `trajectory` and its own FLOPs", 'at most 0.2 and 1.1%',
        sources=('trajectory_price', 'trajectory'), decide=by_record.small_price),
  Claim(12, 'Fidelity grows with data.', 'Fréchet distance and bound at 2 to 100% of MNIST',
        'exponent below zero, interval',
        sources=(DATA,), decide=by_curve.grows_with_data),
  Claim(13, 'Video is smooth and consistent; or errors compound.',
        'identity, error of the centre, Fréchet distance by window, slope'),
  Claim(14, 'Sound, picture and caption build on each other.',
        'error of onsets, truth of captions; joint against separate networks'),
  Claim(15, 'It serves tables, series and science.', 'CRPS, spectra, marginals, validity'),
  Claim(16, 'Made data train other models.', 'accuracy of a classifier trained on samples over one '
        'trained on as many real ones', 'ratio above 0.95, interval',
        sources=(DIGITS,), decide=by_study.teaches),
  Claim(17, 'Bias of data is mirrored or amplified.', 'shares of classes in samples against data, '
        'by guidance and truncation', 'total variation'),
  Claim(18, 'Samples can be told and traced.', 'provenance in every file; rate of detection'),
  Claim(19, 'Small teams can use it.', 'minutes and GiB to a stated Fréchet distance',
        'within an hour twice the distance of the real test split, every seed',
        sources=(DIGITS,), decide=by_study.small_teams, late=True),
  Claim(20, 'Long coherent stories.', 'repetition and mutual information by distance'),
  Claim(21, 'A hybrid of tile by tile and whole scene.', 'one network, blocks of 1 to N: nats and '
        'Fréchet distance', 'monotone'),
  Claim(22, 'AR needs N calls, diffusion 10 to 1,000.', 'calls a sample by family', 'counts',
        sources=(DIGITS,), decide=by_family.calls_by_family),
  Claim(23, 'The likelihood of AR is exact and cheap, that of diffusion a bound.',
        'bound less exact on toys; seconds an example', 'sums to one',
        sources=('laws', 'soak'), decide=by_record.sums_to_one),
  Claim(24, 'Importance weights make the bound tight.', 'bound at 1 to 64 orders or paths against '
        'the exact value', 'within 1%',
        sources=('paths',), decide=by_record.weighted),
  Claim(25, 'AR is best on symbols, diffusion on continuous data.',
        'nats a character, bits a dimension, Fréchet distance at equal FLOPs', 'one table',
        sources=('text_blocks', DIGITS), decide=by_family.best_by_data),
  Claim(26, 'AR scales with compute, diffusion with compute and steps.', 'exponents, intervals',
        sources=(COMPUTE,), decide=by_curve.grows_with_compute),
  Claim(27, '"AR is slow" holds for sampling only.', 'tokens a second, trained over sampled',
        'as many as one block in training, within a fifth, and fewer in sampling',
        sources=('peers',), decide=by_record.slow_to_sample, late=True),
  Claim(28, 'Compression into latents pays.', 'Fréchet distance a FLOP, pixels against latents'),
  Claim(
    29, 'The number of steps is chosen at sampling time.',
    'Fréchet distance over steps, from one checkpoint', 'better at the most steps than the fewest',
    sources=(DIGITS,), decide=by_study.one_knob,
  ),
  Claim(30, 'DDIM, distillation and consistency cut steps.', 'Fréchet distance at 1 to 8 steps',
        'gap ratio at 2 steps a block below 0.2, every seed',
        sources=('few_steps',), decide=by_record.fewer_steps, late=True),
  Claim(31, 'Speculative decoding lifts the serial bound.', 'calls a token, law unchanged',
        sources=('speculative', 'drafted'), decide=by_record.lifts),
  Claim(32, 'Flow matching is straighter and faster.', 'curvature of paths; Fréchet distance at 1 '
        'to 8 steps; flow, cosine, linear, same network', 'better at every number up to 8',
        sources=(DIGITS,), decide=by_family.flow_is_faster),
  Claim(33, 'Diffusion of text is competitive at small scale, its scaling unclear.',
        'gap of AR, block, whole over 1.5 decades of FLOPs', 'within 10% of AR; slope of the gap',
        sources=(TEXT,), decide=by_family.competitive),
  Claim(34, 'Perplexity and bound cannot be compared.', 'pages never rank them together', 'test',
        sources=('laws',), decide=by_record.unlike_kinds),
  Claim(35, 'Reasoning follows from sequential order.', 'addition with and without scratchpad, '
        'Sudoku: AR, block, whole, orders'),
  Claim(36, 'GANs are still the fastest.', 'samples a second at equal Fréchet distance',
        sources=(DIGITS,), decide=by_family.gan_is_fastest),
  Claim(37, 'AR drifts, and early mistakes compound.', 'Fréchet distance of patches by block; '
        'damage after a corrupted block; nats of own samples by place',
        sources=(DIGITS,), decide=by_study.compounding),
  Claim(38, '65,536 calls against 50 to 100.', 'calls and seconds at 8x8 to 32x32; cost model',
        '100 times the calls at 256x256; more operations at 32x32',
        sources=('calls',), decide=by_record.hundredfold),
  Claim(39, 'Diffusion edits any part, AR only what follows.', 'masks: next, previous, hole, '
        'scattered: p of the law, refusals', 'by family',
        sources=('edits',), decide=by_record.edits_anywhere),
  Claim(40, 'AR needs the least memory.', 'peak bytes of sampling over N, cache included',
        'fewest at every length',
        sources=('memory',), decide=by_record.least_memory),
  Claim(41, 'Parallel models suit GPUs.', 'utilisation in sampling by family',
        'twice the utilisation of token by token',
        sources=('peers',), decide=by_record.suits_devices, late=True),
  Claim(42, 'Gradients flow better where every step teaches the whole.',
        'noise of gradients, loss over training FLOPs'),
  Claim(43, 'Endless length, where diffusion has a fixed canvas.', 'ten times the length: slope of '
        'quality, milliseconds, bytes',
        sources=('sample',), decide=by_record.endless),
  Claim(44, 'AR is compact and compresses well.', 'bits a dimension of a real coder beside PNG and '
        'WebP; size of an export'),
  Claim(45, 'Hybrids have the best of both.', 'a plan before the picture against none: Fréchet '
        'distance and recall at equal FLOPs'),
  Claim(46, 'Diffusion is simpler to write.', 'lines of walk, sampler, loss by family', 'counts',
        sources=('lines',), decide=by_record.simpler),
  Claim(47, 'Coarse to fine is autoregression over the spectrum.', 'share of power by band and '
        'level; blocks of frequencies',
        sources=(DIGITS,), decide=by_study.coarse_to_fine),
  Claim(48, 'A U-Net sees scales.', 'unet against dit at equal FLOPs', 'interval',
        sources=(DIGITS,), decide=by_family.Beats('unet', 'whole')),
  Claim(49, 'Raster order misses what goes both ways.', 'nats and Fréchet distance by order',
        'worse than every order that is no raster, interval',
        sources=(ORDERS,), decide=by_family.raster_loses),
  Claim(50, 'Strong guidance costs diversity, a plan gives it back.', 'recall and entropy over '
        'scales 1 to 8, with a plan and without'),
  Claim(51, 'AR keeps rules better.', 'panels of Raven, seen and unseen rules',
        'more ninth panels right than blocks and than one block, of both, interval',
        sources=(RAVEN,), decide=by_family.keeps_rules),
  Claim(52, 'Next scale is better than AR, 20 times faster, needs fewer epochs.',
        'Fréchet distance, seconds, epochs, exponents on codes of MNIST and CIFAR-10',
        'better, interval; 20 times as fast', sources=(CODES,), decide=by_family.next_scale),
  Claim(53, 'Control is precise, at any resolution.', 'edges, masks, Fréchet distance at unseen '
        'sizes',
        sources=('maps',), decide=by_record.maps),
  Claim(54, 'Parallel sampling is two to four times faster without loss.',
        'rounds, work, mismatch, seconds; DDIM and DPM-Solver++',
        'twice without a mismatch, in rounds and in seconds, at every number of steps',
        sources=('parallel',), decide=by_record.parallel_gain, late=True),
  Claim(55, 'Captions by diffusion rival AR.', 'BLEU-4, CIDEr, truth, calls', 'interval'),
  Claim(56, 'Diffusion beats AR in composition.', 'skills in the world of shapes: AR over codes, '
        'block, whole', 'interval'),
  Claim(57, 'A smaller student keeps quality.', 'half the width: gap ratio against training it '
        'alone'),
  Claim(58, 'The best choice depends on the use.', 'all verdicts by use',
        sources=(verdicts.OTHERS,), decide=by_record.by_use),
)
