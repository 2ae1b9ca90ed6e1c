"""Names that envelopes claim, and the names that are written."""

import ntpath
import re
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdrop.review.names import MAX_NAME, safe_name, safe_names
from leakdrop.terminal import is_deceptive

HOSTILE = {
    "path upwards": ("../../.ssh/authorized_keys", "_.._.._.ssh_authorized_keys"),
    "absolute path": ("/etc/passwd", "_etc_passwd"),
    "Windows path": ("C:\\Windows\\win.ini", "C__Windows_win.ini"),
    "network path": ("\\\\server\\share\\x", "__server_share_x"),
    "other stream of a file": ("talk.m4a:Zone.Identifier", "talk.m4a_Zone.Identifier"),
    "this folder": (".", "file"),
    "folder above": ("..", "file"),
    "only dots and blanks": (" . . ", "file"),
    "hidden file": (".bashrc", "_.bashrc"),
    "option": ("-rf", "_-rf"),
    "blanks around": ("  talk.m4a  ", "talk.m4a"),
    "dots at the end": ("talk.exe...", "talk.exe"),
    "line end": ("talk\n.m4a", "talk_.m4a"),
    "escape sequence": ("\x1b[2Jtalk", "_[2Jtalk"),
    "reversed ending": ("talk\u202egpj.exe", "talk_gpj.exe"),
    "isolate": ("\u2066talk\u2069", "_talk_"),
    "zero-width space": ("ta\u200blk", "ta_lk"),
    "byte order mark": ("\ufefftalk", "_talk"),
    "line separator": ("a\u2028b", "a_b"),
    "blank letter": ("talk.pdf\u3164\u3164.exe", "talk.pdf__.exe"),
    "half of a pair": ("a\ud800b", "a_b"),
    "wildcards": ('a*b?c"d<e>f|g', "a_b_c_d_e_f_g"),
    "device": ("CON", "_CON"),
    "device with an ending": ("nul.txt", "_nul.txt"),
    "device before a blank": ("aux .txt", "_aux .txt"),
    "device with a superscript": ("COM¹.log", "_COM¹.log"),
    "console": ("CONIN$", "_CONIN$"),
    "short name of another file": ("AVERYL~1.TXT", "AVERYL_1.TXT"),
    "short name of the message": ("MESSAG~12", "MESSAG_12"),
}
HARMLESS = {
    "Latin": "WRAP training Tuesday (2).m4a",
    "Arabic": "شهادة الطبيب.pdf",
    "Urdu with a joiner": "می‌خواہم.txt",
    "Persian": "گزارش‌ها.docx",
    "Chinese": "会议记录.m4a",
    "emoji": "👩🏽‍⚕️ notes.txt",
    "device as a part": "CONTROL.txt",
    "two endings": "scans.tar.gz",
    "leading underscore": "_file",
    "backup copy": "notes.txt~",
}


@pytest.mark.parametrize(("name", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_is_made_harmless(name, expected):
    assert safe_name(name) == expected


@pytest.mark.parametrize("name", HARMLESS.values(), ids=HARMLESS)
def test_a_harmless_name_stays(name):
    assert safe_name(name) == name


def test_an_accent_is_composed():
    assert safe_name("cafe\u0301.txt") == "caf\u00e9.txt"


def test_a_long_name_keeps_its_ending():
    name = safe_name("ش" * 500 + ".jpeg")
    assert name.endswith("ش.jpeg")
    assert MAX_NAME - 1 <= len(name.encode()) <= MAX_NAME


def test_a_long_ending_is_no_ending():
    assert safe_name("a." + "b" * 500) == "a." + "b" * 98


def test_of_a_name_that_is_cut_only_a_short_ending_stays():
    assert safe_name("a" * 200 + "." + "b" * 15).endswith("a." + "b" * 15)
    assert safe_name("a" * 200 + "." + "b" * 16) == "a" * 100


def test_a_cut_does_not_leave_a_dot_at_the_end():
    assert safe_name("a" * 99 + ". " + "b" * 100) == "a" * 99


def test_equal_names_are_numbered():
    assert safe_names(["a.txt", "a.txt", "a.txt"]) == ["a.txt", "a-2.txt", "a-3.txt"]


def test_a_number_that_is_taken_is_left_out():
    assert safe_names(["a.txt", "a-2.txt", "a.txt"]) == ["a.txt", "a-2.txt", "a-3.txt"]


LOOK_ALIKES = {
    "case": ("Straße.txt", "STRASSE.TXT"),
    "composition": ("caf\u00e9", "cafe\u0301"),
    "joiner": ("نامه\u200cها", "نامهها"),
    "ligature": ("ﬁle", "file"),
    "dotless i": ("ı", "I"),
    "final sigma": ("ΟΔΟΣ", "οδος"),
    "Kelvin": ("K", "k"),
    "hostile characters": ("a/b", "a\\b"),
    "cut": ("a" * 200, "a" * 300),
}


@pytest.mark.parametrize("names", LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_names_that_some_file_system_takes_for_one_are_numbered(names):
    first, second = safe_names(names)
    assert first == safe_name(names[0])
    assert "-2" in second


def test_reserved_names_are_not_given():
    names = safe_names(["Manifest.json", "message.txt"], ("message.txt", "manifest.json"))
    assert names == ["Manifest-2.json", "message-2.txt"]


def test_ten_thousand_equal_names_are_distinct():
    assert len(set(safe_names(["x"] * 10_000))) == 10_000


# Python 3.13 moved it.
is_reserved = getattr(ntpath, "isreserved", None) or (lambda name: PureWindowsPath(name).is_reserved())

ANY_NAME = st.one_of(
    st.text(min_size=1, max_size=300),
    st.text(st.sampled_from("./\\ -:~\u202e\u200d\u0301aAıIß\n\x00"), min_size=1, max_size=20),
    st.sampled_from(list(HARMLESS.values()) + [name for name, _ in HOSTILE.values()]),
)


@given(ANY_NAME)
def test_any_name_stays_inside_its_folder(claimed):
    name = safe_name(claimed)
    assert PurePosixPath("folder", name).parts == ("folder", name)
    assert PureWindowsPath("folder", name).parts == ("folder", name)
    assert not is_reserved(name)


@given(ANY_NAME)
def test_any_name_has_its_bounds(claimed):
    name = safe_name(claimed)
    assert 1 <= len(name.encode()) <= MAX_NAME
    assert name == unicodedata.normalize("NFC", name)
    assert name[0] not in ".- "
    assert name[-1] not in ". "
    assert not any(map(is_deceptive, name))
    assert not re.search("~[0-9]", name)


@given(ANY_NAME)
def test_a_safe_name_is_its_own_safe_name(claimed):
    assert safe_name(safe_name(claimed)) == safe_name(claimed)


@given(st.lists(ANY_NAME, max_size=30))
def test_any_names_are_distinct_on_any_file_system(claimed):
    names = safe_names(claimed, ("message.txt",))
    folded = {unicodedata.normalize("NFC", name.casefold()) for name in [*names, "message.txt"]}
    assert len(folded) == len(claimed) + 1
    assert all(len(name.encode()) <= MAX_NAME for name in names)
