"""`list` and `read`: bundles that are whole, damaged, hostile, or not what bundle.json says."""

import json
import shutil

import pytest

from leakdrop.bundle import Bundle, encode_bundle, load_bundle
from leakdrop.envelope.header import CHUNK, header_length
from leakdrop.envelope.padding import PIECE
from leakdrop.terminal import human_size
from tests.bench.review import look
from tests.media import ARABIC
from tests.review.inboxes import WEEK, flip, seal_bytes, seal_plaintext, write_bundle

MESSAGE = "السلام عليكم\n\tI was told to report a patient.\nاردو: می‌خواہم\n"


@pytest.fixture
def listing(review, reviewer):
    """Runs `list` as the reviewer."""
    return lambda *arguments: review("list", *arguments, *reviewer.arguments)


@pytest.fixture
def reading(review, reviewer):
    """Runs `read` as the reviewer."""
    return lambda *arguments: review("read", *arguments, *reviewer.arguments)


def test_each_envelope_is_a_line(listing, reviewer, tmp_path):
    envelopes = [
        seal_bytes([reviewer.public], MESSAGE, [("a.m4a", b"a" * 300_000), ("b", b"")], kind="WRAP training"),
        seal_bytes([reviewer.public], files=[("c", b"c")]),
    ]
    first, second = write_bundle(tmp_path / "stick", envelopes)
    result = listing(tmp_path / "stick")
    assert (result.code, result.err) == (0, "")
    *lines, last = result.out.splitlines()
    assert last.startswith("Compared with bundle.json: names and sizes. With --sums every byte is read")
    rows = {line.split()[0]: line.split("  ") for line in lines}
    assert len(rows) == 3
    told = {name: [cell.strip() for cell in cells if cell.strip()] for name, cells in rows.items()}
    characters = f"{len(MESSAGE)} characters"
    assert told[first.name[:8]][1:] == [
        WEEK,
        human_size(len(envelopes[0])),
        "2 files",
        characters,
        "in a browser",
        "WRAP training",
    ]
    assert told[second.name[:8]][1:] == [WEEK, "257.3 KiB", "1 file", "no message", "in a browser"]


def test_a_message_is_shown_with_the_letters_of_every_script(reading, reviewer, tmp_path):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], ARABIC + MESSAGE)])
    out = reading(tmp_path / "stick").out
    for line in (ARABIC + MESSAGE).splitlines():
        assert f"    {line}\n" in out


def test_hostile_texts_are_shown_and_obeyed_nowhere(listing, reading, reviewer, tmp_path):
    hostile = "x\x1b[2J\u202ey\x07\x85z"
    envelope = seal_bytes([reviewer.public], hostile, [(f"{hostile}\n/a", b"")], kind=hostile)
    write_bundle(tmp_path / "stick", [envelope])
    for run in (listing, reading):
        for arguments in ([], ["--json"]):
            out = run(tmp_path / "stick", *arguments).out
            assert not set("\x1b\u202e\x07\x85") & set(out)
    out = reading(tmp_path / "stick").out
    assert out.count("x‹U+001B›[2J‹U+202E›y‹U+0007›‹U+0085›z") == 3
    assert "‹U+000A›/a" in out


def test_a_message_cannot_pass_for_another_envelope(reading, reviewer, tmp_path):
    message = "\nEnvelope forged\n  Opened with  you\x0b\u2028Envelope forged"
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], message)])
    out = reading(tmp_path / "stick").out
    assert [line for line in out.splitlines() if line.startswith("Envelope forged")] == []


def test_an_envelope_alone_is_listed(listing, reviewer, tmp_path):
    (tmp_path / "talk.envelope").write_bytes(seal_bytes([reviewer.public], "hello"))
    result = listing(tmp_path / "talk.envelope")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[1].startswith("talk.envelope ")


def test_a_link_that_was_named_by_hand_is_followed(listing, reviewer, tmp_path):
    (tmp_path / "talk.envelope").write_bytes(seal_bytes([reviewer.public], "hello"))
    (tmp_path / "link").symlink_to(tmp_path / "talk.envelope")
    assert listing(tmp_path / "link").code == 0


