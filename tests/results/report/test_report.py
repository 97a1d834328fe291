"""The HTML report: what the page contains, its figures, and how it treats incomplete and hostile data."""

import math
import random
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from archsieve.results.analysis.importance import importances
from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.query.run_summary import POINT_COLUMNS
from archsieve.results.report import plots
from archsieve.results.report.architecture_figure import SLOT_PX, draw
from archsieve.results.report.report import write_report
from archsieve.results.report.zero_shot_section import explanation_parts
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.catalogue import CATALOGUE
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, Residual


class Page(HTMLParser):
    """The tags of a page, the URLs that they load, the titles, and the visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded_urls: list[str] = []
        self.titles: list[str] = []
        self.text = ""
        self._open_tags = [""]
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded_urls += [value for name, value in attrs if name in ("src", "href", "data", "poster", "srcset")]
        if tag not in ("meta", "br", "link", "img"):
            self._open_tags.append(tag)

    def handle_endtag(self, tag):
        if tag in self._open_tags:
            while self._open_tags.pop() != tag:
                pass

    def handle_data(self, data):
        if self._open_tags[-1] in ("h1", "h2"):
            self.titles.append(data)
        if self._open_tags[-1] not in ("script", "style"):
            self.text += data


@pytest.fixture
def read(store, tmp_path):
    def write(run: str = "digits") -> tuple[Page, str]:
        html = write_report(store, run, tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        page = Page(html)
        assert page.loaded_urls == []
        assert "default-src 'unsafe-inline'" in html
        assert "@import" not in html.split("<script>")[0]
        assert html.count("* plotly.js v") == 1
        return page, html

    return write


def figure_ids(html: str) -> set[str]:
    return set(re.findall(r'Plotly\.newPlot\(\s*"([^"]+)"', html))


def test_a_run_without_trials(read, new_run):
    new_run()
    page, html = read()
    assert page.titles == ["archsieve: digits", "Summary", "Best trials", "How to reproduce this run"]
    assert "run 'digits' has no trials" in page.text
    assert "archsieve search 'my file.toml'" in page.text
    assert figure_ids(html) == set()


def test_unknown_facts_are_left_out(read, new_run, complete):
    """An imported run has no image shape and no counts of images."""
    data = {"content_hash": "d1", "name": "elsewhere"}
    complete(new_run(dataset=data, provenance={"argv": ["import"]}), "f0", 0.9)
    page, _ = read()
    assert "elsewhere" in page.text
    assert "None" not in page.text
    assert "image shape" not in page.text


def test_a_run_that_only_failed(read, new_run, complete):
    run_id = new_run()
    complete(run_id, "f0", None)
    complete(run_id, "f1", None)
    page, html = read()
    assert re.search("no best trial.* 2 failed", page.text)
    assert "Failed trials" in page.titles
    assert figure_ids(html) == {"failures"}
    assert "<b>no memory</b>" in page.text
    assert "<b>no memory" not in html


def test_a_run_with_results(read, new_run, complete, store):
    run_id = new_run()
    for i in range(7):
        complete(run_id, f"f{i}", 0.9 + i / 100, params=1000 + 100 * i)
    complete(run_id, "f7", None)
    store.finish(7, TrialState.COMPLETED, summary={"test_accuracy": 0.9375})
    store.finish_run(run_id, "finished")
    page, html = read()
    assert figure_ids(html) == {
        *("cost-0", "cost-1", "curves-val_accuracy", "curves-val_loss"),
        *("layers-params", "layers-macs", "failures"),
    }
    for fact in (
        "digits (finished)",
        "params <= 60.0k and macs <= 6.00M",
        "random, seed 3",
        "archsieve 0.1.0",
        "0.9600",
    ):
        assert fact in page.text
    assert re.search(r"test accuracy is 0\.9375\. .*never used to select", page.text)
    assert "best validation accuracy" in page.text
    assert "{" not in page.text.partition("Best trials")[0]
    assert "budget 60.0k" in html
    assert html.count("trial 7") > 0
    assert "7 completed, 1 failed" in page.text


def test_values_that_are_not_finite_do_not_stop_the_report(read, new_run, complete, propose, store):
    """One trial is complete, one diverged and failed, and one completed with a loss that is not finite."""
    run_id = new_run()
    complete(run_id, "f0", 0.9)
    diverged = propose(run_id, "f1")
    store.record_epoch(diverged.trial, 1, {"train_loss": math.nan, "val_loss": math.inf, "val_accuracy": math.nan})
    store.finish(diverged.trial, TrialState.FAILED, fail_kind=FailKind.DIVERGED, reason="Diverged: loss is nan")
    odd = complete(run_id, "f2", 0.8)
    store.record_epoch(odd.trial, 3, {"train_loss": math.nan, "val_loss": -math.inf, "val_accuracy": 0.8})
    page, html = read()
    assert "0.9000" in page.text
    assert "2 completed, 1 failed" in page.text
    assert "curves-val_loss" in figure_ids(html)
    assert "Diverged: loss is nan" in page.text


def test_the_summary_states_goal_result_uncertainty_and_command(read, new_run, complete):
    run_id = new_run()
    complete(run_id, "f0", 0.9)
    complete(run_id, "f1", 0.8, params=2_000_000)
    page, _ = read()
    for fact in (
        "highest validation accuracy on digits (images: 1,000 for training, 300 for validation",
        "the budget params <= 60.0k and macs <= 6.00M",
        "trial 1 has the highest validation accuracy, 0.9000, with 1,370 parameters",
        "300 validation images",
        "95 % interval 0.8608 to 0.9291",  # Wilson
        "trial 1 has no stored predictions",
        "archsieve search 'my file.toml'",
    ):
        assert fact in page.text


def test_the_best_networks_are_drawn(read, new_run, store):
    run_id = new_run()
    for width, accuracy in ((8, 0.7), (16, 0.9), (16, 0.8)):
        architecture = Architecture((1, 8, 8), (Conv(width), Conv(width), Residual(2 * width)), 10)
        costs = cost(architecture)
        trial = store.propose(
            run_id,
            architecture=architecture.to_json(),
            fingerprint=architecture.fingerprint,
            cost={name: getattr(costs, name) for name in ("params", "macs", "activations", "memory_bytes")},
            choices={},
            recipe={"lr": 0.1},
            seed=1,
        ).trial
        store.start(trial)
        store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": accuracy})
    page, html = read()
    assert {"network-0", "network-1"} <= figure_ids(html)  # equal networks are drawn once
    assert "network-2" not in figure_ids(html)
    assert "2 x conv 16 > residual 32" in page.text


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet-2012", "vgg16", "googlenet-2014", "prelu-net-b", "resnet152", "resnet110-cifar"),
        *("mobilenet_v3_large", "efficientnet_v2_s", "shufflenet_v2_x1_0", "squeezenet1_0", "densenet121"),
        *("regnet_y_400mf", "convnext_tiny", "inception_v3"),
    ],
)
def test_every_classic_network_can_be_drawn(name):
    architecture = CATALOGUE[name]()
    figure = draw(architecture)
    assert figure.data[0].name == "input"
    assert figure.data[-1].name == "output"
    assert sum(len(bars.x) for bars in figure.data) <= len(architecture.blocks) + 2
    assert figure.layout.width >= SLOT_PX * len(figure.data)
    assert len(figure.layout.annotations) == len(figure.data)
    params = [int(re.search(r"params ([\d,]+)", bars.hovertemplate)[1].replace(",", "")) for bars in figure.data[1:]]
    assert sum(params) == architecture.cost.params


def test_importance_ranks_the_choices_that_affect_accuracy(read, new_run, store):
    rng, run_id = random.Random(0), new_run()
    for _ in range(40):
        lr, width, noise = rng.choice([0.01, 0.1, 1.0]), rng.randint(0, 2), rng.random()
        trial = proposed(store, run_id, {"lr": lr, "noise": noise, "always": 1}, {"2.conv.width": width})
        store.start(trial)
        accuracy = {0.01: 0.9, 0.1: 0.7, 1.0: 0.2}[lr] + 0.02 * width
        store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": accuracy})
    result = importances(store.trials())
    assert result.choices[0].name == "recipe.lr"
    assert {choice.name for choice in result.choices} == {"recipe.lr", "recipe.noise", "choices.2.conv.width"}
    assert result.choices[0].mean > 10 * abs(result.choices[-1].mean)
    assert result.n == 40
    assert result.r2 > 0.9
    assert importances(store.trials()) == result  # deterministic
    page, html = read()
    assert "importance" in figure_ids(html)
    assert "(n = 40)" in page.text


def test_importance_is_not_reported_for_few_trials_or_random_accuracies(read, new_run, store):
    rng, run_id = random.Random(0), new_run()
    assert importances(store.trials()) is None
    for number in range(30):
        trial = proposed(store, run_id, {"noise": rng.random()}, {})
        store.start(trial)
        store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": rng.random()})
        if number == 5:
            assert importances(store.trials()) is None
            assert "at least 12 finished trials" in read()[0].text
    assert not importances(store.trials()).is_informative
    page, html = read()
    assert re.search("30 trials.*R² = ", page.text)
    assert "importance" not in figure_ids(html)


def proposed(store, run_id, recipe, choices):
    costs = dict.fromkeys(("params", "macs", "activations", "memory_bytes"), 1)
    return store.propose(
        run_id, architecture={}, fingerprint="f", cost=costs, choices=choices, recipe=recipe, seed=1
    ).trial


def test_a_large_run_is_drawn_with_its_best_trials_and_the_front_of_all_trials():
    values = [0.5 + i / 20_000 for i in reversed(range(plots.MAX_POINTS + 500))]
    many = [(i, True, 10_000 - i, 7, value, value, math.nan) for i, value in enumerate(values)]
    cheap = (9000, True, 1, 7, 0.01, 0.01, math.nan)
    figure = plots.metric_against("params", np.array([*many, cheap], POINT_COLUMNS), 2000)
    points, front, *_ = figure.data
    assert len(points.x) == plots.MAX_POINTS
    assert min(points.y) > 0.01
    assert front.x[0] == 1
    assert "5,000 of 5,501" in points.name
    assert figure.layout.xaxis.type == "log"


def test_hostile_names_are_escaped(read, new_run, complete):
    evil = "</script><script>alert(1)</script><img src=http://evil.example/x>"
    dataset = {"content_hash": "d9", "name": evil}
    run_id = new_run(dataset=dataset, searcher=evil, config={"name": evil}, provenance={"argv": [evil], "note": evil})
    complete(run_id, "f0", 0.9)
    page, html = read()
    assert evil in page.text
    assert evil not in html
    assert "img" not in page.tags


def test_unreadable_settings_do_not_stop_the_report(read, new_run, complete):
    complete(new_run(config={"budget": "as small as you like"}, provenance={}), "f0", 0.9)
    page, _ = read()
    assert "no limit" in page.text
    assert "The command was not recorded." in page.text


def test_a_report_replaces_a_file_but_not_a_folder(store, new_run, tmp_path):
    new_run()
    with pytest.raises(ValueError, match="is a folder"):
        write_report(store, "digits", tmp_path)
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        write_report(store, "digist", tmp_path / "x.html")
    path = tmp_path / "x.html"
    path.write_text("old")
    assert write_report(store, "digits", str(path)) == path
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".html") == ["x.html"]


def test_the_important_words_are_marked_in_the_text():
    words = [{"word": "crest", "drop": 0.2}]
    entry = {"class": "hoopoe", "text": "Its <Crest> and crests, crested.", "pr_auc": 0.5, "words": words}
    shown = {"right": [], "wrong": []}
    page = "".join(explanation_parts([{**entry, **shown, "marked": ["crest", "crests"]}], whole=True))
    assert "&lt;<mark>Crest</mark>&gt; and <mark>crests</mark>, crested." in page
    older = "".join(explanation_parts([{**entry, **shown, "text": "a crest " * 99}]))
    assert older.count("<mark>crest</mark>") == 49  # in 400 characters with the ellipsis
