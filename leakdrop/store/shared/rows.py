"""Sessions with the PostgreSQL database that several machines share, and what they ask."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Select, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from leakdrop.errors import StoreError
from leakdrop.store.database import connect_postgresql, migrate
from leakdrop.store.drop import Drop
from leakdrop.store.models import DropRow, PartRow, UploadRow
from leakdrop.store.upload import UnknownUploadError


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


def lock_upload(session: Session, upload_id: str) -> UploadRow:
    """An upload's row, which no other machine can lock before this transaction ends.

    Raises UnknownUploadError.
    """
    row = session.get(UploadRow, upload_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise UnknownUploadError
    return row


def select_parts(upload_id: str) -> Select[PartRow]:
    """The parts of an upload, in order."""
    return select(PartRow).where(PartRow.upload_id == upload_id).order_by(PartRow.start)


def measure_upload(session: Session, upload_id: str) -> int:
    """How many bytes an unfinished upload has received."""
    query = select(func.coalesce(func.sum(PartRow.size), 0)).where(PartRow.upload_id == upload_id)
    return int(session.scalar(query) or 0)


def insert_drops(session: Session, drops: list[Drop]) -> None:
    """Write the rows that another machine has not written meanwhile."""
    for drop in drops:
        row = {"name": drop.name, "size": drop.size, "week": drop.week}
        session.execute(insert(DropRow).values(row).on_conflict_do_nothing())
