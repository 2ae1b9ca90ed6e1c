"""`extract`: whole and checked, or not at all; nowhere but where it should; and again, if it was stopped."""

import hashlib
import io
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import time

import pytest

from leakdrop.bundle import Bundle, BundleEntry, encode_bundle, load_bundle
from leakdrop.envelope.index import FileEntry, Index, ReplyTo, encode_index
from leakdrop.envelope.padding import PIECE, padded
from leakdrop.envelope.sealing import SourceFile, seal
from leakdrop.errors import EnvelopeError, Kind
from leakdrop.review.extracting import NotTakenError, extract_item
from leakdrop.review.inbox import Item
from leakdrop.review.names import safe_names
from tests.keys import label_key_pair
from tests.media import ARABIC
from tests.review.inboxes import (
    WEEK,
    flip,
    list_tree,
    measure_memory,
    seal_bytes,
    seal_plaintext,
    seal_twins,
    write_bundle,
)
from tests.review.test_names import HOSTILE
from tests.site import BIN, PATIENCE, run, temporary_mount

CHUNK = PIECE + 28


@pytest.fixture
def extract(review, reviewer):
    """Runs `extract` as the reviewer."""
    return lambda *arguments: review("extract", *arguments, *reviewer.arguments)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_files_message_and_manifest_are_written(extract, reviewer, tmp_path, elsewhere):
    talk = os.urandom(1_000_000)
    files = [("تسجيل.m4a", talk), ("empty", b""), ("شهادة.txt", ARABIC.encode())]
    envelope = seal_bytes([reviewer.public], ARABIC, files, kind="WRAP training")
    (path,) = write_bundle(tmp_path / "stick", [envelope])
    result = extract(tmp_path / "stick", "-o", elsewhere / "out")
    assert (result.code, result.err) == (0, "")
    folder = elsewhere / "out" / path.stem
    for name, content in files:
        assert (folder / name).read_bytes() == content
    assert (folder / "message.txt").read_text() == ARABIC
    assert json.loads((folder / "manifest.json").read_text()) == {
        "format": "leakdrop extract 1",
        "envelope": {
            "name": path.name,
            "copies": [],
            "week": WEEK,
            "size": len(envelope),
            "sha256": sha256(envelope),
            "listed_sha256": sha256(envelope),
        },
        "opened_with": reviewer.public.key_id.hex(),
        "key_ids": [reviewer.public.key_id.hex()],
        "unknown_key_ids": [],
        "claims": {"sealed": "browser", "kind": "WRAP training"},
        "reply_to": None,
        "message": {
            "file": "message.txt",
            "size": len(ARABIC.encode()),
            "sha256": sha256(ARABIC.encode()),
        },
        "files": [
            {"file": name, "name": name, "type": "", "size": len(content), "sha256": sha256(content)}
            for name, content in files
        ],
    }
    assert sha256(envelope) in result.out


def test_only_the_reviewer_may_look(extract, reviewer, tmp_path, elsewhere):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "hello", [("a", b"a")])])
    assert extract(tmp_path / "stick", "-o", elsewhere / "out").code == 0
    modes = {stat.S_IMODE(path.stat().st_mode) for path in elsewhere.rglob("*") if path.is_file()}
    folders = {stat.S_IMODE(path.stat().st_mode) for path in elsewhere.rglob("*") if path.is_dir()}
    assert (modes, folders) == ({0o600}, {0o700})


def test_hostile_names_stay_in_their_folder(extract, reviewer, tmp_path, elsewhere):
    claimed = [name.replace("\ud800", "\ufffd") for name, _ in HOSTILE.values()]
    claimed += ["manifest.json", "MESSAGE.TXT", "a", "A", "\u202e"]
    files = [(name, str(number).encode()) for number, name in enumerate(claimed)]
    (path,) = write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "", files)])
    assert extract(tmp_path / "stick", "-o", elsewhere / "out").code == 0
    expected = [*safe_names(claimed, ("message.txt", "manifest.json")), "message.txt", "manifest.json"]
    stem = f"out/{path.stem}"
    assert list_tree(elsewhere) == sorted(["out", stem, *(f"{stem}/{name}" for name in expected)])
    manifest = json.loads((elsewhere / stem / "manifest.json").read_text())
    assert [file["name"] for file in manifest["files"]] == claimed
    for file, (_, content) in zip(manifest["files"], files, strict=True):
        assert (elsewhere / stem / file["file"]).read_bytes() == content


