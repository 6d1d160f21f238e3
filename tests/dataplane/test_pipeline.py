"""The pipeline endpoints, as bytes on the wire."""

import json
from typing import Any

import pytest

from dataplane import protobuf as pb
from tests.dataplane.plane import MAIN, OTHER, Plane, execute


async def test_a_select_answers_in_the_exact_form_that_clients_expect(plane: Plane) -> None:
    answer = await plane.requests(execute("SELECT 1 AS one, 'x' AS two"), {"type": "close"})
    result = answer["results"][0]["response"]["result"]
    duration = result.pop("query_duration_ms")
    assert isinstance(duration, float)
    assert answer == {
        "baton": None,
        "base_url": None,
        "results": [
            {
                "type": "ok",
                "response": {
                    "type": "execute",
                    "result": {
                        "cols": [{"name": "one", "decltype": None}, {"name": "two", "decltype": None}],
                        "rows": [[{"type": "integer", "value": "1"}, {"type": "text", "value": "x"}]],
                        "affected_row_count": 0,
                        "last_insert_rowid": None,
                        "replication_index": None,
                        "rows_read": 0,
                        "rows_written": 0,
                    },
                },
            },
            {"type": "ok", "response": {"type": "close"}},
        ],
    }


async def test_every_value_comes_back_as_it_was_sent(plane: Plane) -> None:
    values = [
        {"type": "null"},
        {"type": "integer", "value": "9223372036854775807"},
        {"type": "integer", "value": "-9223372036854775808"},
        {"type": "integer", "value": "2147483648"},
        {"type": "float", "value": 0.1},
        {"type": "float", "value": -2.0},
        {"type": "text", "value": "nul \0 inside, é, 🎉"},
        {"type": "text", "value": ""},
        {"type": "blob", "base64": "AP8"},
        {"type": "blob", "base64": ""},
    ]
    marks = ", ".join("?" * len(values))
    result = await plane.execute(f"SELECT {marks}", *values)
    assert result["rows"] == [values]


async def test_base64_is_taken_with_and_without_padding(plane: Plane) -> None:
    padded, bare = {"type": "blob", "base64": "AP8="}, {"type": "blob", "base64": "AP8"}
    assert await plane.values("SELECT ? = ?", padded, bare) == [[1]]


async def test_infinity_is_a_number_that_clients_read_as_infinity(plane: Plane) -> None:
    result = await plane.execute("SELECT 9e999, -9e999")
    assert [value["value"] for value in result["rows"][0]] == [float("inf"), float("-inf")]


async def test_text_of_five_megabytes_survives(plane: Plane) -> None:
    text = "é" * 2_500_000
    assert await plane.values("SELECT ?", text) == [[text]]


async def test_an_integer_that_is_no_decimal_string_refuses_the_whole_request(plane: Plane) -> None:
    for bad in (7, "7.0", "1_000", " 7", "9223372036854775808", "", "٣"):
        response = await plane.post(
            "v2/pipeline", {"requests": [execute("SELECT ?", {"type": "integer", "value": bad})]}
        )
        assert response.status_code == 400, bad
        assert response.headers["content-type"] == "application/json"
        assert response.json().keys() == {"message", "code", "error"}


async def test_parameters_may_be_named_in_all_three_spellings(plane: Plane) -> None:
    named = [{"name": name, "value": {"type": "text", "value": name}} for name in (":a", "b", "$c", "unused")]
    result = await plane.execute("SELECT :a, @b, $c, :a", named_args=named)
    assert [value["value"] for value in result["rows"][0]] == [":a", "b", "$c", ":a"]
    both = [{"name": name, "value": {"type": "text", "value": name}} for name in ("a", "@b")]
    result = await plane.execute("SELECT :a, @a, $a, @b", named_args=both)
    assert [value["value"] for value in result["rows"][0]] == ["a", "a", "a", "@b"]
    other = [{"name": name, "value": {"type": "text", "value": name}} for name in (":a", ":b", "@c", ":c")]
    result = await plane.execute("SELECT @a, $b, @c", named_args=other)
    assert [value["value"] for value in result["rows"][0]] == [":a", ":b", "@c"]


async def test_numbered_parameters_take_positional_arguments(plane: Plane) -> None:
    assert await plane.values("SELECT ?2, ?1, ?2", 1, 2) == [[2, 1, 2]]


