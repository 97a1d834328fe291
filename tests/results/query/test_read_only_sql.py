"""Read-only SQL: the results of statements that read, and the refusal of all others."""

import resource
import sqlite3
from contextlib import closing

import pytest

from archsieve.results.database import schema
from archsieve.results.database.errors import RefusedError
from archsieve.results.database.store import open_store
from archsieve.results.query.read_only_sql import _crash, run_read_only_sql
from archsieve.results.query.sql_process import ALLOWED_FUNCTIONS

sqlite_only = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
postgresql_only = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.fixture
def filled(store, new_run, complete):
    run_id = new_run()
    for i in range(5):
        complete(run_id, f"f{i}", i / 10, params=1000 * i)
    return store


def content(store):
    """Every row of every table."""
    with store.read_transaction() as connection:
        return {
            name: sorted(map(repr, connection.execute(table.select())))
            for name, table in schema.metadata.tables.items()
        }


@pytest.fixture
def reader(filled, request):
    """The store as a role that can only read; SQLite has no roles."""
    if filled.engine.dialect.name == "sqlite":
        yield filled
        return
    url = filled.engine.url
    with filled.engine.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS reader")
        connection.exec_driver_sql("CREATE ROLE reader LOGIN PASSWORD 'reads'")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    with open_store(url.set(username="reader", password="reads"), read_only=True) as opened:
        yield opened
    with filled.engine.begin() as connection:
        connection.exec_driver_sql("DROP OWNED BY reader")
        connection.exec_driver_sql("DROP ROLE reader")


def test_statements_that_read_return_rows(reader):
    filled = reader
    result = run_read_only_sql(filled, "SELECT trial_id, params FROM trial WHERE params >= 3000 ORDER BY 1;")
    assert (result.columns, result.rows, result.more) == (("trial_id", "params"), ((4, 3000), (5, 4000)), False)
    result = run_read_only_sql(filled, "/* all */ -- of them\n SELECT trial_id FROM trial ORDER BY 1", rows=2)
    assert (result.rows, result.more) == (((1,), (2,)), True)
    assert run_read_only_sql(filled, "WITH t AS (SELECT * FROM trial) SELECT count(*) FROM t").rows == ((5,),)
    assert run_read_only_sql(filled, "VALUES (1, NULL)").rows == ((1, None),)
    assert run_read_only_sql(filled, "EXPLAIN SELECT max(val_accuracy) FROM trial").rows
    assert run_read_only_sql(
        filled, "SELECT trial_id FROM trial WHERE state LIKE 'comp%' AND 5 % 3 = 2 AND trial_id < 2"
    ).rows == ((1,),)


