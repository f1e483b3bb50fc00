"""The report: opened in a real browser it shows everything, asks for nothing and fits a phone; its curves are true."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_tables import BRANCHES, classes, labels, outliers, plain
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from lossmith.card import Text
from lossmith.guide import Choice, Settings, choose
from lossmith.guide.chooser import Candidate
from lossmith.guide.recipes import RECIPES
from lossmith.guide.report import page, write
from lossmith.guide.report.curves import curves
from lossmith.guide.report.svg import Axis, Figure, number, round_ticks, shortened
from lossmith.guide.tree import TREE, Leaf, Question

QUICK = Settings(folds=3, repeats=1, epochs=3, hidden=8)
SHOWN = ("outliers", "growing noise", "several outputs", "counts", "binary names", "skewed classes", "labels")
SHOWN += ("distributions", "bins", "rare class", "rare value", "pairs", "ranking", "triplets", "interval", "embedding")
PHONE, DESK = 360, 1280
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


# A browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium or Chrome; without one the tests are skipped, but fail in continuous integration."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        words = f"no browser is installed (looked for {', '.join(BROWSERS)}); install Debian's chromium"
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=found)
        yield running
        running.close()


@dataclass
class Opened:
    """A page in the browser, with everything that went wrong in it or was asked for."""

    page: Page
    said: list[str]
    requests: list[str]

    def measure(self, script: str) -> object:
        return self.page.evaluate(script)


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Opens a file at a width; what is said on the console or requested is kept."""
    contexts = []

    def open_file(path: Path, width: int = DESK, dark: bool = False) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light", has_touch=width == PHONE
        )
        contexts.append(context)
        found = Opened(context.new_page(), [], [])

        def hear(message: ConsoleMessage) -> None:
            found.said.append(message.text)

        found.page.on("console", hear)
        found.page.on("pageerror", lambda error: found.said.append(str(error)))
        found.page.on("dialog", lambda dialog: found.said.append(f"dialog: {dialog.message}"))
        context.on("request", lambda request: found.requests.append(request.url))
        found.page.goto(path.as_uri())
        return found

    yield open_file
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Choice]:
    """What is chosen for the made table of a branch, with a small experiment."""
    found: dict[str, Choice] = {}

    def choose_for(branch: str) -> Choice:
        if branch not in found:
            if branch in ASKED:
                make, asked = ASKED[branch]
                found[branch] = choose(make(), "y", settings=QUICK, **asked)
            elif branch in EXAMPLES:
                found[branch] = choose(examples(), settings=QUICK, **EXAMPLES[branch])
            else:
                make, target, *_ = BRANCHES[branch]
                path = tmp_path_factory.mktemp("tried") / "table.csv"
                make().write_csv(path)
                found[branch] = choose(path, target, settings=QUICK)
        return found[branch]

    return choose_for


ASKED = {
    "interval": (plain, {"interval": 0.9}),
    "embedding": (lambda: classes(["a", "b", "c"]), {"embedding": True}),
}
EXAMPLES = {
    "pairs": {"pairs": ["a", "b"], "label": "same"},
    "ranking": {"pairs": ["a", "b"], "label": "better"},
    "triplets": {"triplets": ["a", "b", "c"]},
}


def examples() -> pl.DataFrame:
    """Three examples a row: the second is near the first in half of the rows, the third anywhere."""
    g = np.random.default_rng(0)
    same = g.random(200) < 0.5
    a, c = g.normal(size=(2, 200, 3))
    b = np.where(same[:, None], a + 0.4 * g.normal(size=(200, 3)), g.normal(size=(200, 3)))
    columns = {f"{name}_{i}": values[:, i] for name, values in (("a", a), ("b", b), ("c", c)) for i in range(3)}
    return pl.DataFrame(columns | {"same": same, "better": np.where(a.sum(axis=1) > b.sum(axis=1), 1, -1)})


