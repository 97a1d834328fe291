"""Questions in words, answered by the database and by brute force."""

import operator
import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from archsieve.results.database import schema
from archsieve.results.database.records import rank
from archsieve.results.database.zero_shot_records import OF_ZERO_SHOT
from archsieve.results.query.columns import COLUMNS, NUMBER
from archsieve.results.query.expression_query import ask
from archsieve.results.query.parser import LONGEST, QueryError

sqlite_only = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # where the engine plays no part
RELATIONS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@pytest.fixture
def trials(store, new_run, propose):
    """Two hundred random trials with few distinct figures, some of them missing, in two runs."""
    rng = random.Random(4)
    runs = [new_run("first"), new_run("second", searcher="tpe", dataset={"content_hash": "d2", "name": "shapes"})]
    propose(runs[0], "f0")
    began = datetime(2026, 11, 20, tzinfo=UTC)
    rows = []
    for number in range(1, 101):
        for run_id in runs:
            recipe = {"lr": rng.choice([0.1, 0.2, 1]), "optimizer": rng.choice(["sgd", "adam"])}
            recipe |= rng.choice([{}, {"nesterov": rng.random() < 0.5}, {"odd": 3}, {"odd": "three"}])
            row = {
                "run_id": run_id,
                "number": number,
                "state": rng.choice(["completed", "failed", "stopped_early", "queued"]),
                "fingerprint": "f0",
                "choices": {"1.conv.width": rng.randint(0, 2)},
                "recipe": recipe,
                "seed": 0,
                "created_at": began + timedelta(days=rng.randint(0, 4)),
                "val_accuracy": rng.choice([None, 0.5, 0.75, 0.9]),
                "val_loss": rng.choice([None, 0.5, 2.5]),
                **{name: rng.randint(1, 5) * 1000 for name in ("params", "macs", "activations", "memory_bytes")},
            }
            rows.append({**row, "fail_kind": rng.choice(["oom", "bug"]) if row["state"] == "failed" else None})
    with store.writing() as connection:
        connection.execute(schema.trial.insert(), rows)
    return store.trials()


def figure(trial, name):
    part, _, key = name.partition(".")
    value = getattr(trial, part)
    return value.get(key) if key else value


def random_atom(rng):
    """A condition as text, and as a function to True, False or None (unknown), by the laws of SQL."""
    kind = rng.choice(["number", "text", "in", "null", "two", "flag"])
    symbol = rng.choice(list(RELATIONS))
    if kind == "number":
        name = rng.choice(
            ["params", "macs", "val_accuracy", "val_loss", "recipe.lr", "choices.1.conv.width", "val_error"]
        )
        value, text = rng.choice([(3000, "3k"), (0.75, "0.75"), (1, "1"), (2.5, "2.5"), (0.1, "1e-1")])
        if rng.random() < 0.3:
            return f"{text} {symbol} {name}", lambda t: known(RELATIONS[symbol], value, figure(t, name))
        return f"{name} {symbol} {text}", lambda t: known(RELATIONS[symbol], figure(t, name), value)
    if kind == "text":
        name, value = rng.choice([("state", "completed"), ("fail_kind", "oom"), ("recipe.optimizer", "sgd")])
        return f'{name} {symbol} "{value}"', lambda t: known(RELATIONS[symbol], figure(t, name), value)
    if kind == "in":
        word = rng.choice(["in", "not in"])
        held = lambda t: None if t.fail_kind is None else (t.fail_kind in ("oom", "data")) == (word == "in")  # noqa: E731
        return f"fail_kind {word} ('oom', 'data')", held
    if kind == "null":
        name, word = rng.choice(["val_loss", "recipe.nesterov", "fail_kind"]), rng.choice(["is", "is not"])
        return f"{name} {word} null", lambda t: (figure(t, name) is None) == (word == "is")
    if kind == "two":
        return f"params {symbol} macs", lambda t: RELATIONS[symbol](t.params, t.macs)
    return "recipe.nesterov = true", lambda t: known(operator.eq, figure(t, "recipe.nesterov"), True)


def known(relation, left, right):
    return None if left is None or right is None else relation(left, right)


def random_question(rng, depth):
    if depth == 0 or rng.random() < 0.2:
        return random_atom(rng)
    if rng.random() < 0.25:
        text, holds = random_question(rng, depth - 1)
        return f"not ({text})", lambda t: None if holds(t) is None else not holds(t)
    word = rng.choice(["and", "or"])
    (left, first), (right, second) = random_question(rng, depth - 1), random_question(rng, depth - 1)
    decisive = word == "or"

    def holds(t):
        values = (first(t), second(t))
        return decisive if decisive in values else None if None in values else not decisive

    return f"({left}) {word} ({right})", holds


