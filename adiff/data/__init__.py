"""Data sets: what they promise (`spec`), their rows, and batches pure in (seed, step)."""
