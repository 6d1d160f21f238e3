"""The pipeline endpoints, as bytes on the wire."""

from tests.dataplane.plane import Plane, execute


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
                        "last_insert_rowid": "0",
                        "replication_index": None,
                        "rows_read": 0,
                        "rows_written": 0,
                    },
                },
            },
            {"type": "ok", "response": {"type": "close"}},
        ],
    }