def test_any_question_is_answered_as_brute_force_does(store, trials):
    rng, met = random.Random(1), set()
    for _ in range(150):
        text, holds = random_question(rng, 3)
        expected = {trial.trial for trial in trials if holds(trial) is True}
        found = ask(store, text)
        assert {trial.trial for trial in found.trials} == expected, text
        assert found.matching == len(expected)
        assert bool(found.why_none) == (not expected)
        met.add(len(expected))
    assert len(met) > 30


def test_and_binds_more_tightly_than_or_and_not_most_tightly(store, trials):
    def found(text):
        return [trial.trial for trial in ask(store, text).trials]

    assert found("params = 1k or params = 2k and macs = 1k") == found("params = 1k or (params = 2k and macs = 1k)")
    assert found("not params = 1k and macs = 1k") == found("(not params = 1k) and macs = 1k")
    assert found("NOT params=1_000 AND macs==1k") == found("params <> 1k and macs = 1000")


def test_columns_of_the_run_the_data_and_the_architecture(store, trials):
    def count(text, **more):
        return ask(store, text, **more).matching

    assert count("run = 'second'") == count("run like 'sec%'") == count("dataset = 'shapes'") == 100
    assert count("searcher = 'tpe' and run = 'first'") == 0
    assert count("depth = 2 and params > 0") == len(trials)
    assert count("flops = 2k") == count("macs = 1k")
    assert count("params > 0", run="second") == 100
    days = [trial.created_at for trial in trials if trial.created_at < datetime(2026, 11, 22, tzinfo=UTC)]
    assert count("created_at < '2026-11-22'") == count("created_at < '2026-11-22 02:00+02:00'") == len(days)
    assert count("recipe.odd = 3") + count("recipe.odd = 'three'") == count("recipe.odd is not null") > 0
    assert count("recipe.odd > 2") == count("recipe.odd = 3")  # a text is never larger than a number
    assert count("`choices.1.conv.width` = 2") == count("choices.1.conv.width = 2") > 0


@pytest.mark.parametrize("sort", ["-val_accuracy", "params", "-recipe.lr", "recipe.odd", "created_at", "run", ""])
def test_an_answer_is_sorted_ties_always_break_the_same_way_and_the_top_is_its_beginning(store, trials, sort):
    name = sort.removeprefix("-") or "trial"
    everything = ask(store, "params > 0", sort=sort).trials

    def place(trial):
        value = figure(trial, name)
        return (value is None, isinstance(value, str), 0 if value is None else value)

    if sort:
        merit = sorted(trials, key=rank)
        present = [trial for trial in merit if figure(trial, name) is not None]
        ordered = sorted(present, key=place, reverse=sort.startswith("-"))
        assert list(everything) == ordered + [trial for trial in merit if figure(trial, name) is None]
    else:
        assert list(everything) == sorted(trials, key=rank)
    first = ask(store, "params > 0", sort=sort, top=7)
    assert first.trials == everything[:7]
    assert first.matching == len(trials)


def test_test_accuracy_neither_selects_nor_sorts_but_one_may_ask_what_was_measured(store, new_run, complete):
    trial = complete(new_run(), "f0", 0.9)
    for question in ("test_accuracy > 0.9", "params > 1 or not 0.9 < test_accuracy", "test_accuracy in (0.5, 0.6)"):
        with pytest.raises(QueryError, match="test_accuracy chooses no trial"):
            ask(store, question)
    with pytest.raises(ValueError, match="test_accuracy chooses no trial"):
        ask(store, "params > 1", sort="-test_accuracy")
    assert ask(store, "test_accuracy is not null").trials == ()
    store.finish(trial.trial, trial.state, summary={"test_accuracy": 0.5})
    assert ask(store, "test_accuracy is not null").matching == 1


@sqlite_only
@pytest.mark.parametrize(
    ("question", "spot", "says"),
    [
        ("val_acuracy > 0.9", "val_acuracy", "did you mean 'val_accuracy'"),
        ("params < 5M and lr > 1", "lr", "did you mean 'recipe.lr'"),
        ("recipe.lrr > 1", "recipe.lrr", "did you mean 'recipe.lr'"),
        ("state = completed", "completed", "a text stands in quotes"),
        ("state in (completed)", "completed", "a text stands in quotes"),
        ("params < 5MM", "5MM", "ends in k, M, G or T"),
        ("params < 5m", "5m", "did you mean 5M"),
        ("params < 'many'", "'many'", "params holds numbers and is compared with a number"),
        ("state = 3", "3", "a text in quotes"),
        ("params < true", "true", "but got true or false"),
        ("created_at > 'yesterday'", "'yesterday'", "a moment in quotes"),
        ("params < state", "params < state", "hold the same"),
        ("params like 'x'", "'x'", "params holds numbers"),
        ("recipe.lr like 3", "3", "like takes a text in quotes"),
        ("1 < 2", "1 < 2", "both sides are values"),
        ("params < ", " ", "but the question ends"),
        ("", " ", "but the question ends"),
        ("params", " ", "is followed by = !="),
        ("params 5", "5", "is followed by = !="),
        ("(params = 5", " ", "closing bracket"),
        ("params = 5)", ")", "expected and, or, or the end"),
        ("params = 5 5", "5", "expected and, or, or the end"),
        ("params is 5", "5", "expected null"),
        ("params in 5", "5", "opening bracket"),
        ("params in ()", ")", "expected a value"),
        ("run = 'digits", "'", "does not close"),
        ("params = 1; DROP TABLE trial", ";", "archsieve results sql"),
        ("params = 1 -- more", "-", "unexpected '-'"),
        ("params = é", "é", "unexpected 'é'"),
        ("params < 1e999", "1e999", "finite"),
        ("not " * 100 + "params = 1", "not", "nests at most"),
        ("(" * 1000 + "params = 1" + ")" * 1000, "(", "at most 2,000 characters"),
        ("params = 1 or " * 800, "p", "at most 2,000 characters"),
    ],
)
def test_a_mistake_is_pointed_at(store, new_run, complete, question, spot, says):
    complete(new_run(), "f0", 0.9)
    with pytest.raises(QueryError, match="\n") as caught:
        ask(store, question)
    message, line, carets = str(caught.value).split("\n")
    assert says in message
    marked = f"{line} "[carets.index("^") : carets.rindex("^") + 1]
    assert marked == spot
    assert len(line) < 120


