"""Tables of the state file, as numbered migrations that are applied in order and never edited afterwards."""

import sqlite3

MIGRATIONS = [
    """
    CREATE TABLE node (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

    CREATE TABLE projects (
        project_id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created REAL NOT NULL
    );

    CREATE TABLE apps (
        app_id TEXT PRIMARY KEY,
        project_id TEXT NOT NULL REFERENCES projects,
        name TEXT NOT NULL,
        created REAL NOT NULL,
        active_build TEXT REFERENCES builds (build_id) DEFERRABLE INITIALLY DEFERRED,
        UNIQUE (project_id, name)
    );

    CREATE TABLE builds (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        build_id TEXT NOT NULL UNIQUE,
        app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE,
        digest TEXT NOT NULL,
        env_ref TEXT NOT NULL,
        limits TEXT NOT NULL,
        size INTEGER NOT NULL,
        created REAL NOT NULL
    );
    CREATE INDEX builds_of_app ON builds (app_id, number);
    CREATE INDEX builds_of_digest ON builds (digest);

    CREATE TABLE environment (
        app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        updated REAL NOT NULL,
        PRIMARY KEY (app_id, key)
    ) WITHOUT ROWID;

    CREATE TABLE domains (
        domain TEXT PRIMARY KEY,
        app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE,
        dns_mode TEXT NOT NULL,
        active INTEGER NOT NULL,
        created REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX domains_of_app ON domains (app_id);

    CREATE TABLE databases (
        database_id TEXT PRIMARY KEY,
        project_id TEXT NOT NULL REFERENCES projects,
        name TEXT NOT NULL,
        token_hash BLOB NOT NULL,
        epoch INTEGER NOT NULL,
        suspended INTEGER NOT NULL,
        created REAL NOT NULL,
        UNIQUE (project_id, name)
    );

    -- Deleted databases whose files may still be there: the row outlives a crash between the two.
    CREATE TABLE dropped_databases (database_id TEXT PRIMARY KEY) WITHOUT ROWID;
    """,
    """
    CREATE TABLE snapshots (
        snapshot_id TEXT PRIMARY KEY,
        database_id TEXT NOT NULL REFERENCES databases ON DELETE CASCADE,
        kind TEXT NOT NULL,
        created REAL NOT NULL,
        size INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX snapshots_of_database ON snapshots (database_id, created);
    """,
    """
    CREATE TABLE database_usage (
        database_id TEXT NOT NULL REFERENCES databases ON DELETE CASCADE,
        day TEXT NOT NULL,
        rows_read INTEGER NOT NULL,
        rows_written INTEGER NOT NULL,
        queries INTEGER NOT NULL,
        storage_bytes INTEGER NOT NULL,
        PRIMARY KEY (database_id, day)
    ) WITHOUT ROWID;
    """,
    """
    -- Names and ids as they were: entries outlive what they tell of.
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        action TEXT NOT NULL,
        actor TEXT NOT NULL,
        client TEXT NOT NULL,
        project TEXT NOT NULL,
        app TEXT,
        app_id TEXT,
        database TEXT,
        database_id TEXT,
        detail TEXT NOT NULL
    );
    CREATE INDEX audit_of_action ON audit (action, number);
    """,
    """
    ALTER TABLE database_usage ADD COLUMN received_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE database_usage ADD COLUMN sent_bytes INTEGER NOT NULL DEFAULT 0;
    """,
    """
    ALTER TABLE databases ADD COLUMN suspend_reason TEXT NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE databases ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
    """,
]


class SchemaError(Exception):
    """The state file was written by a newer version."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to the newest schema, each step in one transaction. Raises `SchemaError`."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise SchemaError(
            f"the state file has schema {version}, this version of brrrd knows {len(MIGRATIONS)}; use a newer brrrd"
        )
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
