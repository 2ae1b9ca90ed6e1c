"""Room for uploads that go on: the cap on what is unfinished, and the disk's reserve."""

import datetime
import shutil
import time

import pytest
from sqlalchemy import event

from leakdrop.errors import NoRoomError
from leakdrop.store.unfinished import BARELY_BYTES, PROGRESS_BYTES
from leakdrop.store.upload import UnknownUploadError
from leakdrop.store.uploads import Uploads
from tests.site import open_drops

TODAY = datetime.date(2026, 11, 22)
LENGTH = 1_000_000


def put(uploads: Uploads, upload_id: str, offset: int, size: int) -> None:
    with uploads.append(upload_id, offset, TODAY, lambda: None, length=size) as writing:
        writing.write(bytes(size))


def test_what_is_unfinished_stays_below_the_cap_and_the_one_furthest_along_can_finish(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        uploads = Uploads(drops, LENGTH)
        first, second = (uploads.create(LENGTH, TODAY).id for _ in range(2))
        put(uploads, first, 0, 600_000)
        put(uploads, second, 0, 300_000)
        with pytest.raises(NoRoomError):
            put(uploads, second, 300_000, 200_000)
        put(uploads, first, 600_000, 300_000)
        assert uploads.find(second).offset == 300_000
        with uploads.append(first, 900_000, TODAY, lambda: None, length=100_000) as writing:
            writing.write(bytes(100_000))
            uploads.finish(writing)
        put(uploads, second, 300_000, 200_000)
        assert uploads.find(second).offset == 500_000


def put_barely(uploads: Uploads, size: int) -> str:
    upload_id = uploads.create(2 * BARELY_BYTES, TODAY).id
    put(uploads, upload_id, 0, size)
    return upload_id


def is_there(uploads: Uploads, upload_id: str) -> bool:
    try:
        uploads.find(upload_id)
    except UnknownUploadError:
        return False
    return True


def test_uploads_without_a_byte_are_forgotten_and_others_stay(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        uploads = Uploads(drops, 2**40, idle_seconds=0)
        begun = put_barely(uploads, 1)
        empty = uploads.create(LENGTH, TODAY).id
        uploads.create(LENGTH, TODAY)
        assert (is_there(uploads, begun), is_there(uploads, empty)) == (True, False)
        patient = Uploads(drops, 2**40)
        empty = patient.create(LENGTH, TODAY).id
        patient.create(LENGTH, TODAY)
        assert is_there(patient, empty)


def test_of_too_many_uploads_the_one_that_has_barely_begun_makes_room(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        uploads = Uploads(drops, 2**40, most=2, idle_seconds=0)
        first, second = put_barely(uploads, 20), put_barely(uploads, 10)
        third = put_barely(uploads, BARELY_BYTES)
        assert [is_there(uploads, one) for one in (first, second, third)] == [True, False, True]
        fourth = put_barely(uploads, 30)
        with (
            uploads.append(first, 20, TODAY, lambda: None),
            uploads.append(fourth, 30, TODAY, lambda: None),
            pytest.raises(NoRoomError),
        ):
            uploads.create(LENGTH, TODAY)
        assert [is_there(uploads, one) for one in (first, third, fourth)] == [True] * 3


def test_an_upload_that_is_asked_for_and_brings_next_to_nothing_is_left_alone(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        uploads = Uploads(drops, 2**40, most=2, idle_seconds=2)
        pretends, goes_on = put_barely(uploads, 20), put_barely(uploads, 10)
        time.sleep(2)
        uploads.find(pretends)
        put(uploads, pretends, 20, 100)
        put(uploads, goes_on, 10, PROGRESS_BYTES)
        uploads.create(LENGTH, TODAY)
        assert [is_there(uploads, one) for one in (pretends, goes_on)] == [False, True]


def bring(uploads: Uploads, upload_id: str, offset: int, size: int, today: datetime.date) -> datetime.date:
    """Bytes of a day, and the last day that an upload has then."""
    with uploads.append(upload_id, offset, today, lambda: None) as writing:
        writing.write(bytes(size))
    return writing.upload.expires


def test_uploads_that_are_parked_keep_nobody_out_for_long(tmp_path):
    days = [TODAY + datetime.timedelta(days=number) for number in range(12)]
    with open_drops(tmp_path / "data") as drops:
        uploads = Uploads(drops, 2**40, most=2)
        parked = [put_barely(uploads, BARELY_BYTES) for _ in range(4)]
        goes_on = uploads.create(16 * BARELY_BYTES, TODAY).id
        uploads.create(LENGTH, TODAY)
        ends = {}
        for number in range(2, 9, 2):
            for upload_id in parked:
                if is_there(uploads, upload_id):
                    ends[upload_id] = bring(
                        uploads, upload_id, uploads.find(upload_id).offset, 1, days[number]
                    )
            for _ in range(2):
                offset = uploads.find(goes_on).offset
                ends[goes_on] = bring(uploads, goes_on, offset, BARELY_BYTES // 2, days[number])
            uploads.create(LENGTH, days[number + 1])
        assert [ends[upload_id] for upload_id in parked] == [days[7]] * 4
        assert not any(is_there(uploads, upload_id) for upload_id in parked)
        assert ends[goes_on] == days[11]


def test_too_many_uploads_that_go_on_are_refused(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        uploads = Uploads(drops, 2**40, most=2)
        first = put_barely(uploads, 1)
        put_barely(uploads, 1)
        with pytest.raises(NoRoomError):
            uploads.create(LENGTH, TODAY)
        uploads.end(first)
        uploads.create(LENGTH, TODAY)


def test_what_is_unfinished_is_counted_after_a_start_and_after_an_end(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        first = put_barely(Uploads(drops, 2**40), 600_000)
        uploads = Uploads(drops, LENGTH)
        with pytest.raises(NoRoomError):
            uploads.create(LENGTH, TODAY)
        uploads.end(first)
        uploads.create(LENGTH, TODAY)


def test_rows_are_laid_anew_for_a_drop_and_not_for_each_request(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        statements = []
        event.listen(
            drops.engine, "before_cursor_execute", lambda _c, _cur, text, *_: statements.append(text)
        )
        uploads = Uploads(drops, 2**40)
        first, second = (uploads.create(LENGTH, TODAY).id for _ in range(2))
        put(uploads, first, 0, 1000)
        uploads.end(second)
        assert "VACUUM" not in statements
        with uploads.append(first, 1000, TODAY, lambda: None) as writing:
            writing.write(bytes(LENGTH - 1000))
            uploads.finish(writing)
        assert "VACUUM" in statements


def test_an_upload_that_goes_on_leaves_the_reserve_free(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        upload_id = Uploads(drops, 2**40).create(LENGTH, TODAY).id
    reserve = shutil.disk_usage(tmp_path).free * 2
    with open_drops(tmp_path / "data", reserve_bytes=reserve) as drops:
        uploads = Uploads(drops, 2**40)
        with pytest.raises(NoRoomError):
            put(uploads, upload_id, 0, 100_000)
        assert uploads.find(upload_id).offset == 0
