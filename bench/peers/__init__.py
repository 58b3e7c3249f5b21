"""The reference tasks, timed beside JAX and PyTorch."""
