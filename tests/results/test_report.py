import re
from html.parser import HTMLParser

import pytest

from archsieve.results.records import TrialState
from archsieve.results.report import write_report


class Page(HTMLParser):
    """Tags, what they load, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.titles: list[str] = []
        self.text = ""
        self._open = [""]
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "data", "poster", "srcset")]
        if tag not in ("meta", "br", "link", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        if self._open[-1] in ("h1", "h2"):
            self.titles.append(data)
        if self._open[-1] not in ("script", "style"):
            self.text += data


@pytest.fixture
def read(store, tmp_path):
    def write(run: str = "digits") -> tuple[Page, str]:
        html = write_report(store, run, tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        page = Page(html)
        assert page.loads == []
        assert "default-src 'unsafe-inline'" in html
        assert "@import" not in html.split("<script>")[0]
        assert html.count("* plotly.js v") == 1
        return page, html

    return write


def drawn(html: str) -> set[str]:
    return set(re.findall(r'Plotly\.newPlot\(\s*"([^"]+)"', html))


def test_a_run_without_trials(read, new_run):
    new_run()
    page, html = read()
    assert page.titles == ["archsieve: digits", "What was searched", "The best trials", "Where it comes from"]
    assert "run 'digits' has no trials yet" in page.text
    assert "archsieve search 'my file.toml'" in page.text
    assert drawn(html) == set()


def test_a_run_that_only_failed(read, new_run, complete):
    run_id = new_run()
    complete(run_id, "f0", None)
    complete(run_id, "f1", None)
    page, html = read()
    assert "none has a validation accuracy: 2 failed" in page.text
    assert "Failures" in page.titles
    assert drawn(html) == {"failures"}
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
    assert drawn(html) == {"cost-0", "cost-1", "curves", "layers-params", "layers-macs", "failures"}
    for fact in (
        "digits (finished)",
        "params <= 60.0k and macs <= 6.00M",
        "random, seed 3",
        "archsieve 0.1.0",
        "0.9600",
    ):
        assert fact in page.text
    assert "test accuracy of 0.9375: measured, never used to choose" in page.text
    assert "budget 60.0k" in html
    assert html.count("trial 7") > 0
    assert "7 completed, 1 failed" in page.text


def test_hostile_names_are_escaped(read, new_run, complete):
    evil = "</script><script>alert(1)</script><img src=http://evil.example/x>"
    dataset = {"content_hash": "d9", "name": evil}
    run_id = new_run(dataset=dataset, searcher=evil, config={"name": evil}, provenance={"argv": [evil], "note": evil})
    complete(run_id, "f0", 0.9)
    page, html = read()
    assert evil in page.text
    assert evil not in html
    assert "img" not in page.tags


def test_a_foreign_config_does_not_stop_the_report(read, new_run, complete):
    complete(new_run(config={"budget": "as small as you like"}, provenance={}), "f0", 0.9)
    page, _ = read()
    assert "no limit" in page.text
    assert "The command was not recorded." in page.text


def test_where_a_report_may_go(store, new_run, tmp_path):
    new_run()
    with pytest.raises(ValueError, match="is a folder"):
        write_report(store, "digits", tmp_path)
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        write_report(store, "digit", tmp_path / "x.html")
    path = tmp_path / "x.html"
    path.write_text("old")
    assert write_report(store, "digits", str(path)) == path
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".html") == ["x.html"]
