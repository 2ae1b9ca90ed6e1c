"""`shares`, `restore` and `rekey`: a key outlives its paper, its passphrase and its disk."""

import itertools
import os
import pty
import stat
import sys
from select import select

import pytest

from leakdrop.envelope.keyfile import (
    close_root,
    encode_public_key,
    encode_secret_key,
    open_root,
    parse_secret_key,
)
from leakdrop.errors import KeyFileError, PassphraseError, UsageError
from leakdrop.review.backup import read_sheet, write_sheet
from leakdrop.review.rekey import prove_secret_key
from leakdrop.review.shares import combine_shares, parse_share, split_root
from tests.keys import PASSPHRASE, label_key_pair, label_root, public_key_file
from tests.review.inboxes import list_tree, seal_bytes
from tests.review.test_passphrases import read_terminal
from tests.site import BIN, PATIENCE, run, temporary_mount

NEW = "six other words that nobody guesses"
ROOT = label_root("Reviewers")

# A vector that SLIP-39 publishes: “Valid mnemonic without sharing (256 bits)”.
ONE_OF_ONE = (
    "theory painting academic academic armed sweater year military elder discuss acne wildlife boring "
    "employer fused large satoshi bundle carbon diagnose anatomy hamster leaves tracks paces beyond phantom "
    "capital marvel lips brave detect luck"
)


@pytest.fixture
def new_passphrase(tmp_path):
    (tmp_path / "new").write_text(NEW)
    return tmp_path / "new"


def root_of(path, passphrase: str = NEW) -> bytes:
    return open_root(parse_secret_key(path.read_bytes()), passphrase)


def write_sheets(folder, need: int, number: int):
    folder.mkdir()
    paths = []
    for share in split_root(ROOT, need, number):
        paths.append(folder / f"{share.number}.txt")
        paths[-1].write_text(write_sheet(share, "Reviewers", number, "0" * 64))
    return paths


@pytest.mark.parametrize(("need", "number"), [(2, 2), (2, 3), (3, 5), (16, 16)])
def test_any_shares_that_are_enough_restore_the_root(need, number):
    shares = split_root(ROOT, need, number)
    assert {len(share.words) for share in shares} == {33}
    for some in itertools.islice(itertools.permutations(shares, need), 40):
        assert combine_shares(some) == ROOT


def test_fewer_shares_than_needed_restore_nothing():
    with pytest.raises(UsageError, match="3 shares are needed, and 2 given"):
        combine_shares(split_root(ROOT, 3, 5)[:2])


def test_shares_of_two_sets_are_told_apart():
    with pytest.raises(UsageError, match="belongs to another set"):
        combine_shares([split_root(ROOT, 2, 3)[0], split_root(ROOT, 2, 3)[1]])


def test_one_share_given_twice_is_told():
    share, *_ = split_root(ROOT, 2, 3)
    with pytest.raises(UsageError, match="This share was given already"):
        combine_shares([share, share])


@pytest.mark.parametrize(("need", "number"), [(1, 3), (4, 3), (2, 17), (0, 0)])
def test_numbers_that_make_no_sense_are_refused(review, reviewer, need, number):
    result = review("shares", reviewer.secret, "--need", need, "--of", number)
    assert (result.code, result.out) == (2, "")


def test_a_share_that_is_the_whole_key_is_refused():
    with pytest.raises(UsageError, match="not made by leakdrop-review"):
        parse_share(ONE_OF_ONE)


WRONG_SHARES = {
    "an unknown word": (lambda words: ["leakdrop", *words[1:]], "Word 1 of this share"),
    "a word too few": (lambda words: words[:-1], "has 33 words, and this one 32"),
    "a word written twice": (
        lambda words: [*words[:20], words[20], words[20], *words[22:]],
        "do not belong together",
    ),
    "nothing": (lambda words: [], "has 33 words, and this one 0"),
}


