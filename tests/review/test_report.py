"""`report` and `verify`: what an envelope held, for people who were not there, and unchanged."""

import base64
import hashlib
import html
import io
import json
import os
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from leakdrop.envelope.index import ReplyTo
from leakdrop.envelope.keyfile import encode_public_key
from leakdrop.envelope.keys import derive_sign_key
from leakdrop.envelope.sealing import SourceFile, seal
from leakdrop.errors import Kind, ReportError
from leakdrop.review import media
from leakdrop.review.custody import Act, CustodyLog, check_log
from leakdrop.review.signing import CONTEXT, parse_report, sign_report
from leakdrop.review.verify import verify_report
from tests.keys import label_key_pair, label_root, public_key_file
from tests.media import ARABIC
from tests.review.inboxes import Reviewer, list_tree, measure_memory, seal_bytes, write_bundle
from tests.review.test_extract import damage, write_large
from tests.review.viewing import ReviewerBrowser
from tests.site import run, temporary_mount

TOP = Path(__file__).parents[2]


def write_public(folder, label: str):
    """LABEL.pub with its sign key."""
    path = folder / f"{label}.pub"
    sign = derive_sign_key(label_root(label)).verify_key.encode()
    path.write_text(encode_public_key(replace(public_key_file(label), sign=sign)))
    return path


@pytest.fixture
def public(tmp_path):
    folder = tmp_path / "pub"
    folder.mkdir()
    return write_public(folder, "Reviewers")


@pytest.fixture
def case(tmp_path):
    return tmp_path / "case"


@pytest.fixture
def write_report(review, reviewer: Reviewer, tmp_path, case):
    """Seals a submission, and reports on it."""

    def write(message: str = "m", files=(), *, kind: str = ""):
        path = tmp_path / "x.envelope"
        path.write_bytes(seal_bytes([reviewer.public], message, files, kind=kind))
        return review("report", path, "-o", case, *reviewer.arguments)

    return write


def load(case, name: str = "x") -> dict:
    return json.loads((case / f"{name}.report.json").read_text())["report"]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_report_has_all_sums_and_the_envelopes_first(write_report, reviewer, tmp_path, case):
    files = [("تسجيل.m4a", os.urandom(300_000)), ("empty", b"")]
    result = write_report(ARABIC, files, kind="WRAP training")
    assert (result.code, result.err) == (0, "")
    envelope = sha256((tmp_path / "x.envelope").read_bytes())
    content = load(case)
    assert next(iter(content["envelope"].items())) == ("sha256", envelope)
    assert [file["sha256"] for file in content["files"]] == [sha256(content) for _, content in files]
    assert content["message"] == {"size": len(ARABIC.encode()), "sha256": sha256(ARABIC.encode())}
    assert content["claims"] == {"sealed": "browser", "kind": "WRAP training"}
    assert content["signer"]["fingerprint"] == reviewer.public.fingerprint
    page = (case / "x.report.html").read_text()
    sums = re.findall("[0-9a-f]{64}", page)
    assert sums[0] == envelope
    assert {sha256(content) for _, content in files} <= set(sums)
    assert envelope in result.out


def test_a_report_holds_no_word_of_the_message_and_no_byte_of_a_file(write_report, case):
    write_report("the quick brown fox", [("a", b"jumps over the lazy dog" * 99)])
    for path in case.iterdir():
        assert "brown" not in path.read_text()
        assert "lazy" not in path.read_text()


def test_a_report_says_what_an_envelope_does_not_prove(write_report, case):
    write_report()
    page = html.unescape((case / "x.report.html").read_text())
    assert "Who sealed the envelope. It carries no sender and no signature." in page
    assert "can make another with the same header and other contents" in page
    assert "compare the SHA-256 above with that in a second bundle which was kept independently" in page


HOSTILE = ["<script>alert(1)</script>", "<img src=x onerror=a>", "a\u202etxt.exe", "--><!--", "]]>\"'&amp;"]


