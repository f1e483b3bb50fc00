"""`python -m benchmarks`: lossmith inside torch.compile against torch.nn there, and the compile time of CTC."""

import argparse
import json
import platform
import time
import warnings
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

import lossmith

from .losses import calls
from .paired import Ratio, forward_backward, paired


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--loss", nargs="*", help="only losses whose name contains one of these")
    parser.add_argument("--size", nargs="*", type=int, default=[64, 1 << 20, 1 << 24], help="elements of the input")
    parser.add_argument("--seconds", type=float, default=3.0, help="measuring time of each pair")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    asked = parser.parse_args()
    console = Console()
    warnings.simplefilter("ignore")
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for size in asked.size:
        found = {}
        labels = [name for name in calls(64) if not asked.loss or any(part in name for part in asked.loss)]
        for label in track(labels, f"{size} elements", console=Console(stderr=True)):
            if label == "multilabel_margin_loss" and size > 1 << 16:
                continue  # torch.nn compiled asks for rows x classes x classes: gigabytes from here on
            found[label] = compiled(label, size, asked.seconds)
        figures[str(size)] = {label: asdict(ratio) for label, ratio in found.items()}
        console.print(table(size, found))
    seconds = None
    if not asked.loss or any("ctc" in part for part in asked.loss):
        seconds = ctc_compile_seconds()
        console.print(
            f"ctc_loss of 400 frames, batch 32, 80 classes: compiled, forward and backward, in {seconds:.1f} s"
        )
    if asked.json:
        record = {
            "machine": machine(),
            "seconds_per_pair": asked.seconds,
            "compiled": figures,
            "ctc_compile_s": seconds,
        }
        asked.json.write_text(json.dumps(record, indent=1) + "\n")


def compiled(label: str, size: int, seconds: float) -> Ratio:
    """theirs / ours, forward and backward, both compiled."""
    torch.manual_seed(0)
    torch.compiler.reset()
    name, make = calls(size)[label]
    args, kwargs = make()
    theirs = torch.compile(getattr(torch.nn.functional, name), dynamic=False)
    ours = torch.compile(getattr(lossmith.functional, name), dynamic=False, fullgraph=True)
    return paired(forward_backward(theirs, args, kwargs), forward_backward(ours, args, kwargs), seconds)


def ctc_compile_seconds() -> float:
    """Seconds until the first value and gradient of a compiled CTC of 400 frames."""
    torch.compiler.reset()
    log_probs = torch.randn(400, 32, 80).log_softmax(-1).requires_grad_()
    targets = torch.randint(1, 80, (32, 60))
    lengths = torch.full((32,), 400), torch.full((32,), 60)
    start = time.perf_counter()
    torch.compile(lossmith.functional.ctc_loss, fullgraph=True)(log_probs, targets, *lengths).backward()
    return time.perf_counter() - start


def table(size: int, found: dict[str, Ratio]) -> Table:
    result = Table(title=f"{size} elements, float32, forward + backward, both compiled")
    for column in ("loss", "torch.nn, ms", "lossmith, ms", "ratio", "quartiles"):
        result.add_column(column, justify="left" if column == "loss" else "right")
    for label, r in found.items():
        result.add_row(
            label, f"{r.theirs_ms:.3f}", f"{r.ours_ms:.3f}", f"{r.median:.2f}", f"{r.low:.2f} to {r.high:.2f}"
        )
    return result


def machine() -> dict[str, object]:
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "processor": model,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "lossmith": lossmith.__version__,
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


if __name__ == "__main__":
    main()