SIZES = {
    "nothing": [],
    "an empty file": [0],
    "many empty files": [0] * 50,
    "empty files between others": [0, 5, 0, 0, PIECE, 0],
    "a piece": [PIECE],
    "a piece and a byte": [PIECE + 1],
    "a batch": [4 * PIECE],
    "files that end where batches end": [4 * PIECE, 4 * PIECE, 1],
    "a file over many batches": [1, 20 * PIECE + 7, 1],
    "small files in one piece": [1000] * 100,
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_files_of_every_size_are_cut_out_exactly(extract, reviewer, tmp_path, sizes):
    contents = [os.urandom(size) for size in sizes]
    envelope = seal_bytes([reviewer.public], "m", [(str(n), content) for n, content in enumerate(contents)])
    (tmp_path / "x.envelope").write_bytes(envelope)
    assert extract(tmp_path / "x.envelope", "-o", tmp_path / "out").code == 0
    assert [(tmp_path / f"out/x/{n}").read_bytes() for n in range(len(sizes))] == contents
    manifest = json.loads((tmp_path / "out/x/manifest.json").read_text())
    assert [file["sha256"] for file in manifest["files"]] == list(map(sha256, contents))
    assert manifest["envelope"]["sha256"] == sha256(envelope)


def test_an_index_over_several_pieces_is_no_padding(extract, reviewer, tmp_path):
    (tmp_path / "x.envelope").write_bytes(seal_bytes([reviewer.public], "ش" * 500_000, [("a", b"a")]))
    assert extract(tmp_path / "x.envelope", "-o", tmp_path / "out").code == 0
    assert (tmp_path / "out/x/message.txt").read_text() == "ش" * 500_000


def test_where_replies_go_is_in_the_manifest(extract, reviewer, colleague, tmp_path):
    index = encode_index(Index("browser", "", "", (), ReplyTo(bytes(range(32)), colleague.public)))
    zeros = bytes(PIECE - len(index) - 16)
    plaintext = index + zeros + bytes(8) + len(index).to_bytes(8, "big")
    (tmp_path / "x.envelope").write_bytes(seal_plaintext([reviewer.public], plaintext))
    assert extract(tmp_path / "x.envelope", "-o", tmp_path / "out").code == 0
    assert json.loads((tmp_path / "out/x/manifest.json").read_text())["reply_to"] == {
        "mailbox": bytes(range(32)).hex(),
        "fingerprint": colleague.public.fingerprint,
    }


def make_bad_padding(public) -> bytes:
    """An envelope that is right but for one byte of its padding, far from its last chunk."""
    content = os.urandom(9 * PIECE)
    index = encode_index(Index("browser", "", "", (FileEntry("a", "", len(content)),)))
    used = len(content) + len(index) + 16
    zeros = bytearray(padded(used) - used)
    zeros[0] = 1
    trailer = len(content).to_bytes(8, "big") + len(index).to_bytes(8, "big")
    return seal_plaintext([public], content + index + bytes(zeros) + trailer)


def damage(public) -> dict[Kind, bytes]:
    """Envelopes that list as if they were whole, and are not."""
    whole = seal_bytes([public], "m", [("a", os.urandom(12 * PIECE))])
    return {Kind.CHUNK_DAMAGED: flip(whole, 2000 + 6 * CHUNK), Kind.BAD_PADDING: make_bad_padding(public)}


@pytest.mark.parametrize("kind", [Kind.CHUNK_DAMAGED, Kind.BAD_PADDING])
def test_what_is_found_damaged_late_leaves_nothing(review, extract, reviewer, tmp_path, kind):
    (tmp_path / "x.envelope").write_bytes(damage(reviewer.public)[kind])
    assert review("list", tmp_path / "x.envelope", *reviewer.arguments).code == 0
    result = extract(tmp_path / "x.envelope", "-o", tmp_path / "out", "--json")
    assert result.code == 1
    sentence = str(EnvelopeError(kind))
    assert json.loads(result.out)["refused"] == [{"name": "x.envelope", "kind": kind, "sentence": sentence}]
    assert result.err == f"WARNING: x.envelope was not extracted. {sentence}\n"
    assert list_tree(tmp_path / "out") == []


def test_a_damaged_envelope_stops_no_other(extract, reviewer, colleague, tmp_path, elsewhere):
    good = [seal_bytes([reviewer.public], f"message {number}") for number in range(3)]
    bad = [*damage(reviewer.public).values(), seal_bytes([colleague.public], "x"), b"cut"]
    paths = write_bundle(tmp_path / "stick", [*good, *bad])
    result = extract(tmp_path / "stick", "-o", elsewhere / "out")
    assert result.code == 1
    assert result.err.count("was not extracted") == 4
    folders = sorted(path.name for path in (elsewhere / "out").iterdir())
    assert folders == sorted(path.stem for path in paths[:3])


def test_an_interruption_leaves_nothing(reviewer, tmp_path):
    path = tmp_path / "x.envelope"
    path.write_bytes(seal_bytes([reviewer.public], "m", [("a", os.urandom(12 * PIECE))]))
    (tmp_path / "out").mkdir()
    seen = []

    def interrupt(size: int) -> None:
        seen.extend(list_tree(tmp_path / "out"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_item(Item(path), reviewer.options.open(), tmp_path / "out", interrupt)
    assert seen[0].startswith(".x.partial-")
    assert list_tree(tmp_path / "out") == []


def test_nothing_has_its_name_before_all_is_checked(reviewer, tmp_path):
    path = tmp_path / "x.envelope"
    path.write_bytes(seal_bytes([reviewer.public], "m", [("a", os.urandom(12 * PIECE))]))
    (tmp_path / "out").mkdir()
    seen = []
    keys = reviewer.options.open()
    extract_item(Item(path), keys, tmp_path / "out", lambda size: seen.append((tmp_path / "out/x").exists()))
    assert set(seen) == {False}
    assert (tmp_path / "out/x").exists()


def test_what_is_there_is_not_overwritten(extract, reviewer, tmp_path):
    (tmp_path / "x.envelope").write_bytes(seal_bytes([reviewer.public], "m"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").symlink_to("nowhere")
    result = extract(tmp_path / "x.envelope", "-o", tmp_path / "out")
    assert (result.code, result.out) == (2, "")
    assert f"{tmp_path}/out/x exists already, and nothing is overwritten" in result.err
    assert list_tree(tmp_path / "out") == ["x"]


def test_an_extraction_goes_on_where_it_stopped(extract, reviewer, tmp_path, elsewhere):
    paths = write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], str(n)) for n in range(3)])
    assert extract(tmp_path / "stick", "-o", elsewhere).code == 0
    before = elsewhere / paths[0].stem / "message.txt"
    before.write_text("mine")
    shutil.rmtree(elsewhere / paths[1].stem)
    result = extract(tmp_path / "stick", "-o", elsewhere, "--json")
    assert result.code == 0
    assert "2 envelopes had been extracted" in result.err
    told = json.loads(result.out)
    assert [done["name"] for done in told["extracted"]] == [paths[1].name]
    assert told["skipped"] == sorted([paths[0].name, paths[2].name])
    assert before.read_text() == "mine"


def test_what_a_power_cut_left_is_told(extract, reviewer, tmp_path):
    (tmp_path / "x.envelope").write_bytes(seal_bytes([reviewer.public], "m"))
    left = tmp_path / "out/.y.partial-0"
    left.mkdir(parents=True)
    result = extract(tmp_path / "x.envelope", "-o", tmp_path / "out")
    assert result.code == 0
    told = "is left over from an extraction that was cut off, and holds what was opened: remove it."
    assert result.err == f"Note: {left} {told}\n"


def test_nothing_is_extracted_onto_the_stick(extract, review, reviewer, tmp_path):
    (path,) = write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "m")])
    for source in (tmp_path / "stick", path):
        # The refusal comes before any passphrase is asked for.
        result = review("extract", source, "-o", tmp_path / "a/new/folder", "--key", "no.key")
        assert result.code == 2
        assert "the stick goes back to the server" in result.err
    assert not (tmp_path / "a").exists()
    assert extract(tmp_path / "stick", "-o", tmp_path / "a/new/folder", "--here").code == 0


