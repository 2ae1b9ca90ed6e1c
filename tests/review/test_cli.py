"""The command as a whole: its words, its needs, and a machine without a network."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from leakdrop.review.cli import EXAMPLES, make_parser
from tests.media import ARABIC
from tests.review.inboxes import seal_bytes, write_bundle
from tests.site import BIN, run

VERBS = (
    *("keygen", "fingerprint", "rekey", "shares", "restore"),
    *("list", "read", "extract", "reply", "acknowledge", "report", "verify", "sign", "view", "play"),
)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_an_example_that_parses(verb):
    result = run(BIN / "leakdrop-review", verb, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    (example,) = re.findall(rf"^  leakdrop-review ({verb} .*)$", result.stdout, re.MULTILINE)
    assert make_parser().parse_args(shlex.split(example))


def test_the_examples_of_the_command_parse():
    examples = re.findall("^  leakdrop-review (.*)$", EXAMPLES, re.MULTILINE)
    assert {example.split()[0] for example in examples} <= set(VERBS)
    for example in examples:
        assert make_parser().parse_args(shlex.split(example))


WRONG_USES = {
    "no verb": [],
    "an unknown verb": ["open"],
    "no key": ["list", "stick"],
    "an unknown option": ["fingerprint", "--verbose", "a.pub"],
    "an abbreviated option": ["list", "stick", "--key", "a.key", "--passphrase", "x"],
    "nowhere to extract to": ["extract", "stick", "--key", "a.key"],
    "no file": ["fingerprint"],
}


@pytest.mark.parametrize("arguments", WRONG_USES.values(), ids=WRONG_USES)
def test_wrong_use_is_one_line(review, arguments):
    result = review(*arguments)
    assert (result.code, result.out) == (2, "")
    assert re.fullmatch(r"leakdrop-review: .*; see leakdrop-review.* --help\.\n", result.err)


@pytest.mark.parametrize("command", ["review", "seal"])
def test_a_command_needs_two_libraries_and_no_more(command):
    source = f"import leakdrop.{command}.cli, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = run(sys.executable, "-I", "-c", source)
    needed = set(result.stdout.split()) - sys.stdlib_module_names - {"__main__"}
    # cffi is what both libraries are bound with; a package installed for development adds a finder.
    needed = {name for name in needed if not name.startswith(("_", "sitecustomize"))}
    assert needed == {"leakdrop", "nacl", "cryptography"}


def test_all_of_it_works_without_a_network(reviewer, tmp_path):
    """Real work in a network namespace of its own, in which even the loopback is down."""
    isolated = ["unshare", "--map-root-user", "--net"]
    try:
        permitted = run(*isolated, "true").returncode == 0
    except FileNotFoundError:
        permitted = False
    if not permitted:
        pytest.skip("to run it: apt-get install util-linux, and allow user namespaces")
    assert "LOOPBACK,UP" not in run(*isolated, "ip", "link").stdout

    (tmp_path / "شهادة.txt").write_text(ARABIC)
    sealed = tmp_path / "x.envelope"
    public, inputs = reviewer.secret.with_suffix(".pub"), tmp_path / "شهادة.txt"
    made = run(*isolated, BIN / "leakdrop-seal", "--to", public, "--message", inputs, "-o", sealed, inputs)
    assert (made.returncode, made.stderr) == (0, "")
    review = [*isolated, BIN / "leakdrop-review"]
    listed = run(*review, "list", sealed, *reviewer.arguments, "--json")
    assert json.loads(listed.stdout)["envelopes"][0]["file_count"] == 1
    read = run(*review, "read", sealed, *reviewer.arguments)
    assert all(f"    {line}\n" in read.stdout for line in ARABIC.splitlines())
    extracted = run(*review, "extract", sealed, *reviewer.arguments, "-o", tmp_path / "out")
    assert (extracted.returncode, extracted.stderr) == (0, "")
    assert (tmp_path / "out/x/شهادة.txt").read_text() == ARABIC


def test_long_work_shows_a_bar_on_a_terminal(reviewer, tmp_path):
    write_bundle(tmp_path / "stick", [seal_bytes([reviewer.public], "m")])
    command = [BIN / "leakdrop-review", "list", tmp_path / "stick", *reviewer.arguments]
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "wb") as terminal:
        subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=terminal, check=True)
        shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert shown.startswith("\rOpening  [########################] 100%  1 of 1")
