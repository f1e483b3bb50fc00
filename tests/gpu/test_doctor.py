"""`lossmith doctor` checks the kernels of a GPU, too."""

import pytest
import torch

from lossmith.doctor.kernels import SMALL, _workloads, check, ways

SOME = ("mse_loss", "cross_entropy", "triplet_margin_loss")


@pytest.mark.parametrize("name", SOME)
def test_kernels_are_checked_where_they_run(name, device):
    place = torch.device(device)
    (workload,) = [w for w in _workloads(SMALL) if w.case.name == name]
    found = check(workload, torch.float32, 1, ways(place), place)
    assert found.ok and found.kernel and found.ways == ("Triton",), found