# What is wrong in a page: elements that stick out of it, words that a drawing cuts or that are too small to read

STICKING_OUT = """() => [...document.querySelectorAll("body *")].filter(each => {
    const box = each.getBoundingClientRect();
    return !each.closest("svg svg, .scroll, pre") && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map(each => each.outerHTML.slice(0, 120))"""
CUT = """() => [...document.querySelectorAll(".figure text")].filter(each => {
    const words = each.getBoundingClientRect(), figure = each.ownerSVGElement.getBoundingClientRect();
    return words.left < figure.left - 1 || words.right > figure.right + 1 || words.top < figure.top - 1
        || words.bottom > figure.bottom + 1;
}).map(each => each.textContent)"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll(".figure text")].map(
    each => parseFloat(getComputedStyle(each).fontSize) * each.ownerSVGElement.getScreenCTM().a))"""
DEAD_LINKS = """() => [...document.querySelectorAll("a")].map(each => each.getAttribute("href")).filter(
    href => !href.startsWith("#") || !document.getElementById(href.slice(1)))"""
TWICE = """() => { const ids = [...document.querySelectorAll("[id]")].map(each => each.id);
    return ids.filter((id, i) => ids.indexOf(id) !== i); }"""
NAMELESS = """() => [...document.querySelectorAll(".figure")].filter(each => each.getAttribute("role") !== "img"
    || each.getAttribute("aria-labelledby").split(" ").some(id => !document.getElementById(id)?.textContent.trim())
).length"""


def sound(found: Opened) -> None:
    """Nothing was said or requested, nothing sticks out, is cut or dead."""
    assert found.said == []
    assert len(found.requests) == 1, found.requests  # the file itself
    assert found.measure("document.documentElement.scrollWidth <= innerWidth"), found.measure(STICKING_OUT)
    assert found.measure(STICKING_OUT) == []
    assert found.measure(CUT) == []
    assert found.measure(DEAD_LINKS) == []
    assert found.measure(TWICE) == []
    assert found.measure(NAMELESS) == 0


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("branch", SHOWN)
def test_it_opens_on_a_phone_and_on_a_desk(tried, opened, tmp_path: Path, branch: str, language: str) -> None:
    path = write(tried(branch), tmp_path / "report.html", language)
    assert path.stat().st_size < 1_000_000
    for width, dark in ((PHONE, False), (DESK, True)):
        found = opened(path, width, dark)
        sound(found)
        assert found.measure(SMALLEST) >= 9.5
        assert found.measure("document.documentElement.lang") == {"en": "en", "zh": "zh-CN"}[language]
        dark_paper = found.measure("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
        assert dark_paper == dark


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_opens_without_an_experiment(chosen, opened, tmp_path: Path, language: str) -> None:
    for branch in ("plain", "classes one-hot"):
        found = opened(write(chosen(branch), tmp_path / f"{branch}.html", language), PHONE)
        sound(found)
        assert found.measure("document.getElementById('experiment')") is None


def test_everything_that_was_found_is_shown(tried, opened, tmp_path: Path) -> None:
    for branch in ("outliers", "counts", "skewed classes", "triplets", "interval", "embedding"):
        choice = replace(tried(branch), warnings=(Text("Look at this first.", "先看这个。"),))
        for language in ("en", "zh"):
            shown = opened(write(choice, tmp_path / "report.html", language)).page.inner_text("body")
            said = [*choice.warnings, *choice.notes, *choice.evidence, *choice.conclusion, *choice.computed]
            said += [choice.leaf.why, choice.leaf.task, choice.final_layer, choice.target, *choice.ruled_out.values()]
            for text in said:
                assert " ".join(text(language).split()) in " ".join(shown.split())
            for candidate in choice.candidates:
                assert candidate.signature in shown
                assert all(number(value) in shown for value in candidate.metrics.values())
            for loss in choice.ruled_out:
                assert loss in shown
            assert choice.snippet.strip() in shown


def test_the_path_is_drawn_through_the_whole_tree(tried, opened, tmp_path: Path) -> None:
    def nodes(node: Question | Leaf) -> int:
        return 1 if isinstance(node, Leaf) else 1 + nodes(node.yes) + nodes(node.no)

    for branch in SHOWN:
        choice = tried(branch)
        found = opened(write(choice, tmp_path / "report.html"))
        assert found.page.locator(".tree li").count() == nodes(TREE)
        taken = [" ".join(words.split()) for words in found.page.locator(".tree .taken > .node").all_inner_texts()]
        answers = ["", *("yes " if step.answer else "no " for step in choice.path)]
        asked = [*(step.asks.en for step in choice.path), f"{choice.recommended.loss} {choice.leaf.task.en}"]
        assert taken == [answer + words for answer, words in zip(answers, asked, strict=True)]


def test_the_snippet_is_copied(tried, opened, tmp_path: Path) -> None:
    choice = tried("binary names")
    found = opened(write(choice, tmp_path / "report.html"))
    found.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    found.page.click(".code button")
    found.page.wait_for_function("document.querySelector('.code button').textContent === 'Copied'")
    assert found.measure("navigator.clipboard.readText()").splitlines() == choice.snippet.splitlines()
    sound(found)


# Data are data

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=https://example.com/x.png onerror='alert(2)'>",
    "</style></svg></title><script>alert(3)</script>",
    "{{ 7 * 7 }}{% raw %}${8*8}",
    "]]>--> & &lt; \\u003c %s %(x)s {outputs} $x^2$",
    "a name that is very long, longer than any phone is wide, and_then_goes_on_without_a_single_space_" * 2,
    "目标列的名称很长很长很长很长很长很长很长很长很长很长很长很长很长很长",
)