def test_what_does_not_open_is_listed_with_its_reason(listing, reviewer, colleague, tmp_path):
    good = seal_bytes([reviewer.public], "hello")
    envelopes = [
        good,
        seal_bytes([colleague.public], "not for you"),
        flip(good, -1),
        good[:-1],
        seal_plaintext([reviewer.public], bytes(262_144)),
        b"",
    ]
    paths = write_bundle(tmp_path / "stick", envelopes)
    result = listing(tmp_path / "stick", "--json")
    assert result.code == 1
    refusals = {found["name"]: found["refusal"] for found in json.loads(result.out)["envelopes"]}
    kinds = ["not-for-this-key", "chunk-damaged", "bad-length", "bad-trailer", "not-an-envelope"]
    assert refusals.pop(paths[0].name) is None
    assert [refusals[path.name]["kind"] for path in paths[1:]] == kinds
    lines = listing(tmp_path / "stick").out
    for refusal in refusals.values():
        assert refusal["sentence"] in lines


def test_an_envelope_that_cannot_be_read_is_told(listing):
    result = listing("/proc/self/mem")
    assert result.code == 1
    assert "/proc/self/mem cannot be read: " in result.out


def test_a_key_that_nobody_knows_is_a_loud_warning(listing, reading, reviewer, colleague, tmp_path):
    envelopes = [seal_bytes([reviewer.public, colleague.public], "a"), seal_bytes([colleague.public], "b")]
    write_bundle(tmp_path / "stick", envelopes)
    key_id = colleague.public.key_id.hex()
    for run in (listing, reading):
        result = run(tmp_path / "stick")
        names = ", ".join(path.name[:8] for path in sorted((tmp_path / "stick").glob("*.envelope")))
        assert result.err == f"WARNING: {names} are also sealed to a key you do not know: {key_id}\n"
        found = json.loads(run(tmp_path / "stick", "--json").out)["envelopes"]
        assert [envelope["unknown_key_ids"] for envelope in found] == [[key_id], [key_id]]


def test_a_key_of_a_known_folder_is_no_warning(listing, reviewer, colleague, tmp_path):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public, colleague.public], "a")])
    result = listing(tmp_path / "stick", "--known", colleague.secret.parent)
    assert (result.code, result.err) == (0, "")


def test_a_key_beside_the_secret_one_is_no_warning(review, reviewer, colleague, tmp_path):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public, colleague.public], "a")])
    keys = tmp_path / "keys"
    shutil.copytree(reviewer.secret.parent, keys)
    shutil.copy(colleague.secret.with_suffix(".pub"), keys)
    (keys / "broken.pub").write_text("ssh-rsa")
    arguments = ["--key", keys / reviewer.secret.name, "--passphrase-file", keys / "passphrase"]
    result = review("read", tmp_path / "stick", *arguments)
    assert result.code == 0
    assert f"Sealed to    {colleague.label} ({colleague.public.key_id.hex()})\n" in result.out
    assert result.err.startswith(f"Note: {keys}/broken.pub: This is not a public key file")
    assert result.err.count("\n") == 1


def test_known_must_be_a_folder(listing, reviewer, tmp_path):
    write_bundle(tmp_path / "stick", [])
    result = listing(tmp_path / "stick", "--known", reviewer.secret)
    assert (result.code, result.err) == (2, f"leakdrop-review: --known {reviewer.secret} is not a folder.\n")


def test_several_keys_open_what_is_sealed_to_any(review, reviewer, colleague, tmp_path):
    envelopes = [seal_bytes([reviewer.public], "a"), seal_bytes([colleague.public], "b")]
    write_bundle(tmp_path / "stick", envelopes)
    arguments = [*reviewer.arguments, *colleague.arguments]
    result = review("list", tmp_path / "stick", *arguments)
    assert (result.code, result.err) == (0, "")


