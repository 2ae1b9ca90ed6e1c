"""A database comes to a version whole, or stays at the one before."""

import sqlite3
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, event

from leakdrop.store.database import connect, migrate


class PowerCutError(Exception):
    """Here the lights went out."""


def break_at(number: int) -> Callable[..., None]:
    """What ends a migration in front of its statement of this number."""
    counted = 0

    def end(*_: object) -> None:
        nonlocal counted
        counted += 1
        if counted == number:
            raise PowerCutError

    return end


def schema(engine: Engine) -> list[str]:
    connection = sqlite3.connect(engine.url.database)
    try:
        return sorted(sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql <> ''"))
    finally:
        connection.close()


def test_a_migration_that_is_broken_off_anywhere_changes_nothing_and_can_be_repeated(tmp_path):
    whole = connect(tmp_path / "whole.sqlite")
    migrate(whole)
    assert any("CREATE TABLE uploads" in sql for sql in schema(whole))
    number, is_done = 0, False
    while not is_done:
        number += 1
        engine = connect(tmp_path / f"{number}.sqlite")
        cut = break_at(number)
        event.listen(engine, "before_cursor_execute", cut)
        try:
            migrate(engine)
            is_done = True
        except PowerCutError:
            event.remove(engine, "before_cursor_execute", cut)
            assert schema(engine) == []
            migrate(engine)
        assert schema(engine) == schema(whole)
    assert number > 5


def test_two_processes_that_migrate_at_once_do_not_meet(tmp_path):
    engine = connect(tmp_path / "leakdrop.sqlite")
    other = sqlite3.connect(tmp_path / "leakdrop.sqlite", timeout=0)

    def try_to_write(_connection, _cursor, statement, *_: object) -> None:
        if statement.lstrip().startswith("CREATE TABLE"):
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            tried.append(statement)

    tried: list[str] = []
    event.listen(engine, "before_cursor_execute", try_to_write)
    migrate(engine)
    other.close()
    assert tried
