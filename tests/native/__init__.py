"""The compiled kernels: that they run, and that what they give is right."""