def test_a_wrong_passphrase_names_the_key(review, reviewer, tmp_path):
    write_bundle(tmp_path / "stick", [])
    (tmp_path / "wrong").write_text("wrong")
    result = review(
        "list", tmp_path / "stick", "--key", reviewer.secret, "--passphrase-file", tmp_path / "wrong"
    )
    sentence = f"{reviewer.secret}: This passphrase does not open the key “Reviewers”."
    assert (result.code, result.err) == (1, f"leakdrop-review: {sentence}\n")


def test_a_public_key_in_place_of_a_secret_one_is_told(review, reviewer, tmp_path):
    write_bundle(tmp_path / "stick", [])
    public = reviewer.secret.with_suffix(".pub")
    result = review("list", tmp_path / "stick", "--key", public, "--passphrase-file", reviewer.passphrase)
    assert result.code == 1
    assert f"{public}: This is a public key, which opens nothing. Use the .key file." in result.err


def test_equal_envelopes_are_folded(listing, reviewer, tmp_path):
    twin, other = seal_bytes([reviewer.public], "a"), seal_bytes([reviewer.public], "a")
    write_bundle(tmp_path / "stick", [twin, other, twin, twin])
    found = json.loads(listing(tmp_path / "stick", "--json").out)["envelopes"]
    assert sorted(len(envelope["copies"]) for envelope in found) == [0, 2]
    out = listing(tmp_path / "stick", "--sums").out
    assert out.count(" ×3  ") == 1
    assert len(out.splitlines()) == 3


def test_a_wrong_sum_in_the_list_hides_no_envelope(listing, reviewer, tmp_path):
    paths = write_bundle(
        tmp_path / "stick", [seal_bytes([reviewer.public], "a"), seal_bytes([reviewer.public], "b")]
    )
    entries = load_bundle(tmp_path / "stick").entries
    lies = tuple(type(entry)(entry.name, entry.size, entries[0].sha256, entry.week) for entry in entries)
    (tmp_path / "stick/bundle.json").write_bytes(encode_bundle(Bundle(lies)))
    out = listing(tmp_path / "stick").out
    assert all(path.name[:8] in out for path in paths)


def test_what_is_missing_changed_or_extra_is_told(listing, reviewer, tmp_path):
    stick = tmp_path / "stick"
    missing, changed, linked, good = write_bundle(
        stick, [seal_bytes([reviewer.public], str(number)) for number in range(4)]
    )
    linked.rename(tmp_path / "away")
    linked.symlink_to(tmp_path / "away")
    missing.unlink()
    changed.write_bytes(b"cut")
    (stick / "extra.exe").touch()
    result = listing(stick, "--json")
    assert result.code == 1
    told = json.loads(result.out)
    assert told["missing"] == [missing.name]
    assert told["changed"] == sorted([changed.name, linked.name])
    assert told["extra"] == ["extra.exe"]
    refusals = {found["name"]: found["refusal"] for found in told["envelopes"]}
    assert set(refusals) == {changed.name, linked.name, good.name}
    assert refusals[linked.name]["sentence"] == f"{linked} is a link, not a file."
    assert refusals[good.name] is None
    assert result.err.splitlines() == [
        f"WARNING: The bundle is not complete. Missing: {missing.name}.",
        f"WARNING: Not as bundle.json says: {', '.join(told['changed'])}.",
        "Note: Not named in bundle.json, and left alone: extra.exe.",
    ]


@pytest.mark.parametrize("change", ["missing", "larger"])
def test_one_envelope_that_is_not_as_listed_is_a_failure(listing, reviewer, tmp_path, change):
    _, other = write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], str(n)) for n in range(2)])
    if change == "missing":
        other.unlink()
    else:
        other.write_bytes(seal_bytes([reviewer.public], "", [("opens too", bytes(300_000))]))
    assert listing(tmp_path / "stick").code == 1


def test_extra_files_alone_are_no_failure(listing, reviewer, tmp_path):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "a")])
    (tmp_path / "stick/System Volume Information").mkdir()
    assert listing(tmp_path / "stick").code == 0


