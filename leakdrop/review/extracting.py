"""Extracting: an envelope becomes a folder, whole and checked or not at all. For the verb and the viewer.

    DIR/<stem>/             the envelope's file name without “.envelope”
        <files>             under safe names, no two alike
        message.txt         the message, exactly
        manifest.json       the claimed names and types; sizes, sums, keys
        clean/<files>       if asked for: copies without metadata, where mat2 can make them

It is written as DIR/.<stem>.partial-<random>/ and renamed when every byte of the envelope, its padding too,
has been checked.
"""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from leakdrop.bundle import compute_sha256
from leakdrop.envelope.opening import Envelope
from leakdrop.errors import LeakdropError
from leakdrop.folders import sync_folder
from leakdrop.review.clean import CLEAN_NAME, clean_files
from leakdrop.review.custody import Act
from leakdrop.review.done import Written
from leakdrop.review.facts import describe_opened
from leakdrop.review.inbox import ENDING, EnvelopeFile, Item, open_item, read_all
from leakdrop.review.keys import KeySet
from leakdrop.review.names import safe_name, safe_names
from leakdrop.review.summing import Summing
from leakdrop.seal.files import PRIVATE_FOLDER, create_file, naming
from leakdrop.terminal import encode_json, warn

MESSAGE_NAME, MANIFEST_NAME = "message.txt", "manifest.json"
FORMAT = "leakdrop extract 1"
# What a file's own name or size is the reason of, on the file system that it is written to.
NOT_TAKEN = frozenset({errno.EEXIST, errno.EINVAL, errno.ENAMETOOLONG, errno.EFBIG, errno.EILSEQ})


class NotTakenError(LeakdropError):
    """The file system does not take a file of this envelope under its safe name."""


@dataclass(frozen=True)
class Extracted:
    """An envelope that was extracted: its folder, and what stands in the manifest there."""

    item: Item
    folder: Path
    manifest: dict[str, Any]

    @property
    def is_as_listed(self) -> bool:
        """Whether it has the sum that bundle.json names, if that names one."""
        return self.manifest["envelope"]["listed_sha256"] in (None, self.manifest["envelope"]["sha256"])

    @property
    def unclean(self) -> list[tuple[str, str]]:
        """The files of which there should be a clean copy, and why there is none."""
        return [
            (file["file"], file["clean"]["refusal"])
            for file in self.manifest["files"]
            if "clean" in file and file["clean"]["refusal"]
        ]

    @property
    def left(self) -> list[tuple[str, list[str]]]:
        """The clean copies in which mat2 still finds something, and what."""
        return [
            (file["file"], file["clean"]["left"])
            for file in self.manifest["files"]
            if "clean" in file and file["clean"]["left"]
        ]


def get_stem(item: Item) -> str:
    """The name of an envelope's folder."""
    return safe_name(item.name.removesuffix(ENDING))


def extract_item(
    item: Item,
    keys: KeySet,
    destination: Path,
    progress: Callable[[int], object] = lambda size: None,
    *,
    mat2: str | None = None,
) -> Extracted:
    """Extract one envelope into a new folder in `destination`; with `mat2`, its files' clean copies too.

    Raises EnvelopeError (any kind), BundleError, NotTakenError and OSError; then nothing is left of it.
    """
    stem = get_stem(item)
    reserved = (MESSAGE_NAME, MANIFEST_NAME, *((CLEAN_NAME,) if mat2 else ()))
    with (
        _partial_folder(destination, stem) as partial,
        _refusing_what_is_not_taken(partial),
        open_item(item, keys.pairs) as (source, envelope),
    ):
        names = safe_names([file.name for file in envelope.index.files], reserved)
        sums = _write_files(envelope, source, [partial / name for name in names], progress)
        manifest = _describe(item, envelope, source, keys, list(zip(names, sums, strict=True)))
        if mat2:
            for file, cleaned in zip(manifest["files"], clean_files(partial, names, mat2), strict=True):
                file["clean"] = asdict(cleaned)
            sync_folder(partial / CLEAN_NAME)
        _write(partial / MESSAGE_NAME, envelope.index.message)
        _write(partial / MANIFEST_NAME, encode_json(manifest, ascii_only=False) + "\n")
        sync_folder(partial)
        partial.rename(destination / stem)
    sync_folder(destination)
    return Extracted(item, destination / stem, manifest)