@pytest.mark.parametrize("make", ["quantity", "classes", "labels"])
def test_hostile_names_are_shown_as_they_are(saved, opened, tmp_path: Path, make: str) -> None:
    if make == "quantity":
        tables = [(outliers(rows=120).rename({"y": name, "x0": f"{name} 0"}), name) for name in HOSTILE]
    elif make == "classes":
        tables = [(classes(list(HOSTILE)).rename({"x1": HOSTILE[0], "y": HOSTILE[2]}), HOSTILE[2])]
    else:
        tables = [(labels().rename({f"y{i}": HOSTILE[i] for i in range(3)}), list(HOSTILE[:3]))]
    for table, target in tables:
        choice = choose(saved(table), target if isinstance(target, list) else [target], settings=QUICK)
        for language, width in (("en", PHONE), ("zh", DESK)):
            found = opened(write(choice, tmp_path / "report.html", language), width)
            sound(found)
            assert found.measure("document.scripts.length") == 1
            assert found.measure("document.images.length") == 0
            shown = found.page.inner_text("body")
            for name in [target] if isinstance(target, str) else target:
                assert " ".join(name.split()) in " ".join(shown.split())


def test_a_hostile_file_name_is_shown_as_it_is(saved, opened, tmp_path: Path) -> None:
    choice = choose(saved(plain(), "<img src=x onerror=alert(4)>.csv"), "y", train=False)
    found = opened(write(choice, tmp_path / "report.html"), PHONE)
    sound(found)
    assert choice.data in found.page.inner_text("header")
    assert choice.data in found.page.title()


@pytest.mark.parametrize("factor", [1e-12, 1e12, 1e30])
def test_targets_of_any_size_are_drawn(saved, opened, tmp_path: Path, factor: float) -> None:
    table = outliers().with_columns(pl.col("y") * factor)
    found = opened(write(choose(saved(table), "y", settings=QUICK), tmp_path / "report.html"), PHONE)
    sound(found)
    drawn = found.measure("[...document.querySelectorAll('.figure')].map(each => each.outerHTML).join()")
    assert not re.search(r"\b(nan|inf)\b", drawn, re.IGNORECASE)


