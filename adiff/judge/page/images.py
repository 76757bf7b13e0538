"""Images on a page: pure functions from arrays of pixels to grids, films and bytes.

Grids and strips are uint8 arrays or GIF bytes made of whole pixels; `png_bytes` turns a grid, or a
chart of charts.py, into a file.
"""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER = (58, 64, 75)  # between the cells of a grid: neither ink nor background of a picture
MASKED = (62, 105, 152)  # a pixel without a value yet
UNTRUE = (191, 82, 71)  # below a picture that is not what was asked for
INK = (236, 239, 244)  # on the paper


def _colour(images, levels):
  """Integers [..., H, W, C] in 0..levels-1, -1 for masked -> uint8 [..., H, W, 3]."""
  images = np.asarray(images)
  if not np.issubdtype(images.dtype, np.integer):
    raise ValueError(f'pictures take integers, not {images.dtype}; decode the tokens first')
  if images.shape[-1] not in (1, 3):
    raise ValueError(f'pictures have 1 or 3 channels, not {images.shape[-1]}; give [n, H, W, 3]')
  if levels < 2:
    raise ValueError(f'levels={levels}; give the number of values a pixel can take, 2 or more')
  images = images.astype(np.int64)
  if images.size and (images.min() < -1 or images.max() >= levels):
    raise ValueError(
      f'pixel values run from {images.min()} to {images.max()}; clip them to 0..{levels - 1}, or '
      'write -1 where a pixel is masked'
    )
  grey = np.rint(np.maximum(images, 0) * (255 / (levels - 1))).astype(np.uint8)
  pixels = np.broadcast_to(grey, grey.shape[:-1] + (3,))
  masked = (images < 0).any(-1, keepdims=True)
  return np.where(masked, np.array(MASKED, np.uint8), pixels)


