"""What SQL texts of clients may take, on one stream and of a database together."""

from dataplane.stored_sql import MAX_CHARACTERS, MAX_DATABASE_CHARACTERS, StoredSql, StoredTotals
from tests.dataplane.plane import Plane

LARGEST = "SELECT 1 --" + "x" * (MAX_CHARACTERS - 11)


def test_what_a_stream_forgets_is_room_for_the_others() -> None:
    totals = StoredTotals()
    total = totals.of("db-1")
    first, second = StoredSql(total), StoredSql(totals.of("db-1"))
    first.add(1, "SELECT 1")
    second.add(1, "SELECT 22")
    assert total.characters == 17
    second.remove(1)
    second.remove(1)
    first.clear()
    first.clear()
    assert (total.characters, first.texts, totals.of("db-2").characters) == (0, {}, 0)


async def test_the_texts_of_all_streams_of_a_database_are_bounded(plane: Plane) -> None:
    batons = []
    for _ in range(MAX_DATABASE_CHARACTERS // MAX_CHARACTERS):
        answer = await plane.requests({"type": "store_sql", "sql_id": 1, "sql": LARGEST})
        assert answer["results"][0]["type"] == "ok"
        batons.append(answer["baton"])
    one_more = {"type": "store_sql", "sql_id": 1, "sql": "SELECT 1"}
    answer = await plane.requests(one_more, {"type": "close"})
    assert answer["results"][0]["error"]["code"] == "SQL_STORE_TOO_LARGE"
    assert "all streams of the database" in answer["results"][0]["error"]["message"]
    await plane.requests({"type": "close"}, baton=batons.pop())
    answer = await plane.requests(one_more, {"type": "close"})
    assert answer["results"][0]["type"] == "ok"