async def test_explain_needs_no_arguments(plane: Plane) -> None:
    for sql in ("EXPLAIN QUERY PLAN SELECT * FROM sqlite_schema WHERE rowid = ?", "EXPLAIN SELECT :a"):
        assert (await plane.execute(sql))["rows"]
    named = [{"name": "a", "value": {"type": "null"}}]
    assert (await plane.execute("EXPLAIN SELECT :a, :b", named_args=named))["rows"]
    assert (await plane.failure("EXPLAIN SELECT ?", 1, 2))["code"] == "ARGS_INVALID"


async def test_wrong_arguments_are_named_errors(plane: Plane) -> None:
    named = [{"name": "a", "value": {"type": "null"}}]
    assert (await plane.failure("SELECT ?, ?", 1))["code"] == "ARGS_INVALID"
    assert (await plane.failure("SELECT ?", 1, 2))["code"] == "ARGS_INVALID"
    assert (await plane.failure("SELECT :a, :b", named_args=named))["code"] == "ARGS_INVALID"
    assert (await plane.failure("SELECT :a", 1, named_args=named))["code"] == "ARGS_BOTH_POSITIONAL_AND_NAMED"


async def test_errors_carry_primary_and_extended_codes_and_sqlites_words(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a UNIQUE, b NOT NULL)")
    await plane.execute("INSERT INTO t VALUES (1, 1)")
    assert await plane.failure("INSERT INTO t VALUES (1, 1)") == {
        "message": "SQLite error: UNIQUE constraint failed: t.a",
        "code": "SQLITE_CONSTRAINT",
        "extended_code": "SQLITE_CONSTRAINT_UNIQUE",
    }
    assert (await plane.failure("INSERT INTO t VALUES (2, NULL)"))["extended_code"] == "SQLITE_CONSTRAINT_NOTNULL"
    assert await plane.failure("SELECT nope FROM t") == {
        "message": "SQLite error: no such column: nope (at offset 7)",
        "code": "SQLITE_ERROR",
        "extended_code": "SQLITE_ERROR",
    }
    assert (await plane.failure("SELEC 1"))["code"] == "SQL_PARSE_ERROR"
    assert (await plane.failure("SELECT 'a\0b'"))["code"] == "SQL_PARSE_ERROR"
    assert (await plane.failure(" -- nothing\n;"))["code"] == "SQL_NO_STATEMENT"
    assert (await plane.failure("SELECT 1; SELECT 2"))["code"] == "SQL_MANY_STATEMENTS"
    assert await plane.values("SELECT 1; -- and no more") == [[1]]


async def test_a_failed_request_does_not_stop_later_ones(plane: Plane) -> None:
    answer = await plane.requests(execute("SELECT nope"), execute("SELECT 1"), {"type": "close"})
    assert [result["type"] for result in answer["results"]] == ["error", "ok", "ok"]


async def test_columns_have_their_declared_types(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b VARCHAR(10), c)")
    result = await plane.execute("SELECT a, b, c, a + 1 FROM t")
    assert [column["decltype"] for column in result["cols"]] == ["INTEGER", "VARCHAR(10)", None, None]


async def test_a_declared_type_of_no_characters_is_told_in_both_encodings(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a '')")
    assert (await plane.execute("SELECT a FROM t"))["cols"] == [{"name": "a", "decltype": ""}]
    select = pb.message(2, pb.message(2, pb.message(1, pb.string(1, "SELECT a FROM t"))))
    response = await plane.http.post(
        f"/v1/{MAIN}/v3-protobuf/pipeline", content=select, headers={"authorization": f"Bearer {plane.tokens[MAIN]}"}
    )
    assert pb.message(1, pb.string(1, "a") + pb.string(2, "")) in response.content


