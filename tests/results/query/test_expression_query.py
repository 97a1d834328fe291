"""Filter expressions: the database must return the same trials as a brute-force search in Python."""

import operator
import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from archsieve.results.database import schema
from archsieve.results.database.records import ZERO_SHOT_METRICS, rank
from archsieve.results.query.columns import COLUMNS, NUMBER
from archsieve.results.query.expression_query import filter_trials
from archsieve.results.query.parser import MAX_CHARACTERS, QueryError

sqlite_only = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the engine makes no difference
OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@pytest.fixture
def trials(store, new_run, propose):
    """Two hundred random trials in two runs, with few distinct values, some of them missing."""
    rng = random.Random(4)
    runs = [new_run("first"), new_run("second", searcher="tpe", dataset={"content_hash": "d2", "name": "shapes"})]
    propose(runs[0], "f0")
    first_day = datetime(2026, 11, 20, tzinfo=UTC)
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
                "created_at": first_day + timedelta(days=rng.randint(0, 4)),
                "val_accuracy": rng.choice([None, 0.5, 0.75, 0.9]),
                "val_loss": rng.choice([None, 0.5, 2.5]),
                **{name: rng.randint(1, 5) * 1000 for name in ("params", "macs", "activations", "memory_bytes")},
            }
            rows.append({**row, "fail_kind": rng.choice(["oom", "bug"]) if row["state"] == "failed" else None})
    with store.write_transaction() as connection:
        connection.execute(schema.trial.insert(), rows)
    return store.trials()


def value_of(trial, name):
    part, _, key = name.partition(".")
    value = getattr(trial, part)
    return value.get(key) if key else value


def random_condition(rng):
    """A condition as text, and as a function that returns True, False or None (unknown), by the logic of SQL."""
    kind = rng.choice(["number", "text", "in", "null", "two", "flag"])
    symbol = rng.choice(list(OPERATORS))
    if kind == "number":
        name = rng.choice(
            ["params", "macs", "val_accuracy", "val_loss", "recipe.lr", "choices.1.conv.width", "val_error"]
        )
        value, text = rng.choice([(3000, "3k"), (0.75, "0.75"), (1, "1"), (2.5, "2.5"), (0.1, "1e-1")])
        if rng.random() < 0.3:
            return f"{text} {symbol} {name}", lambda t: compared(OPERATORS[symbol], value, value_of(t, name))
        return f"{name} {symbol} {text}", lambda t: compared(OPERATORS[symbol], value_of(t, name), value)
    if kind == "text":
        name, value = rng.choice([("state", "completed"), ("fail_kind", "oom"), ("recipe.optimizer", "sgd")])
        return f'{name} {symbol} "{value}"', lambda t: compared(OPERATORS[symbol], value_of(t, name), value)
    if kind == "in":
        word = rng.choice(["in", "not in"])
        is_member = lambda t: None if t.fail_kind is None else (t.fail_kind in ("oom", "data")) == (word == "in")  # noqa: E731
        return f"fail_kind {word} ('oom', 'data')", is_member
    if kind == "null":
        name, word = rng.choice(["val_loss", "recipe.nesterov", "fail_kind"]), rng.choice(["is", "is not"])
        return f"{name} {word} null", lambda t: (value_of(t, name) is None) == (word == "is")
    if kind == "two":
        return f"params {symbol} macs", lambda t: OPERATORS[symbol](t.params, t.macs)
    return "recipe.nesterov = true", lambda t: compared(operator.eq, value_of(t, "recipe.nesterov"), True)


def compared(relation, left, right):
    return None if left is None or right is None else relation(left, right)


def random_expression(rng, depth):
    if depth == 0 or rng.random() < 0.2:
        return random_condition(rng)
    if rng.random() < 0.25:
        text, holds = random_expression(rng, depth - 1)
        return f"not ({text})", lambda t: None if holds(t) is None else not holds(t)
    word = rng.choice(["and", "or"])
    (left, first), (right, second) = random_expression(rng, depth - 1), random_expression(rng, depth - 1)
    decisive = word == "or"

    def holds(t):
        values = (first(t), second(t))
        return decisive if decisive in values else None if None in values else not decisive

    return f"({left}) {word} ({right})", holds


def test_random_expressions_return_the_same_trials_as_brute_force(store, trials):
    rng, counts = random.Random(1), set()
    for _ in range(150):
        text, holds = random_expression(rng, 3)
        expected = {trial.trial for trial in trials if holds(trial) is True}
        result = filter_trials(store, text)
        assert {trial.trial for trial in result.trials} == expected, text
        assert result.matching == len(expected)
        assert bool(result.no_match_reason) == (not expected)
        counts.add(len(expected))
    assert len(counts) > 30  # the random expressions are not all trivial


