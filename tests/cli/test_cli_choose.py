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
from lossmith import guide
from lossmith.cli.app import app
from lossmith.guide import Settings, chooser, experiment

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
    "only blank lines": ("\n\n", "y", "is empty"),
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


def test_the_report_in_chinese(table: Path) -> None:
    result = run("choose", table, "--target", "y", "--lang", "zh")
    assert result.exit_code == 0
    for heading in ("数据", "目标是什么", "推荐", "实验", "已排除", "代码（可直接运行）"):
        assert f"\n{heading}\n" in "\n" + result.stdout
    assert "是数量吗？是" in result.stdout.replace("\n", "").replace(" ", "")
    exec(result.stdout.split("代码（可直接运行）\n")[1], {})


def test_json_is_english_in_any_language(table: Path) -> None:
    english, chinese = (
        run("choose", table, "--target", "y", "--json", "--no-train", "--lang", lang).stdout for lang in ("en", "zh")
    )
    assert english == chinese


def test_warnings_are_printed_and_in_json(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b,y\n" + "".join(f"{i % 7}.5,{3 * i % 101},{3 * i % 101}.25\n" for i in range(90)))
    assert (
        "\nMind\n  • b alone predicts y nearly perfectly" in run("choose", path, "--target", "y", "--no-train").stdout
    )
    found = json.loads(run("choose", path, "--target", "y", "--no-train", "--json").stdout)
    assert found["warnings"][0].startswith("b alone predicts y nearly perfectly")


def _paired(path: Path) -> Path:
    generator = np.random.default_rng(0)
    columns = {f"{name}_{i}": generator.normal(size=40) for name in "apn" for i in range(2)}
    pl.DataFrame(columns | {"same": [0, 1] * 20}).write_csv(path)
    return path


@pytest.mark.parametrize(
    ("options", "task"),
    [
        (("--pairs", "a", "p", "--label", "same"), "embedding of pairs"),
        (("--triplets", "a", "p", "n"), "embedding of triplets"),
    ],
)
def test_pairs_and_triplets(tmp_path: Path, options: tuple[str, ...], task: str) -> None:
    path = _paired(tmp_path / "table.csv")
    found = json.loads(run("choose", path, *options, "--json").stdout, parse_constant=pytest.fail)
    assert found["task"].startswith(task)
    assert all(candidate["metrics"] for candidate in found["candidates"])
    printed = run("choose", path, *options)
    assert (printed.exit_code, printed.stderr) == (0, "")


def test_an_interval_and_an_embedding(table: Path, tmp_path: Path) -> None:
    found = json.loads(run("choose", table, "--target", "y", "--interval", "0.8", "--json").stdout)
    assert found["recommended"]["arguments"] == {"quantiles": [0.1, 0.5, 0.9]}
    assert {"interval_score", "coverage", "width"} <= set(found["candidates"][0]["metrics"])
    path = tmp_path / "classes.csv"
    generator = np.random.default_rng(0)
    pl.DataFrame({"a": generator.normal(size=60), "y": ["u", "v", "w"] * 20}).write_csv(path)
    found = json.loads(run("choose", path, "--target", "y", "--embedding", "--json").stdout)
    assert found["task"] == "embedding of labelled rows"
    assert {"recall_at_1", "map_at_r"} == set(found["candidates"][0]["metrics"])
    for options, said in (
        (("--target", "a", "--embedding"), "an embedding brings rows of one class together"),
        (("--target", "y", "--interval", "0.9"), "an interval is for quantities"),
        (("--target", "a", "--interval", "90"), "give a share from 0.01 to 0.99"),
    ):
        result = run("choose", path, *options)
        assert (result.exit_code, result.stdout) == (2, "")
        assert said in result.stderr


def test_pairs_without_a_label(tmp_path: Path) -> None:
    result = run("choose", _paired(tmp_path / "table.csv"), "--pairs", "a", "p")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("lossmith: pairs need a label")


def test_splits_and_repeats_are_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, object] = {}

    def choose(data: str, **options: object) -> None:
        told.update(options)
        raise guide.BadData("enough")

    monkeypatch.setattr(guide, "choose", choose)
    options = ("--group", "g", "--time", "t", "--held-out", "0.25", "--repeats", "4")
    assert run("choose", "x.csv", "--target", "y", *options).exit_code == 2
    assert (told["group"], told["time"], told["target"]) == ("g", "t", "y")
    assert told["settings"] == Settings(held_out=0.25, repeats=4)
    assert run("choose", "x.csv").exit_code == 2
    assert told["settings"] is None


