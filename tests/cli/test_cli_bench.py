"""The command `lossmith bench`: what it prints, writes and refuses. No test looks at a speed."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

import lossmith
from lossmith.bench import Row
from lossmith.cli.app import app


@pytest.fixture(autouse=True)
def plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", *(str(argument) for argument in arguments)])


def quick(*arguments: object) -> Result:
    return run("--loss", "mse", "--size", "64", "--seconds", "0", *arguments)


def test_it_prints_tables_and_a_summary() -> None:
    result = quick("--loss", "CrossEntropyLoss", "--variant", "plain,forward", "--size", "256")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("20 measurements, less than a minute")
    for title in (
        "64 elements, float32, forward + backward, against torch.nn, eager",
        "256 elements, float32, forward alone, of an input that wants a gradient, against torch.nn, eager",
        "64 elements, float32, forward + backward, against probabilities, both lossmith",
        "Summary",
    ):
        assert title in result.stdout
    assert "geometric mean" in result.stdout
    assert "cross_entropy (smoothed)" in result.stdout


def test_json_holds_everything(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert quick("--json", path, "--dtype", "bfloat16", "--against", "eager").exit_code == 0
    found = json.loads(path.read_text(), parse_constant=pytest.fail)  # no NaN, no Infinity
    assert list(found) == ["command", "date", "machine", "settings", "rows"]
    assert found["command"] == "lossmith bench --loss mse --size 64 --against eager --dtype bfloat16 --seconds 0"
    assert found["machine"]["torch"] == torch.__version__
    assert found["settings"] == {"dtype": "bfloat16", "device": "cpu", "seconds_per_row": 0.0}
    (row,) = found["rows"]
    assert set(row) == {field.name for field in fields(Row)}
    assert (row["loss"], row["size"], row["against"]) == ("mse_loss", "64", "eager")
    assert set(row["ratio"]) == {"median", "low", "high"}


def test_threads_are_set_and_put_back(tmp_path: Path) -> None:
    path, before = tmp_path / "record.json", torch.get_num_threads()
    quick("--threads", before + 1, "--json", path)
    assert json.loads(path.read_text())["machine"]["threads"] == before + 1
    assert torch.get_num_threads() == before


def test_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert quick("--plot", tmp_path / "ratios.svg").exit_code == 0
    assert "mse_loss" in (tmp_path / "ratios.svg").read_text() or (tmp_path / "ratios.svg").stat().st_size > 1000


def test_a_failure_of_ours_is_shown_and_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(lossmith.functional, "mse_loss", broken)
    result = quick()
    assert result.exit_code == 1
    assert "mse_loss: lossmith: out of order" in result.stdout


BAD = {
    "loss": (["--loss", "mze"], "unknown loss 'mze': did you mean mse"),
    "size": (["--size", "tiny"], "unknown size 'tiny'"),
    "variant": (["--variant", "plane"], "unknown variant 'plane': did you mean plain?"),
    "opponent": (["--against", "eagre"], "unknown opponent 'eagre': did you mean eager?"),
    "dtype": (["--dtype", "float8"], "unknown dtype 'float8'"),
    "device": (["--device", "gpu"], "unknown device 'gpu': write cpu, cuda or cuda:1"),
    "directory": (["--json", "no/such/directory.json"], "can't write no/such/directory.json: No such file"),
    "file": (["--json", "."], "can't write .: Is a directory"),
    "picture": (["--plot", "ratios.jpg"], "can't draw into ratios.jpg: write a name that ends in .png, .svg, .pdf"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    if case == "picture":
        pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    arguments, said = BAD[case]
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("lossmith: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_help_names_every_option() -> None:
    text = run("--help").stdout
    options = ("loss", "size", "against", "variant", "dtype", "device", "threads", "seconds", "json", "plot")
    assert all(f"--{option}" in text for option in options)


def _python(code: str) -> subprocess.CompletedProcess[str]:
    source = Path(lossmith.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    arguments = ["lossmith", "bench", "--loss", "mse", "--size", "64", "--seconds", "0.01", "--json", str(path)]
    done = _python(
        f"import sys; sys.argv = {arguments}\nfrom lossmith.cli import main\ntry: main()\n"
        "finally: print('matplotlib' in sys.modules)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("False\n")
    assert "mse_loss" in done.stdout
    assert len(json.loads(path.read_text())["rows"]) == 1


@pytest.mark.parametrize(("missing", "more"), [("rich", []), ("matplotlib", ["--plot", "x.png"])])
def test_a_missing_extra_is_named(missing: str, more: list[str]) -> None:
    arguments = ["lossmith", "bench", "--loss", "mse", "--size", "64", *more]
    done = _python(
        f"import sys\nfrom lossmith.cli import main\nsys.modules['{missing}'] = None\nsys.argv = {arguments}\nmain()"
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install 'lossmith[bench]'" in done.stderr


def test_importing_lossmith_does_not_import_it() -> None:
    assert _python("import sys, lossmith; print('lossmith.bench' in sys.modules)").stdout == "False\n"