def test_precedence_is_not_then_and_then_or(store, trials):
    def ids(text):
        return [trial.trial for trial in filter_trials(store, text).trials]

    assert ids("params = 1k or params = 2k and macs = 1k") == ids("params = 1k or (params = 2k and macs = 1k)")
    assert ids("not params = 1k and macs = 1k") == ids("(not params = 1k) and macs = 1k")
    assert ids("NOT params=1_000 AND macs==1k") == ids("params <> 1k and macs = 1000")


def test_columns_of_run_dataset_architecture_and_recipe(store, trials):
    def count(text, **more):
        return filter_trials(store, text, **more).matching

    assert count("run = 'second'") == count("run like 'sec%'") == count("dataset = 'shapes'") == 100
    assert count("searcher = 'tpe' and run = 'first'") == 0
    assert count("depth = 2 and params > 0") == len(trials)
    assert count("flops = 2k") == count("macs = 1k")
    assert count("params > 0", run="second") == 100
    days = [trial.created_at for trial in trials if trial.created_at < datetime(2026, 11, 22, tzinfo=UTC)]
    assert count("created_at < '2026-11-22'") == count("created_at < '2026-11-22 02:00+02:00'") == len(days)
    assert count("recipe.odd = 3") + count("recipe.odd = 'three'") == count("recipe.odd is not null") > 0
    assert count("recipe.odd > 2") == count("recipe.odd = 3")  # a text does not match a comparison with a number
    assert count("`choices.1.conv.width` = 2") == count("choices.1.conv.width = 2") > 0


@pytest.mark.parametrize("sort", ["-val_accuracy", "params", "-recipe.lr", "recipe.odd", "created_at", "run", ""])
def test_results_are_sorted_with_a_fixed_order_of_ties_and_top_returns_the_first_ones(store, trials, sort):
    name = sort.removeprefix("-") or "trial"
    all_trials = filter_trials(store, "params > 0", sort=sort).trials

    def sort_key(trial):
        value = value_of(trial, name)
        return (value is None, isinstance(value, str), 0 if value is None else value)

    if sort:
        ranked = sorted(trials, key=rank)
        present = [trial for trial in ranked if value_of(trial, name) is not None]
        ordered = sorted(present, key=sort_key, reverse=sort.startswith("-"))
        assert list(all_trials) == ordered + [trial for trial in ranked if value_of(trial, name) is None]
    else:
        assert list(all_trials) == sorted(trials, key=rank)
    first = filter_trials(store, "params > 0", sort=sort, top=7)
    assert first.trials == all_trials[:7]
    assert first.matching == len(trials)


def test_test_accuracy_neither_selects_nor_sorts(store, new_run, complete):
    trial = complete(new_run(), "f0", 0.9)
    for expression in ("test_accuracy > 0.9", "params > 1 or not 0.9 < test_accuracy", "test_accuracy in (0.5, 0.6)"):
        with pytest.raises(QueryError, match=r"test_accuracy.*val_accuracy"):
            filter_trials(store, expression)
    with pytest.raises(ValueError, match=r"test_accuracy.*val_accuracy"):
        filter_trials(store, "params > 1", sort="-test_accuracy")
    assert filter_trials(store, "test_accuracy is not null").trials == ()
    store.finish(trial.trial, trial.state, summary={"test_accuracy": 0.5})
    assert filter_trials(store, "test_accuracy is not null").matching == 1


@sqlite_only
@pytest.mark.parametrize(
    ("expression", "marked", "fact"),
    [
        ("val_acuracy > 0.9", "val_acuracy", "'val_accuracy'"),
        ("params < 5M and lr > 1", "lr", "'recipe.lr'"),
        ("recipe.lrr > 1", "recipe.lrr", "'recipe.lr'"),
        ("state = completed", "completed", "quotes"),
        ("state in (completed)", "completed", "quotes"),
        ("params < 5MM", "5MM", "k, M, G or T"),
        ("params < 5m", "5m", "did you mean 5M"),
        ("params < 'many'", "'many'", "params holds numbers"),
        ("state = 3", "3", "'completed'"),
        ("params < true", "true", "got true or false"),
        ("created_at > 'yesterday'", "'yesterday'", "timestamp"),
        ("params < state", "params < state", "params holds numbers and state holds texts"),
        ("params like 'x'", "'x'", "params holds numbers"),
        ("recipe.lr like 3", "3", "quotes"),
        ("1 < 2", "1 < 2", "both sides"),
        ("params < ", " ", "the expression ends"),
        ("", " ", "the expression ends"),
        ("params", " ", "= != <"),
        ("params 5", "5", "= != <"),
        ("(params = 5", " ", "closing bracket"),
        ("params = 5)", ")", "the end"),
        ("params = 5 5", "5", "the end"),
        ("params is 5", "5", "null"),
        ("params in 5", "5", "opening bracket"),
        ("params in ()", ")", "value"),
        ("run = 'digits", "'", "closing '"),
        ("params = 1; DROP TABLE trial", ";", "archsieve results sql"),
        ("params = 1 -- more", "-", "'-'"),
        ("params = é", "é", "'é'"),
        ("params < 1e999", "1e999", "finite"),
        ("not " * 100 + "params = 1", "not", "at most 40"),
        ("(" * 1000 + "params = 1" + ")" * 1000, "(", "at most 2,000"),
        ("params = 1 or " * 800, "p", "at most 2,000"),
    ],
)
def test_an_error_in_an_expression_is_marked(store, new_run, complete, expression, marked, fact):
    complete(new_run(), "f0", 0.9)
    with pytest.raises(QueryError, match="\n") as error:
        filter_trials(store, expression)
    message, line, carets = str(error.value).split("\n")
    assert fact in message
    assert f"{line} "[carets.index("^") : carets.rindex("^") + 1] == marked
    assert len(line) < 120


