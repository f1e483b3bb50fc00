"""What `lossmith bench` measures with: rounds, memory, bandwidth, workloads, records. No test looks at a speed."""

import dataclasses
import gc
import json
import math
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lossmith.bench import BadRequest, Record, Request, Row, Task, measure, paired, request
from lossmith.bench.bandwidth import copied, copy, size_of
from lossmith.bench.memory import peak_growth
from lossmith.bench.paired import Rounds, Spread
from lossmith.bench.peers import PEERS, Peer
from lossmith.bench.readme import readme_block, updated
from lossmith.bench.steps import VARIANTS, step
from lossmith.bench.summary import groups, memory
from lossmith.bench.workloads import CASES, SHAPES, SIZES, Case, Inputs, Workload, size_name, workloads
from lossmith.losses import all_losses

CPU = torch.device("cpu")
ROOT = Path(__file__).parent.parent


def small(case: Case) -> Workload:
    """The case with few elements."""
    if case.layout == "frames":
        return Workload(case, "20x3x6", (20, 3, 6))
    if case.layout == "batch":
        return Workload(case, "16x4", (16, 4))
    return next(workload for workload in workloads("64") if workload.case is case)


def made(name: str, ratio: float | None, **more: object) -> Row:
    """A row with a made-up ratio; None is a missing one."""
    figures = {"ratio": Spread(ratio, ratio, ratio)} if ratio else {"missing": "torch has none"}
    where = {"layout": "flat", "size": "64", "shape": (64,), "dtype": "float32", "variant": "plain", "against": "eager"}
    return Row(**{"name": name, "loss": name} | where | figures | more)


# ----- rounds -----


def test_a_spread_is_median_and_quartiles() -> None:
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(median=3.0, low=2.0, high=4.0)


def test_ratios_are_of_the_same_round() -> None:
    rounds = Rounds(((2.0, 1.0), (40.0, 10.0), (3.0, 1.0)))
    assert rounds.ratio(0, 1).median == 3.0
    assert rounds.of(0).median == 3.0


def test_rounds_turn_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(paired.BLOCK_SECONDS, "cpu", 0.0)
    called: list[str] = []
    steps = [lambda name=name: called.append(name) for name in ("theirs", "ours", "copy")]
    rounds = paired.run(steps, 0.0, CPU)
    assert len(rounds.seconds) == 7
    there, back = ["theirs", "ours", "copy"], ["copy", "ours", "theirs"]
    assert called[-21:] == there + (back + there) * 3


def test_times_belong_to_their_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the turned rounds too."""
    monkeypatch.setattr(paired, "_block", lambda one, calls, device: one())
    assert paired.run([lambda: 2.0, lambda: 1.0], 0.0, CPU).seconds == ((2.0, 1.0),) * 7


def test_garbage_collection_is_as_it_was() -> None:
    with pytest.raises(ZeroDivisionError):
        paired.run([lambda: 1 / 0], 0.0, CPU)
    assert gc.isenabled()


def test_a_gpu_is_timed_by_its_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time between two events of its stream, with nothing in it before."""
    happened: list[str] = []

    class Event:
        def __init__(self, device: torch.device, enable_timing: bool) -> None:
            assert device.type == "cuda" and enable_timing

        def record(self) -> None:
            happened.append("event")

        def synchronize(self) -> None:
            happened.append("wait")

        def elapsed_time(self, end: "Event") -> float:
            return 6.0

    monkeypatch.setattr(torch, "Event", Event)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda device: happened.append("idle"))
    assert paired._block(lambda: happened.append("step"), 2, torch.device("cuda", 0)) == pytest.approx(3e-3)
    assert happened == ["idle", "event", "step", "step", "event", "wait"]


# ----- memory and bandwidth -----

linux = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")


@linux
@pytest.mark.parametrize("megabytes", [4, 32])
def test_peak_growth_sees_what_is_gone_at_the_end(megabytes: int) -> None:
    def allocates() -> None:
        torch.ones(megabytes << 18)

    allocates()  # so malloc may still hold the pages
    grown = peak_growth(allocates, CPU)
    assert grown is not None
    assert abs(grown - (megabytes << 20)) < 1 << 20


@linux
def test_peak_growth_does_not_count_what_was_there() -> None:
    there = torch.ones(32 << 18)
    there.mul_(2)  # its code is loaded now
    grown = peak_growth(lambda: there.mul_(2), CPU)
    assert grown is not None
    assert grown < 1 << 20


