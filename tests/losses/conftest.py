"""The two ways in which losses by similarities run, in tiles of few rows."""

import pytest

import lossmith
from lossmith.loops.similarity import tiled


@pytest.fixture(params=["kernels", "operations"])
def way(request, monkeypatch):
    """By the kernels, and by torch's operations; `similarities.ran` tells which it was."""
    monkeypatch.setattr(tiled, "rows_of_tile", lambda columns, itemsize: 2)
    if request.param == "operations":
        monkeypatch.setattr(lossmith.backend, "FORCED", "reference")
    return request.param
