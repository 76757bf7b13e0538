"""What is said of autoregressive diffusion: a table of sentences, each with its measure and rule.

Block: several blocks, one after another. Whole: the same network with one block. AR: blocks of one
token. "Equal" means equal FLOPs of training. Rules were fixed before anything was measured.
"""

from adiff.judge import verdicts
from adiff.judge.verdicts import Claim

DIGITS = 'images-digits'

CLAIMS = (
  Claim(
    1, 'Blocks need 1 to 16 steps, ordinary diffusion 100 to 1,000.',
    'fewest steps within 10% of the best Fréchet distance', 'block at most 16, whole at least 100',
    DIGITS, verdicts.few_steps,
  ),
  Claim(
    2, 'Blocks are much faster and cheaper at equal quality.',
    'calls, FLOPs and seconds a sample up to the best Fréchet distance of the whole + 10%',
    'ratio below 1 over every cost: supported; over some: mixed', DIGITS, verdicts.cheaper,
  ),
  Claim(3, 'Each next block is easier, given clean context.',
        'fewest steps and nats by block; context of another picture against its own',
        'steps fall; shuffled context costs nats'),
  Claim(4, 'The pieces fit together.', 'gradient across borders of blocks over that inside them; a '
        'forest on pairs of halves', 'ratio 0.95 to 1.05; pairs as real ones'),
  Claim(
    5, 'Quality is not compromised, and sometimes better.',
    'Fréchet distance, block against whole, at what both can pay', 'worse over no cost',
    DIGITS, verdicts.not_worse,
  ),
  Claim(6, 'Generation is flexible and controllable.', 'tasks of one checkpoint by the error of '
        'their laws, asked class, edges, masks', 'counts and errors, by family'),
  Claim(7, 'Training is stable, that of a GAN is not.', 'five learning rates by three seeds: share '
        'that diverges, spread, range that works', 'block within whole; GAN worse'),
  Claim(8, 'No mode collapse.', 'modes of 25, recall, coverage, entropy of classes', 'interval'),
  Claim(9, 'Real time and interactive.', 'frames a second, latency, time to the first block'),
  Claim(10, '50 steps become 4, at 9.4 frames a second on one GPU.', 'teacher at 50 and student at '
        '4 steps: ratio of speed, gap of quality'),
  Claim(11, 'Three or four steps, five times less degradation, 1.1% more compute.',
        "gap ratio of the recipe `trajectory` and its own FLOPs", 'at most 0.2 and 1.1%'),
  Claim(12, 'Fidelity grows with data.', 'Fréchet distance and bound at 2 to 100% of MNIST'),
  Claim(13, 'Video is smooth and consistent; or errors compound.',
        'identity, error of the centre, Fréchet distance by window, slope'),
  Claim(14, 'Sound, picture and caption build on each other.',
        'error of onsets, truth of captions; joint against separate networks'),
  Claim(15, 'It serves tables, series and science.', 'CRPS, spectra, marginals, validity'),
  Claim(16, 'Made data train other models.', 'accuracy of a classifier trained on samples over one '
        'trained on as many real ones', 'ratio'),
  Claim(17, 'Bias of data is mirrored or amplified.', 'shares of classes in samples against data, '
        'by guidance and truncation', 'total variation'),
  Claim(18, 'Samples can be told and traced.', 'provenance in every file; rate of detection'),
  Claim(19, 'Small teams can use it.', 'minutes and GiB to a stated Fréchet distance'),
  Claim(20, 'Long coherent stories.', 'repetition and mutual information by distance'),
  Claim(21, 'A hybrid of tile by tile and whole scene.', 'one network, blocks of 1 to N: nats and '
        'Fréchet distance', 'monotone'),
  Claim(22, 'AR needs N calls, diffusion 10 to 1,000.', 'calls a sample by family', 'counts'),
  Claim(23, 'The likelihood of AR is exact and cheap, that of diffusion a bound.',
        'bound less exact on toys; seconds an example', 'sums to one'),
  Claim(24, 'Importance weights make the bound tight.', 'bound at 1 to 64 orders or paths against '
        'the exact value', 'within 1%'),
  Claim(25, 'AR is best on symbols, diffusion on continuous data.',
        'nats a character, bits a dimension, Fréchet distance at equal FLOPs', 'one table'),
  Claim(26, 'AR scales with compute, diffusion with compute and steps.', 'exponents, intervals'),
  Claim(27, '"AR is slow" holds for sampling only.', 'tokens a second, trained over sampled'),
  Claim(28, 'Compression into latents pays.', 'Fréchet distance a FLOP, pixels against latents'),
  Claim(
    29, 'The number of steps is chosen at sampling time.',
    'Fréchet distance over steps, from one checkpoint', 'better at the most steps than the fewest',
    DIGITS, verdicts.one_knob,
  ),
  Claim(30, 'DDIM, distillation and consistency cut steps.', 'Fréchet distance at 1 to 8 steps'),
  Claim(31, 'Speculative decoding lifts the serial bound.', 'calls a token, law unchanged'),
  Claim(32, 'Flow matching is straighter and faster.', 'curvature of paths; Fréchet distance at 1 '
        'to 8 steps; flow, cosine, linear, same network'),
  Claim(33, 'Diffusion of text is competitive at small scale, its scaling unclear.',
        'gap of AR, block, whole over 1.5 decades of FLOPs', 'slope of the gap'),
  Claim(34, 'Perplexity and bound cannot be compared.', 'pages never rank them together', 'test'),
  Claim(35, 'Reasoning follows from sequential order.', 'addition with and without scratchpad, '
        'Sudoku: AR, block, whole, orders'),
  Claim(36, 'GANs are still the fastest.', 'samples a second at equal Fréchet distance'),
  Claim(37, 'AR drifts, and early mistakes compound.', 'Fréchet distance of patches by block; '
        'damage after a corrupted block; nats of own samples by place'),
  Claim(38, '65,536 calls against 50 to 100.', 'calls and seconds at 8x8 to 32x32; cost model'),
  Claim(39, 'Diffusion edits any part, AR only what follows.', 'masks: next, previous, hole, '
        'scattered: p of the law, refusals', 'by family'),
  Claim(40, 'AR needs the least memory.', 'peak bytes of sampling over N, cache included'),
  Claim(41, 'Parallel models suit GPUs.', 'utilisation in sampling by family'),
  Claim(42, 'Gradients flow better where every step teaches the whole.',
        'noise of gradients, loss over training FLOPs'),
  Claim(43, 'Endless length, where diffusion has a fixed canvas.', 'ten times the length: slope of '
        'quality, milliseconds, bytes'),
  Claim(44, 'AR is compact and compresses well.', 'bits a dimension of a real coder beside PNG and '
        'WebP; size of an export'),
  Claim(45, 'Hybrids have the best of both.', 'a plan before the picture against none: Fréchet '
        'distance and recall at equal FLOPs'),
  Claim(46, 'Diffusion is simpler to write.', 'lines of walk, sampler, loss by family', 'counts'),
  Claim(47, 'Coarse to fine is autoregression over the spectrum.', 'share of power by band and '
        'level; blocks of frequencies'),
  Claim(48, 'A U-Net sees scales.', 'unet against dit at equal FLOPs', 'interval'),
  Claim(49, 'Raster order misses what goes both ways.', 'nats and Fréchet distance by order'),
  Claim(50, 'Strong guidance costs diversity, a plan gives it back.', 'recall and entropy over '
        'scales 1 to 8, with a plan and without'),
  Claim(51, 'AR keeps rules better.', 'panels of Raven, seen and unseen rules', 'interval'),
  Claim(52, 'Next scale is better than AR, 20 times faster, needs fewer epochs.',
        'Fréchet distance, seconds, epochs, exponents on codes of MNIST and CIFAR-10'),
  Claim(53, 'Control is precise, at any resolution.', 'edges, masks, Fréchet distance at unseen '
        'sizes'),
  Claim(54, 'Parallel sampling is two to four times faster without loss.',
        'rounds, work, mismatch, seconds; DDIM and DPM-Solver++'),
  Claim(55, 'Captions by diffusion rival AR.', 'BLEU-4, CIDEr, truth, calls', 'interval'),
  Claim(56, 'Diffusion beats AR in composition.', 'skills in the world of shapes: AR over codes, '
        'block, whole', 'interval'),
  Claim(57, 'A smaller student keeps quality.', 'half the width: gap ratio against training it '
        'alone'),
  Claim(58, 'The best choice depends on the use.', 'all verdicts by use'),
)