HARMLESS = {
    *("html", "head", "meta", "title", "style", "body", "main", "div", "bdi", "br", "code", "strong"),
    *("h1", "h2", "p", "table", "tr", "th", "td", "ul", "ol", "li"),
}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_nothing_in_a_report_runs_loads_or_hides(write_report, case):
    assert write_report("m", [(name, b"x") for name in HOSTILE], kind="<b onclick=x>\u202e").code == 0
    page = (case / "x.report.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert {tag for tag, _ in tags.found} <= HARMLESS
    attributes = {name for _, attrs in tags.found for name in attrs}
    allowed = {"lang", "charset", "http-equiv", "content", "name", "class", "id", "scope"}
    assert attributes == allowed
    assert "\u202e" not in page
    assert "\u202e" not in (case / "x.report.json").read_text()
    (policy,) = [attrs["content"] for _, attrs in tags.found if "http-equiv" in attrs]
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")


AXE = TOP / "node_modules/axe-core/axe.min.js"
RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ["violations"] }).then(
    ({ violations }) => done(violations.map(({ id, nodes }) => `${id}: ${nodes.map((n) => n.html)}`)),
    (error) => done([`axe-core failed: ${error}`]),
);
"""


@pytest.mark.needs("firefox-esr")
@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_axe_finds_no_barrier_in_a_report(review, reviewer, colleague, tmp_path, case, scheme):
    files = [("تسجيل.m4a", b"x"), ("b", b"")]
    envelope = seal_bytes([reviewer.public, colleague.public], "m", files)
    (tmp_path / "x.envelope").write_bytes(envelope)
    assert review("report", tmp_path / "x.envelope", "-o", case, *reviewer.arguments).code == 0
    colours = {"layout.css.prefers-color-scheme.content-override": scheme}
    with ReviewerBrowser({}, **colours, **{"security.csp.enable": False}) as browser:
        browser.navigate((case / "x.report.html").as_uri())
        browser.timeout.script = 60
        assert browser.execute_async_script(AXE.read_text() + RUN_AXE, sandbox="axe") == []


@pytest.mark.needs("ffmpeg", "espeak-ng", "exiftool")
def test_recordings_and_pictures_say_what_they_are(write_report, recordings, case):
    files = [(path.name, path.read_bytes()) for path in (recordings.talk, recordings.photo, recordings.video)]
    assert write_report("", [*files, ("text.txt", ARABIC.encode())]).code == 0
    talk, photo, video, text = [file["media"] for file in load(case)["files"]]
    assert (talk["format"], talk["codecs"], round(talk["duration"])) == ("MP4", ["mp4a"], 2400)
    assert (photo["format"], photo["width"], photo["height"]) == ("JPEG", 3264, 2448)
    assert photo["dates"] == {"EXIF DateTimeOriginal": "2026:11:17 10:15:02"}
    assert photo["has_place"]
    assert (video["codecs"], video["width"], round(video["duration"])) == (["avc1", "mp4a"], 640, 4)
    assert (text["format"], text["duration"], text["failure"]) == ("", None, "")
    page = (case / "x.report.html").read_text()
    assert "lasts 0:40:00.0" in page
    assert "51.5" not in page + json.dumps(load(case)), "a place is not for handing on"


def test_a_file_that_breaks_its_reader_stops_nothing(write_report, case):
    cut = b"\0\0\0\x18ftypM4A \0\0\0\0" + b"\0\0\0\x08moov" + b"\0\0\0\x01" * 9
    assert write_report("", [("broken.m4a", cut), ("other.mp3", b"\xff\xfb" + bytes(50))]).code == 0
    for file in load(case)["files"]:
        assert file["media"]["failure"] == "The library that reads this format failed on this file."


def test_media_that_took_too_long_are_told_in_the_report_and_on_the_terminal(write_report, case, monkeypatch):
    monkeypatch.setattr(media, "SECONDS_IN_ALL", 0)
    result = write_report("m", [("a.tiff", b"II*\0" * 20), ("b.tiff", b"II*\0" * 20)])
    assert result.err == "Note: Media facts of 2 files of x.envelope were left out: too slow.\n"
    sentence = "Left out: reading the files before this one took too long."
    assert [file["media"]["failure"] for file in load(case)["files"]] == [sentence] * 2
    assert (case / "x.report.html").read_text().count(sentence) == 2


def test_without_the_libraries_a_report_says_so_and_is_whole(reviewer, tmp_path, case):
    """The program that asks for them runs with -I, so an environment without them is what it takes."""
    bare = tmp_path / "bare"
    assert run(sys.executable, "-m", "venv", "--without-pip", bare).returncode == 0
    paths = {path for path in sys.path if path} | {str(TOP)}
    (tmp_path / "x.envelope").write_bytes(seal_bytes([reviewer.public], "m", [("a", b"a")]))
    program = (
        "import sys; sys.path[:0] = sys.argv.pop().split('|')\n"
        "from leakdrop.review.cli import main; sys.exit(main())"
    )
    words = ["report", tmp_path / "x.envelope", "-o", case, *reviewer.arguments, "|".join(paths)]
    result = run(bare / "bin/python", "-c", program, *words)
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith("Note: Media facts are left out: they need the Python packages exifread")
    assert load(case)["files"][0]["sha256"] == sha256(b"a")


@pytest.mark.parametrize("kind", [Kind.CHUNK_DAMAGED, Kind.BAD_PADDING])
def test_there_is_no_report_of_a_damaged_envelope(review, reviewer, tmp_path, case, kind):
    (tmp_path / "x.envelope").write_bytes(damage(reviewer.public)[kind])
    result = review("report", tmp_path / "x.envelope", "-o", case, *reviewer.arguments)
    assert result.code == 1
    assert result.err.startswith("WARNING: There is no report of x.envelope. ")
    assert list_tree(case) == ["custody.jsonl"]
    assert "Not opened" in (case / "custody.jsonl").read_text()


def test_a_damaged_envelope_stops_no_other_report(review, reviewer, tmp_path, elsewhere):
    good = [seal_bytes([reviewer.public], str(number)) for number in range(2)]
    paths = write_bundle(tmp_path / "stick", [*good, *damage(reviewer.public).values(), b"cut"])
    result = review("report", tmp_path / "stick", "-o", elsewhere, *reviewer.arguments, "--json")
    assert result.code == 1
    told = json.loads(result.out)
    assert sorted(one["name"] for one in told["reported"]) == sorted(path.name for path in paths[:2])
    assert len(told["refused"]) == 3
    again = review("report", tmp_path / "stick", "-o", elsewhere, *reviewer.arguments, "--json")
    assert json.loads(again.out)["skipped"] == sorted(path.name for path in paths[:2])


def test_no_report_is_written_onto_the_stick(review, reviewer, tmp_path):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "m")])
    result = review("report", tmp_path / "stick", "-o", tmp_path / "case", "--key", "no.key")
    assert (result.code, "the stick goes back to the server" in result.err) == (2, True)
    assert not (tmp_path / "case").exists()
    here = review("report", tmp_path / "stick", "-o", tmp_path / "case", "--here", *reviewer.arguments)
    assert here.code == 0


def test_a_report_is_never_overwritten(review, write_report, reviewer, tmp_path, case):
    assert write_report("one").code == 0
    before = (case / "x.report.json").read_bytes()
    result = write_report("two")
    assert (result.code, "is of another envelope with the same name" in result.err) == (1, True)
    result = review("report", tmp_path / "x.envelope", "-o", case, *reviewer.arguments)
    assert (result.code, (case / "x.report.json").read_bytes()) == (1, before)


def test_a_report_is_written_once(review, write_report, reviewer, tmp_path, case):
    assert write_report("one").code == 0
    result = review("report", tmp_path / "x.envelope", "-o", case, *reviewer.arguments)
    assert (result.code, "exists already, and nothing is overwritten" in result.err) == (2, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="to run it: be root, who can mount a small disk")
def test_a_full_disk_leaves_no_half_report(write_report, case):
    if not temporary_mount(case, "1M,nr_inodes=3"):
        pytest.skip("to run it: be allowed to mount a small disk")
    try:
        result = write_report()
        assert result.code == 1
        assert result.err == f"leakdrop-review: {case}/x.report.json: No space left on device.\n"
        assert list_tree(case) == ["custody.jsonl"]
    finally:
        run("umount", case)


def test_memory_of_a_report_does_not_grow_with_the_file(reviewer, tmp_path):
    write_large(tmp_path / "x.envelope", reviewer.public, 160 * 2**20)
    arguments = [tmp_path / "x.envelope", *reviewer.arguments, "-o", tmp_path / "case"]
    assert measure_memory("review", "report", *arguments) < 80 * 2**20


def test_the_key_that_opened_signs(review, reviewer, colleague, tmp_path, case):
    """Old keys stay in use for old envelopes, beside the new one."""
    (tmp_path / "old.envelope").write_bytes(seal_bytes([colleague.public], "old"))
    (tmp_path / "new.envelope").write_bytes(seal_bytes([reviewer.public], "new"))
    keys = ["--key", reviewer.secret, "--key", colleague.secret, "--passphrase-file", reviewer.passphrase]
    for name, who in (("old", colleague), ("new", reviewer)):
        assert review("report", tmp_path / f"{name}.envelope", "-o", case, *keys).code == 0
        assert load(case, name)["signer"]["fingerprint"] == who.public.fingerprint
        public = write_public(tmp_path, who.label)
        assert review("verify", case / f"{name}.report.html", "--pub", public).code == 0


@pytest.mark.parametrize("ending", ["html", "json"])
def test_anyone_with_the_pub_file_can_verify(review, write_report, public, reviewer, tmp_path, case, ending):
    write_report("m", [("a", b"a")])
    path = case / f"x.report.{ending}"
    result = review("verify", path, "--pub", public, "--envelope", tmp_path / "x.envelope")
    assert result.code == 0
    assert f"{path} is unchanged since the key “Reviewers” signed it." in result.out
    assert f"{tmp_path}/x.envelope is that envelope." in result.out
    (told,) = json.loads(review("verify", path, "--pub", public, "--json").out)
    assert told["envelope_sha256"] == sha256((tmp_path / "x.envelope").read_bytes())
    assert told["fingerprint"] == reviewer.public.fingerprint


@pytest.mark.parametrize("ending", ["html", "json"])
def test_no_byte_of_a_report_can_be_changed(write_report, public, case, ending):
    write_report()
    text = (case / f"x.report.{ending}").read_bytes()
    verify_report(text, [public])
    spoiled = [text[:end] for end in (0, 1, len(text) // 2, len(text) - 1)]
    spoiled += [text + b"\n", text + b"x", b" " + text, text.replace(b"\n", b"\r\n"), text * 2]
    for offset in [*range(0, len(text), max(len(text) // 150, 1)), *range(len(text) - 140, len(text))]:
        spoiled.append(text[:offset] + bytes([text[offset] ^ 1]) + text[offset + 1 :])
    for changed in spoiled:
        with pytest.raises(ReportError):
            verify_report(changed, [public])


def test_a_signature_of_another_key_is_none(review, write_report, public, tmp_path, case):
    write_report()
    path = case / "x.report.json"
    signed = parse_report(path.read_bytes())
    forged = sign_report(signed.body, signed.key_id, derive_sign_key(label_root("bob")), is_html=False)
    path.write_bytes(forged)
    result = review("verify", path, "--pub", public)
    assert (result.code, result.out) == (1, "")
    assert "changed after it was signed, or another key signed it" in result.err
    result = review("verify", path, "--pub", write_public(tmp_path, "bob"))
    assert f"names a signer whose .pub file was not given: key id {signed.key_id.hex()}" in result.err


def test_a_pub_file_without_a_sign_key_is_told(review, write_report, reviewer, case):
    write_report()
    result = review("verify", case / "x.report.html", "--pub", reviewer.secret.with_suffix(".pub"))
    assert (result.code, result.out) == (1, "")
    assert "The .pub file of “Reviewers” has no line “sign”" in result.err


def test_a_report_on_another_envelope_is_told(review, write_report, public, tmp_path, case):
    write_report()
    (tmp_path / "y.envelope").write_bytes(b"other")
    result = review("verify", case / "x.report.html", "--pub", public, "--envelope", tmp_path / "y.envelope")
    assert (result.code, result.out) == (1, "")
    assert f"It is not on {tmp_path}/y.envelope, whose SHA-256 is {sha256(b'other')}." in result.err


def test_several_reports_are_verified_one_by_one(review, write_report, public, case):
    write_report()
    changed = case / "changed.html"
    changed.write_bytes((case / "x.report.html").read_bytes().replace(b"What", b"That"))
    result = review("verify", case / "x.report.html", changed, case / "x.report.json", "--pub", public)
    assert result.code == 1
    assert result.out.count(" is unchanged since ") == 2
    assert result.err.startswith(f"WARNING: {changed}: This report was changed after it was signed")


def test_a_report_of_a_newer_version_is_told(review, reviewer, public, tmp_path):
    signer = derive_sign_key(label_root("Reviewers"))
    body = b'{"report":\n{"format": "leakdrop report 3", "envelope": {"sha256": "x"}},\n'
    (tmp_path / "n.json").write_bytes(sign_report(body, reviewer.public.key_id, signer, is_html=False))
    result = review("verify", tmp_path / "n.json", "--pub", public)
    assert (result.code, "made by a newer leakdrop" in result.err) == (1, True)


def test_what_was_signed_is_what_the_specification_says(reviewer):
    signer = derive_sign_key(label_root("Reviewers"))
    signed = parse_report(sign_report(b"body\n", reviewer.public.key_id, signer, is_html=True))
    assert signed.signature == signer.sign(b"leakdrop/1 report\0body\n").signature
    assert CONTEXT == b"leakdrop/1 report\0"


def test_the_custody_log_tells_what_was_done(review, reviewer, write_report, tmp_path, case):
    (tmp_path / "x.envelope").write_bytes(seal_bytes([reviewer.public], "m"))
    arguments = ["extract", tmp_path / "x.envelope", *reviewer.arguments]
    assert review(*arguments, "-o", tmp_path / "out", "--case", case).code == 0
    assert review("report", tmp_path / "x.envelope", "-o", case, *reviewer.arguments).code == 0
    written = (case / "custody.jsonl").read_bytes()
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["did"] for line in lines] == ["extract", "check", "report"]
    envelope = sha256((tmp_path / "x.envelope").read_bytes())
    assert {line["envelope"]["sha256"] for line in lines} == {envelope}
    assert {line["opened_with"] for line in lines} == {reviewer.public.fingerprint}
    (manifest,) = lines[0]["wrote"]
    assert manifest["sha256"] == sha256((tmp_path / "out/x/manifest.json").read_bytes())
    sums = {entry["file"]: entry["sha256"] for entry in lines[2]["wrote"]}
    for name in ("x.report.html", "x.report.json"):
        assert sums[name] == sha256((case / name).read_bytes())
    custody = load(case)["custody"]
    assert (custody["line_count"], [line["did"] for line in custody["lines"]]) == (2, ["extract", "check"])
    assert [line["wrote"] for line in custody["lines"]] == [[{**manifest, "file": "manifest.json"}], []]
    assert check_log(written) == []


def test_a_report_tells_nothing_of_other_envelopes(review, reviewer, tmp_path, elsewhere):
    """Their names, sums, times and mailboxes, and folders of the laptop: a report is for handing on."""
    replies = [ReplyTo(os.urandom(32), label_key_pair(str(number)).public) for number in range(2)]
    sealed = [seal_bytes([reviewer.public], "m", reply_to=reply_to) for reply_to in replies]
    own, other = write_bundle(tmp_path / "stick", sealed)
    case = elsewhere / "case"
    extracting = ["-o", elsewhere / "opened", "--case", case, *reviewer.arguments]
    assert review("extract", tmp_path / "stick", *extracting).code == 0
    for path in (own, other):
        answer = ["--received", "--case", case, *reviewer.arguments]
        assert review("reply", path, *answer).code == 0
    assert review("report", own, "-o", case, *reviewer.arguments).code == 0
    log = (case / "custody.jsonl").read_text()
    told = [(case / f"{own.stem}.report.{ending}").read_text() for ending in ("html", "json")]
    secrets = [other.stem, sha256(sealed[1]), replies[1].mailbox.hex(), str(elsewhere)]
    for secret in secrets:
        assert secret in log, "or the test looks for nothing"
        assert not any(secret in text for text in told)
    lines = load(case, own.stem)["custody"]["lines"]
    assert [line["did"] for line in lines] == ["extract", "reply", "check"]
    assert replies[0].mailbox.hex() in lines[1]["wrote"][0]["file"]


def test_envelopes_of_one_name_are_told_apart_in_a_report(review, reviewer, tmp_path, elsewhere):
    """Lone envelopes may share a name; what a line of theirs names is another sum, or another mailbox."""
    (bundle,) = [write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "m")])[0].parent]
    mailboxes = []
    for folder in ("a", "b"):
        reply_to = ReplyTo(os.urandom(32), label_key_pair(folder).public)
        mailboxes.append(reply_to.mailbox.hex())
        path = tmp_path / folder / "x.envelope"
        path.parent.mkdir()
        path.write_bytes(seal_bytes([reviewer.public], folder, reply_to=reply_to))
        answer = ["--received", "-o", bundle, "--case", elsewhere, *reviewer.arguments]
        assert review("reply", path, *answer).code == 0
    assert review("report", tmp_path / "a/x.envelope", "-o", elsewhere, *reviewer.arguments).code == 0
    record = (elsewhere / "x.report.json").read_text()
    assert [mailbox in record for mailbox in mailboxes] == [True, False]


def test_a_report_names_no_folder_of_the_laptop(review, reviewer, tmp_path, elsewhere):
    """An envelope that could not be read at first: the log says why, and not where."""
    envelope = seal_bytes([reviewer.public], "m")
    (path,) = write_bundle(tmp_path / "stick", [envelope])
    path.unlink()
    path.mkdir()
    assert review("report", path.parent, "-o", elsewhere, *reviewer.arguments).code == 1
    path.rmdir()
    path.write_bytes(envelope)
    assert review("report", path.parent, "-o", elsewhere, *reviewer.arguments).code == 0
    record = (elsewhere / f"{path.stem}.report.json").read_text()
    assert f"Not opened: {path.name} is not a file." in record
    assert str(tmp_path) not in record


def test_lines_of_others_in_the_log_are_known_to_be_unchanged(review, write_report, public, case):
    """The report shows none of them, and still no byte of one can be changed."""
    log = CustodyLog(case)
    for name in ("one", "two"):
        log.append(Act("extract", name, "0" * 64, 9))
    write_report()
    lines = load(case)["custody"]["lines"]
    before = log.read().splitlines(keepends=True)
    assert [line["line"] for line in lines] == [3]
    assert lines[0]["before"] == sha256(b"".join(before[:2]))
    assert lines[0]["after"] == load(case)["custody"]["sha256"] == sha256(b"".join(before[:3]))
    reports = [case / "x.report.html", case / "x.report.json"]
    for path in reports:
        result = review("verify", path, "--pub", public)
        assert (result.code, f"{log.path} begins with the 3 lines" in result.out) == (0, True)
    CustodyLog(case / "new").append(Act("extract", "three", "0" * 64, 9))
    log.path.write_bytes(CustodyLog(case / "new").read())
    for path in reports:
        assert "is not the log that this report was made with" in review("verify", path, "--pub", public).err
    log.path.unlink()
    for path in reports:
        result = review("verify", path, "--pub", public)
        assert (result.code, "Its custody log was not compared" in result.out) == (0, True)


def test_a_log_of_strange_lines_stops_no_report(write_report, case):
    """Whoever can write into the folder can write lines with a right sum and wrong fields."""
    case.mkdir()
    for fields in ({}, {"envelope": []}, {"envelope": {"name": 1, "sha256": None}}, {"wrote": [{"file": 1}]}):
        log = CustodyLog(case)
        log.append(Act("extract", "x.envelope"))
        written = log.read().splitlines(keepends=True)
        changed = {**json.loads(written[-1]), **fields} if fields else {"before": sha256(b"")}
        log.path.write_bytes(b"".join(written[:-1]) + json.dumps(changed).encode() + b"\n")
    assert write_report().code == 0
    assert [line["did"] for line in load(case)["custody"]["lines"]] == ["check"]
    assert load(case)["custody"]["line_count"] == 5


def test_the_custody_of_a_report_is_a_table(write_report, case):
    write_report()
    page = html.unescape(re.sub("<[^>]*>", "|", (case / "x.report.html").read_text()))
    table = page[page.index("What was done") : page.index("Signed by")]
    for heading in ("Line", "When (UTC)", "What was written, and its SHA-256"):
        assert f"|{heading}|" in table
    assert "|Checking: |Every byte opened, for a report." in table
    assert "{" not in table


OLD = Path(__file__).with_name("reports")


@pytest.mark.parametrize("ending", ["html", "json"])
def test_a_report_of_the_first_version_still_verifies(review, public, tmp_path, ending):
    for path in OLD.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / f"x.report.{ending}"
    result = review("verify", path, "--pub", public)
    assert (result.code, f"{path} is unchanged since" in result.out) == (0, True), result.err
    log = (tmp_path / "custody.jsonl").read_bytes()
    (tmp_path / "custody.jsonl").write_bytes(log.replace(b"opened/y", b"opened/z"))
    assert review("verify", path, "--pub", public).code == 1


CHANGES = {
    "a line changed": lambda lines: [lines[0].replace(b"one", b"two"), *lines[1:]],
    "a line removed": lambda lines: [lines[0], *lines[2:]],
    "the first line removed": lambda lines: lines[1:],
    "a line put in": lambda lines: [lines[0], lines[0], *lines[1:]],
    "two lines exchanged": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "a line cut off": lambda lines: [*lines[:-1], lines[-1][:-9]],
    "a line that is no JSON": lambda lines: [*lines, b"{]\n"],
    "a line that is no record": lambda lines: [*lines, b"[]\n"],
    "too deep": lambda lines: [*lines, b"[" * 100_000 + b"\n"],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_custody_log_cannot_be_changed_unseen(tmp_path, change):
    log = CustodyLog(tmp_path)
    for name in ("one", "b", "c", "d"):
        log.append(Act("extract", name))
    assert check_log(log.read()) == []
    changed = b"".join(change(log.read().splitlines(keepends=True)))
    assert check_log(changed) != []


def test_a_line_that_a_power_cut_left_is_kept_and_told(review, reviewer, write_report, public, case):
    log = CustodyLog(case)
    log.append(Act("extract", "a"))
    whole = log.read()
    log.path.write_bytes(whole + b'{"at":"20')
    result = write_report()
    assert result.code == 0
    assert f"{log.path}: line 2 does not fit those before it" in result.err
    assert log.read().startswith(whole + b'{"at":"20\n{')
    assert check_log(log.read()) == [2]
    assert "The custody log has lines that were changed" in (case / "x.report.html").read_text()
    verified = review("verify", case / "x.report.html", "--pub", public)
    assert (verified.code, "line 2 does not fit" in verified.err) == (1, True)
    assert "is unchanged since the key “Reviewers” signed it." in verified.out
    # Broken it was when the report was made, and its sum binds what was there.
    assert f"{log.path} begins with the 3 lines that the report was made with, unchanged.\n" in verified.out


@pytest.mark.parametrize("ending", ["html", "json"])
def test_a_log_that_broke_later_takes_nothing_of_an_earlier_report(
    review, write_report, public, case, ending
):
    """That its signature is right is told first, and that its part of the log is there."""
    write_report()
    log = CustodyLog(case)
    log.path.write_bytes(log.read() + b'{"at":"20')
    path = case / f"x.report.{ending}"
    result = review("verify", path, "--pub", public)
    assert (result.code, "line 3 does not fit those before it" in result.err) == (1, True)
    first, *_, last = result.out.splitlines()
    assert first == f"{path} is unchanged since the key “Reviewers” signed it."
    assert last == f"{log.path} begins with the 1 line that the report was made with, unchanged."
    told = review("verify", path, "--pub", public, "--json")
    ((lines, fault),) = [(one["log_lines"], one["log_fault"]) for one in json.loads(told.out)]
    assert (told.code, lines, "line 3 does not fit" in fault) == (1, 1, True)
    log.path.write_bytes(log.read()[1:])
    result = review("verify", path, "--pub", public)
    assert (result.code, "begins with" in result.out, "line 1 does not fit" in result.err) == (1, False, True)
    assert result.out.startswith(first)


def test_another_log_than_the_reports_is_told(review, write_report, public, case):
    write_report()
    (case / "custody.jsonl").unlink()
    CustodyLog(case).append(Act("extract", "a"))
    result = review("verify", case / "x.report.json", "--pub", public)
    assert (result.code, "is not the log that this report was made with" in result.err) == (1, True)
    assert f"{case}/x.report.json is unchanged since" in result.out


def test_a_custody_log_is_not_written_through_a_link(write_report, tmp_path, case):
    case.mkdir()
    (case / "custody.jsonl").symlink_to(tmp_path / "elsewhere")
    assert write_report().code == 1
    assert not (tmp_path / "elsewhere").exists()


def test_ten_thousand_files_are_reported(review, reviewer, tmp_path, case):
    with (tmp_path / "x.envelope").open("wb") as sink:
        sources = [SourceFile(f"{number}.jpg", "", io.BytesIO(b"x")) for number in range(10_000)]
        seal([reviewer.public], sink, sealed="browser", files=sources)
    assert review("report", tmp_path / "x.envelope", "-o", case, *reviewer.arguments).code == 0
    assert len(load(case)["files"]) == 10_000


def test_a_custody_log_is_not_kept_on_the_stick(review, reviewer, tmp_path, elsewhere):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "m")])
    arguments = ["-o", elsewhere / "out", "--case", tmp_path / "case", *reviewer.arguments]
    result = review("extract", tmp_path / "stick", *arguments)
    assert (result.code, "the stick goes back to the server" in result.err) == (2, True)
    assert list_tree(elsewhere) == []
    assert not (tmp_path / "case").exists()
