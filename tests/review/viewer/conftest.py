"""Viewers that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.review.inboxes import Reviewer, write_bundle
from tests.review.viewing import Viewer


@pytest.fixture
def start_viewer(tmp_path: Path, reviewer: Reviewer) -> Iterator[Callable[..., Viewer]]:
    """Starts viewers of a path: start_viewer(path, "-o", folder)."""
    viewers: list[Viewer] = []

    def start(path: Path, *words: object, **options: object) -> Viewer:
        viewers.append(Viewer(path, reviewer, tmp_path / f"viewer{len(viewers)}", *words, **options))
        return viewers[-1]

    yield start
    for viewer in viewers:
        viewer.stop()


@pytest.fixture
def view(tmp_path: Path, start_viewer: Callable[..., Viewer]) -> Callable[..., Viewer]:
    """Starts a viewer of a bundle with these envelopes."""

    def start(*envelopes: bytes, words: tuple[object, ...] = ()) -> Viewer:
        write_bundle(tmp_path / "stick", envelopes)
        return start_viewer(tmp_path / "stick", *words)

    return start
