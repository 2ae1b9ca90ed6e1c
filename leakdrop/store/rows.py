"""Sessions with the PostgreSQL database that several machines share."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from leakdrop.errors import StoreError
from leakdrop.store.database import connect_postgresql, migrate


class Rows:
    """The rows that several machines share. Raises StoreError when the database cannot be reached."""

    def __init__(self, url: str) -> None:
        self.engine = connect_postgresql(url)
        migrate(self.engine)

    @contextmanager
    def hold(self, number: int, sentence: str) -> Iterator[None]:
        """Hold a lock that all machines share, while this connection lasts.

        Raises StoreError, with this sentence if another process holds it.
        """
        try:
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            is_ours = connection.scalar(text("SELECT pg_try_advisory_lock(:number)"), {"number": number})
        except DatabaseError as error:
            raise StoreError(f"The database cannot be reached or used: {type(error).__name__}.") from None
        with connection:
            if not is_ours:
                raise StoreError(sentence)
            yield

    @contextmanager
    def begin(self) -> Iterator[Session]:
        try:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                yield session
        except DatabaseError as error:
            # Not its text, which quotes the values.
            raise StoreError(f"The database cannot be reached or used: {type(error).__name__}.") from None
