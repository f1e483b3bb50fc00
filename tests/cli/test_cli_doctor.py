"""The command `lossmith doctor`: what it finds, what it says, and its exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

import lossmith
from lossmith import backend, native
from lossmith.cli.app import app
from lossmith.doctor import Installation, check_kernels, examine, installation
from lossmith.doctor.installation import huge_pages, openmp_runtimes
from lossmith.losses import all_losses

built = pytest.mark.skipif(bool(native.missing), reason=native.missing)


@pytest.fixture(autouse=True)
def plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments])


def found() -> Any:
    return json.loads(run("--json").stdout, parse_constant=pytest.fail)  # no NaN, no Infinity


@built
def test_it_prints_what_is_there_and_a_table() -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert max(len(line) for line in result.stdout.splitlines()) <= 120
    assert torch.__version__ in result.stdout
    assert f"{lossmith.__version__}, in " in result.stdout
    assert f"instruction set  {native.core.isa()}" in result.stdout
    for loss in all_losses():
        assert loss in result.stdout
    assert "WRONG" not in result.stdout
    assert "All kernels agree with the reference" in result.stdout


@built
def test_json_holds_everything() -> None:
    result = run("--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    answer = found()
    assert answer["versions"]["torch"] == torch.__version__
    assert answer["kernels"] == native.core.__file__
    assert answer["instruction_sets"] == native.core.available()
    assert answer["threads"] == torch.get_num_threads()
    checks = answer["checks"]
    assert {check["loss"] for check in checks} == set(all_losses())
    assert {check["dtype"] for check in checks} == {"float32", "float64", "float16", "bfloat16"}
    assert all(check["ok"] and check["kernel"] for check in checks)


@built
def test_a_wrong_kernel_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right: Callable[..., Any] = native.core.pairwise

    def wrong(*arguments: Any) -> Any:
        answer = right(*arguments)
        for argument in arguments:
            if isinstance(argument, torch.Tensor) and argument.dim() == 0:
                argument.add_(0.5)  # the mean
        return answer

    monkeypatch.setattr(native.core, "pairwise", wrong)
    result = run()
    assert result.exit_code == 1
    assert "cosine_embedding_loss, float32: mean, portable: the value differs by 0.5" in result.stdout
    assert "Something is wrong with contrastive_loss, cosine_embedding_loss" in result.stdout.replace("\n", " ")
    assert {check["loss"] for check in found()["checks"] if not check["ok"]} == {
        "contrastive_loss",
        "cosine_embedding_loss",
        "triplet_margin_loss",
        "triplet_margin_with_distance_loss",
    }


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "tpu", "cpu:x"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is one")
    result = run("--device", device)
    assert result.exit_code == 2
    assert ("no CUDA device here" if device.startswith("cuda") else f"unknown device '{device}'") in result.stderr


@built
def test_a_kernel_that_does_not_run_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "unready", lambda: "it is Sunday")
    result = run()
    assert result.exit_code == 1
    assert f"mse_loss, float32: mean, {native.core.available()[0]}: no kernel ran: it is Sunday" in result.stdout


@built
def test_an_error_is_shown_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> Any:
        raise RuntimeError("out of ink")

    monkeypatch.setattr(native.core, "lattice", broken)
    answer = found()
    assert {check["loss"] for check in answer["checks"] if not check["ok"]} == {"ctc_loss", "ctc_loss_with_logits"}
    assert any("RuntimeError: out of ink" in problem for check in answer["checks"] for problem in check["problems"])


@built
@pytest.mark.parametrize("forced", ["reference", "native"])
def test_a_backend_that_is_forced_is_named_and_all_kernels_are_checked(
    monkeypatch: pytest.MonkeyPatch, forced: str
) -> None:
    monkeypatch.setattr(backend, "FORCED", forced)
    result = run()
    assert result.exit_code == 0
    assert f"{forced}, by LOSSMITH_BACKEND" in result.stdout
    assert ("no call uses the kernels" in result.stdout) == (forced == "reference")
    assert "All kernels agree with the reference" in result.stdout


@built
def test_it_leaves_everything_as_it_was() -> None:
    before = torch.get_rng_state(), native.core.isa(), backend.FORCED, torch.get_num_threads()
    check_kernels()
    after = torch.get_rng_state(), native.core.isa(), backend.FORCED, torch.get_num_threads()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


@pytest.mark.parametrize(("file", "code"), [(None, 0), ("/somewhere/_core.so", 1)])
def test_without_kernels(monkeypatch: pytest.MonkeyPatch, file: str | None, code: int) -> None:
    """That there are none may be meant; that they can't be loaded is not."""
    monkeypatch.setattr(native, "missing", "torch is too old")
    monkeypatch.setattr(installation, "_kernels", lambda: file)
    result = run()
    assert result.exit_code == code
    assert f"No kernel runs: {'torch is too old' if file else 'they are not built'}" in result.stdout
    assert ("Install lossmith again" if file else "no LOSSMITH_NATIVE=0") in result.stdout.replace("\n", " ")
    assert "There is no kernel to check." in result.stdout
    assert found()["checks"] == []