@pytest.mark.parametrize(("spoil", "sentence"), WRONG_SHARES.values(), ids=WRONG_SHARES)
def test_a_slip_of_the_pen_is_told_without_the_words(spoil, sentence):
    told = set()
    for root in (ROOT, label_root("bob"), label_root("carol")):
        with pytest.raises(UsageError, match=sentence) as error:
            parse_share(" ".join(spoil(list(split_root(root, 2, 3)[0].words))))
        told.add(str(error.value))
    assert len(told) == 1


def test_a_sheet_may_be_copied_with_numbers_or_without():
    (share, *_) = split_root(ROOT, 2, 3)
    sheet = write_sheet(share, "Reviewers # 2", 3, "0" * 64)
    assert read_sheet(sheet) == share
    assert read_sheet(sheet.replace("\n", "\r\n").upper().replace("# SHARE", "# Share")) == share
    assert read_sheet(" ".join(share.words)) == share
    assert read_sheet(" ".join(f"{number}. {word}" for number, word in enumerate(share.words, 1))) == share


def test_a_key_goes_onto_paper_and_comes_back(review, reviewer, new_passphrase, tmp_path):
    made = review(
        "shares", reviewer.secret, "--passphrase-file", reviewer.passphrase, "-o", tmp_path / "paper"
    )
    assert (made.code, made.err) == (0, "")
    sheets = sorted((tmp_path / "paper").iterdir())
    assert len(sheets) == 3
    assert {stat.S_IMODE(sheet.stat().st_mode) for sheet in sheets} == {0o600}
    assert all(reviewer.public.fingerprint in sheet.read_text() for sheet in sheets)
    public = reviewer.secret.with_suffix(".pub")
    for number, pair in enumerate(itertools.combinations(sheets, 2)):
        arguments = ["-o", tmp_path / "back", "--pub", public, "--passphrase-file", new_passphrase]
        result = review("restore", f"R{number}", "--share", *pair, *arguments)
        assert (result.code, result.err) == (0, "")
        assert f"It is the key that {public} names." in result.out
        assert root_of(tmp_path / f"back/R{number}.key") == ROOT
        assert stat.S_IMODE((tmp_path / f"back/R{number}.key").stat().st_mode) == 0o600


