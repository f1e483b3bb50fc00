"""Triton's kernels: on a GPU (`pytest -m gpu`), else in Triton's interpreter on the CPU; compiled without either."""