def test_an_expression_of_the_maximum_length_is_accepted(store, trials):
    text = " or ".join(["params = 5k"] * 133)
    assert MAX_CHARACTERS - 20 < len(text) <= MAX_CHARACTERS
    assert filter_trials(store, text).matching == filter_trials(store, "params = 5k").matching


def test_an_empty_result_is_explained(store, new_run, complete):
    assert "no trials" in filter_trials(store, "params < 5M").no_match_reason
    run_id = new_run()
    complete(run_id, "f0", 0.9, params=9_000_000, macs=100)
    complete(run_id, "f1", 0.8, params=5_300_000, macs=400)

    def why(text, **options):
        return filter_trials(store, text, **options).no_match_reason

    def has_facts(reason, *facts):
        return reason.startswith("0 of 2 trials") and all(fact in reason for fact in facts)

    assert has_facts(why("params <= 5M"), "params <= 5M", "smallest", "5.30M", "trial 2")
    assert has_facts(why("5M > params and macs < 1k"), "5M > params", "smallest", "5.30M", "trial 2")
    assert "macs" not in why("5M > params and macs < 1k")
    assert has_facts(why("val_accuracy > 0.95"), "val_accuracy > 0.95", "largest", "0.9 (trial 1)")
    assert has_facts(why("val_loss  < 3 and params > 1"), "val_loss < 3;", "no trial", "val_loss")
    assert has_facts(why("params < 6M and macs < 200"), "1 have params < 6M", "1 have macs < 200")
    assert why("state = 'failed'").endswith("state = 'failed'")
    assert why("params = 5 or params = 6").endswith("params = 5 or params = 6")
    new_run("empty")
    assert re.search("'empty'.*no trials", why("params < 1", run="empty"))
    with pytest.raises(ValueError, match="did you mean 'empty'"):
        why("params < 1", run="empti")
    with pytest.raises(ValueError, match=r"top.*at least 1.*0"):
        filter_trials(store, "params < 1", top=0)


@sqlite_only
def test_filtering_and_sorting_by_any_column_reads_only_an_index(store, trials):
    """The recipe and the choices make the table ``trial`` five times larger than the index, and as slow to scan."""
    executed = []
    event.listen(store.engine, "before_cursor_execute", lambda *arguments: executed.append(arguments[2:4]))
    texts, timestamps = {"state", "fingerprint", "fail_kind", "device"}, {"created_at", "started_at", "ended_at"}
    not_in_index = {"trial", "number", "depth", "reason", "test_accuracy", *ZERO_SHOT_METRICS}
    names = [name for name in COLUMNS if name not in not_in_index]
    assert texts | timestamps | {"run", "dataset", "duration_s"} < set(names)
    for name in names:
        numeric = COLUMNS[name].content == NUMBER
        value = "-7" if numeric else "'2000-01-01'"
        filter_trials(store, f"{name} = {value}", sort=f"-{name}", top=3)
        if numeric:
            filter_trials(store, f"{name} > {value}", sort=f"-{name}", top=3)
    selects = {(statement, tuple(values)) for statement, values in executed if statement.startswith("SELECT")}
    # without the statements that read the rows of the returned trials: these join the architecture
    selects = {entry for entry in selects if "trial" in entry[0] and "architecture" not in entry[0]}
    assert len(selects) > len(names)
    with store.read_transaction() as connection:
        for statement, values in selects:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            scans = [row.detail for row in plan if row.detail.split()[1] == "trial"]
            assert scans
            for scan in scans:  # a lookup by key reads only the few trials with that key
                assert "COVERING INDEX" in scan or scan.endswith(("(rowid=?)", "(fingerprint=?)")), statement


def test_a_result_larger_than_one_statement_is_read_in_chunks(store, trials, monkeypatch):
    expected = filter_trials(store, "params > 0")
    monkeypatch.setattr("archsieve.results.query.expression_query.IDS_PER_STATEMENT", 7)
    result = filter_trials(store, "params > 0")
    assert result == expected
    assert len(result.trials) == result.matching > 7
