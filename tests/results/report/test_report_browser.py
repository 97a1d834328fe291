"""The report in a real browser without network access."""

import random
import re
import shutil

import pytest

from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.database.store import open_store
from archsieve.results.report.report import write_report
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.cost import cost, layer_costs
from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Inception, Residual

pytestmark = pytest.mark.slow
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
ARGUMENTS += ["--disable-sync", "--no-first-run"]
FINAL_METRICS = {
    *("network-0", "network-1", "network-2", "cost-0", "cost-1", "curves-val_accuracy", "curves-val_loss"),
    *("layers-params", "layers-macs", "importance", "failures"),
}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of thirty trials, of which three failed, with names that contain HTML."""
    folder, rng = tmp_path_factory.mktemp("report"), random.Random(0)
    with open_store(folder / "archsieve.db", create=True) as store:
        data = {"content_hash": "d", "name": "<b>digits</b>", "n_train": 1000, "n_val": 300, "n_classes": 10}
        config = {"budget": {"params": "60k", "macs": "6M"}}
        provenance = {"argv": ["archsieve", "search", "</script><img src=x>"], "versions": {"torch": "2"}}
        run_id = store.create_run("digits", config, "tpe", 0, data, provenance)
        for number in range(30):
            _train(store, run_id, number, rng)
        store.finish_run(run_id, "finished")
        return write_report(store, "digits", folder / "report.html")


def _train(store, run_id, number, rng):
    width, lr = 8 + number, rng.choice([0.01, 0.1, 1.0])
    blocks = (Conv(width), ConvPool(width), Residual(2 * width), Inception(32), GlobalAverage())
    architecture = Architecture((1, 8, 8), blocks, 10)
    costs = cost(architecture)
    trial = store.propose(
        run_id,
        architecture=architecture.to_json(),
        fingerprint=architecture.fingerprint,
        cost={name: getattr(costs, name) for name in ("params", "macs", "activations", "memory_bytes")},
        layers=[layer.to_json() for layer in layer_costs(architecture)],
        choices={"1.conv.width": width},
        recipe={"lr": lr, "dropout": rng.random()},
        seed=number,
    ).trial
    store.start(trial)
    if number % 8 == 7:
        store.finish(trial, TrialState.FAILED, fail_kind=FailKind.OOM, reason="<script>alert(1)</script>")
        return
    best = {0.01: 0.9, 0.1: 0.95, 1.0: 0.6}[lr] + width / 1000
    for epoch in range(1, 6):
        store.record_epoch(trial, epoch, {"val_accuracy": best * epoch / 5, "val_loss": 3.0**-epoch})
    store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": best, "best_epoch": 5, "test_accuracy": 0.9})


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install 'archsieve[browser]'")
    if CHROMIUM is None:
        pytest.skip("no chromium; Debian's: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, report):
    """Open the report in an offline browser: the page, and a list of errors, dialogs and network requests."""
    contexts = []

    def open_(**settings):
        context = chromium.new_context(offline=True, **settings)
        contexts.append(context)
        page, problems = context.new_page(), []
        page.on("console", lambda message: problems.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message) or dialog.dismiss())
        page.on(
            "request",
            lambda request: request.url.startswith(("file:", "data:", "blob:")) or problems.append(request.url),
        )
        page.goto(report.as_uri())
        page.wait_for_function(f"document.querySelectorAll('.js-plotly-plot .main-svg').length >= {len(FINAL_METRICS)}")
        return page, problems

    yield open_
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn_inside_the_page_without_errors(opened, width, scheme):
    page, problems = opened(viewport={"width": width, "height": 900}, color_scheme=scheme)
    ids = page.eval_on_selector_all(".js-plotly-plot", "all => all.map(each => each.id)")
    assert set(ids) == FINAL_METRICS
    for name in FINAL_METRICS:
        n_marks = page.eval_on_selector_all(f"#{name} .point, #{name} .lines path", "all => all.length")
        assert n_marks > 0, name
    responsive = FINAL_METRICS - {"network-0", "network-1", "network-2"}
    for name in responsive:
        inner, outer = page.evaluate(
            "id => { const e = document.getElementById(id), b = e.querySelector('.main-svg').getBoundingClientRect(),"
            " o = e.closest('figure').getBoundingClientRect(); return [b.width, o.width] }",
            name,
        )
        assert inner <= outer + 1, f"{name} is cut off"
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # the page itself never scrolls sideways
    assert problems == []


def test_the_colors_follow_the_readers_color_scheme(opened):
    lightness = {}
    for scheme in ("light", "dark"):
        page, _ = opened(color_scheme=scheme)
        paper, ink = page.evaluate(
            "() => { const s = getComputedStyle(document.body); return [s.backgroundColor, s.color] }"
        )
        tick = page.eval_on_selector("#cost-0 .xtick text", "tick => getComputedStyle(tick).fill")
        label = page.eval_on_selector("#network-0 .annotation-text", "text => getComputedStyle(text).fill")
        assert tick == label == ink
        lightness[scheme] = (_lightness(paper), _lightness(ink))
    assert lightness["light"][0] > 200 > 60 > lightness["light"][1]
    assert lightness["dark"][0] < 60 < 200 < lightness["dark"][1]


def _lightness(color):
    channels = [int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(channels) / 3


def test_hovering_shows_the_trial_and_its_cost(opened):
    page, problems = opened(viewport={"width": 1280, "height": 900})
    page.locator("#cost-0").scroll_into_view_if_needed()
    box = page.locator("#cost-0 .point").first.bounding_box()
    page.mouse.move(box["x"] - 30, box["y"] - 30)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.wait_for_selector("#cost-0 .hoverlayer .hovertext")
    hover_text = page.locator("#cost-0 .hoverlayer .hovertext").first.text_content()
    assert "trial" in hover_text
    assert "params" in hover_text
    page.locator("#network-0").scroll_into_view_if_needed()
    bar = page.locator("#network-0 .point").nth(1).bounding_box()
    page.mouse.move(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2, steps=5)
    page.wait_for_selector("#network-0 .hoverlayer .hovertext")
    assert "output" in page.locator("#network-0 .hoverlayer .hovertext").first.text_content()
    assert problems == []


def test_names_are_shown_as_text_and_collapsed_parts_open(opened):
    page, problems = opened()
    assert page.locator("img").count() == 0
    assert "</script><img src=x>" in page.inner_text("body")
    assert "<script>alert(1)</script>" in page.inner_text("body")
    assert "fingerprint" not in page.inner_text("body")
    page.locator("summary").first.click()
    assert "fingerprint" in page.inner_text("body")
    assert problems == []


def test_the_report_prints(opened, tmp_path):
    page, problems = opened(color_scheme="dark")
    page.emulate_media(media="print")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert _lightness(paper) == 255  # also with a dark color scheme
    printed = page.pdf(path=str(tmp_path / "report.pdf"))
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", printed)) >= 3
    assert problems == []


def test_the_page_is_small_enough_for_e_mail(report):
    assert report.stat().st_size < 6_000_000
