"""The parts of a form, as they arrive (multipart/form-data, RFC 7578).

Werkzeug would write larger files in the clear into the temporary directory before a view sees them. So
nothing here may touch `request.form` or `request.files`: parts go from the connection to the sealer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl

from multipart import MultipartError, PushMultipartParser, parse_options_header

from leakdrop.intake.bodies import Stream, read_body
from leakdrop.intake.refusals import Refusal, Refused

# Names far beyond what an index holds are shortened, not refused.
MAX_HEADER = 64 * 1024
# Forms whose fields are read whole: a token, or twelve words with much between them.
MAX_SMALL_FORM = 16 * 1024
URLENCODED = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Part:
    """The start of a part: its field, and what it claims of itself. Its bytes follow."""

    field: str
    filename: str
    type: str


def read_boundary(content_type: str) -> str:
    """The boundary that a form's Content-Type names. Raises Refused (NOT_A_FORM)."""
    media_type, options = parse_options_header(content_type)
    boundary: str = options.get("boundary", "")
    if media_type != "multipart/form-data" or not boundary:
        raise Refused(Refusal.NOT_A_FORM)
    return boundary


def read_parts(stream: Stream, boundary: str, length: int) -> Iterator[Part | bytes]:
    """Each part of a form of `length` bytes, followed by its bytes, piece by piece.

    Raises Refused (CUT_OFF, BAD_FORM). A part may have no body, not even an empty line (RFC 2046, section
    5.1.1); the parser takes what follows for its body. No browser writes such parts: they are refused.
    """
    start = b""  # of a part's body
    try:
        # Latin-1 keeps every byte of a name; `_text` decodes it.
        parser = PushMultipartParser(
            boundary,
            content_length=length,
            max_header_size=MAX_HEADER,
            header_charset="latin-1",
        )
        delimiter = b"--" + parser.boundary
        for piece in read_body(stream, length):
            for event in parser.parse(piece):
                if isinstance(event, (bytes, bytearray)):
                    if len(start) < len(delimiter):
                        start += event[: len(delimiter) - len(start)]
                        if start == delimiter:
                            raise Refused(Refusal.BAD_FORM)
                    yield bytes(event)
                elif event is not None:
                    start = b""
                    yield Part(
                        _text(event.name or ""), _text(event.filename or ""), _text(event.content_type or "")
                    )
        parser.close()
    except MultipartError:
        raise Refused(Refusal.BAD_FORM) from None


def read_small_form(stream: Stream, content_type: str, length: int) -> dict[str, str]:
    """The fields of a form of at most 16 KiB, in either way of writing them, each once.

    Raises Refused (CUT_OFF, BAD_FORM, NOT_A_FORM, TOO_LARGE).
    """
    if length > MAX_SMALL_FORM:
        raise Refused(Refusal.TOO_LARGE)
    if parse_options_header(content_type)[0] == URLENCODED:
        return _parse_urlencoded(b"".join(read_body(stream, length)))
    fields: dict[str, bytes] = {}
    field = ""
    for item in read_parts(stream, read_boundary(content_type), length):
        if isinstance(item, Part):
            field = item.field
            if field in fields:
                raise Refused(Refusal.BAD_FORM)
            fields[field] = b""
        else:
            fields[field] += item
    return {name: value.decode(errors="replace") for name, value in fields.items()}


def _parse_urlencoded(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=8)
    except ValueError:
        raise Refused(Refusal.BAD_FORM) from None
    if len(dict(pairs)) != len(pairs):
        raise Refused(Refusal.BAD_FORM)
    return dict(pairs)


def _text(header: str) -> str:
    return header.encode("latin-1").decode(errors="replace")
