"""A torrc is read as tor itself reads it; the tor on this machine says what that is."""

import subprocess

import pytest

from leakdrop.operate.torrc import TorrcError, expand, read_torrc, severities, split_lines

# What is looked for, by lines of a torrc.
LINES = {
    "a tab": "SafeLogging\t0",
    "quotes": 'SafeLogging "0"',
    "an escape in quotes": r'SafeLogging "\x30"',
    "an octal escape in quotes": r'SafeLogging "\60" # a comment',
    "a comment": "SafeLogging 0 # 1",
    "a comment without a blank": "SafeLogging 0#1",
    "a comment before": "# SafeLogging 1\nSafeLogging 0",
    "blanks and a carriage return": "\t SafeLogging 0 \r",
    "other letters": "sAfElOgGiNg 0",
    "a continued line": "SafeLogging \\\n0",
    "a comment in a continued line": "SafeLogging \\\n# 1\n0",
    "a comment before a backslash": "Nickname a#b\\\nSafeLogging 0",
    "the last counts": "SafeLogging 1\nSafeLogging 0",
    "the last counts, and is right": "SafeLogging 0\nSafeLogging 1",
    "a plus": "+SafeLogging 0",
    "taken away": "SafeLogging 0\n/SafeLogging",
    "a word": "SafeLogging relay",
    "the beginning of a name": "SafeLog 0",
    "a letter": "S 0",
    "the beginning of another name": "VanguardsLite 0",
    "several logs": "Log info file /tmp/log\nLog notice stdout",
    "logs that are taken away": "Log info file /tmp/log\n/Log",
    "a log by its beginning": "Lo info stdout",
    "a service that stands before": "HiddenServiceDir /var/lib/x\nHiddenServicePort 80\nSocksPort 0\n"
    "HiddenServiceSingleHopMode\t1\nHiddenServiceNonAnonymousMode 1",
}
LOOKED_AT = (
    "safelogging",
    "vanguardsliteenabled",
    "hiddenservicesinglehopmode",
    "hiddenservicenonanonymousmode",
)


def ask_tor(path) -> tuple[dict[str, str], list[str]]:
    """What is in force by a torrc: the options that are looked at, and the logs."""
    alone = ("--defaults-torrc", "/nothing", "--ignore-missing-torrc", "--DataDirectory", path.parent / "tor")
    done = subprocess.run(
        ["tor", *alone, "-f", path, "--dump-config", "short"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout
    said = [line.split(" ", 1) for line in done.stdout.splitlines() if not line[:3].isupper() and " " in line]
    options = {name.lower(): value for name, value in said if name.lower() in LOOKED_AT}
    return options, [value for name, value in said if name == "Log"]


@pytest.mark.needs("tor")
@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_what_is_in_force_is_what_tor_says(tmp_path, line):
    path = tmp_path / "torrc"
    path.write_text(f"{line}\n", newline="")
    read = read_torrc(path)
    ours = {name: value for name, value in read.options.items() if name in LOOKED_AT}
    ours = {name: value for name, value in ours.items() if (name, value) != ("safelogging", "1")}
    options, logs = ask_tor(path)
    assert (ours, read.logs) == (options, logs)
    assert read.options or read.logs or "/" in line


@pytest.mark.needs("tor")
@pytest.mark.parametrize("line", ['SafeLogging "0', 'SafeLogging "0" 1', 'Nickname "a\n"'])
def test_what_tor_cannot_read_is_told(tmp_path, line):
    path = tmp_path / "torrc"
    path.write_text(f"{line}\n")
    done = subprocess.run(["tor", "-f", path, "--verify-config"], capture_output=True, timeout=60)
    assert done.returncode != 0
    with pytest.raises(TorrcError):
        read_torrc(path)


@pytest.mark.needs("tor")
def test_included_files_count_where_they_are_included(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "1").write_text("SafeLogging 0\nLog info stdout\n")
    (tmp_path / "more" / ".hidden").write_text("VanguardsLiteEnabled 0\n")
    (tmp_path / "torrc").write_text(
        f'SafeLogging 1\n%include "{tmp_path}/more"\n%include {tmp_path}/mor*/1\n'
    )
    options, logs = ask_tor(tmp_path / "torrc")
    read = read_torrc(tmp_path / "torrc")
    assert (read.options, read.logs) == (options, logs) == ({"safelogging": "0"}, ["info stdout"] * 2)


def test_a_file_that_includes_itself_is_read_to_an_end(tmp_path):
    (tmp_path / "torrc").write_text(f"SafeLogging 0\n%include {tmp_path}/torrc\n")
    assert read_torrc(tmp_path / "torrc").options == {"safelogging": "0"}


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("notice stdout", ["notice"]),
        ("Info-err file /var/log/info", ["info"]),
        ("[rend]debug stdout", ["debug"]),
        ("[rend] debug stdout", ["debug"]),
        ("[handshake]debug [~net,~mm]info notice syslog", ["debug", "info", "notice"]),
        ("file /var/log/debug", []),
        ("debug", ["debug"]),
    ],
)
def test_what_a_log_line_writes_down(log, found):
    assert severities(log) == found


@pytest.mark.parametrize("name", ["", "nickname", "hiddenservice", "hiddenservicedir", "logtimegranularity"])
def test_other_names_stay_as_they_are(name):
    assert expand(name) == name


def test_nothing_is_read_of_nothing():
    assert list(split_lines("")) == list(split_lines("\n # only a comment")) == []
