"""Desired state: transactions, names and ids, what is refused."""

import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isolates.messages import Limits
from runtime.state import apps, audit, builds, databases, domains, environment, ids, node, projects, usage
from runtime.state.builds import Build
from runtime.state.errors import Conflict, NotFound
from runtime.state.schema import MIGRATIONS, SchemaError
from runtime.state.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "state.db")
    yield opened
    await opened.close()


def build(app_id: str, build_id: str, digest: str = "d") -> Build:
    return Build(0, build_id, app_id, digest, "ref-1", Limits(wall_ms=5), 10, time.time())


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "state.db")
    app = await store.write(apps.create, "default", "blog", 1.0)
    await store.write(builds.add_active, build(app.app_id, "bld-1"))
    await store.write(environment.put, app.app_id, "KEY", "value", 2.0)
    key = await store.write(node.token_key)
    await store.close()
    store = await Store.open(tmp_path / "state.db")
    found = await store.read(apps.find, "default", "blog")
    assert (found.app_id, found.active_build) == (app.app_id, "bld-1")
    assert (await store.read(builds.active))[0].limits == Limits(wall_ms=5)
    assert await store.read(environment.every) == {app.app_id: {"KEY": "value"}}
    assert await store.write(node.token_key) == key
    await store.close()


async def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def half(connection: sqlite3.Connection) -> None:
        apps.create(connection, "default", "first", 1.0)
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        await store.write(half)
    assert await store.read(apps.every) == []
    assert await store.read(projects.every) == []


async def test_apps_are_found_by_name_and_by_id(store: Store) -> None:
    app = await store.write(apps.create, "acme", "shop", 1.0)
    assert await store.read(apps.find, "acme", "shop") == app
    assert await store.read(apps.find, app.project_id, app.app_id) == app
    for project, key in [("acme", "blog"), ("default", "shop"), ("acme", "app-aaaaaaaaaaaa")]:
        with pytest.raises(NotFound):
            await store.read(apps.find, project, key)


async def test_a_second_app_of_the_same_name_is_a_conflict(store: Store) -> None:
    await store.write(apps.create, "acme", "shop", 1.0)
    await store.write(apps.create, "other", "shop", 1.0)
    with pytest.raises(Conflict):
        await store.write(apps.create, "acme", "shop", 1.0)


async def test_an_unused_project_lists_nothing(store: Store) -> None:
    assert await store.read(apps.of_project, "never-used") == []
    assert await store.read(databases.of_project, "never-used") == []


async def test_rollback_goes_one_build_back_each_time(store: Store) -> None:
    app = await store.write(apps.create, "default", "a", 1.0)
    for number in (1, 2, 3):
        await store.write(builds.add_active, build(app.app_id, f"bld-{number}"))
    assert (await store.read(builds.before, app.app_id, "bld-3")).build_id == "bld-2"
    assert (await store.read(builds.before, app.app_id, "bld-2")).build_id == "bld-1"
    with pytest.raises(Conflict):
        await store.read(builds.before, app.app_id, "bld-1")


async def test_old_builds_are_pruned_but_never_the_active_one(store: Store) -> None:
    app = await store.write(apps.create, "default", "a", 1.0)
    for number in range(6):
        await store.write(builds.add_active, build(app.app_id, f"bld-{number}", f"digest-{number}"))
    await store.write(builds.activate, app.app_id, "bld-0")
    await store.write(builds.prune, app.app_id, 2)
    assert [entry.build_id for entry in await store.read(builds.of_app, app.app_id)] == ["bld-5", "bld-4", "bld-0"]
    assert await store.read(builds.digests) == {"digest-5", "digest-4", "digest-0"}


async def test_deleting_an_app_takes_everything_of_it(store: Store) -> None:
    app = await store.write(apps.create, "default", "a", 1.0)
    await store.write(builds.add_active, build(app.app_id, "bld-1"))
    await store.write(environment.put, app.app_id, "KEY", "value", 1.0)
    await store.write(domains.attach, app.app_id, "a.localhost", "external", active=True, now=1.0)
    await store.write(apps.delete, app.app_id)
    assert await store.read(builds.digests) == set()
    assert await store.read(environment.every) == {}
    assert await store.read(domains.every_active) == {}