def test_a_link_leads_to_the_stick_too(extract, reviewer, tmp_path, elsewhere):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "m")])
    (elsewhere / "link").symlink_to(tmp_path / "stick")
    result = extract(tmp_path / "stick", "-o", elsewhere / "link/out")
    assert result.code == 2
    assert not (tmp_path / "stick/out").exists()


def test_equal_envelopes_are_extracted_once(extract, reviewer, tmp_path, elsewhere):
    twin = seal_bytes([reviewer.public], "m")
    paths = write_bundle(tmp_path / "stick", [twin, twin])
    assert extract(tmp_path / "stick", "-o", elsewhere).code == 0
    first, second = sorted(path.name for path in paths)
    (folder,) = elsewhere.iterdir()
    assert f"{folder.name}.envelope" == first
    assert json.loads((folder / "manifest.json").read_text())["envelope"]["copies"] == [second]


def test_another_sum_than_the_listed_one_is_told(extract, reviewer, tmp_path, elsewhere):
    (path,) = write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "m")])
    path.write_bytes(seal_bytes([reviewer.public], "n"))
    result = extract(tmp_path / "stick", "-o", elsewhere)
    assert result.code == 1
    assert result.err == f"WARNING: {path.name[:8]} opens, but has another SHA-256 than bundle.json says.\n"
    envelope = json.loads((elsewhere / path.stem / "manifest.json").read_text())["envelope"]
    assert envelope["sha256"] == sha256(path.read_bytes())
    assert envelope["listed_sha256"] == load_bundle(tmp_path / "stick").entries[0].sha256


