"""The manifest of a site, and `leakdrop verify`, which compares a live site with it."""

import datetime
import gzip
import json
import re
import zlib
from dataclasses import asdict
from pathlib import Path

import pytest

from leakdrop.config import load_config
from leakdrop.envelope.keyfile import PublicKeyFile, encode_public_key
from leakdrop.envelope.keys import derive_sign_key
from leakdrop.errors import LeakdropError, ManifestError, UsageError
from leakdrop.manifest import (
    PATH,
    Manifest,
    ManifestDay,
    ManifestPage,
    encode_manifest,
    find_signers,
    parse_manifest,
    sign_manifest,
)
from leakdrop.operate.manifest import make_manifest, write_manifest
from leakdrop.operate.verify import MAX_BODY, connect_to, unpack
from leakdrop.operate.verify import verify as compare_site
from leakdrop.review.sign import sign
from tests.keys import label_key_pair, label_root, public_key_file, write_key_files
from tests.relay import Relay
from tests.site import BIN, assert_one_line, leakdrop, make_test_site, run

TODAY = datetime.datetime.now(datetime.UTC).date()
DAY = datetime.timedelta(days=1)


def signing_key_file(label: str) -> PublicKeyFile:
    sign = derive_sign_key(label_root(label)).verify_key.encode()
    return PublicKeyFile(label, label_key_pair(label).public, None, sign)


def vouch(folder: Path, manifest: Path, label: str = "alice"):
    """A reviewer signs a manifest."""
    key = write_key_files(folder / label, label)
    return run(
        BIN / "leakdrop-review", "sign", manifest,
        "--key", key, "--passphrase-file", folder / label / "passphrase",
    )  # fmt: skip


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A running site with a manifest that Alice signed; her .pub file lies in `folder`."""
    folder = tmp_path_factory.mktemp("signed")
    site = make_test_site(folder / "site", [public_key_file("alice")], manifest="leakdrop.json")
    made = leakdrop("manifest", site.folder / "leakdrop.json", "--config", write_plain(site))
    assert made.returncode == 0, made.stderr
    done = vouch(folder, site.folder / "leakdrop.json")
    assert done.returncode == 0, done.stderr
    (folder / "alice.pub").write_text(encode_public_key(signing_key_file("alice")))
    (folder / "bob.pub").write_text(encode_public_key(signing_key_file("bob")))
    site.start()
    yield site, folder
    site.stop()


def write_plain(site) -> Path:
    """The site's configuration without a manifest."""
    path = site.folder / "plain.toml"
    lines = site.config.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("manifest")))
    return path


def verify(url: str, by: str = "alice"):
    return compare_site(connect_to(url), [signing_key_file(by)], TODAY)


def test_an_honest_site_is_as_it_was_signed(signed):
    site, folder = signed
    done = leakdrop("verify", site.url, "--by", folder / "alice.pub", "--json")
    assert done.returncode == 0
    found = verify(site.url)
    assert json.loads(done.stdout) == json.loads(json.dumps(asdict(found)))
    assert (found.problems, found.signers) == ((), ("alice",))
    assert found.pages >= 8
    assert site.log.read_text() == ""
    with Relay(site.port) as relay:
        assert verify(relay.url) == found


def test_a_relay_that_changes_the_script_is_told_to_who_asks(signed):
    site, folder = signed
    with Relay(site.port, flip("/static/app-")) as relay:
        done = leakdrop("verify", relay.url, "--by", folder / "alice.pub")
    assert done.returncode == 1
    assert "DIFFERENT: /static/app-" in done.stdout
    assert "Do not send anything to this site" in done.stdout


def test_all_that_a_visitor_meets_is_listed(signed):
    """Every address that a page names, every page of the site, and the one that says there is none."""
    site, _ = signed
    listed = {page.path for page in parse_manifest((site.folder / "leakdrop.json").read_bytes()).on(TODAY)}
    seen, waiting = set(), {"/"}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        status, body, headers = site.get(path)
        assert status == 200
        if headers["Content-Type"].startswith("text/html"):
            found = re.findall(r'(?:href|src)="(/[^"#]*)"', body.decode())
            waiting |= {name.replace("%20", " ") for name in found} - seen
    assert seen - {"/uploads"} <= listed
    assert "NOT_FOUND" in listed


