"""The tables. Each has a random primary key and no rowid: rows lie in no order of arrival."""

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The base of the models."""


class DropRow(Base):
    """One drop: its file's name (32 hex digits), its size in bytes, the ISO week in which it came.

    And the ISO week in which the reviewers' acknowledgement was taken, if it was.
    """

    __tablename__ = "drops"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own form

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    week: Mapped[str] = mapped_column(String(8))
    acknowledged: Mapped[str | None] = mapped_column(String(8))


class UploadRow(Base):
    """One upload: its id (32 hex digits), its envelope's length in bytes, the day (2026-11-24) it expires.

    A finished one stays for a day, without a link to its drop, so that a lost last answer can be asked for.
    With several machines, an unfinished one has the name of the drop that it `becomes`.
    """

    __tablename__ = "uploads"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own form

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    length: Mapped[int] = mapped_column(BigInteger)
    expires: Mapped[str] = mapped_column(String(10))
    becomes: Mapped[str | None] = mapped_column(String(32))


class PartRow(Base):
    """With several machines: a part of an unfinished upload, where it starts and its size in bytes.

    Its name (32 hex digits) is that of the object that holds the bytes.
    """

    __tablename__ = "parts"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own form

    upload_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(32))


class ReplyRow(Base):
    """One reply: mailbox and SHA-256 in hex, its size in bytes, the ISO week in which it was imported.

    No row of another table has anything in common with it.
    """

    __tablename__ = "replies"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own form

    mailbox: Mapped[str] = mapped_column(String(64), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    week: Mapped[str] = mapped_column(String(8))