def zoom(images) -> int:
  """How many times as large pictures [n, H, W, C] are shown: 48 pixels or more a side."""
  return max(1, 48 // images.shape[1])


def grid(images, levels, *, columns=10, pad=1, scale=6, labels=None) -> np.ndarray:
  """Lays pictures out row by row: image i stands in row i // columns.

  images int [n, H, W, C] with values 0..levels-1 and C of 1 or 3; -1 marks a masked pixel, painted
  blue. `pad` (in pixels of a picture) separates the cells, every pixel becomes `scale` x `scale`.
  `labels` are short strings above the columns. Returns uint8 [height, width, 3]; raises ValueError
  for floats, values out of range, another rank, or a wrong number of labels.
  """
  images = np.asarray(images)
  if images.ndim != 4 or not images.shape[0]:
    raise ValueError(f'a grid needs images [n, H, W, C] with n >= 1, not {list(images.shape)}')
  if columns < 1 or scale < 1 or pad < 0:
    raise ValueError('a grid needs columns >= 1, scale >= 1 and pad >= 0')
  cells = _colour(images, levels)
  num, height, width, _ = cells.shape
  columns = min(columns, num)
  rows = -(-num // columns)
  canvas = np.empty((rows * (height + pad) + pad, columns * (width + pad) + pad, 3), np.uint8)
  canvas[:] = np.array(PAPER, np.uint8)
  for i, cell in enumerate(cells):
    y = pad + (i // columns) * (height + pad)
    x = pad + (i % columns) * (width + pad)
    canvas[y:y + height, x:x + width] = cell
  canvas = canvas.repeat(scale, axis=0).repeat(scale, axis=1)
  if labels is None:
    return canvas
  if len(labels) != columns:
    raise ValueError(f'{len(labels)} labels for {columns} columns; give one label a column')
  pitch = (width + pad) * scale
  centres = [pad * scale + i * pitch + width * scale / 2 for i in range(columns)]
  return np.concatenate([_head(labels, centres, canvas.shape[1], pitch), canvas])


def _head(labels, centres, width, pitch):
  """uint8 [height, width, 3]: what stands above columns that are `pitch` apart."""
  size = max(9, min(20, pitch // 2))
  head = Image.new('RGB', (width, size + size // 2), PAPER)
  pen, font = ImageDraw.Draw(head), ImageFont.load_default(size)
  for label, centre in zip(labels, centres, strict=True):
    place = centre, head.height / 2 + 1
    pen.text(place, str(label), fill=INK, anchor='mm', font=font)
  return np.asarray(head)


def captioned(pictures, captions, true, *, columns=6, width=192) -> np.ndarray:
  """Pictures uint8 [n, H, W, 3], each `width` pixels wide, with its caption below and between the
  two a bar: blue where it is true [n], red where it is not. Returns uint8 [height, width, 3]."""
  scale, size, pad = max(1, width // pictures.shape[2]), 14, 8
  font = ImageFont.load_default(size)
  lines = [_lines(caption, font, width) for caption in captions]
  height, below = pictures.shape[1] * scale, 6 + (max(map(len, lines)) + 1) * (size + 3)
  columns = min(columns, len(pictures))
  rows = -(-len(pictures) // columns)
  canvas = Image.new('RGB', (columns * (width + pad) + pad, rows * (height + below) + pad), PAPER)
  pen = ImageDraw.Draw(canvas)
  for i, picture in enumerate(pictures):
    x, y = pad + i % columns * (width + pad), pad + i // columns * (height + below)
    canvas.paste(Image.fromarray(picture.repeat(scale, 0).repeat(scale, 1)), (x, y))
    pen.rectangle((x, y + height, x + width - 1, y + height + 3), MASKED if true[i] else UNTRUE)
    pen.multiline_text((x, y + height + 6), '\n'.join(lines[i]), fill=INK, font=font, spacing=3)
  return np.asarray(canvas)


def _lines(text, font, width):
  """The lines of a text that are no wider, where its words are not."""
  lines = ['']
  for word in text.split():
    longer = f'{lines[-1]} {word}'.strip()
    lines[-1:] = [longer] if font.getlength(longer) <= width else [lines[-1], word]
  return lines


def colours(latents) -> np.ndarray:
  """Latents float [n, H, W, C], or the first frames of videos [n, T, H, W, C], as pictures uint8
  [n, H, W, 3 or 1]: up to three channels, their middle 98% from dark to bright."""
  frames = latents if latents.ndim == 4 else latents[:, 0]
  shown = frames[..., :3 if frames.shape[-1] >= 3 else 1]
  low, high = np.percentile(shown, [1, 99])
  return np.clip((shown - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)


def neighbours(samples, nearest, levels, *, columns=5, pad=2, scale=6) -> np.ndarray:
  """Every sample with its nearest training image at its right, in a grid of such pairs.

  samples, nearest: int [n, H, W, C] as for `grid`. Returns uint8 [height, width, 3]; raises
  ValueError where the two shapes differ.
  """
  samples, nearest = np.asarray(samples), np.asarray(nearest)
  if samples.shape != nearest.shape:
    raise ValueError(
      f'{list(samples.shape)} samples and {list(nearest.shape)} neighbours do not pair; give one '
      'training image of the same shape per sample'
    )
  pairs = np.concatenate([samples, nearest], axis=2)
  return grid(pairs, levels, columns=columns, pad=pad, scale=scale)


def strip(
  frames, levels, *, columns=10, pad=1, scale=6, duration_ms=120, hold_ms=1600
) -> bytes:
  """An animated GIF of a batch being denoised, one block after another.

  frames int [T, n, H, W, C] as for `grid` (-1 is masked). A frame lasts `duration_ms`, the last one
  `hold_ms`; the film repeats. All frames share one palette, exact up to 256 colours, so that still
  pixels stay still. Returns bytes; raises ValueError as `grid` does.
  """
  frames = np.asarray(frames)
  if frames.ndim != 5 or not frames.shape[0]:
    raise ValueError(f'a strip needs frames [T, n, H, W, C] with T >= 1, not {list(frames.shape)}')
  small = np.stack([grid(frame, levels, columns=columns, pad=pad, scale=1) for frame in frames])
  num, height, width, _ = small.shape
  film = Image.fromarray(small.reshape(num * height, width, 3)).quantize(
    256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
  )
  indices = np.asarray(film).reshape(num, height, width)
  pages = []
  for page in indices.repeat(scale, axis=1).repeat(scale, axis=2):
    pages.append(Image.fromarray(page, mode='P'))
    pages[-1].putpalette(film.getpalette())
  out = io.BytesIO()
  pages[0].save(
    out,
    format='GIF',
    save_all=True,
    append_images=pages[1:],
    loop=0,
    duration=[duration_ms] * (num - 1) + [hold_ms],
    optimize=False,
  )
  return out.getvalue()


def png_bytes(picture) -> bytes:
  """PNG bytes of a uint8 array [H, W, 3] or [H, W], or of a matplotlib Figure.

  The same picture gives the same bytes: no date or version is written. Raises ValueError for an
  array of another type.
  """
  out = io.BytesIO()
  if hasattr(picture, 'savefig'):
    picture.savefig(out, format='png', metadata={'Software': None})
    return out.getvalue()
  picture = np.asarray(picture)
  if picture.dtype != np.uint8:
    raise ValueError(f'a PNG needs uint8 values, not {picture.dtype}; use images.grid')
  Image.fromarray(picture).save(out, format='PNG')
  return out.getvalue()