def flip(part: str):
    """Changes one byte in the middle of what has this in its address."""

    def change(path, status, headers, body):
        if part in path:
            body = bytearray(body)
            body[len(body) // 2] ^= 1
        return status, headers, bytes(body)

    return change


@pytest.mark.parametrize(
    "part", ["/static/app-", "/static/style-", "/safety", "/key/alice.pub", "/key/all.pub"]
)
def test_one_changed_byte_is_named(signed, part):
    site, _ = signed
    with Relay(site.port, flip(part)) as relay:
        found = verify(relay.url)
    (problem,) = found.problems
    assert problem.startswith(part)
    assert "is not what was signed" in problem


def on_home(**changed):
    """Changes the answer to `/`: a header, or its status."""

    def change(path, status, headers, body):
        if path == "/":
            status = changed.get("status", status)
            kept = [(name, value) for name, value in headers if name != changed.get("drop")]
            headers = [*kept, *changed.get("add", [])]
            body = body + changed.get("behind", b"")
        return status, headers, body

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (on_home(behind=b"<script src=/evil.js></script>"), "/ is not what was signed"),
        (on_home(add=[("Set-Cookie", "a=b")]), "/ has a header that leakdrop does not send: set-cookie"),
        (on_home(add=[("Refresh", "0; url=/x")]), "/ has a header that leakdrop does not send: refresh"),
        (on_home(add=[("Link", "</x.css>")]), "/ has a header that leakdrop does not send: link"),
        (on_home(drop="Content-Security-Policy"), "/ has another content-security-policy"),
        (
            on_home(add=[("Content-Security-Policy", "script-src *")]),
            "/ has another content-security-policy",
        ),
        (on_home(drop="Cache-Control", add=[("Cache-Control", "public")]), "/ has another cache-control"),
        (on_home(drop="Content-Type", add=[("Content-Type", "text/plain")]), "/ is sent as another type"),
        (on_home(status=404), "/ answers 404 in place of 200"),
    ],
    ids=[
        "a second script", "cookie", "refresh", "style in a header", "no policy", "two policies", "cached",
        "type", "status",
    ],
)  # fmt: skip
def test_what_was_changed_around_a_page_is_named(signed, change, sentence):
    site, _ = signed
    with Relay(site.port, change) as relay:
        found = verify(relay.url)
    assert [problem for problem in found.problems if problem.startswith(sentence)]
    assert len(found.problems) == 1


def test_a_page_where_none_should_be_is_named(signed):
    site, _ = signed

    def change(path, status, headers, body):
        return (200, headers, body) if status == 404 else (status, headers, body)

    with Relay(site.port, change) as relay:
        found = verify(relay.url)
    assert found.problems[0].endswith("answers 200 in place of 404.")


def test_a_site_whose_manifest_these_keys_did_not_sign_is_not_believed(signed):
    site, _ = signed
    with pytest.raises(ManifestError, match="None of these keys has signed"):
        verify(site.url, "bob")


def test_a_changed_manifest_is_not_believed(signed):
    site, _ = signed
    with Relay(site.port, flip(PATH)) as relay, pytest.raises(ManifestError):
        verify(relay.url)


def test_a_manifest_that_was_changed_with_its_pages_is_not_believed(signed):
    site, _ = signed
    there = (site.folder / "leakdrop.json").read_bytes()
    other = there.replace(b'"sha256":"', b'"sha256":"0', 1).replace(b'"}', b'"}', 1)

    def change(path, status, headers, body):
        return status, headers, other if path == PATH else body

    with (
        Relay(site.port, change) as relay,
        pytest.raises(ManifestError, match="changed after “alice” signed it"),
    ):
        verify(relay.url)


