"""What is denoised together, in which order and how noisy; read blocks.py first."""