def test_shares_on_the_screen_are_written_nowhere(review, reviewer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = review("shares", reviewer.secret, "--passphrase-file", reviewer.passphrase)
    assert result.code == 0
    sheets = result.out.split("# Share ")[1:]
    assert combine_shares([read_sheet(f"# {sheet.split('Keep')[0]}") for sheet in sheets[:2]]) == ROOT
    assert list_tree(tmp_path) == []


def test_another_key_than_expected_is_not_written(review, new_passphrase, tmp_path):
    (tmp_path / "bob.pub").write_text(encode_public_key(public_key_file("bob")))
    sheets = write_sheets(tmp_path / "paper", 2, 3)
    arguments = ["--pub", tmp_path / "bob.pub", "--passphrase-file", new_passphrase, "-o", tmp_path / "back"]
    result = review("restore", "R", "--share", *sheets[:2], *arguments)
    assert result.code == 1
    fingerprint = label_key_pair("Reviewers").public.fingerprint
    assert f"restore another key than {tmp_path}/bob.pub names: {fingerprint}" in result.err
    assert not (tmp_path / "back").exists()


def test_restoring_overwrites_nothing(review, new_passphrase, tmp_path):
    sheets = write_sheets(tmp_path / "paper", 2, 2)
    (tmp_path / "R.key").write_text("precious")
    result = review("restore", "R", "--share", *sheets, "--passphrase-file", new_passphrase, "-o", tmp_path)
    assert result.code == 2
    assert (tmp_path / "R.key").read_text() == "precious"


@pytest.mark.parametrize("verb", ["shares", "restore"])
def test_neither_shares_nor_keys_go_onto_the_stick(review, reviewer, tmp_path, verb):
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick/bundle.json").touch()
    what = reviewer.secret if verb == "shares" else "R"
    result = review(verb, what, "-o", tmp_path / "stick/keys")
    assert result.code == 2
    assert "that goes back to the server" in result.err
    assert list_tree(tmp_path / "stick") == ["bundle.json"]


def test_shares_can_be_piped(tmp_path):
    shares = [" ".join(share.words) for share in split_root(ROOT, 2, 3)][1:]
    lines = "".join(f"{line}\n" for line in [*shares, NEW])
    result = run(BIN / "leakdrop-review", "restore", "R", "-o", tmp_path, input=lines)
    assert (result.returncode, result.stderr) == (0, "")
    assert root_of(tmp_path / "R.key") == ROOT


def test_a_pipe_that_ends_early_makes_no_key(tmp_path):
    line = " ".join(split_root(ROOT, 2, 3)[0].words)
    result = run(BIN / "leakdrop-review", "restore", "R", "-o", tmp_path / "new", input=f"{line}\n")
    assert result.returncode == 2
    assert result.stderr.startswith("leakdrop-review: That is not enough: ")
    assert not (tmp_path / "new").exists()


def type_restore(folder, answers) -> str:
    """`restore` at a terminal; what it showed."""
    process, terminal = pty.fork()
    if process == 0:
        try:
            os.execv(BIN / "leakdrop-review", ["leakdrop-review", "restore", "R", "-o", str(folder)])  # noqa: S606
        finally:
            os._exit(127)
    shown, waiting = "", list(answers)
    # Who waits for more than there is to type is left alone, and ends with that.
    while select([terminal], [], [], PATIENCE)[0] and (piece := read_terminal(terminal)):
        shown += piece
        if waiting and shown.endswith((": ", "needed):\r\n")):
            os.write(terminal, f"{waiting.pop(0)}\n".encode())
            shown += " "
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, shown
    return shown


def test_a_word_that_was_mistyped_is_asked_for_again(tmp_path):
    first, second = [" ".join(share.words) for share in split_root(ROOT, 2, 2)]
    shown = type_restore(tmp_path, [f"x{first}", first, first, second, NEW, NEW])
    assert "Word 1 of this share is not one of SLIP-39's words" in shown
    assert "This share was given already" in shown
    assert root_of(tmp_path / "R.key") == ROOT


@pytest.mark.parametrize("between", ["", "\n", "\n\n"], ids=["nothing", "a blank line", "two blank lines"])
def test_a_share_is_typed_as_its_sheet_shows_it(tmp_path, between):
    """Its first lines, the numbers, four words on a line; and what stands between two sheets on a screen."""
    sheets = [write_sheet(share, "المراجعون", 3, "0" * 64) for share in split_root(ROOT, 2, 3)]
    assert sheets[1].count("\n") == 11
    shown = type_restore(
        tmp_path, [between + sheets[2].rstrip("\n"), between + sheets[0].rstrip("\n"), NEW, NEW]
    )
    assert "WARNING" not in shown
    assert "Share 3: right. 1 more to go." in shown
    assert root_of(tmp_path / "R.key") == ROOT


LONG_NAMES = {"letters of two bytes": "م" * 58, "a hundred bytes": "R" * 95, "much is made safe": "?*" * 47}


@pytest.mark.parametrize("name", LONG_NAMES.values(), ids=LONG_NAMES)
def test_the_sheets_of_a_key_with_a_long_name_have_names_of_their_own(review, tmp_path, name):
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    secret = close_root(ROOT, name, PASSPHRASE, passes=1, memory=8 * 1024 * 1024)
    (tmp_path / "long.key").write_text(encode_secret_key(secret))
    words = ["--passphrase-file", tmp_path / "passphrase", "-o", tmp_path / "paper", "--of", "16"]
    result = review("shares", tmp_path / "long.key", *words)
    assert (result.code, result.err) == (0, "")
    for number in range(1, 17):
        (sheet,) = (tmp_path / "paper").glob(f"* share {number} of 16.txt")
        assert sheet.read_text().startswith(f"# Share {number} of 16 of the key “{name}”;")
        assert len(sheet.name.encode()) <= 100


def test_without_the_library_one_sentence_tells_what_to_install(reviewer, tmp_path):
    source = (
        "import sys; sys.modules['shamir_mnemonic'] = None\n"
        "from leakdrop.review.cli import main; sys.exit(main())"
    )
    words = ["shares", reviewer.secret, "--passphrase-file", reviewer.passphrase]
    result = run(sys.executable, "-c", source, *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("leakdrop-review: Shares need the Python package shamir-mnemonic")


@pytest.fixture
def my_key(reviewer, tmp_path):
    path = tmp_path / "mine/R.key"
    path.parent.mkdir()
    path.write_bytes(reviewer.secret.read_bytes())
    path.chmod(0o600)
    return path


def rekey_arguments(reviewer, new):
    return ["--passphrase-file", reviewer.passphrase, "--new-passphrase-file", new]


def test_a_new_passphrase_opens_and_the_old_one_does_not(review, reviewer, my_key, new_passphrase, tmp_path):
    result = review("rekey", my_key, *rekey_arguments(reviewer, new_passphrase))
    assert result.code == 0
    assert "Copies of the old file still open with the old passphrase" in result.err
    assert root_of(my_key) == ROOT
    assert stat.S_IMODE(my_key.stat().st_mode) == 0o600
    assert list_tree(my_key.parent) == ["R.key"]
    (tmp_path / "x.envelope").write_bytes(seal_bytes([reviewer.public], "hello"))
    opened = review("list", tmp_path / "x.envelope", "--key", my_key, "--passphrase-file", new_passphrase)
    assert opened.code == 0
    old = review("list", tmp_path / "x.envelope", "--key", my_key, "--passphrase-file", reviewer.passphrase)
    assert (old.code, old.out) == (1, "")
    assert "This passphrase does not open the key" in old.err


def test_a_wrong_passphrase_changes_nothing(review, my_key, new_passphrase):
    before = my_key.read_bytes()
    result = review("rekey", my_key, "--passphrase-file", new_passphrase)
    assert result.code == 1
    assert my_key.read_bytes() == before


def test_the_same_passphrase_is_no_new_one(review, reviewer, my_key):
    result = review("rekey", my_key, *rekey_arguments(reviewer, reviewer.passphrase))
    assert (result.code, "nothing was changed" in result.err) == (2, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="to run it: be root, who can mount a small disk")
def test_a_full_disk_keeps_the_old_key(review, reviewer, new_passphrase, tmp_path):
    folder = tmp_path / "small"
    if not temporary_mount(folder, "1M,nr_inodes=2"):
        pytest.skip("to run it: be allowed to mount a small disk")
    try:
        (folder / "R.key").write_bytes(reviewer.secret.read_bytes())
        result = review("rekey", folder / "R.key", *rekey_arguments(reviewer, new_passphrase))
        assert result.err == f"leakdrop-review: {folder}/R.key: No space left on device.\n"
        assert (folder / "R.key").read_bytes() == reviewer.secret.read_bytes()
        assert list_tree(folder) == ["R.key"]
    finally:
        run("umount", folder)


def test_a_new_file_is_proved_to_open_before_it_replaces_the_old_one(reviewer):
    prove_secret_key(reviewer.secret, ROOT, PASSPHRASE)
    with pytest.raises(KeyFileError, match="does not hold the key that was written"):
        prove_secret_key(reviewer.secret, label_root("bob"), PASSPHRASE)
    with pytest.raises(PassphraseError):
        prove_secret_key(reviewer.secret, ROOT, NEW)


def test_a_key_that_is_no_key_is_named(review, tmp_path):
    (tmp_path / "R.key").write_text("hello")
    for verb in ("rekey", "shares"):
        result = review(verb, tmp_path / "R.key")
        assert result.code == 1
        assert result.err.startswith(f"leakdrop-review: {tmp_path}/R.key: This is not a secret key file")