@sqlite_only
@pytest.mark.parametrize(
    ("statement", "fact"),
    [
        ("DELETE FROM trial", "'delete'"),
        ("WITH t AS (SELECT 1) DELETE FROM trial", "more than read"),
        ("WITH t AS (SELECT 1) INSERT INTO meta SELECT 'a', 'b'", "more than read"),
        ("DROP TABLE trial", "'drop'"),
        ("SELECT 1; DELETE FROM trial", "more than one statement"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("PRAGMA query_only = off", "'pragma'"),
        ("SELECT * FROM pragma_database_list", "more than read"),
        ("ATTACH '/tmp/other.db' AS other", "'attach'"),
        ("VACUUM INTO '/tmp/copy.db'", "'vacuum'"),
        ("SELECT load_extension('evil')", "function load_extension may do more than read"),
        ("SELECT fts3_tokenizer('simple')", "function fts3_tokenizer"),
        ("SELECT sqlite_compileoption_get(1)", "more than read"),
        ("EXPLAIN DELETE FROM trial", "more than read"),
        ("SELECT zeroblob(1000000000)", "1,000,000 bytes"),
        ("", "''"),
    ],
)
def test_sqlite_refuses_statements_that_write(filled, statement, fact):
    before = content(filled)
    with pytest.raises(RefusedError, match=r"only reads|1,000,000 bytes") as error:
        run_read_only_sql(filled, statement)
    assert fact in str(error.value)
    assert content(filled) == before


@sqlite_only
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT printf('%*d', 900000000, 1)",
        "SELECT length(replace(printf('%*d', 900000, 1), ' ', printf('%*d', 900000, 1)))",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
        "SELECT printf('%*d', 900000, i) FROM n",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000) "
        "SELECT group_concat(printf('%*d', 90000, i)) FROM n",
    ],
)
def test_a_function_takes_neither_time_nor_memory_without_end(filled, statement):
    """Nothing in SQLite itself stops a function: its process is ended."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        result = run_read_only_sql(filled, statement, timeout_s=1, rows=100_000)
    except RefusedError as error:
        assert any(fact in str(error) for fact in ("1 s", "bytes"))  # noqa: PT017 - either is right
    else:
        assert sum(len(str(value)) for row in result.rows for value in row) <= 50 * 10**6
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB


def test_questions_without_a_space_are_statements(reader):
    for statement in ("SELECT(1)", "VALUES(1)", "select*from(select 1)x", "WITH t(i)AS(SELECT 1)SELECT*FROM t"):
        assert run_read_only_sql(reader, statement).rows == ((1,),)


def test_values_keep_their_types(reader):
    statement = "SELECT 1, 1.5, NULL, 'text', count(*) FROM trial"
    assert run_read_only_sql(reader, statement).rows == ((1, 1.5, None, "text", 5),)


@sqlite_only
def test_bytes_infinities_and_broken_text_are_values(filled):
    result = run_read_only_sql(filled, "SELECT x'00ff', 9e999, CAST(x'ff41' AS TEXT)")
    assert result.rows == ((b"\x00\xff", float("inf"), "\ufffdA"),)


@postgresql_only
def test_a_superuser_of_postgresql_is_refused(filled):
    for statement in ("SELECT 1", "SELECT pg_read_file('/etc/passwd')"):
        with pytest.raises(RefusedError, match="superuser"):
            run_read_only_sql(filled, statement)


def test_an_endless_statement_is_stopped_and_the_next_one_is_answered(reader):
    filled = reader
    for statement in (ENDLESS, "SELECT count(*) FROM " + ", ".join(f"metric m{i}" for i in range(20))):
        with pytest.raises(RefusedError, match=r"0\.2 s"):
            run_read_only_sql(filled, statement, timeout_s=0.2)
    assert run_read_only_sql(filled, "SELECT count(*) FROM trial").rows == ((5,),)


@postgresql_only
@pytest.mark.parametrize(
    ("statement", "fact"),
    [
        ("DELETE FROM trial", "'delete'"),
        ("WITH t AS (DELETE FROM trial RETURNING 1) SELECT * FROM t", "more than read"),
        ("SELECT 1; DELETE FROM trial", "more than one statement"),
        ("SELECT 1; COMMIT; DELETE FROM trial", "more than one statement"),
        ("EXPLAIN ANALYZE DELETE FROM trial", "more than read"),
        ("SELECT nextval('trial_trial_id_seq')", "more than read"),
        ("SELECT 1 INTO evil", "more than read"),
        ("COPY trial TO '/tmp/x'", "'copy'"),
        ("SET TRANSACTION READ WRITE", "'set'"),
    ],
)
def test_postgresql_refuses_statements_that_write(filled, reader, statement, fact):
    before = content(filled)
    with pytest.raises((RefusedError, ValueError), match=r"only reads|permission denied") as error:
        run_read_only_sql(reader, statement)
    assert "permission" in str(error.value) or fact in str(error.value)
    assert content(filled) == before


@postgresql_only
def test_invalid_sql_on_postgresql_is_an_error(reader):
    filled = reader
    with pytest.raises(ValueError, match="did you mean 'trial'"):
        run_read_only_sql(filled, "SELECT * FROM trail")
    with pytest.raises(ValueError, match='column "trail" does not exist'):
        run_read_only_sql(filled, "SELECT trail FROM trial")
    with pytest.raises(ValueError, match="syntax error"):
        run_read_only_sql(filled, "SELECT (")


@sqlite_only
@pytest.mark.parametrize(
    ("statement", "fact"),
    [
        ("SELECT * FROM trail", "did you mean 'trial'"),
        ("SELECT trail FROM trial", "no such column: trail"),
        ("SELECT (", "incomplete input"),
        ("SELECT writefile('/tmp/x', 'y')", "no such function"),
    ],
)
def test_invalid_sql_is_an_error(filled, statement, fact):
    with pytest.raises(ValueError, match=fact):
        run_read_only_sql(filled, statement)


@sqlite_only
def test_statements_run_while_another_connection_writes(filled):
    with filled.write_transaction() as connection:
        connection.execute(schema.event.delete())
        connection.execute(schema.metric.delete())
        assert run_read_only_sql(filled, "SELECT count(*) FROM metric").rows == ((20,),)
    assert run_read_only_sql(filled, "SELECT count(*) FROM metric").rows == ((0,),)


def refused_functions(store):
    """The functions of this SQLite that results sql refuses although the list of allowed ones has them."""
    with closing(sqlite3.connect(":memory:")) as connection:
        query = "SELECT name, narg, type FROM pragma_function_list"
        available = [row for row in connection.execute(query) if row[0] in ALLOWED_FUNCTIONS]
    for name, arguments, kind in available:
        operator = name in ("->", "->>")
        call = f"'[]' {name} 0" if operator else f"{name}({', '.join(['1'] * arguments)})"
        call = name if name.startswith("current_") else call
        try:
            run_read_only_sql(store, f"SELECT {call}{' OVER ()' if kind == 'w' else ''}")
        except RefusedError as error:
            yield name, str(error)
        except ValueError:  # of the arguments
            continue


@sqlite_only
def test_every_allowed_function_of_this_sqlite_can_be_called(filled):
    assert list(refused_functions(filled)) == []
    for name in ("sqlite_version()", "current_timestamp", "total_changes()", "last_insert_rowid()"):
        assert len(run_read_only_sql(filled, f"SELECT {name}").rows) == 1


@sqlite_only
def test_json_tables_can_be_read(filled):
    assert run_read_only_sql(filled, "SELECT value FROM json_each('[3, 4]')").rows == ((3,), (4,))
    assert run_read_only_sql(filled, "SELECT count(*) FROM json_tree('[3, [4]]')").rows == ((4,),)
    statement = "SELECT count(*) FROM trial, json_each(trial.recipe)"
    assert run_read_only_sql(filled, statement).rows[0][0] >= 5


@sqlite_only
def test_a_statement_with_a_lone_surrogate_is_an_error(filled):
    with pytest.raises(ValueError, match="surrogates not allowed"):
        run_read_only_sql(filled, "SELECT '\ud800'")


def test_only_a_lack_of_memory_is_reported_as_one():
    assert "536,870,912 bytes of memory" in str(_crash(1, "Traceback\nMemoryError"))
    assert "signal 9" in str(_crash(-9, ""))
    assert "code 1: KeyError: 'uri'" in str(_crash(1, "Traceback\n  line\nKeyError: 'uri'\n"))
    assert "bytes" not in str(_crash(-11, ""))


@postgresql_only
@pytest.mark.parametrize("granted", ["pg_read_server_files", "pg_execute_server_program"])
def test_a_role_that_can_use_the_server_is_refused(filled, reader, granted):
    with filled.engine.begin() as connection:
        connection.exec_driver_sql(f"GRANT {granted} TO reader")
    with pytest.raises(RefusedError, match=granted):
        run_read_only_sql(reader, "SELECT 1")
    with filled.engine.begin() as connection:
        connection.exec_driver_sql(f"REVOKE {granted} FROM reader")
    assert run_read_only_sql(reader, "SELECT 1").rows == ((1,),)


@postgresql_only
def test_a_superuser_who_has_set_another_role_is_refused(filled, reader):
    url = filled.engine.url.update_query_dict({"options": "-crole=reader"})
    with open_store(url, read_only=True) as opened, pytest.raises(RefusedError, match="superuser"):
        run_read_only_sql(opened, "SELECT current_user")