def test_many_names_are_not_all_told(listing, reviewer, tmp_path):
    paths = write_bundle(tmp_path / "stick", [bytes([number]) for number in range(8)])
    for path in paths:
        path.unlink()
    first = ", ".join(sorted(path.name for path in paths)[:5])
    assert f"Missing: {first} and 3 more." in listing(tmp_path / "stick").err


def test_an_empty_bundle_is_listed(listing, tmp_path):
    write_bundle(tmp_path / "stick", [])
    result = listing(tmp_path / "stick")
    assert (result.code, result.err, len(result.out.splitlines())) == (0, "", 1)


def test_a_folder_that_is_no_bundle_is_told_before_any_passphrase(review, tmp_path):
    result = review("list", tmp_path, "--key", tmp_path / "no.key")
    assert (result.code, result.err) == (
        1,
        f"leakdrop-review: {tmp_path} is not a bundle: it holds no bundle.json.\n",
    )


def test_a_missing_envelope_is_named(listing, tmp_path):
    result = listing(tmp_path / "no.envelope")
    assert (result.code, result.err) == (
        1,
        f"leakdrop-review: {tmp_path}/no.envelope: No such file or directory.\n",
    )


def test_reading_for_programs_tells_everything(reading, reviewer, tmp_path):
    envelope = seal_bytes([reviewer.public], MESSAGE, [("تسجيل.m4a", b"abc")], kind="Other")
    (path,) = write_bundle(tmp_path / "stick", [envelope])
    (found,) = json.loads(reading(tmp_path / "stick", "--json").out)["envelopes"]
    assert found == {
        "name": path.name,
        "copies": [],
        "week": WEEK,
        "size": len(envelope),
        "listed_sha256": load_bundle(tmp_path / "stick").entries[0].sha256,
        "key_ids": [reviewer.public.key_id.hex()],
        "unknown_key_ids": [],
        "refusal": None,
        "opened_with": reviewer.public.key_id.hex(),
        "sealed": "browser",
        "kind": "Other",
        "file_count": 1,
        "message_characters": len(MESSAGE),
        "message": MESSAGE,
        "files": [{"name": "تسجيل.m4a", "type": "", "size": 3}],
        "mailbox": None,
    }


def test_reading_shows_what_is_claimed(reading, reviewer, tmp_path):
    envelope = seal_bytes([reviewer.public], "hello", [("تسجيل.m4a", bytes(2048))], kind="WRAP training")
    (path,) = write_bundle(tmp_path / "stick", [envelope])
    key = f"Reviewers ({reviewer.public.key_id.hex()})"
    assert reading(tmp_path / "stick").out == (
        f"Envelope {path.name} (257.3 KiB, {WEEK})\n"
        f"  Opened with  {key}\n"
        f"  Sealed to    {key}\n"
        "Whoever sealed it claims:\n"
        "  Sealed       in a browser\n"
        "  Kind         WRAP training\n"
        "  Replies      not asked for\n"
        "  Files        1\n"
        "       2.0 KiB  no type                   تسجيل.m4a\n"
        "  Message      5 characters\n"
        "    hello\n"
        "\n"
    )


def test_listing_reads_no_more_than_header_ends_and_index(reviewer, tmp_path):
    """Whatever the size: here 64 chunks, of which it opens the last and those of the index."""
    (path,) = write_bundle(
        tmp_path / "stick", [seal_bytes([reviewer.public], "m", [("a", bytes(64 * PIECE))])]
    )
    read = look(tmp_path / "stick", reviewer).read
    assert header_length(1) < read < header_length(1) + 3 * CHUNK < path.stat().st_size / 10


def test_a_bundle_that_was_copied_half_is_told(listing, reviewer, tmp_path):
    paths = sorted(
        write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], str(n)) for n in range(3)])
    )
    paths[1].write_bytes(paths[1].read_bytes()[:100_000])
    paths[2].unlink()
    result = listing(tmp_path / "stick")
    assert result.code == 1
    assert f"The bundle is not complete. Missing: {paths[2].name}." in result.err
    assert f"Not as bundle.json says: {paths[1].name}." in result.err
    assert "copy it again" in result.out