def test_a_question_of_the_longest_length_is_answered(store, trials):
    text = " or ".join(["params = 5k"] * 133)
    assert LONGEST - 20 < len(text) <= LONGEST
    assert ask(store, text).matching == ask(store, "params = 5k").matching


def test_why_nothing_matches(store, new_run, complete):
    assert ask(store, "params < 5M").why_none == "there are no trials yet"
    run_id = new_run()
    complete(run_id, "f0", 0.9, params=9_000_000, macs=100)
    complete(run_id, "f1", 0.8, params=5_300_000, macs=400)

    def why(text, **more):
        return ask(store, text, **more).why_none

    assert why("params <= 5M") == "0 of 2 trials have params <= 5M; the smallest has 5.30M (trial 2)"
    assert why("5M > params and macs < 1k") == "0 of 2 trials have 5M > params; the smallest has 5.30M (trial 2)"
    assert why("val_accuracy > 0.95") == "0 of 2 trials have val_accuracy > 0.95; the largest has 0.9 (trial 1)"
    assert why("val_loss  < 3 and params > 1") == "0 of 2 trials have val_loss < 3; none has val_loss"
    assert why("params < 6M and macs < 200") == ("0 of 2 trials have all of it: 1 have params < 6M, 1 have macs < 200")
    assert why("state = 'failed'") == "0 of 2 trials have state = 'failed'"
    assert why("params = 5 or params = 6") == "0 of 2 trials have params = 5 or params = 6"
    new_run("empty")
    assert why("params < 1", run="empty") == "run 'empty' has no trials yet"
    with pytest.raises(ValueError, match="did you mean 'empty'"):
        why("params < 1", run="empti")
    with pytest.raises(ValueError, match="at least 1"):
        ask(store, "params < 1", top=0)


@sqlite_only
def test_a_question_about_any_figure_never_reads_the_table_of_trials(store, trials):
    """Recipes and choices make that table five times as large as the index, and a scan as slow."""
    told = []
    event.listen(store.engine, "before_cursor_execute", lambda *said: told.append(said[2:4]))
    texts, moments = {"state", "fingerprint", "fail_kind", "device"}, {"created_at", "started_at", "ended_at"}
    elsewhere = {"trial", "number", "depth", "reason", "test_accuracy", *OF_ZERO_SHOT}
    names = [name for name in COLUMNS if name not in elsewhere]
    assert texts | moments | {"run", "dataset", "duration_s"} < set(names)
    for name in names:
        numeric = COLUMNS[name].holds == NUMBER
        value = "-7" if numeric else "'2000-01-01'"
        ask(store, f"{name} = {value}", sort=f"-{name}", top=3)
        if numeric:
            ask(store, f"{name} > {value}", sort=f"-{name}", top=3)
    asked = {(statement, tuple(values)) for statement, values in told if statement.startswith("SELECT")}
    asked = {entry for entry in asked if "trial" in entry[0] and "architecture" not in entry[0]}  # not those shown
    assert len(asked) > len(names)
    with store.reading() as connection:
        for statement, values in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            scans = [row.detail for row in plan if row.detail.split()[1] == "trial"]
            assert scans
            for scan in scans:  # a key leads to the one trial, or the few, that have it
                assert "COVERING INDEX" in scan or scan.endswith(("(rowid=?)", "(fingerprint=?)")), statement


def test_more_trials_are_answered_than_a_statement_takes_values(store, trials, monkeypatch):
    whole = ask(store, "params > 0")
    monkeypatch.setattr("archsieve.results.query.expression_query.PART", 7)
    again = ask(store, "params > 0")
    assert again == whole
    assert len(again.trials) == again.matching > 7