async def test_a_cached_statement_follows_a_change_of_schema(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    await plane.execute("INSERT INTO t VALUES (1)")
    await plane.execute("SELECT * FROM t")
    await plane.execute("ALTER TABLE t RENAME COLUMN a TO renamed")
    assert [column["name"] for column in (await plane.execute("SELECT * FROM t"))["cols"]] == ["renamed"]
    await plane.execute("ALTER TABLE t ADD COLUMN more")
    result = await plane.execute("SELECT * FROM t")
    assert [column["name"] for column in result["cols"]] == ["renamed", "more"]
    assert len(result["rows"][0]) == 2


async def test_writes_report_what_they_changed(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    inserted = await plane.execute("INSERT INTO t (a) VALUES (1), (2), (3)")
    assert (inserted["affected_row_count"], inserted["last_insert_rowid"]) == (3, "3")
    assert inserted["rows_written"] == 3
    updated = await plane.execute("UPDATE t SET a = 0 WHERE id > 1")
    assert (updated["affected_row_count"], updated["last_insert_rowid"]) == (2, None)
    returned = await plane.execute("INSERT INTO t (id, a) VALUES (9007199254740993, 1) RETURNING id")
    assert returned["rows"] == [[{"type": "integer", "value": "9007199254740993"}]]
    assert returned["last_insert_rowid"] == "9007199254740993"
    assert (await plane.execute("SELECT * FROM t"))["affected_row_count"] == 0


async def test_only_an_insert_tells_a_rowid(plane: Plane) -> None:
    """Turso's and libSQL's clients in Rust keep any number as that of the row which was inserted last."""
    await plane.requests(
        execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)"),
        execute("CREATE TABLE log (a)"),
        execute("CREATE TRIGGER logged AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.a); END"),
        {"type": "close"},
    )
    statements = {
        "INSERT INTO t VALUES (7, 1)": "7",
        "WITH x(a) AS (SELECT 5) INSERT INTO t SELECT 8, a FROM x": "8",
        "/* again */ REPLACE INTO t VALUES (9, 1) RETURNING a": "9",
        "INSERT INTO t SELECT 1, 1 WHERE false": "9",
        "WITH x(a) AS (SELECT 5) UPDATE t SET a = 3": None,
        "DELETE FROM t WHERE id = 7": None,
        "CREATE TABLE copy AS SELECT * FROM t": None,
        "EXPLAIN INSERT INTO t VALUES (10, 1)": None,
        "SELECT * FROM t": None,
        "ANALYZE": None,
    }
    answer = await plane.requests(*map(execute, statements), {"type": "close"})
    told = [result["response"]["result"]["last_insert_rowid"] for result in answer["results"][:-1]]
    assert told == list(statements.values())


async def test_rows_can_be_left_out(plane: Plane) -> None:
    result = await plane.execute("SELECT 1 AS a", want_rows=False)
    assert result["rows"] == []
    assert [column["name"] for column in result["cols"]] == ["a"]


async def test_batch_steps_run_on_their_conditions(plane: Plane) -> None:
    def step(sql: str, condition: object = None) -> dict[str, object]:
        return {"stmt": {"sql": sql}, "condition": condition}

    steps = [
        step("CREATE TABLE t (a UNIQUE)"),
        step("INSERT INTO t VALUES (1)", {"type": "ok", "step": 0}),
        step("INSERT INTO t VALUES (1)", {"type": "ok", "step": 1}),
        step("INSERT INTO t VALUES (2)", {"type": "ok", "step": 2}),
        step("INSERT INTO t VALUES (3)", {"type": "error", "step": 2}),
        step("INSERT INTO t VALUES (4)", {"type": "not", "cond": {"type": "ok", "step": 3}}),
        step(
            "INSERT INTO t VALUES (5)",
            {"type": "and", "conds": [{"type": "ok", "step": 0}, {"type": "ok", "step": 3}]},
        ),
        step(
            "INSERT INTO t VALUES (6)",
            {"type": "or", "conds": [{"type": "is_autocommit"}, {"type": "ok", "step": 3}]},
        ),
        step("INSERT INTO t VALUES (7)", {"type": "error", "step": 3}),  # which was skipped
    ]
    answer = await plane.requests({"type": "batch", "batch": {"steps": steps}}, {"type": "close"})
    result = answer["results"][0]["response"]["result"]
    assert [entry is not None for entry in result["step_results"]] == [
        True,
        True,
        False,
        False,
        True,
        True,
        False,
        True,
        True,
    ]
    assert [entry is not None for entry in result["step_errors"]] == [False] * 2 + [True] + [False] * 6
    assert await plane.values("SELECT a FROM t ORDER BY a") == [[1], [3], [4], [6], [7]]


async def test_a_condition_on_a_later_step_refuses_the_request(plane: Plane) -> None:
    steps = [{"stmt": {"sql": "SELECT 1"}, "condition": {"type": "ok", "step": 0}}]
    response = await plane.post("v3/pipeline", {"requests": [{"type": "batch", "batch": {"steps": steps}}]})
    assert response.status_code == 400


async def test_sequence_runs_a_script_with_triggers_and_stops_at_the_first_error(plane: Plane) -> None:
    script = """
    CREATE TABLE t (a); CREATE TABLE log (a); -- a comment; with a semicolon
    CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a); INSERT INTO log VALUES ('x;y'); END;
    /* another; one */ INSERT INTO t VALUES ('a;b');
    INSERT INTO nope VALUES (1);
    INSERT INTO t VALUES ('never')
    """
    answer = await plane.requests({"type": "sequence", "sql": script}, {"type": "close"})
    assert answer["results"][0]["error"]["message"].startswith("SQLite error: no such table: nope")
    assert await plane.values("SELECT a FROM log") == [["a;b"], ["x;y"]]
    assert await plane.values("SELECT a FROM t") == [["a;b"]]


async def test_describe_tells_parameters_columns_and_kind(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a INTEGER, b)")
    answer = await plane.requests(
        {"type": "describe", "sql": "SELECT a, b FROM t WHERE a = :x AND b = ?"},
        {"type": "describe", "sql": "INSERT INTO t VALUES (?, ?)"},
        {"type": "describe", "sql": "EXPLAIN SELECT 1"},
        {"type": "describe", "sql": "SELECT nope"},
        {"type": "close"},
    )
    select, insert, explain = (result["response"]["result"] for result in answer["results"][:3])
    assert select == {
        "params": [{"name": ":x"}, {"name": None}],
        "cols": [{"name": "a", "decltype": "INTEGER"}, {"name": "b", "decltype": None}],
        "is_explain": False,
        "is_readonly": True,
    }
    assert (insert["is_readonly"], insert["cols"], len(insert["params"])) == (False, [], 2)
    assert explain["is_explain"]
    assert answer["results"][3]["error"]["code"] == "SQLITE_ERROR"


async def test_describe_knows_what_another_stream_has_changed(plane: Plane) -> None:
    stream = None
    told = []
    for change in ("CREATE TABLE t (a)", "ALTER TABLE t ADD COLUMN b", "ALTER TABLE t RENAME COLUMN a TO c"):
        await plane.execute(change)
        answer = await plane.requests({"type": "describe", "sql": "SELECT * FROM t"}, baton=stream)
        told.append([column["name"] for column in answer["results"][0]["response"]["result"]["cols"]])
        stream = answer["baton"]
    assert told == [["a"], ["a", "b"], ["c", "b"]]


async def test_describe_does_not_begin_the_view_of_a_transaction(plane: Plane) -> None:
    """What another stream commits before the first statement would make its first write fail."""
    await plane.execute("CREATE TABLE t (a)")
    answer = await plane.requests(execute("BEGIN"), {"type": "describe", "sql": "INSERT INTO t VALUES (1)"})
    await plane.execute("INSERT INTO t VALUES (2)")
    insert = execute("INSERT INTO t VALUES (1)")
    answer = await plane.requests(insert, execute("COMMIT"), {"type": "close"}, baton=answer["baton"])
    assert answer["results"][0]["type"] == answer["results"][1]["type"] == "ok", answer


async def test_stored_sql_is_known_on_its_stream_until_closed(plane: Plane) -> None:
    stored = {"type": "execute", "stmt": {"sql_id": 3}}
    answer = await plane.requests({"type": "store_sql", "sql_id": 3, "sql": "SELECT 42"}, stored)
    assert answer["results"][1]["type"] == "ok"
    answer = await plane.requests(
        stored, {"type": "close_sql", "sql_id": 3}, stored, {"type": "close"}, baton=answer["baton"]
    )
    assert [result["type"] for result in answer["results"]] == ["ok", "ok", "error", "ok"]
    assert "SQL text 3 not found" in answer["results"][2]["error"]["message"]


async def test_get_autocommit_is_of_version_three(plane: Plane) -> None:
    ask = {"type": "get_autocommit"}
    answer = await plane.requests(ask, execute("BEGIN"), ask, {"type": "close"})
    assert [answer["results"][i]["response"]["is_autocommit"] for i in (0, 2)] == [True, False]
    assert (await plane.post("v2/pipeline", {"requests": [ask]})).status_code == 400


async def test_a_body_that_is_no_request_is_refused(plane: Plane) -> None:
    bodies: list[Any] = [
        {},
        [],
        {"requests": [{"type": "nope"}]},
        {"requests": [{"type": "execute"}]},
        {"requests": None},
    ]
    for body in bodies:
        response = await plane.post("v3/pipeline", body)
        assert response.status_code == 400, body
        assert response.json()["message"]


async def test_a_body_that_is_no_protobuf_is_refused_in_words(plane: Plane) -> None:
    headers = {"authorization": f"Bearer {plane.tokens[MAIN]}"}
    for body, why in ((b"\xff", "it ends within a number"), (b"\x12\x02\x7a\x00", "A request is of no known type")):
        response = await plane.http.post(f"/v1/{MAIN}/v3-protobuf/pipeline", content=body, headers=headers)
        assert response.status_code == 400
        assert response.json()["message"] == f"Cannot decode the request: {why}"


async def test_a_body_that_is_nested_without_end_is_refused_and_the_worker_lives(plane: Plane) -> None:
    baton = (await plane.requests(execute("BEGIN")))["baton"]
    condition = '{"type":"not","cond":' * 101 + '{"type":"ok","step":0}' + "}" * 101
    select = '{"stmt":{"sql":"SELECT 1"}'
    steps = f'{{"steps":[{select}}},{select},"condition":{condition}}}]}}'
    for path, body in (
        ("v3/pipeline", '{"requests":[],"x":' + "[" * 100_000),
        ("v3/cursor", '{"batch":' * 100_000),
        ("v1/batch", '{"batch":{"steps":[{"condition":' + '{"type":"not","cond":' * 100_000),
        ("v3/pipeline", f'{{"requests":[{{"type":"batch","batch":{steps}}}]}}'),
        ("v3/cursor", f'{{"batch":{steps}}}'),
    ):
        headers = {"authorization": f"Bearer {plane.tokens[MAIN]}"}
        response = await plane.http.post(f"/v1/{MAIN}/{path}", content=body, headers=headers)
        assert (response.status_code, response.json()["code"]) == (400, "PROTOCOL_ERROR"), response.text
    assert (await plane.requests(execute("COMMIT"), baton=baton))["results"][0]["type"] == "ok"


async def test_an_answer_over_the_limit_names_it(hasty_plane: Plane) -> None:
    error = await hasty_plane.failure("SELECT hex(zeroblob(600000))")
    assert error["code"] == "RESPONSE_TOO_LARGE"
    assert "1 MiB" in error["message"]


async def test_what_an_answer_does_not_tell_takes_no_room_in_it(hasty_plane: Plane) -> None:
    large = [execute("SELECT hex(zeroblob(600000))"), execute("SELECT hex(zeroblob(300000))")]
    answer = await hasty_plane.requests(*large, {"type": "close"})
    assert [result["type"] for result in answer["results"]] == ["error", "ok", "ok"]
    long = f"SELECT '{'x' * (1 << 20)}"  # which its error quotes
    answer = await hasty_plane.requests(execute(long), execute("SELECT nope"), {"type": "close"})
    told = [result["error"]["code"] for result in answer["results"][:2]]
    assert told == ["RESPONSE_TOO_LARGE", "SQLITE_ERROR"]


@pytest.mark.parametrize("text", ["SELECT 1 AS '{}'", "SELECT '{}", "SELECT :{}"], ids=["name", "error", "parameter"])
@pytest.mark.parametrize("kind", ["execute", "describe"])
async def test_names_and_messages_count_for_the_limit_of_an_answer(hasty_plane: Plane, text: str, kind: str) -> None:
    store = {"type": "store_sql", "sql_id": 1, "sql": text.format("x" * 200_000)}
    argument = {"name": "unused", "value": {"type": "null"}}
    described = {"type": "describe", "sql_id": 1}
    executed = {"type": "execute", "stmt": {"sql_id": 1, "named_args": [argument]}}
    again = described if kind == "describe" else executed
    answer = await hasty_plane.requests(store, *[again] * 20, {"type": "close"})
    assert len(json.dumps(answer)) < 2 << 20
    assert answer["results"][20]["error"]["code"] == "RESPONSE_TOO_LARGE"


async def test_libsqls_own_features_work(plane: Plane) -> None:
    await plane.execute("CREATE TABLE v (id INTEGER PRIMARY KEY, e F32_BLOB(2))")
    await plane.execute("CREATE INDEX vi ON v (libsql_vector_idx(e))")
    await plane.execute("INSERT INTO v (e) VALUES (vector32('[1,1]')), (vector32('[9,-9]'))")
    assert await plane.values("SELECT id FROM vector_top_k('vi', vector32('[1,1]'), 1)") == [[1]]
    await plane.execute("CREATE VIRTUAL TABLE f USING fts5(a)")
    await plane.execute("INSERT INTO f VALUES ('hello world'), ('other')")
    assert await plane.values("SELECT a FROM f('hello')") == [["hello world"]]
    await plane.execute("CREATE TABLE parent (a PRIMARY KEY)")
    await plane.execute("CREATE TABLE child (a REFERENCES parent)")
    assert (await plane.failure("INSERT INTO child VALUES (1)"))["extended_code"] == "SQLITE_CONSTRAINT_FOREIGNKEY"


async def test_the_old_stateless_endpoints_answer(plane: Plane) -> None:
    response = await plane.post("v1/execute", {"stmt": {"sql": "SELECT 1"}})
    assert response.json()["result"]["rows"] == [[{"type": "integer", "value": "1"}]]
    response = await plane.post("v1/batch", {"batch": {"steps": [{"stmt": {"sql": "SELECT 1"}}]}})
    assert len(response.json()["result"]["step_results"]) == 1
    response = await plane.post("v1/execute", {"stmt": {"sql": "SELEC"}})
    assert (response.status_code, response.json()["code"]) == (400, "SQL_PARSE_ERROR")
    null = {"type": "null"}
    both = {"sql": "SELECT :a", "args": [null], "named_args": [{"name": "a", "value": null}]}
    response = await plane.post("v1/execute", {"stmt": both})
    assert (response.status_code, response.json()["code"]) == (501, "ARGS_BOTH_POSITIONAL_AND_NAMED")
    await plane.execute("CREATE TABLE t (a PRIMARY KEY)")
    twice = {"stmt": {"sql": "INSERT INTO t VALUES (1), (1)"}}
    response = await plane.post("v1/execute", twice)
    message = "SQLite error: UNIQUE constraint failed: t.a"
    assert response.status_code == 500
    assert response.json() == {
        "message": message,
        "code": "SQLITE_CONSTRAINT",
        "extended_code": "SQLITE_CONSTRAINT_PRIMARYKEY",
        "error": message,
    }


async def test_an_old_answer_over_the_limit_is_the_requests_fault(hasty_plane: Plane) -> None:
    response = await hasty_plane.post("v1/execute", {"stmt": {"sql": "SELECT hex(zeroblob(600000))"}})
    assert (response.status_code, response.json()["code"]) == (400, "RESPONSE_TOO_LARGE")


async def test_a_database_belongs_to_its_own_files(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    assert (plane.worker.directory / MAIN / "data.db").exists()
    answer = await plane.requests(execute("SELECT * FROM t"), {"type": "close"}, database_id=OTHER)
    assert answer["results"][0]["error"]["message"].startswith("SQLite error: no such table: t")


async def test_a_table_that_another_stream_has_made_anew_is_known_at_once(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    one = (await plane.requests(execute("INSERT INTO t VALUES (1)")))["baton"]
    await plane.execute("DROP TABLE t")
    await plane.execute("CREATE TABLE t (a, b)")
    answer = await plane.requests(execute("INSERT INTO t VALUES (?, ?)", 1, 2), {"type": "close"}, baton=one)
    assert answer["results"][0]["type"] == "ok", answer


async def test_a_statement_that_its_table_does_not_fit_for_a_while_runs_again_when_it_does(plane: Plane) -> None:
    async def shape(columns: str) -> None:
        await plane.execute("DROP TABLE IF EXISTS t")
        await plane.execute(f"CREATE TABLE t ({columns})")

    outcomes = []
    stream = None
    for columns in ("a, b", "a", "a, b"):
        await shape(columns)
        answer = await plane.requests(execute("INSERT INTO t VALUES (?, ?)", 1, 2), baton=stream)
        outcomes.append(answer["results"][0]["type"])
        stream = answer["baton"]
    assert outcomes == ["ok", "error", "ok"]