def test_an_unknown_key_is_a_warning_and_in_the_manifest(extract, reviewer, colleague, tmp_path):
    (tmp_path / "x.envelope").write_bytes(seal_bytes([reviewer.public, colleague.public], "m"))
    result = extract(tmp_path / "x.envelope", "-o", tmp_path / "out")
    key_id = colleague.public.key_id.hex()
    assert result.err == f"WARNING: x.envelope is also sealed to a key you do not know: {key_id}\n"
    assert json.loads((tmp_path / "out/x/manifest.json").read_text())["unknown_key_ids"] == [key_id]


def test_a_hostile_file_name_of_an_envelope_stays_inside(extract, reviewer, tmp_path):
    path = tmp_path / "..\u202e -x.envelope"
    path.write_bytes(seal_bytes([reviewer.public], "m"))
    result = extract(path, "-o", tmp_path / "out")
    assert result.code == 0
    assert [folder.name for folder in (tmp_path / "out").iterdir()] == ["_.._ -x"]
    assert "\u202e" not in result.out


def test_a_destination_that_is_a_file_is_told(extract, reviewer, tmp_path):
    (tmp_path / "x.envelope").write_bytes(seal_bytes([reviewer.public], "m"))
    (tmp_path / "out").touch()
    result = extract(tmp_path / "x.envelope", "-o", tmp_path / "out")
    assert result.code == 1
    assert result.err.startswith(f"leakdrop-review: {tmp_path}/out")


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a small disk: small_disk("1M") is its folder."""
    if os.geteuid() != 0:
        pytest.skip("to run it: be root, who can mount a small disk")
    folder = tmp_path / "disk"

    def mount(options: str):
        if not temporary_mount(folder, options):
            pytest.skip("to run it: be allowed to mount a small disk")
        return folder

    yield mount
    run("umount", folder)


def test_too_little_room_is_told_before_anything_is_written(extract, reviewer, tmp_path, small_disk):
    (tmp_path / "x.envelope").write_bytes(seal_bytes([reviewer.public], "m", [("a", bytes(2_000_000))]))
    disk = small_disk("1M")
    result = extract(tmp_path / "x.envelope", "-o", disk / "out")
    assert (result.code, result.out) == (1, "")
    sentence = f"Extracting 1 envelope takes 1.9 MiB, and {disk}/out has 1.0 MiB free."
    assert result.err == f"leakdrop-review: {sentence}\n"
    assert list_tree(disk) == []


def test_a_disk_that_fills_up_keeps_what_is_whole_and_nothing_else(extract, reviewer, tmp_path, small_disk):
    envelopes = [seal_bytes([reviewer.public], str(n), [("a", b"a"), ("b", b"b")]) for n in range(3)]
    write_bundle(tmp_path / "stick", envelopes)
    # Room in bytes, but only for the root, the destination, one folder with its four files, and a bit.
    disk = small_disk("1M,nr_inodes=9")
    result = extract(tmp_path / "stick", "-o", disk / "out")
    assert result.code == 1
    (folder,) = (disk / "out").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "manifest.json", "message.txt"]
    first, second = sorted(path.stem for path in (tmp_path / "stick").glob("*.envelope"))[:2]
    assert folder.name == first
    assert result.out.startswith(f"{first[:8]}: a message and 2 files, 3 bytes, in {folder}\n")
    assert result.err == f"leakdrop-review: {disk}/out/{second}: No space left on device.\n"


def test_a_disk_that_may_not_be_written_is_named(extract, reviewer, tmp_path, small_disk):
    (tmp_path / "x.envelope").write_bytes(seal_bytes([reviewer.public], "m"))
    disk = small_disk("1M,ro")
    result = extract(tmp_path / "x.envelope", "-o", disk / "out")
    assert (result.code, result.err) == (1, f"leakdrop-review: {disk}/out: Read-only file system.\n")


def write_large(path, public, size: int) -> None:
    with path.open("wb") as sink:
        source = SourceFile("a", "", io.BytesIO(bytes(size)))
        seal([public], sink, sealed="browser", files=[source])


def test_memory_does_not_grow_with_the_file(reviewer, tmp_path):
    write_large(tmp_path / "x.envelope", reviewer.public, 160 * 2**20)
    arguments = [tmp_path / "x.envelope", *reviewer.arguments, "-o", tmp_path / "out"]
    assert measure_memory("review", "extract", *arguments) < 80 * 2**20


def test_a_closed_window_leaves_nothing(reviewer, tmp_path):
    write_large(tmp_path / "x.envelope", reviewer.public, 400 * 2**20)
    out = tmp_path / "out"
    command = [BIN / "leakdrop-review", "extract", tmp_path / "x.envelope", *reviewer.arguments, "-o", out]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + PATIENCE
        while not list(out.glob(".x.partial-*/a")) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGHUP)
    assert process.returncode == 128 + signal.SIGHUP
    assert list_tree(out) == []


def test_a_stick_that_is_pulled_out_while_it_is_read_leaves_nothing(reviewer, tmp_path):
    path = tmp_path / "x.envelope"
    path.write_bytes(seal_bytes([reviewer.public], "m", [("a", os.urandom(12 * PIECE))]))
    (tmp_path / "out").mkdir()
    with pytest.raises(EnvelopeError) as refusal:
        extract_item(
            Item(path), reviewer.options.open(), tmp_path / "out", lambda size: os.truncate(path, 1_000_000)
        )
    assert refusal.value.kind == Kind.CHUNK_DAMAGED
    assert list_tree(tmp_path / "out") == []


def test_a_stick_that_is_pulled_out_while_it_is_written_is_named(reviewer, tmp_path, small_disk):
    path = tmp_path / "x.envelope"
    path.write_bytes(seal_bytes([reviewer.public], "m", [("a", os.urandom(12 * PIECE))]))
    disk = small_disk("16M")
    pulled = []

    def pull(size: int) -> None:
        if not pulled:
            pulled.append(run("umount", "--lazy", disk))

    with pytest.raises(OSError, match="No such file") as error:
        extract_item(Item(path), reviewer.options.open(), disk, pull)
    assert error.value.filename == str(disk / "x")
    assert list_tree(disk) == []


def test_two_envelopes_of_one_name_keep_apart(extract, reviewer, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.envelope").write_bytes(seal_bytes([reviewer.public], folder))
    assert extract(tmp_path / "a/x.envelope", "-o", tmp_path / "out").code == 0
    result = extract(tmp_path / "b/x.envelope", "-o", tmp_path / "out")
    assert (result.code, "is of another envelope with the same name" in result.err) == (1, True)
    again = extract(tmp_path / "a/x.envelope", "-o", tmp_path / "out")
    assert (again.code, "exists already, and nothing is overwritten" in again.err) == (2, True)
    assert (tmp_path / "out/x/message.txt").read_text() == "a"


def test_a_file_that_a_disk_does_not_take_refuses_its_envelope_alone(extract, reviewer, tmp_path, elsewhere):
    """Here for its size: as on FAT, there is a largest one."""
    large = [("a", b"a"), ("large", bytes(2_000_000)), ("z", b"z")]
    envelopes = [seal_bytes([reviewer.public], str(n), large if n == 1 else [("b", b"b")]) for n in range(3)]
    paths = write_bundle(tmp_path / "stick", envelopes)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        words = ["-o", elsewhere / "out", "--case", elsewhere / "case"]
        result = extract(tmp_path / "stick", *words, "--json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.code == 1
    assert sorted(path.stem for path in (paths[0], paths[2])) == list(
        sorted(path.name for path in (elsewhere / "out").iterdir())
    )
    told = "This disk does not take a file of it, for its name or its size (File too large)"
    assert result.err.startswith(f"WARNING: {paths[1].name[:8]} was not extracted. {told}")
    ((name, kind),) = [(one["name"], one["kind"]) for one in json.loads(result.out)["refused"]]
    assert (name, kind) == (paths[1].name, None)
    log = (elsewhere / "case/custody.jsonl").read_text()
    (line,) = [line for line in log.splitlines() if "Not extracted" in line]
    assert str(elsewhere) not in line


def test_a_name_that_a_disk_has_already_refuses_its_envelope(reviewer, tmp_path):
    """As the short name of an earlier file, on a file system that knows such names."""
    path = tmp_path / "x.envelope"
    path.write_bytes(seal_bytes([reviewer.public], "m", [("a", os.urandom(12 * PIECE)), ("b", b"b")]))
    (tmp_path / "out").mkdir()

    def take_the_name(size: int) -> None:
        (partial,) = (tmp_path / "out").iterdir()
        (partial / "b").touch()

    with pytest.raises(NotTakenError, match="does not take a file of it"):
        extract_item(Item(path), reviewer.options.open(), tmp_path / "out", take_the_name)
    assert list_tree(tmp_path / "out") == []


@pytest.fixture
def two_bundles(reviewer, tmp_path):
    """Two bundles, one of which has another envelope under the name of the other's; both lists are right."""
    one = seal_bytes([reviewer.public], "Monday")
    (path,) = write_bundle(tmp_path / "one", [one])
    other = seal_bytes([reviewer.public], "Friday")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / path.name).write_bytes(other)
    entry = BundleEntry(path.name, len(other), sha256(other), WEEK)
    (tmp_path / "two/bundle.json").write_bytes(encode_bundle(Bundle((entry,))))
    return path, tmp_path / "two" / path.name