MAPS = """\
7f00-7f01 r--p 00000000 fe:00 11 /usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0
7f01-7f02 r-xp 00001000 fe:00 11 /usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0
7f02-7f03 r-xp 00000000 fe:00 12 /home/a b/site-packages/scikit_learn.libs/libgomp-a34b3233.so.1.0.0
7f03-7f04 r-xp 00000000 fe:00 13 /opt/conda/lib/libiomp5.so
7f04-7f05 r-xp 00000000 fe:00 14 /opt/conda/lib/libomp.so
7f05-7f06 r-xp 00000000 fe:00 15 /opt/mpi/libompitrace.so.40
7f06-7f07 rw-p 00000000 00:00 0
7f07-7f08 rw-p 00000000 00:00 0 [heap]
"""


def test_openmp_runtimes_are_found_by_their_names() -> None:
    assert openmp_runtimes(MAPS) == (
        "/home/a b/site-packages/scikit_learn.libs/libgomp-a34b3233.so.1.0.0",
        "/opt/conda/lib/libiomp5.so",
        "/opt/conda/lib/libomp.so",
        "/usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0",
    )


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux alone lists what a process has mapped")
def test_there_is_one_openmp_here() -> None:
    openmp = _python("from lossmith.doctor import examine; print(*examine().openmp, sep='\\n')").stdout
    assert len(openmp.splitlines()) == 1


def settled(**changes: Any) -> Installation:
    """This installation without anything to warn of, then changed."""
    calm = replace(
        examine(), kernels="file", missing=None, backend=None, threads=1, cores=1, openmp=(), huge_pages=None
    )
    assert calm.warnings == ()
    return replace(calm, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"openmp": ("/a/libgomp.so.1", "/b/libiomp5.so")},
            "2 OpenMP runtimes are in this process, /a/libgomp.so.1, /b/",
        ),
        ({"huge_pages": "never"}, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"),
        ({"threads": 8, "cores": 2}, "torch.set_num_threads(2)"),
        ({"backend": "reference"}, "no call uses the kernels"),
        ({"missing": "why"}, "No kernel runs: why."),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_what_should_be_changed(changes: dict[str, Any], said: str) -> None:
    (warning,) = settled(**changes).warnings
    assert said in warning


def test_the_choice_of_huge_pages_is_read() -> None:
    assert [huge_pages(text) for text in ("always [madvise] never\n", "always madvise [never]\n", "")] == [
        "madvise",
        "never",
        None,
    ]


def _python(code: str) -> subprocess.CompletedProcess[str]:
    source = Path(lossmith.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_a_missing_extra_is_named() -> None:
    hidden = "import sys\nfrom lossmith.cli import main\nsys.modules['rich.console'] = None\n"
    done = _python(f"{hidden}sys.argv = ['lossmith', 'doctor']\nmain()")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "pip install 'lossmith[cli]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_names_every_option() -> None:
    assert "--json" in run("--help").stdout
