"""The oracle: every formula and every word on every backend, against plain definitions at 50 digits."""