def test_many_classes_and_columns_stay_readable(saved, opened, tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    many = pl.DataFrame({"x": g.normal(size=600), "y": [f"class {i % 60}" for i in range(600)]})
    wide = pl.DataFrame({"x": g.normal(size=100)} | {f"y{i}": g.normal(size=100) for i in range(12)})
    for table, target in ((many, ["y"]), (wide, [f"y{i}" for i in range(12)])):
        path = write(choose(saved(table), target, settings=QUICK), tmp_path / "report.html")
        assert path.stat().st_size < 1_000_000
        sound(opened(path, PHONE))


def test_a_network_that_diverged_leaves_no_hole_in_the_page(tried, opened, tmp_path: Path) -> None:
    choice = tried("outliers")
    lost, holed, *others = choice.candidates
    curves = lost.scores.curves
    nothing, half = np.full(len(curves.metric), np.nan), np.array([*curves.training[:-1], np.inf])
    lost = replace(lost, scores=replace(lost.scores, curves=replace(curves, validation=nothing, metric=nothing)))
    holed = replace(holed, scores=replace(holed.scores, curves=replace(holed.scores.curves, training=half)))
    choice = replace(choice, candidates=(lost, holed, *others))
    sound(opened(write(choice, tmp_path / "report.html"), PHONE))


# The file


def test_the_same_choice_gives_the_same_bytes(saved, tmp_path: Path) -> None:
    table = saved(plain())
    first, again = (choose(table, "y", settings=QUICK) for _ in range(2))
    one, two = write(first, tmp_path / "1.html"), write(again, tmp_path / "2.html")
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes() != write(first, tmp_path / "3.html", "zh").read_bytes()


def test_folders_are_made_and_the_path_is_returned(chosen, tmp_path: Path) -> None:
    path = write(chosen("plain"), str(tmp_path / "a" / "b" / "report.html"))
    assert path == tmp_path / "a" / "b" / "report.html"
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_another_language_is_refused(chosen, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="language is 'fr', expected 'en' or 'zh'"):
        write(chosen("plain"), tmp_path / "report.html", "fr")
    assert not list(tmp_path.iterdir())


def test_the_page_names_nothing_outside(tried) -> None:
    """Not even what a browser would not fetch at once."""

    class Addresses(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data"))

    found: list[str] = []
    text = page(tried("counts"))
    Addresses().feed(text)
    assert all(address.startswith(("#", "data:,")) for address in found)
    assert not re.search(r"url\(|@import|https?:", re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL))


def test_the_pages_share_no_words(tried) -> None:
    """Each language says everything in its own words: no sentence of one stands in the other."""
    for branch in SHOWN:
        chinese = page(tried(branch), "zh")
        visible = re.sub(r"<(style|script|pre)\b.*?</\1>|<[^>]*>", "\n", chinese, flags=re.DOTALL)
        english = [line for line in visible.splitlines() if re.search(r"[a-z]+ (of|the|is|are|and|to|in) [a-z]+", line)]
        assert english == []
        assert not re.search(r"[一-鿿，。；：]", page(tried(branch), "en"))


# The curves


def _lines(choice: Choice, recipe: str, arguments: dict[str, object], x: np.ndarray, unit: float = 1.0):
    candidate = Candidate(recipe, arguments, RECIPES[recipe].loss)
    return curves(candidate, choice.found, x, unit, spread=2.0 * unit)


def test_curves_of_quantities_are_the_losses_with_their_arguments(chosen) -> None:
    x, unit, delta = np.linspace(-30, 30, 61), 10.0, 0.7
    e = x / unit
    expected = {
        "mse": (e**2, 2 * e),
        "l1": (np.abs(e), np.sign(e)),
        "huber": (np.where(np.abs(e) <= delta, e**2 / 2, delta * (np.abs(e) - delta / 2)), e.clip(-delta, delta)),
    }
    for recipe, (loss, pull) in expected.items():
        (line,) = _lines(chosen("outliers"), recipe, {"delta": delta} if recipe == "huber" else {}, x, unit)
        np.testing.assert_allclose(line.loss, loss, atol=1e-12)
        np.testing.assert_allclose(line.pull, pull, atol=1e-12)
    for line, factor in zip(_lines(chosen("outliers"), "gaussian", {}, x, unit), (0.7, 1.4), strict=True):
        variance = (factor * 2.0) ** 2
        np.testing.assert_allclose(line.loss, (np.log(variance) + e**2 / variance) / 2, atol=1e-12)
        np.testing.assert_allclose(line.pull, e / variance, atol=1e-12)


def test_a_curve_of_counts_pulls_with_the_error(chosen) -> None:
    x = np.linspace(-1.5, 8, 40)
    (line,) = _lines(chosen("counts"), "poisson", {"log_input": True}, x)
    count = float(re.search(r"count (\d+)", line.label.en)[1])
    np.testing.assert_allclose(line.pull, x, atol=1e-9)
    np.testing.assert_allclose(line.loss, (count + x) - count * np.log(count + x), atol=1e-9)


def test_curves_of_classes_run_over_the_log_odds(chosen) -> None:
    x = np.linspace(-6, 6, 49)
    p = 1 / (1 + np.exp(-x))
    for branch, recipe in (("binary names", "binary"), ("classes as names", "cross_entropy"), ("labels", "labels")):
        (line,) = _lines(chosen(branch), recipe, {}, x)
        np.testing.assert_allclose(line.loss, -np.log(p), atol=1e-9)
        np.testing.assert_allclose(line.pull, p - 1, atol=1e-9)
    yes, no = _lines(chosen("binary names"), "binary_pos_weight", {"pos_weight": 3.0}, x)
    np.testing.assert_allclose(yes.loss, -3 * np.log(p), atol=1e-9)
    np.testing.assert_allclose(no.pull, p - 1, atol=1e-9)
    heavy, light = _lines(chosen("classes as names"), "cross_entropy_weight", {"weight": [0.5, 2.0, 1.0]}, x)
    np.testing.assert_allclose(heavy.loss, -2 * np.log(p), atol=1e-9)
    np.testing.assert_allclose(light.loss, -0.5 * np.log(p), atol=1e-9)
    assert (heavy.label.en, light.label.en) == ("class b (the heaviest)", "class a (the lightest)")
    (smoothed,) = _lines(chosen("classes as names"), "cross_entropy_smoothed", {"label_smoothing": 0.3}, x)
    np.testing.assert_allclose(smoothed.pull, p - (0.7 + 0.1), atol=1e-9)
    (squared,) = _lines(chosen("labels"), "mse_of_labels", {}, x)
    np.testing.assert_allclose(squared.loss, (1 - p) ** 2, atol=1e-9)
    (margin,) = _lines(chosen("classes as names"), "multi_margin", {}, x)
    np.testing.assert_allclose(margin.loss, 2 / 3 * np.maximum(0, 1 - x - np.log(2)), atol=1e-9)


def test_curves_of_shares_are_least_at_the_share(chosen) -> None:
    x = np.linspace(-0.2, 0.4, 61)
    for recipe in ("kl", "mse_of_shares", "l1_of_shares"):
        arguments = {"reduction": "batchmean"} if recipe == "kl" else {}
        (line,) = _lines(chosen("distributions"), recipe, arguments, x)
        assert line.loss.min() == pytest.approx(0, abs=1e-9)
        assert x[line.loss.argmin()] == pytest.approx(0, abs=1e-9)
        assert np.all(line.pull[x < -0.01] < 0) and np.all(line.pull[x > 0.01] > 0)
    (line,) = _lines(chosen("distributions"), "kl", {"reduction": "batchmean"}, x)
    share = float(re.search(r"share of ([\d.]+)", line.label.en)[1])
    q = share + x
    divergence = share * np.log(share / q) + (1 - share) * np.log((1 - share) / (1 - q))
    np.testing.assert_allclose(line.loss, divergence, atol=0.02)  # the label rounds the share to two digits


def test_curves_of_pairs_and_triplets(tried) -> None:
    cosine, distance, lead = np.linspace(-0.99, 0.99, 67), np.linspace(0.05, 3, 60), np.linspace(-3, 3, 60)
    alike, unlike = _lines(tried("pairs"), "cosine_pairs", {"margin": 0.3}, cosine)
    np.testing.assert_allclose(alike.loss, 1 - cosine, atol=1e-9)
    np.testing.assert_allclose(alike.pull, -1, atol=1e-9)
    np.testing.assert_allclose(unlike.loss, (cosine - 0.3).clip(0), atol=1e-9)
    alike, unlike = _lines(tried("pairs"), "hinge_pairs", {}, distance)
    np.testing.assert_allclose(alike.loss, distance)
    np.testing.assert_allclose(unlike.loss, (1 - distance).clip(0))
    (line,) = _lines(tried("ranking"), "ranking", {"margin": 1.0}, lead)
    np.testing.assert_allclose(line.loss, (1 - lead).clip(0))
    np.testing.assert_allclose(line.pull, np.where(lead < 1, -1, 0))
    (line,) = _lines(tried("ranking"), "ranking_softly", {}, lead)
    np.testing.assert_allclose(line.loss, np.log1p(np.exp(-lead)))
    for arguments in ({}, {"swap": True}):
        (line,) = _lines(tried("triplets"), "triplet", arguments, lead)
        np.testing.assert_allclose(line.loss, (1 - lead).clip(0), atol=1e-5)  # torch adds 1e-6 to each difference


# The drawing


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.integers(2, 9))
def test_ticks_are_round_and_inside(low: float, span: float, most: int) -> None:
    high = low + span
    if not high - low > 1e-9 * abs(low):
        return
    ticks = round_ticks(low, high, most)
    values = [value for value, _ in ticks]
    assert 1 <= len(values) <= most
    assert values == sorted(set(values))
    assert all(low - 1e-6 * span <= value <= high + 1e-6 * span for value in values)