@pytest.mark.parametrize("verb", ["extract", "report"])
def test_another_envelope_of_a_known_name_is_told_with_both_sums(
    review, reviewer, two_bundles, elsewhere, verb
):
    """Two bundles are kept to find just this."""
    first, second = two_bundles
    words = ["-o", elsewhere, *reviewer.arguments, *(["--case", elsewhere] if verb == "extract" else [])]
    assert review(verb, first.parent, *words).code == 0
    before = {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()}
    result = review(verb, second.parent, *words, "--json")
    told = json.loads(result.out)
    assert (result.code, told["skipped"]) == (1, [])
    ((name, sentence),) = [(one["name"], one["sentence"]) for one in told["refused"]]
    assert name == first.name
    for path in two_bundles:
        assert sha256(path.read_bytes()) in sentence
    assert sentence in result.err
    log = elsewhere / "custody.jsonl"
    assert all(path.read_bytes() == content for path, content in before.items() if path != log)
    assert "another envelope of this name" in log.read_text()
    again = review(verb, first.parent, *words, "--json")
    assert (again.code, json.loads(again.out)["skipped"]) == (0, [first.name])


@pytest.mark.parametrize("verb", ["extract", "report"])
def test_a_list_that_names_the_old_sum_hides_no_other_envelope(
    review, reviewer, two_bundles, elsewhere, verb
):
    first, second = two_bundles
    assert review(verb, first.parent, "-o", elsewhere, *reviewer.arguments).code == 0
    (second.parent / "bundle.json").write_bytes((first.parent / "bundle.json").read_bytes())
    result = review(verb, second.parent, "-o", elsewhere, *reviewer.arguments)
    assert (result.code, "is of another envelope with the same name" in result.err) == (1, True)


