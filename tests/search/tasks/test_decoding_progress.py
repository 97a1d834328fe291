"""Decoding a large data set prints lines; a small one prints nothing."""

import pytest

from archsieve.search.tasks.decoding_progress import DecodingProgress


def test_a_small_data_set_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = DecodingProgress(first_after_s=1e6)
    for done in range(1, 6):
        progress(done, 5)
    assert capsys.readouterr() == ("", "")


def test_a_large_one_prints_the_first_and_the_last_line_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    progress = DecodingProgress(first_after_s=0.0, every_s=1e6)
    for done in range(1, 3001):
        progress(done, 3000)
    out, err = capsys.readouterr()
    assert out == ""
    first, last = err.splitlines()
    assert "1 of 3,000" in first
    assert "3,000 of 3,000" in last
    assert last.endswith("done")
