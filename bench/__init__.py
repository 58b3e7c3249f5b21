"""Benchmarks of relaxon: times beside the peers, peak memory, threads."""
