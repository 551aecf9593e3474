"""The tables of the embedded engine.

``version`` is the log's changes and the only place of a body; ``resource`` is what is current. A resource's *ordinal*
is the address of its first creation: it never changes, breaks ties and ends cursors. The four entry tables are
clustered by resource, to check one candidate cheaply, and each has a covering index by value, to find candidates.

``field.many`` tells that some resource has, or had, several entries of a parameter: a sort by a parameter of which
each has one at most can begin where a filter by it begins.

A first version lies at the address that is the resource's ordinal, so no index of versions holds it: an import touches
one page less for each resource.
"""

from __future__ import annotations

from typing import Final

from fhir_server.storage.protocol import POSITIONS

POSITION_BITS: Final = POSITIONS.bit_length() - 1
"""Bits of an address that are the position inside a commit."""

TABLES: Final = (
    """
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE commits (
        number INTEGER PRIMARY KEY,
        instant INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        schema INTEGER NOT NULL
    )
    """,
    "CREATE INDEX commits_instant ON commits (instant)",
    "CREATE TABLE type (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    """
    CREATE TABLE field (
        number INTEGER PRIMARY KEY,
        type INTEGER NOT NULL,
        parameter TEXT NOT NULL,
        kind TEXT NOT NULL,
        many INTEGER NOT NULL DEFAULT 0,
        UNIQUE (type, parameter, kind)
    )
    """,
    """
    CREATE TABLE version (
        address INTEGER PRIMARY KEY,
        type INTEGER NOT NULL,
        id TEXT NOT NULL,
        version INTEGER NOT NULL,
        interaction TEXT NOT NULL,
        instant INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        body BLOB
    )
    """,
    "CREATE UNIQUE INDEX version_instance ON version (type, id, version) WHERE version > 1",
    "CREATE INDEX version_type ON version (type)",
    """
    CREATE TABLE resource (
        ordinal INTEGER PRIMARY KEY,
        type INTEGER NOT NULL,
        id TEXT NOT NULL,
        version INTEGER NOT NULL,
        address INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        deleted INTEGER NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX resource_key ON resource (type, id)",
    "CREATE INDEX resource_type ON resource (type) WHERE deleted = 0",
    "CREATE INDEX resource_updated ON resource (type, updated) WHERE deleted = 0",
    """
    CREATE TABLE equality (
        ordinal INTEGER NOT NULL,
        field INTEGER NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (ordinal, field, value)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX equality_value ON equality (field, value, ordinal)",
    """
    CREATE TABLE text (
        ordinal INTEGER NOT NULL,
        field INTEGER NOT NULL,
        folded TEXT NOT NULL,
        exact TEXT NOT NULL,
        PRIMARY KEY (ordinal, field, folded, exact)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX text_value ON text (field, folded, ordinal, exact)",
    """
    CREATE TABLE span (
        ordinal INTEGER NOT NULL,
        field INTEGER NOT NULL,
        key TEXT NOT NULL,
        low NOT NULL,
        high NOT NULL,
        PRIMARY KEY (ordinal, field, key, low, high)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX span_value ON span (field, key, low, ordinal, high)",
    "CREATE INDEX span_high ON span (field, high, ordinal, low) WHERE key = ''",
    """
    CREATE TABLE point (
        ordinal INTEGER NOT NULL,
        field INTEGER NOT NULL,
        latitude REAL NOT NULL,
        longitude REAL NOT NULL,
        PRIMARY KEY (ordinal, field, latitude, longitude)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX point_value ON point (field, latitude, longitude, ordinal)",
)