def find_extracted(destination: Path, item: Item) -> Written | None:
    """What has the place of an envelope's folder, and of which envelope its manifest says that it is."""
    folder = destination / get_stem(item)
    if not os.path.lexists(folder):
        return None
    try:
        sha256 = json.loads((folder / MANIFEST_NAME).read_bytes())["envelope"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Written(folder, None)
    return Written(folder, str(sha256))


LEFT_OVER = "is left over from an extraction that was cut off, and holds what was opened: remove it."


def find_leftovers(destination: Path) -> list[Path]:
    """The folders of extractions that were cut off: by a power failure, say."""
    return sorted(destination.glob(".*.partial-*"))


@contextmanager
def _partial_folder(destination: Path, stem: str) -> Iterator[Path]:
    """A folder for what is not finished, which is gone if it never gets finished."""
    partial = destination / f".{stem}.partial-{secrets.token_hex(8)}"
    partial.mkdir(PRIVATE_FOLDER)
    try:
        with naming(destination / stem, instead_of=partial):
            yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if partial.exists():
            warn(f"{partial} could not be removed, and holds what was opened: remove it.")
        raise


@contextmanager
def _refusing_what_is_not_taken(partial: Path) -> Iterator[None]:
    """An error that this envelope alone causes is a refusal of it; any other one meets all that follow, too.

    Its sentence names no folder, since it stands in the custody log, too. Raises NotTakenError.
    """
    try:
        yield
    except OSError as error:
        is_within = error.filename is not None and partial in Path(error.filename).parents
        if error.errno in NOT_TAKEN and is_within:
            raise NotTakenError(
                f"This disk does not take a file of it, for its name or its size ({error.strerror}): "
                "extract this envelope alone to another disk, with -o."
            ) from None
        raise


def _write_files(
    envelope: Envelope, source: EnvelopeFile, paths: Sequence[Path], progress: Callable[[int], object]
) -> list[str]:
    """Write all files; return their SHA-256 sums in hex. Raises EnvelopeError, BundleError and OSError."""
    sums = []
    with Summing() as summing:
        for number, pieces in groupby(read_all(envelope, source, progress), key=itemgetter(0)):
            summing.restart()
            with create_file(paths[number]) as file:
                for _, piece in pieces:
                    summing.update(piece)
                    file.write(piece)
                    summing.wait()
            sums.append(summing.finish())
    return sums


def _write(path: Path, text: str) -> None:
    with create_file(path) as file:
        file.write(text.encode())


def _describe(
    item: Item, envelope: Envelope, source: EnvelopeFile, keys: KeySet, written: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """The manifest: what was opened, and under which names it was written."""
    described = describe_opened(item, envelope, source, keys, [sum_ for _, sum_ in written])
    files = [{"file": name, **file} for (name, _), file in zip(written, described["files"], strict=True)]
    message = {"file": MESSAGE_NAME, **described["message"]}
    return {"format": FORMAT, **described, "message": message, "files": files}


def describe_act(done: Extracted, keys: KeySet) -> Act:
    """What the custody log says of an extraction: the sum of its manifest, which has all others."""
    envelope, opened_with = done.manifest["envelope"], bytes.fromhex(done.manifest["opened_with"])
    pair = next(pair for pair in keys.pairs if pair.public.key_id == opened_with)
    manifest = done.folder / MANIFEST_NAME
    return Act(
        "extract",
        done.item.name,
        envelope["sha256"],
        envelope["size"],
        pair.public.fingerprint,
        ((str(manifest), compute_sha256(manifest)),),
    )