def test_a_site_without_a_manifest_is_not_believed(site):
    with pytest.raises(ManifestError, match="no signed manifest"):
        verify(site.url)


def test_script_of_another_release_is_named(signed, tmp_path):
    """Signed as it is served, but not what this release has."""
    site, _ = signed
    manifest = parse_manifest((site.folder / "leakdrop.json").read_bytes())
    (day,) = manifest.days
    pages = tuple(
        ManifestPage(page.path, page.type, "0" * 64) if page.path.startswith("/static/app-") else page
        for page in day.pages
    )
    other = encode_manifest(Manifest("0.0.9", (ManifestDay(day.since, pages),)))
    line = sign_manifest(other, label_key_pair("alice").public.key_id, derive_sign_key(label_root("alice")))
    replaced = {PATH: other, f"{PATH}.sig": line.encode()}

    def change(path, status, headers, body):
        return status, headers, replaced.get(path, body)

    with Relay(site.port, change) as relay:
        found = verify(relay.url)
    assert "was signed for leakdrop 0.0.9, and is not that of leakdrop" in found.problems[0]


def test_the_check_looks_like_tor_browser_and_tells_nothing_of_who_asks(signed):
    site, _ = signed
    with Relay(site.port) as relay:
        verify(relay.url)
    host = relay.url.removeprefix("http://").removesuffix("/")
    assert {tuple(headers.items()) for _, headers in relay.asked} == {tuple(relay.asked[0][1].items())}
    assert list(relay.asked[0][1])[:5] == [
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Language",
        "Accept-Encoding",
    ]
    assert relay.asked[0][1]["Host"] == host


def test_the_manifest_is_the_same_for_everybody(signed):
    site, _ = signed
    answers = {
        (status, body, tuple(sorted(headers.items())))
        for status, body, headers in (site.get(PATH), site.get(PATH, Cookie="a=b", **{"User-Agent": "x"}))
    }
    assert len(answers) == 1
    assert site.get(PATH)[1] == (site.folder / "leakdrop.json").read_bytes()


def test_it_lists_what_the_pages_will_be_when_a_key_has_expired(tmp_path):
    keys = [public_key_file("alice", TODAY + 5 * DAY), public_key_file("bob")]
    site = make_test_site(tmp_path / "site", keys)
    manifest = make_manifest(load_config(site.config), TODAY)
    assert [day.since for day in manifest.days] == [TODAY, TODAY + 6 * DAY]
    before, after = ({page.path for page in manifest.on(day)} for day in (TODAY + 5 * DAY, TODAY + 6 * DAY))
    assert before - after == {"/key/alice.pub"}
    with pytest.raises(ManifestError, match="begins on"):
        manifest.on(TODAY - DAY)


def test_the_same_configuration_and_keys_give_the_same_manifest_anywhere(tmp_path):
    sites = [make_test_site(tmp_path / name, [public_key_file("alice")]) for name in ("here", "there")]
    first, second = (encode_manifest(make_manifest(load_config(site.config), TODAY)) for site in sites)
    assert first == second