def test_without_proc_memory_is_not_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("lossmith.bench.memory.RESET", tmp_path / "no" / "clear_refs")
    assert peak_growth(lambda: None, CPU) is None


@pytest.mark.parametrize("case", [case for case in CASES if case.streams], ids=lambda case: case.name)
@pytest.mark.parametrize("target", [False, True])
def test_the_copy_writes_a_fresh_gradient_for_each(case: Case, target: bool) -> None:
    inputs = small(case).inputs(torch.float32, CPU, target)
    read = copied(inputs.args, inputs.wanted)
    assert all(tensor.dtype == torch.float32 for tensor in read)
    assert {id(tensor) for tensor in inputs.wanted} <= {id(tensor) for tensor in read}
    run = copy(read, inputs.wanted)
    run()
    old = [tensor.grad for tensor in inputs.wanted]
    run()
    new = [tensor.grad for tensor in inputs.wanted]
    assert all(tensor.grad.shape == tensor.shape for tensor in inputs.wanted)
    assert len({tensor.data_ptr() for tensor in (*read, *old, *new)}) == len(read) + 2 * len(inputs.wanted)


def test_bytes_that_must_move() -> None:
    inputs = Workload(by_name("cross_entropy"), "?", (8, 8)).inputs(torch.bfloat16, CPU)
    assert size_of(inputs.args) == 8 * 8 * 2 + 8 * 8
    assert size_of(inputs.wanted) == 8 * 8 * 2


# ----- workloads -----


