"""The command `lossmith choose`: what it prints, where, and with which exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

import lossmith
from lossmith.cli.app import app
from lossmith.guide import Settings, chooser

CSV = "a,b,y\n" + "".join(
    f"{np.sin(i):.3f},{np.cos(3 * i):.3f},{np.sin(i) + 0.1 * np.cos(5 * i):.3f}\n" for i in range(60)
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few epochs: these tests look at what is printed."""
    monkeypatch.setattr(chooser, "Settings", lambda: Settings(repeats=1, epochs=2))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(CSV)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_it_prints_a_report(table: Path) -> None:
    result = run("choose", table, "--target", "y")
    assert result.exit_code == 0
    assert result.stderr == ""
    for heading in ("Data", "What the target is", "Recommended", "Experiment", "Ruled out", "Snippet (runs as it is)"):
        assert f"\n{heading}\n" in "\n" + result.stdout
    assert "path through the tree" in result.stdout
    assert "95 % interval" in result.stdout
    report = result.stdout.split("Snippet")[0]
    assert max(len(line) for line in report.splitlines()) <= 80


def test_the_printed_snippet_runs(table: Path) -> None:
    result = run("choose", table, "--target", "y", "--no-train")
    source = result.stdout.split("Snippet (runs as it is)\n")[1]
    names: dict[str, object] = {}
    exec(source, names)
    assert isinstance(names["criterion"], lossmith.MSELoss)


def test_json_and_nothing_else(table: Path) -> None:
    result = run("choose", table, "--target", "y", "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    found = json.loads(result.stdout, parse_constant=pytest.fail)  # no NaN, no Infinity
    assert list(found) == ["task", "recommended", "reasons", "warnings", "candidates", "ruled_out"]
    assert list(found["recommended"]) == ["loss", "arguments", "final_layer", "target"]
    assert found["task"] == "regression"
    assert found["recommended"]["loss"] == "MSELoss"
    for candidate in found["candidates"]:
        assert list(candidate) == ["loss", "arguments", "metrics"]
        assert {"mae", "rmse", "median_error"} <= set(candidate["metrics"])
    assert all(isinstance(reason, str) for reason in found["reasons"])
    assert {"loss", "reason"} == set(found["ruled_out"][0])


def test_no_train_leaves_the_metrics_empty(table: Path) -> None:
    found = json.loads(run("choose", table, "--target", "y", "--json", "--no-train").stdout)
    assert [candidate["metrics"] for candidate in found["candidates"]] == [{}] * 4
    assert "Experiment" not in run("choose", table, "--target", "y", "--no-train").stdout


def test_the_seed_gives_the_same_figures(table: Path) -> None:
    first, again, other = (run("choose", table, "--target", "y", "--json", "--seed", seed).stdout for seed in (5, 5, 6))
    assert first == again != other


def test_several_targets_and_tsv(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text(CSV.replace(",", "\t"))
    found = json.loads(run("choose", path, "--target", "y,b", "--json", "--no-train").stdout)
    assert found["recommended"]["final_layer"].startswith("Linear(hidden, 2)")


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    generator = np.random.default_rng(0)
    pl.DataFrame({"a": generator.normal(size=50), "y": [True, False] * 25}).write_parquet(path)
    found = json.loads(run("choose", path, "--target", "y", "--json", "--no-train").stdout)
    assert found["recommended"]["arguments"] == {"pos_weight": 1.0}


BAD = {
    "missing file": (None, "y", "no such file"),
    "no such column": (CSV, "price", "has no column 'price'"),
    "no target": (CSV, None, "say which column to predict with --target"),
    "target twice": (CSV, "y,y", "is named twice"),
    "empty": ("", "y", "is empty"),
    "header only": ("a,y\n", "y", "has a header but no rows"),
    "all NaN": ("a,y\n" + "1,NaN\n2,NaN\n" * 10, "y", "has no value at all"),
    "constant target": ("a,y\n" + "1,5\n2,5\n" * 10, "y", "is constant"),
    "not UTF-8": (b"a,y\n1,caf\xe9\n", "y", "is not UTF-8"),
    "too few rows of a class": ("a,y\n" + "1,u\n2,v\n" * 10 + "3,w\n", "y", "has too few rows"),
    "too few rows": ("a,y\n1,2.5\n2,3.5\n", "y", "at least 10 are needed"),
    "no inputs": ("y\n" + "1.5\n2.5\n" * 10, "y", "no input column is left"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, case: str) -> None:
    content, target, said = BAD[case]
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = run("choose", path, *(["--target", target] if target else []), "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr
    assert result.stderr.startswith("lossmith: ")
    assert result.stderr.count("\n") == 1


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "table.parquet").write_text("no parquet")
    for path, said in ((tmp_path, "is a directory"), (tmp_path / "table.parquet", "can't be read as Parquet")):
        result = run("choose", path, "--target", "y")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert said in result.stderr


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"lossmith {lossmith.__version__}\n")


def test_help_names_every_option() -> None:
    text = run("choose", "--help").stdout
    assert all(option in text for option in ("--target", "--json", "--no-train", "--seed"))
    assert "choose" in run("--help").stdout


def _python(code: str) -> subprocess.CompletedProcess[str]:
    source = Path(lossmith.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_libraries_are_imported_only_where_they_are_used() -> None:
    """`import lossmith` needs torch alone, and `--help` is not kept waiting by scikit-learn."""
    asks = "print([name for name in ('sklearn', 'polars', 'rich', 'typer', 'scipy') if name in sys.modules])"
    assert _python(f"import sys, lossmith; {asks}").stdout == "[]\n"
    helped = _python(
        f"import sys\nfrom lossmith.cli import main\nsys.argv = ['x', '--help']\ntry: main()\nexcept SystemExit: {asks}"
    )
    assert not {"sklearn", "polars", "scipy"} & set(eval(helped.stdout.splitlines()[-1]))


@pytest.mark.parametrize(("missing", "extra"), [("typer", "cli"), ("polars", "choose"), ("sklearn", "choose")])
def test_a_missing_extra_is_named(missing: str, extra: str) -> None:
    hidden = f"import sys; sys.modules['{missing}'] = None; sys.argv = ['lossmith', 'choose', 'iris']"
    done = _python(f"{hidden}; from lossmith.cli import main; main()")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"pip install 'lossmith[{extra}]'" in done.stderr


def test_a_real_set_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chooser, "Settings", Settings)
    found = json.loads(run("choose", "linnerud", "--json").stdout)
    assert found["recommended"]["loss"] == "MSELoss"
    assert any("a tie" in reason for reason in found["reasons"])  # twenty rows can't tell losses apart
