"""The parser of forms and what is behind it, on any bytes: an envelope or a refusal, nothing left over."""

import datetime
import io
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leakdrop.envelope.opening import open_envelope
from leakdrop.intake.bodies import READ, check_head
from leakdrop.intake.forms import Part, read_boundary, read_parts
from leakdrop.intake.noscript import take_form
from leakdrop.intake.refusals import Refusal, Refused
from leakdrop.intake.sealed import Desk
from leakdrop.store.drops import Drops
from tests.intake.test_form import SEALED, changed
from tests.keys import label_key_pair
from tests.site import encode_form

ALICE = label_key_pair("alice")
TODAY = datetime.date(2026, 11, 22)
HERE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    with Drops(tmp_path_factory.mktemp("data")) as drops:
        yield Desk(drops, frozenset({ALICE.public.key_id}), 2**30, True)


class Drip:
    """A body that arrives in pieces of odd sizes, as from a slow circuit."""

    def __init__(self, body: bytes, sizes: list[int]) -> None:
        self._body = io.BytesIO(body)
        self._sizes = sizes

    def read(self, size: int) -> bytes:
        wanted = self._sizes.pop(0) if self._sizes else size
        return self._body.read(min(size, max(wanted, 1)))


def take(body: bytes, content_type: str, desk: Desk, sizes=()) -> Path:
    """The only drop that a form leaves behind."""
    take_form(Drip(body, list(sizes)), content_type, len(body), [ALICE.public], desk)
    (path,) = desk.drops.layout.drops.iterdir()
    return path


def is_clean(desk: Desk) -> bool:
    return not any(desk.drops.layout.incoming.iterdir())


@HERE
@given(
    message=st.text(max_size=200),
    contents=st.lists(st.binary(max_size=2_000), max_size=3),
    sizes=st.lists(st.integers(1, 700), max_size=20),
)
def test_a_form_arrives_the_same_however_it_is_cut(desk, message, contents, sizes):
    message = "m" + message
    parts = [
        ("message", message.encode()),
        *(("files", f"{n}", content) for n, content in enumerate(contents)),
    ]
    body, content_type = encode_form(parts)
    path = take(body, content_type, desk, sizes)
    with path.open("rb") as file:
        envelope = open_envelope(file, [ALICE])
        assert [envelope.read_file(number) for number in range(len(contents))] == contents
        assert len(envelope.index.files) == len(contents)
    path.unlink()
    assert is_clean(desk)


@HERE
@given(st.binary(max_size=3_000), st.lists(st.integers(1, 200), max_size=5))
def test_any_body_is_taken_or_refused_and_leaves_nothing(desk, noise, sizes):
    body, content_type = encode_form([("message", "hello"), ("files", "a", b"x" * 100)])
    middle = len(body) // 2
    for candidate in (noise, body[:middle] + noise + body[middle:], body + noise, noise + body):
        with suppress(Refused):
            take(candidate, content_type, desk, sizes).unlink()
        assert is_clean(desk)


@given(st.text(max_size=100))
def test_any_content_type_has_a_boundary_or_is_refused(content_type):
    for candidate in (content_type, f"multipart/form-data; boundary={content_type}"):
        try:
            assert read_boundary(candidate)
        except Refused as error:
            refusal = error.refusal
            assert refusal is Refusal.NOT_A_FORM


def test_when_no_key_can_be_used_the_form_is_closed_and_says_so(desk):
    body, content_type = encode_form([("message", "too late")])
    with pytest.raises(Refused) as refused:
        take_form(io.BytesIO(body), content_type, len(body), [], desk)
    assert refused.value.refusal is Refusal.CLOSED
    assert is_clean(desk)


def test_a_connection_that_breaks_is_refused_wherever_it_breaks():
    body, content_type = encode_form([("message", "hello"), ("files", "a", b"x" * 300)])
    boundary = read_boundary(content_type)
    for end in range(0, len(body), 7):
        with pytest.raises(Refused) as refused:
            list(read_parts(io.BytesIO(body[:end]), boundary, len(body)))
        assert refused.value.refusal in (Refusal.CUT_OFF, Refusal.BAD_FORM)


def test_an_error_of_the_connection_is_a_cut():
    class Broken:
        def read(self, size: int) -> bytes:
            raise ConnectionResetError

    with pytest.raises(Refused) as refused:
        list(read_parts(Broken(), "x", 100))
    assert refused.value.refusal is Refusal.CUT_OFF


def test_no_piece_is_larger_than_one_read():
    body, content_type = encode_form([("files", "a", bytes(3 * READ))])
    pieces = list(read_parts(io.BytesIO(body), read_boundary(content_type), len(body)))
    assert isinstance(pieces[0], Part)
    assert max(len(piece) for piece in pieces[1:]) <= 2 * READ


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 10, 500, 1_273])
def test_the_head_of_an_envelope_may_go_on(length):
    assert check_head(SEALED[:length], {ALICE.public.key_id}) is None


def test_a_whole_head_is_a_header():
    assert check_head(SEALED[:1_274], {ALICE.public.key_id}).key_ids == (ALICE.public.key_id,)


@pytest.mark.parametrize(
    ("head", "refusal"),
    [
        (b"X", Refusal.NOT_AN_ENVELOPE),
        (b"LEAKDROQ", Refusal.NOT_AN_ENVELOPE),
        (b"LEAKDROP\x02", Refusal.UNKNOWN_VERSION),
        (b"LEAKDROP\x01\x00", Refusal.BAD_COUNT),
        (b"LEAKDROP\x01\x11", Refusal.BAD_COUNT),
        (changed(SEALED[:10] + SEALED[10:1_242] * 2 + bytes(32), 9, 2), Refusal.STANZA_ORDER),
        (changed(SEALED[:1_274], 10, SEALED[10] ^ 1), Refusal.FOREIGN_KEY),
    ],
)
def test_a_head_that_is_none_is_refused_as_soon_as_it_shows(head, refusal):
    with pytest.raises(Refused) as refused:
        check_head(head, {ALICE.public.key_id})
    assert refused.value.refusal is refusal