async def test_a_name_belongs_to_one_app(store: Store) -> None:
    first = await store.write(apps.create, "default", "a", 1.0)
    second = await store.write(apps.create, "default", "b", 1.0)
    await store.write(domains.attach, first.app_id, "shop.example", "external", active=False, now=1.0)
    with pytest.raises(Conflict):
        await store.write(domains.attach, second.app_id, "shop.example", "external", active=True, now=1.0)
    assert await store.read(domains.every_active) == {}
    for _ in range(2):
        await store.write(domains.finalize, first.app_id, "shop.example")
    again = await store.write(domains.attach, first.app_id, "shop.example", "external", active=False, now=2.0)
    assert again.active
    assert await store.read(domains.every_active) == {"shop.example": first.app_id}
    with pytest.raises(NotFound):
        await store.write(domains.finalize, second.app_id, "shop.example")


async def test_creating_a_database_again_changes_nothing(store: Store) -> None:
    first, created = await store.write(databases.create, "default", "main", "db-aaaaaaaaaaaa", b"1", 1.0)
    again, created_again = await store.write(databases.create, "default", "main", "db-bbbbbbbbbbbb", b"2", 2.0)
    assert (created, created_again) == (True, False)
    assert again == first


async def test_rotation_raises_the_epoch(store: Store) -> None:
    await store.write(databases.create, "default", "main", "db-aaaaaaaaaaaa", b"1", 1.0)
    rotated = await store.write(databases.rotate, "db-aaaaaaaaaaaa", b"2")
    assert (rotated.epoch, rotated.token_hash) == (2, b"2")


async def test_a_deleted_database_is_remembered_until_its_files_are_gone(store: Store) -> None:
    await store.write(databases.create, "default", "main", "db-aaaaaaaaaaaa", b"1", 1.0)
    await store.write(databases.delete, "db-aaaaaaaaaaaa")
    assert await store.read(databases.every) == []
    assert await store.read(databases.dropped) == ["db-aaaaaaaaaaaa"]
    await store.write(databases.files_gone, "db-aaaaaaaaaaaa")
    assert await store.read(databases.dropped) == []


async def test_a_database_name_used_twice_needs_its_id(store: Store) -> None:
    await store.write(databases.create, "one", "main", "db-aaaaaaaaaaaa", b"1", 1.0)
    assert (await store.read(databases.find, "main")).project == "one"
    await store.write(databases.create, "two", "main", "db-bbbbbbbbbbbb", b"1", 1.0)
    with pytest.raises(NotFound, match="by its id"):
        await store.read(databases.find, "main")


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(SchemaError, match="newer"):
        await Store.open(path)


async def test_what_an_older_version_wrote_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path, isolation_level=None)
    for script in MIGRATIONS[:3]:
        connection.executescript(script)
    connection.executescript("""
        PRAGMA user_version = 3;
        INSERT INTO projects VALUES ('prj-a', 'default', 1.0);
        INSERT INTO databases VALUES ('db-aaaaaaaaaaaa', 'prj-a', 'old', x'00', 4, 1, 2.0);
        INSERT INTO database_usage VALUES ('db-aaaaaaaaaaaa', '2026-11-20', 1, 2, 3, 4096);
    """)
    connection.close()
    store = await Store.open(path)
    found = await store.read(databases.find, "old")
    assert (found.epoch, found.suspended, found.suspend_reason) == (4, True, "")
    assert await store.read(usage.days, found.database_id, 9) == [usage.Day("2026-11-20", 1, 2, 3, 4096, 0, 0)]
    assert await store.read(audit.find, audit.Filter(), 9) == []
    await store.close()


async def test_commits_wait_for_the_disk(store: Store) -> None:
    assert await store.read(lambda connection: connection.execute("PRAGMA synchronous").fetchone()) == (2,)


def test_ids_have_a_form_that_names_cannot_take() -> None:
    for kind in ("prj", "app", "bld", "db"):
        assert ids.is_id(ids.new(kind))
    assert len({ids.new("app") for _ in range(100)}) == 100
    assert not ids.is_id("app-short")