def test_a_place_that_something_else_has_is_not_taken_for_an_extraction(
    extract, reviewer, tmp_path, elsewhere
):
    (path,) = write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "m")])
    (elsewhere / path.stem).mkdir()
    for manifest in (None, b"", b"[]", b'{"envelope":{}}'):
        if manifest is not None:
            (elsewhere / path.stem / "manifest.json").write_bytes(manifest)
        result = extract(tmp_path / "stick", "-o", elsewhere)
        assert (result.code, "does not say of which envelope it is" in result.err) == (1, True)


@pytest.mark.parametrize("verb", ["extract", "report"])
def test_of_what_was_done_before_it_is_told_again_who_else_can_read_it(
    review, reviewer, colleague, tmp_path, elsewhere, verb
):
    pairs = [ReplyTo(bytes(32), label_key_pair(name).public) for name in ("amina", "mallory")]
    envelopes = [seal_bytes([reviewer.public, colleague.public], "m", reply_to=pair) for pair in pairs]
    write_bundle(tmp_path / "stick", envelopes)
    for _ in range(2):
        result = review(verb, tmp_path / "stick", "-o", elsewhere, *reviewer.arguments)
        assert result.code == 0
        assert "also sealed to a key you do not know" in result.err
        assert "have the same mailbox and different keys" in result.err
    assert "before; nothing" in result.err


