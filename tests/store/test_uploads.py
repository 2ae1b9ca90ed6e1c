"""Room for uploads that go on: the cap on what is unfinished, and the disk's reserve."""

import datetime
import shutil

import pytest

from leakdrop.errors import NoRoomError
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


def test_an_upload_that_goes_on_leaves_the_reserve_free(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        upload_id = Uploads(drops, 2**40).create(LENGTH, TODAY).id
    reserve = shutil.disk_usage(tmp_path).free * 2
    with open_drops(tmp_path / "data", reserve_bytes=reserve) as drops:
        uploads = Uploads(drops, 2**40)
        with pytest.raises(NoRoomError):
            put(uploads, upload_id, 0, 100_000)
        assert uploads.find(upload_id).offset == 0