def test_a_held_out_share_is_scored(table: Path) -> None:
    result = run("choose", table, "--target", "y", "--held-out", "0.2", "--repeats", "1", "--json")
    assert any("rows that the comparison never saw" in reason for reason in json.loads(result.stdout)["reasons"])
    result = run("choose", table, "--target", "y", "--held-out", "1.5")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "a share of 1.5 can't be held out" in result.stderr


def test_the_page_goes_into_a_folder(table: Path, tmp_path: Path) -> None:
    result = run("choose", table, "--target", "y", "--json", "--report", tmp_path / "new" / "folder")
    page = tmp_path / "new" / "folder" / "table.html"
    assert result.exit_code == 0
    assert json.loads(result.stdout)
    assert result.stderr == f"report: {page}\n"
    assert "MSELoss" in page.read_text(encoding="utf-8")


def test_a_folder_that_can_not_be_made(table: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("choose", table, "--target", "y", "--no-train", "--report", tmp_path / "file" / "folder")
    assert result.exit_code == 1
    assert "can't be written" in result.stderr


def test_ctrl_c_leaves_a_partial_table(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in the third fold: the two that are done are shown, and the shell is told."""

    def interrupted(
        self: object, fit: object, stop: object, decided_by: str, *, real=experiment._Network.train
    ) -> object:
        trained.append(self)
        if len(trained) > 10:
            raise KeyboardInterrupt
        return real(self, fit, stop, decided_by)

    trained: list[object] = []
    monkeypatch.setattr(experiment._Network, "train", interrupted)
    result = run("choose", table, "--target", "y")
    assert result.exit_code == 130
    assert "interrupted: 2 of 5 folds are done" in " ".join(result.stdout.split())
    assert "means over 2 test folds" in " ".join(result.stdout.split())
    trained.clear()
    found = json.loads(run("choose", table, "--target", "y", "--json").stdout)
    assert all(candidate["metrics"] for candidate in found["candidates"])


def test_ctrl_c_before_there_is_anything_to_show(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment._Network, "train", interrupted)
    result = run("choose", table, "--target", "y")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "lossmith: interrupted before there was anything to show\n"


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"lossmith {lossmith.__version__}\n")


def test_help_names_every_option() -> None:
    text = run("choose", "--help").stdout
    options = (
        "--target",
        "--pairs",
        "--label",
        "--triplets",
        "--group",
        "--time",
        "--held-out",
        "--repeats",
        "--report",
    )
    assert all(option in text for option in (*options, "--json", "--no-train", "--seed", "--lang"))
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


def test_choose_in_python_names_its_extra_too() -> None:
    done = _python("import sys; sys.modules['polars'] = None; import lossmith; lossmith.suggest; lossmith.choose")
    assert done.returncode == 1
    assert "lossmith.choose needs polars; install it with: pip install 'lossmith[choose]'" in done.stderr
    assert _python("import sys; sys.modules['polars'] = None; from lossmith import *; MSELoss").returncode == 0
    assert _python("import lossmith; print('choose' in dir(lossmith))").stdout == "True\n"
    assert "has no attribute 'chose'" in _python("import lossmith; lossmith.chose").stderr


def test_a_real_set_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chooser, "Settings", Settings)
    found = json.loads(run("choose", "linnerud", "--json").stdout)
    assert found["recommended"]["loss"] == "MSELoss"
    assert any("a tie" in reason for reason in found["reasons"])  # twenty rows can't tell losses apart