def test_what_was_done_before_needs_its_key_no_more(
    extract, review, reviewer, colleague, tmp_path, elsewhere
):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "m")])
    assert extract(tmp_path / "stick", "-o", elsewhere).code == 0
    assert review("extract", tmp_path / "stick", "-o", elsewhere, *colleague.arguments).code == 0


@pytest.mark.parametrize("verb", ["list", "read", "extract", "report"])
@pytest.mark.parametrize("which", ["the bundle", "one of them"])
def test_twins_are_told(review, reviewer, tmp_path, elsewhere, verb, which):
    """Whoever can open an envelope can make another with the same header and other contents."""
    told = ["I saw it on Monday", "I saw it on Friday"]
    envelopes = [*seal_twins([reviewer.public], *told), seal_bytes([reviewer.public], "another")]
    *twins, other = write_bundle(tmp_path / "stick", envelopes)
    where = ["-o", elsewhere / "out"] if verb in ("extract", "report") else []
    source = tmp_path / "stick" if which == "the bundle" else twins[0]
    result = review(verb, source, *where, *reviewer.arguments, "--json")
    assert (result.code, result.err.count("have the same header and are not equal")) == (1, 1)
    (group,) = json.loads(result.out)["twins"]
    assert sorted(group) == sorted(path.name for path in twins)
    assert all(path.name[:8] in result.err for path in twins)
    assert other.name[:8] not in result.err
    if verb == "report":
        page = (elsewhere / "out" / f"{twins[0].stem}.report.html").read_text()
        assert f"another envelope with the same header, and they are not equal: {twins[1].name}" in page
        record = json.loads((elsewhere / "out" / f"{twins[0].stem}.report.json").read_text())
        assert record["report"]["envelope"]["twins"] == [twins[1].name]
    elif verb == "list" and which == "the bundle":
        assert review(verb, other, *reviewer.arguments).err == ""


@pytest.mark.parametrize("verb", ["list", "extract"])
def test_equal_envelopes_are_no_twins(review, reviewer, tmp_path, elsewhere, verb):
    same = seal_bytes([reviewer.public], "m")
    paths = write_bundle(tmp_path / "stick", [same, same])
    for source in (paths[1], tmp_path / "stick"):
        where = ["-o", elsewhere / source.name] if verb == "extract" else []
        result = review(verb, source, *where, *reviewer.arguments)
        assert (result.code, result.err) == (0, "")