def by_name(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def test_every_loss_is_measured() -> None:
    assert {case.loss for case in CASES} == set(all_losses())
    assert len({case.name for case in CASES}) == len(CASES)
    anywhere = {workload.case.name for size in (*SIZES, *SHAPES) for workload in workloads(size)}
    assert anywhere == {case.name for case in CASES}
    assert all(set(names) <= anywhere for names in SHAPES.values())


@pytest.mark.parametrize("size", [*SIZES, "1", "100000"])
def test_a_size_is_about_so_many_elements(size: str) -> None:
    asked = {"64": 64, "64K": 1 << 16, "1M": 1 << 20, "16M": 1 << 24, "1": 4, "100000": 100_000}[size]
    for workload in workloads(size):
        assert 0.9 * asked <= workload.elements <= asked or workload.elements == 1
        assert workload.elements == math.prod(workload.shape)


def test_size_names() -> None:
    assert [size_name(n) for n in (64, 65536, 1 << 20, 3 << 20, 100_000)] == ["64", "64K", "1M", "3M", "100000"]


def gradients(loss: Callable[..., torch.Tensor], inputs: Inputs, variant: str = "plain") -> list[torch.Tensor | None]:
    step(loss, inputs, variant)()
    return [tensor.grad for tensor in inputs.wanted]


@pytest.mark.parametrize("target", [False, True])
@pytest.mark.parametrize("case", [case for case in CASES if not case.labels], ids=lambda case: case.name)
def test_both_sides_compute_the_same(case: Case, target: bool) -> None:
    workload = small(case)
    inputs = workload.inputs(torch.float64, CPU, target)
    assert len(inputs.wanted) == len(case.predictions) + (target and case.target is not None)
    theirs, ours = workload.theirs(*inputs.args, **inputs.keywords), workload.ours(*inputs.args, **inputs.keywords)
    torch.testing.assert_close(ours, theirs)
    if case.form != "of log-probabilities":  # torch's gradient is right behind log_softmax alone
        for our, their in zip(gradients(workload.ours, inputs), gradients(workload.theirs, inputs), strict=True):
            torch.testing.assert_close(our, their)


def test_labels_and_probabilities_are_both_ours() -> None:
    case = by_name("cross_entropy (probabilities over labels)")
    logits, probabilities, labels = small(case).inputs(torch.float32, CPU).args
    torch.testing.assert_close(
        small(case).theirs(logits, probabilities, labels), torch.nn.functional.cross_entropy(logits, probabilities)
    )
    torch.testing.assert_close(
        small(case).ours(logits, probabilities, labels), torch.nn.functional.cross_entropy(logits, labels)
    )


def test_variants() -> None:
    workload = small(by_name("mse_loss"))
    inputs = workload.inputs(torch.float64, CPU)
    (plain,) = gradients(workload.ours, inputs)
    assert plain is not None
    torch.testing.assert_close(gradients(workload.ours, inputs, "upstream"), [0.37 * plain])
    torch.testing.assert_close(gradients(workload.ours, inputs, "consumer"), [plain + 0.1])
    assert gradients(workload.ours, inputs, "forward") == [None]
    both = gradients(workload.ours, workload.inputs(torch.float64, CPU, target=True), "target")
    torch.testing.assert_close(both, [plain, -plain])


# ----- requests -----


def names_of(request: Request) -> set[str]:
    return {task.workload.case.name for task in request.tasks}


@pytest.mark.parametrize("name", ["mse", "mse_loss", "MSELoss", "mseloss"])
def test_names_of_a_loss(name: str) -> None:
    assert names_of(Request.of([name])) == {"mse_loss"}


def test_a_loss_brings_all_its_forms() -> None:
    forms = {case.name for case in CASES if case.loss == "cross_entropy"}
    assert len(forms) == 4
    assert names_of(Request.of(["cross_entropy"])) == forms
    assert names_of(Request.of(["cross_entropy (smoothed)"])) == {"cross_entropy (smoothed)"}
    assert len(names_of(Request.of(["ctc"]))) == 3


def test_everything_is_asked_for() -> None:
    request = Request.of()
    assert names_of(request) == {case.name for case in CASES}
    assert {task.workload.size for task in request.tasks} == {*SIZES, *SHAPES}
    assert {(task.against, task.variant) for task in request.tasks} == {("eager", "plain"), ("labels", "plain")}
    assert request.estimate < 600


def test_both_compiled_is_measured_once() -> None:
    request = Request.of(["mse"], ["64"], ["eager", "compile"], ["compile"])
    assert [(task.against, task.variant) for task in request.tasks] == [("compile", "compile")]


def test_sizes_are_named_once() -> None:
    assert [task.workload.size for task in Request.of(["mse"], ["65536", "64k", "64"]).tasks] == ["64K", "64"]


def test_multilabel_margin_compiled_is_skipped_where_it_is_large() -> None:
    tasks = Request.of(["multilabel_margin"], ["64", "1M"], ["eager", "compile"]).tasks
    skipped = {(task.workload.size, task.against) for task in tasks if task.skipped}
    assert skipped == {("1M", "compile")}
    assert "rows × classes × classes" in str(next(task.skipped for task in tasks if task.skipped))


BAD = {
    "a loss near others": ({"losses": ["bcelogit"]}, "unknown loss 'bcelogit': did you mean bce_with_logits or "),
    "a loss near none": ({"losses": ["zzz"]}, "unknown loss 'zzz': there are arcface_loss, "),
    "a size": ({"sizes": ["3x4"]}, "unknown size '3x4': write a number of elements (64, 64K, 1M, 16M, 100000) or one"),
    "no elements": ({"sizes": ["0"]}, "unknown size '0'"),
    "a size that does not fit": ({"sizes": ["900G"]}, "size 900G needs about 23193 GB"),
    "a variant": ({"variants": ["forwards"]}, "unknown variant 'forwards': did you mean forward?"),
    "an opponent": ({"against": ["jax"]}, "unknown opponent 'jax': there are eager, compile, labels"),
    "a dtype": ({"dtype": "int8"}, "unknown dtype 'int8': there are float32, bfloat16, float16, float64"),
    "a device": ({"device": "tpu"}, "unknown device 'tpu': write cpu, cuda or cuda:1"),
    "a size that a loss lacks": ({"losses": ["ctc"], "sizes": ["64"]}, "at 64; write --size 400x32x80"),
    "a target without gradient": ({"losses": ["nll"], "variants": ["target"]}, "the target of nll_loss takes no"),
    "no second form": ({"losses": ["mse"], "against": ["labels"]}, "leave out --against labels"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_measured_is_said(case: str) -> None:
    asked, said = BAD[case]
    with pytest.raises(BadRequest) as raised:
        Request.of(**asked)
    assert said in str(raised.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_cuda_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"no CUDA device here: torch .* finds none; write --device cpu"):
        Request.of(device="cuda")


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were one, until something runs on it."""
    monkeypatch.setattr(request, "device_named", torch.device)
    monkeypatch.setattr(request, "_fits", lambda *_: None)


def test_a_gpu_is_measured_beyond_its_caches(a_gpu: None) -> None:
    assert "64M" in {task.workload.size for task in Request.of(device="cuda").tasks}
    assert "64M" not in {task.workload.size for task in Request.of().tasks}


def test_other_libraries_are_measured_on_a_gpu_where_they_are_installed(
    a_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadRequest, match="Liger runs on a GPU alone; write --device cuda"):
        Request.of(against=["liger"])
    monkeypatch.setattr(Peer, "installed", False)
    with pytest.raises(BadRequest, match="quack is not installed; install it with: pip install quack-kernels"):
        Request.of(against=["quack"], device="cuda")
    monkeypatch.setattr(Peer, "installed", True)
    asked = Request.of(sizes=["64M"], against=["liger"], device="cuda")
    assert [task.workload.case.name for task in asked.tasks] == [
        "kl_div",
        "cross_entropy",
        "cross_entropy (smoothed)",
    ]
    with pytest.raises(BadRequest, match="nothing to measure: quack has cross_entropy, and no other of the losses"):
        Request.of(["mse"], ["1M"], ["quack"], device="cuda")


@pytest.mark.parametrize("name", PEERS)
def test_another_librarys_loss_is_one_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it gives: losses of rows, or a tuple of these with others."""
    peer = PEERS[name]
    module = types.ModuleType(peer.module)
    for given in (
        lambda x, y, **_: (x * 2).sum(1),
        lambda x, y, **_: ((x * 2).sum(1), None),
        lambda x, y, **_: (x * 2).sum(1).mean(),
    ):
        for function in peer.losses.values():
            setattr(module, function, given)
        monkeypatch.setitem(sys.modules, peer.module, module)
        for case in CASES:
            if case.name in peer.losses:
                args = small(case).inputs(torch.float32, CPU).args
                rows = args[0].view(-1, 64 if case.layout == "flat" else args[0].shape[1])
                torch.testing.assert_close(peer.loss(case)(*args), 2 * rows.sum(1).mean())


# ----- measuring -----


def measured(loss: str, size: str, **asked: object) -> Row:
    request = Request.of([loss], [size], seconds=0.0, **asked)
    return measure(request.tasks[0], request)


def test_a_row_is_complete() -> None:
    row = measured("mse", "1M")
    assert row.missing is None
    without = {f.name for f in dataclasses.fields(row) if getattr(row, f.name) is None}
    assert without <= {"missing", *(() if sys.platform == "linux" else ("theirs_memory", "ours_memory"))}
    assert row.rounds == 7
    assert row.bytes == row.copy_bytes == 3 * 4 << 20
    assert row.gradient_bytes == 4 << 20
    assert row.of_copy and row.copy_ms and row.ours_ms
    assert row.gb_per_s == pytest.approx(row.bytes / row.ours_ms.median / 1e6)
    if grown := memory(row):
        assert min(grown) > 0.9
    assert Row.from_json(json.loads(json.dumps(row.to_json()))) == row


def test_small_rows_have_neither_copy_nor_memory() -> None:
    row = measured("mse", "64")
    assert row.ratio
    assert row.copy_ms is row.ours_memory is row.bytes is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_is_measured(monkeypatch: pytest.MonkeyPatch, variant: str) -> None:
    monkeypatch.setattr(torch, "compile", lambda loss, **settings: loss)
    row = measured("mse", "64", variants=[variant])
    assert (row.variant, row.missing) == (variant, None)
    assert row.against == ("compile" if variant == "compile" else "eager")


@pytest.mark.parametrize(
    ("against", "variant", "compiled"), [("eager", "plain", 0), ("compile", "plain", 1), ("compile", "compile", 2)]
)
def test_who_is_compiled(monkeypatch: pytest.MonkeyPatch, against: str, variant: str, compiled: int) -> None:
    asked: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda loss, **settings: asked.append(loss) or loss)
    measured("mse", "64", against=[against], variants=[variant])
    assert len(asked) == compiled


@pytest.mark.slow
def test_compiled_in_earnest() -> None:
    row = measured("mse", "64", variants=["compile"])
    assert row.missing is None
    assert row.theirs_first_s is not None
    assert row.backend is None


def test_what_one_side_lacks_is_said() -> None:
    def refuses(text: str) -> Callable[..., torch.Tensor]:
        def loss(*args: torch.Tensor) -> torch.Tensor:
            raise RuntimeError(text)

        return loss

    request = Request.of(["mse"], ["64"], seconds=0.0)
    case = dataclasses.replace(by_name("mse_loss"), theirs=refuses("\"mse\" not implemented for 'Half'"))
    row = measure(Task(small_of(case), "eager", "plain"), request)
    assert (row.missing, row.failed, row.ratio) == ("torch has none", False, None)
    case = dataclasses.replace(by_name("mse_loss"), ours=refuses("broken\nin two lines"))
    row = measure(Task(small_of(case), "eager", "plain"), request)
    assert (row.missing, row.failed) == ("lossmith: broken", True)


def small_of(case: Case) -> Workload:
    return Workload(case, "64", (64,))


# ----- what comes out -----


def test_geometric_mean_and_lowest() -> None:
    (group,) = groups([made("a", 2.0), made("b", None), made("c", 0.5), made("d", 8.0)])
    assert group.geometric_mean == pytest.approx(2.0)
    assert group.lowest == ("c", 0.5)
    assert group.missing == {"b": "torch has none"}
    assert len(group.measured) == 3


def test_groups_are_sizes_opponents_and_variants() -> None:
    found = groups([made("a", 1.0), made("a", 2.0, against="compile"), made("a", 3.0, size="1M")])
    assert [group.geometric_mean for group in found] == pytest.approx([1.0, 2.0, 3.0])
    (nothing,) = groups([made("a", None)])
    assert nothing.geometric_mean is nothing.lowest is nothing.memory is None


def test_memory_is_in_sizes_of_the_gradients() -> None:
    rows = [
        made("a", 1.0, gradient_bytes=100, theirs_memory=300, ours_memory=100),
        made("b", 1.0, gradient_bytes=200, theirs_memory=200, ours_memory=300),
    ]
    assert groups(rows)[0].memory == (3.0, 1.5)


@pytest.fixture
def record() -> Record:
    """Made-up figures of two sizes, against two opponents, and of labels."""
    share = Spread(0.7, 0.6, 0.8)
    rows = (
        made("a", 2.0, of_copy=share, gradient_bytes=4, theirs_memory=12, ours_memory=4),
        made("b", 8.0),
        made("a", 1.5, against="compile"),
        made("b", None, against="compile"),
        made("c", 1.25, against="labels"),
        made("a", 3.0, size="256x1000"),
        made("a", 0.9, variant="compile", against="compile"),
    )
    machine = {"processor": "A Processor", "threads": 2, "torch": "2.13.0+cpu"}
    settings = {"dtype": "float32", "device": "cpu", "seconds_per_row": 0.5}
    return Record("lossmith bench --seconds 0.5", "2026-01-02T03:04:05+00:00", machine, settings, rows)


def test_a_record_is_read_as_it_was_written(record: Record, tmp_path: Path) -> None:
    record.write(tmp_path / "record.json")
    assert Record.read(tmp_path / "record.json") == record
    json.loads((tmp_path / "record.json").read_text(), parse_constant=pytest.fail)  # no NaN, no Infinity


def test_the_machine_is_described() -> None:
    request = Request.of(["mse"], ["64"])
    machine = Record.of("lossmith bench", request, []).machine
    assert set(machine) == {
        "processor", "cores", "threads", "memory_gb", "system", "instruction_sets", "python", "torch", "lossmith"
    }  # fmt: skip
    assert machine["processor"]
    assert machine["threads"] == torch.get_num_threads()


def test_the_block_of_the_readme(record: Record) -> None:
    block = readme_block({"results/a.json": record})
    assert "A Processor, 2 threads, torch 2.13.0, float32, 2026-01-02 ([record](results/a.json)):" in block
    lines = [line for line in block.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == (
        "| 64 | forward + backward | 4.00× (lowest 2.00×, a) | 1.50× (lowest 1.50×, a) | 70%–70% | 1.0 (torch 3.0) |"
    )
    assert any(line.startswith("| 256x1000 | forward + backward | 3.00×") for line in lines)
    assert any(line.startswith("| 64 | both compiled |  | 0.90×") for line in lines)
    assert "takes 1.25 (64) times as long as of labels" in block
    assert "前向 + 反向" in readme_block({"results/a.json": record}, "zh")


def test_a_stale_block_is_found_and_made_anew(record: Record, tmp_path: Path) -> None:
    record.write(tmp_path / "a.json")
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- bench: a.json -->\nstale\n<!-- /bench -->\nafter\n")
    fresh = updated(readme)
    assert fresh != readme.read_text()
    assert fresh == (f"before\n<!-- bench: a.json -->\n{readme_block({'a.json': record})}<!-- /bench -->\nafter\n")
    readme.write_text(fresh)
    assert updated(readme) == fresh


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readmes_show_what_was_recorded(name: str) -> None:
    """If not: `python -m lossmith.bench.readme README.md README.zh-CN.md`."""
    assert updated(ROOT / name) == (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_picture_is_drawn(record: Record, tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib")
    from lossmith.bench.plot import plot

    path = tmp_path / f"ratios.{ending}"
    plot(record, path)
    assert path.read_bytes().startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending])
    plot(dataclasses.replace(record, rows=()), path)