def test_the_operator_is_told_of_a_manifest_that_is_not_up_to_date(tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")], manifest="leakdrop.json")
    write_manifest(make_manifest(load_config(write_plain(site)), TODAY), site.folder / "leakdrop.json")
    assert_one_line(leakdrop("serve", "--config", site.config), "needs the reviewers' signatures")
    key = write_key_files(tmp_path / "alice", "alice")
    sign(site.folder / "leakdrop.json", key, (tmp_path / "alice" / "passphrase",))
    site.config.write_text(site.config.read_text().replace("Test organisation", "Another name"))
    site.start()
    site.stop()
    assert site.log.read_text().count("make it anew") == 1


def test_a_manifest_that_was_made_is_not_overwritten(tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")])
    manifest = make_manifest(load_config(site.config), TODAY)
    write_manifest(manifest, tmp_path / "leakdrop.json")
    with pytest.raises(UsageError, match="is there already"):
        write_manifest(manifest, tmp_path / "leakdrop.json")
    assert (tmp_path / "leakdrop.json").read_bytes() == encode_manifest(manifest)


def test_two_reviewers_sign_one_manifest_and_each_only_once(tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")])
    path = tmp_path / "leakdrop.json"
    write_manifest(make_manifest(load_config(site.config), TODAY), path)
    for label in ("alice", "bob", "alice"):
        key = write_key_files(tmp_path / label, label)
        sign(path, key, (tmp_path / label / "passphrase",))
    signatures = (tmp_path / "leakdrop.json.sig").read_bytes()
    keys = [signing_key_file("alice"), signing_key_file("bob")]
    assert find_signers(path.read_bytes(), signatures, keys) == ("alice", "bob")
    assert find_signers(path.read_bytes(), signatures, keys[1:]) == ("bob",)


GOOD = encode_manifest(
    Manifest("0.1.0", (ManifestDay(TODAY, (ManifestPage("/", "text/html", "0" * 64),)),))
).decode()  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "[]",
        "{}",
        GOOD[:-2],
        GOOD + " ",
        GOOD.replace("manifest 1", "manifest 2"),
        GOOD.replace('"0.1.0"', "1"),
        GOOD.replace('"/"', '"/ä"'),
        GOOD.replace('"/"', '"\\u000a"'),
        GOOD.replace("0" * 64, "0" * 63),
        GOOD.replace("0" * 64, "A" * 64),
        GOOD.replace('"type"', '"more":1,"type"'),
        GOOD.replace('{"path"', '{"path":"/","path"'),
        GOOD.replace('"days":[', '"days":[['),
        re.sub(r'"days":\[.*\]', '"days":[]', GOOD, flags=re.DOTALL),
        re.sub(r'"pages":\[.*?\]', '"pages":[]', GOOD, flags=re.DOTALL),
        "[" * 100_000,
    ],
    ids=range(17),
)  # fmt: skip
def test_what_is_no_manifest_is_refused(bad):
    assert encode_manifest(parse_manifest(GOOD.encode())) == GOOD.encode()
    with pytest.raises(ManifestError):
        parse_manifest(bad.encode())


@pytest.mark.parametrize(
    "signatures", ["nonsense", "0" * 32, "0" * 32 + " " + "A" * 85, "\xff", "x" * 70_000]
)
def test_what_are_no_signatures_are_refused(signatures):
    with pytest.raises(ManifestError):
        find_signers(GOOD.encode(), signatures.encode("latin-1"), [signing_key_file("alice")])


@pytest.mark.parametrize(
    "url",
    ["https://example.org/", "http://example.org/", "ftp://127.0.0.1/", "http://127.0.0.1/key", "http://x.onion/?a",
     "http://x.onion:port/", "http://[x.onion/"],
)  # fmt: skip
def test_nothing_but_onions_and_this_machine_is_asked(url):
    with pytest.raises(UsageError):
        connect_to(url)


def test_a_tor_that_does_not_run_is_told():
    with pytest.raises(
        LeakdropError, match=r"No Tor answers at 127\.0\.0\.1:1\. Is Tor running\?"
    ) as refusal:
        connect_to(f"http://{'a' * 56}.onion/", "127.0.0.1:1")("/")
    assert "Errno" not in str(refusal.value)


def test_a_bomb_of_compressed_bytes_does_not_fill_the_memory():
    with pytest.raises(zlib.error, match="cut off"):
        unpack(gzip.compress(bytes(MAX_BODY + 2)), ["gzip"])
    with pytest.raises(LeakdropError, match="longer than"):
        unpack(bytes(MAX_BODY + 1), [])
    assert unpack(gzip.compress(b"x"), ["gzip"]) == b"x"


def test_a_site_that_hangs_up_is_told():
    with pytest.raises(LeakdropError, match=r"could not be had: Connection refused\. Try again"):
        connect_to("http://127.0.0.1:1/")("/")