@pytest.fixture
def swapped(reviewer, tmp_path):
    """A bundle in which one envelope was changed for another that opens, and is as large."""
    stick = tmp_path / "stick"
    first, second = write_bundle(stick, [seal_bytes([reviewer.public], text) for text in ("one", "two")])
    first.write_bytes(seal_bytes([reviewer.public], "six"))
    return first, second


def test_an_envelope_with_another_sum_is_told(listing, reading, swapped):
    changed, _ = swapped
    told = f"WARNING: Not as bundle.json says: {changed.name}.\n"
    for result in (reading(changed.parent), listing(changed.parent, "--sums")):
        assert (result.code, result.err) == (1, told)
    for result in (reading(changed.parent, "--json"), listing(changed.parent, "--sums", "--json")):
        assert (result.code, json.loads(result.out)["changed"]) == (1, [changed.name])
        assert json.loads(result.out)["sums_compared"]


def test_a_list_says_that_it_did_not_compare_the_sums(listing, swapped):
    """To read a stick takes minutes, and a list should not."""
    stick = swapped[0].parent
    result = listing(stick)
    assert (result.code, result.err) == (0, "")
    assert "names and sizes. With --sums every byte is read" in result.out
    assert not json.loads(listing(stick, "--json").out)["sums_compared"]
    assert "With --sums" not in listing(stick, "--sums").out


def test_the_texts_are_read_before_the_sums(reading, swapped):
    """Who stops the long comparison has read everything."""
    out = reading(swapped[0].parent).out
    assert "    six" in out
    assert "    two" in out


def test_one_envelope_out_of_a_bundle_is_compared_with_its_list(review, reviewer, swapped, elsewhere):
    changed, whole = swapped
    for verb in ("read", "extract", "report"):
        where = ["-o", elsewhere / verb] if verb != "read" else []
        result = review(verb, whole, *where, *reviewer.arguments)
        assert (result.code, result.err) == (0, "")
        result = review(verb, changed, *where, *reviewer.arguments)
        assert (result.code, "bundle.json says" in result.err) == (1, True)
    page = (elsewhere / "report" / f"{changed.stem}.report.html").read_text()
    assert f">{WEEK}<" in page
    assert "names another SHA-256 for this envelope" in page
    changed.write_bytes(changed.read_bytes() + bytes(4096))
    result = review("list", changed, *reviewer.arguments)
    assert f"Not as bundle.json says: {changed.name}." in result.err


def test_an_envelope_that_a_list_does_not_name_is_told(reading, reviewer, swapped, tmp_path):
    added = swapped[0].with_name(f"{0:032x}.envelope")
    added.write_bytes(seal_bytes([reviewer.public], "added"))
    result = reading(added)
    assert (result.code, "    added" in result.out) == (0, True)
    assert f"{added.name} is not named in the bundle.json beside it" in result.err


def test_a_damaged_list_keeps_no_envelope_closed(reading, swapped):
    _, whole = swapped
    (whole.parent / "bundle.json").write_text("{")
    result = reading(whole)
    assert (result.code, "    two" in result.out) == (0, True)
    assert f"WARNING: {whole.name} was not compared with bundle.json." in result.err


def test_of_very_many_files_the_first_are_shown(reading, reviewer, tmp_path):
    files = [(f"{number:05}{'n' * 1000}", b"") for number in range(2000)]
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "m", files)])
    out = reading(tmp_path / "stick").out
    assert len(out) < 100_000
    assert "00049n" in out
    assert "00050n" not in out
    assert "    and 1,950 more: --all shows them\n" in out
    assert "01999n" in reading(tmp_path / "stick", "--all").out
    assert len(json.loads(reading(tmp_path / "stick", "--json").out)["envelopes"][0]["files"]) == 2000