@given(st.floats(-1e300, 1e300))
def test_a_number_reads_as_it_is(value: float) -> None:
    text = number(value)
    assert len(text) <= 10
    assert float(text.replace("−", "-")) == pytest.approx(value, rel=6e-3)


@given(st.text(), st.integers(2, 20))
def test_a_name_is_shortened_only_where_it_must_be(words: str, most: int) -> None:
    short = shortened(words, most)
    assert short == words or (short.endswith("…") and words.startswith(short[:-1]))
    assert sum(1 if ord(letter) < 0x2E80 else 2 for letter in short.removesuffix("…")) <= most


def test_an_axis_has_a_length_and_finite_ends() -> None:
    assert (Axis(3.0, 3.0).low, Axis(3.0, 3.0).high) == (1.5, 4.5)
    assert (Axis(0.0, 0.0).low, Axis(0.0, 0.0).high) == (-1.0, 1.0)
    with pytest.raises(ValueError, match="from nan to 1"):
        Axis(float("nan"), 1.0)


@given(st.lists(st.floats(), min_size=2, max_size=20))
def test_a_line_far_outside_of_the_frame_stays_a_drawing(values: list[float]) -> None:
    figure = Figure("f", "title", "what it shows", Axis(0, len(values)), Axis(-1, 1))
    figure.line(range(len(values)), values, 0)
    drawn = re.search(r'points="([^"]*)"', figure.svg())[1].split()
    assert len(drawn) == sum(value == value for value in values)
    for pair in drawn:
        assert all(abs(float(length)) < 1e4 for length in pair.split(","))
