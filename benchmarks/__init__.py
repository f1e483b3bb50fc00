"""Paired measurements of lossmith against torch.nn: `python -m benchmarks --help`."""
