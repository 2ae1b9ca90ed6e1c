"""`leakdrop check`: a doctor that looks and says, line by line, what is right, what is wrong, how to mend it.

It changes nothing and opens no connection. What it may not see it says: as root it sees more.
"""

import datetime
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from leakdrop.config import load_config
from leakdrop.errors import LeakdropError, StoreError
from leakdrop.operate.doctor import machine, site, stored, tor
from leakdrop.operate.doctor.findings import TORRC, Finding, Look, Machine, Patient, State, unseen, wrong
from leakdrop.store.health import DamagedDatabaseError, NoDatabaseError, examine
from leakdrop.terminal import count, describe_os_error, encode_json, say

MARKS = {State.RIGHT: "ok   ", State.WRONG: "WRONG", State.UNSEEN: "?    "}


def check(
    config_path: Path,
    today: datetime.date,
    *,
    torrc: Path = TORRC,
    as_json: bool = False,
    of: Machine | None = None,
) -> int:
    """Look at a site and its machine, and say what was found; 1 if anything is wrong.

    Raises ConfigError if there is no configuration to go by.
    """
    findings = list(look(config_path, today, torrc, of or Machine()))
    wrongs = sum(finding.state is State.WRONG for finding in findings)
    unseens = sum(finding.state is State.UNSEEN for finding in findings)
    if as_json:
        told = {"wrong": wrongs, "unseen": unseens, "findings": [asdict(finding) for finding in findings]}
        say(encode_json(told))
    else:
        for finding in findings:
            say(f"{MARKS[finding.state]}  {finding.subject}: {finding.says}")
            if finding.mend:
                say(f"       mend: {finding.mend}")
        say(sum_up(wrongs, unseens))
    return 1 if wrongs else 0


def sum_up(wrongs: int, unseens: int) -> str:
    """The last line. What could not be looked at is not called right."""
    if not unseens:
        return f"{count(wrongs, 'thing')} to mend." if wrongs else "Nothing is wrong."
    unseen = f"{count(unseens, 'thing')} could not be looked at."
    found = f"{count(wrongs, 'thing')} to mend, and" if wrongs else "Nothing seen is wrong, but"
    return f"{found} {unseen}"


def look(config_path: Path, today: datetime.date, torrc: Path, of: Machine) -> Iterator[Finding]:
    """All findings. Raises ConfigError."""
    config = load_config(config_path)
    patient = Patient(config, config_path.resolve(), today, torrc, of)
    if not config.database_url and not config.object_store_url:
        try:
            patient = replace(patient, health=examine(config.data_dir, today))
        except NoDatabaseError as error:
            mend = stored.NO_DATABASE if config.data_dir.is_dir() else stored.NO_DATA
            yield wrong("data", str(error).rstrip("."), mend)
        except DamagedDatabaseError as error:
            yield wrong("database", str(error).rstrip("."), stored.DAMAGED)
        except StoreError as error:
            yield unseen("database", str(error).rstrip("."))
        except OSError as error:
            yield unseen("data", describe_os_error(error).rstrip("."))
    for one in (*site.LOOKS, *stored.LOOKS, *machine.LOOKS, *tor.LOOKS):
        yield from _look(one, patient)


def _look(one: Look, patient: Patient) -> Iterator[Finding]:
    """A look's findings; what stops it becomes one."""
    subject = one.__name__.removeprefix("look_at_").replace("_", " ")
    try:
        yield from one(patient)
    except OSError as error:
        yield unseen(subject, describe_os_error(error).rstrip("."))
    except LeakdropError as error:
        yield wrong(subject, str(error).partition(": ")[0].rstrip("."), str(error).partition(": ")[2])
