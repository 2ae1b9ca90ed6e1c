"""What the store says: the database, the envelopes and their rows, times, and what leaves when.

What several machines share is not looked at.
"""

import datetime
from collections.abc import Iterator

from leakdrop.operate.doctor.findings import Finding, Patient, right, unseen, wrong
from leakdrop.store.drop import iso_week
from leakdrop.store.layout import Layout
from leakdrop.store.leaving import Retention, compute_due
from leakdrop.terminal import count, human_size

SOON = datetime.timedelta(weeks=4)
# The timer runs daily; a machine may be off for some days.
OVERDUE = datetime.timedelta(days=7)
NO_DATA = "mount its disk, or make a site with leakdrop init"
NO_DATABASE = (
    "mount its disk; if the file is lost, start the server: it lists every drop anew, as of this week"
)
DAMAGED = (
    "systemctl stop leakdrop.socket leakdrop, remove leakdrop.sqlite and leakdrop.sqlite-journal, put a "
    "backup of the first back if you have one, and start again: without it every drop is listed anew, as of "
    "this week"
)


def look_at_store(patient: Patient) -> Iterator[Finding]:
    health = patient.health
    if health is None:
        if patient.config.database_url or patient.config.object_store_url:
            yield unseen("database", "what several machines share is not looked at")
        return
    if health.damage:
        yield wrong("database", f"it is damaged: {health.damage}", DAMAGED)
    else:
        yield right("database", "SQLite finds no damage")
    if health.revision == health.newest_revision:
        yield right("schema", f"{health.revision}, as this leakdrop needs it")
    elif (health.revision or "") < health.newest_revision:
        yield wrong(
            "schema",
            f"{health.revision}, and this leakdrop needs {health.newest_revision}",
            "restart the server: it brings the database up to date",
        )
    else:
        yield wrong("schema", f"{health.revision}: of a newer leakdrop", "install the newer leakdrop again")


def look_at_orphans(patient: Patient) -> Iterator[Finding]:
    health = patient.health
    if health is None:
        return
    if health.foreign:
        yield wrong(
            "orphans",
            f"drops/{health.foreign[0]} is not an envelope, and is not exported",
            "look at it, and remove it",
        )
    elif health.lost:
        yield wrong(
            "orphans",
            f"{count(len(health.lost), 'drop')} listed, whose envelope is gone",
            "restore a backup if it should be there; a restart forgets the rows",
        )
    elif health.unlisted:
        yield wrong("orphans", f"{count(len(health.unlisted), 'drop')} not listed yet", "restart the server")
    else:
        yield right("orphans", "every envelope has its row, and every row its envelope")


def look_at_sizes(patient: Patient) -> Iterator[Finding]:
    health = patient.health
    if health is None:
        return
    if health.changed:
        yield wrong(
            "sizes",
            f"{count(len(health.changed), 'drop')} not as long as when it came, such as "
            f"drops/{health.changed[0]}: the disk or somebody damaged it",
            "journalctl -k tells of the disk; a bundle that has it whole: remove the file, "
            "then leakdrop import --drops",
        )
    else:
        yield right("sizes", "every envelope is as long as when it came")


def look_at_replies(patient: Patient) -> Iterator[Finding]:
    health = patient.health
    if health is None:
        return
    if health.unlisted_replies:
        yield wrong(
            "replies",
            f"{count(health.unlisted_replies, 'reply')} not listed: their sources do not get them",
            "restart the server",
        )
    else:
        yield right("replies", "every reply is listed")


def look_at_uploads(patient: Patient) -> Iterator[Finding]:
    health = patient.health
    if health is None:
        return
    if health.leftovers:
        yield wrong(
            "leftovers",
            f"{count(len(health.leftovers), 'file')} of broken uploads or settlings",
            "leakdrop settle, and restart the server",
        )
    if health.expired:
        yield wrong(
            "unfinished uploads",
            f"{count(health.expired, 'upload')} should have been forgotten",
            "restart the server",
        )
    elif health.upload_bytes > patient.config.unfinished_bytes * 3 // 4:
        yield wrong(
            "unfinished uploads",
            f"{human_size(health.upload_bytes)}: more than three quarters of unfinished_bytes",
            "wait three days; if it is a flood, lower submissions_per_circuit",
        )
    else:
        yield right(
            "unfinished uploads", f"{count(health.uploads, 'upload')}, {human_size(health.upload_bytes)}"
        )


def look_at_times(patient: Patient) -> Iterator[Finding]:
    health = patient.health
    if health is None:
        return
    if health.unsettled:
        yield wrong(
            "settling",
            f"{count(len(health.unsettled), 'drop')} whose file still tells when it came",
            "systemctl enable --now leakdrop-upkeep.timer, and once: leakdrop settle",
        )
    elif health.timed:
        yield wrong(
            "settling",
            f"{count(len(health.timed), 'drop')} with a time of writing: a copy was put there by hand",
            f"find {Layout(patient.config.data_dir).drops} -newermt @0 -exec touch -d @0 {{}} +",
        )
    else:
        yield right("settling", "no file tells more than the day on which everything settled")


def look_at_retention(patient: Patient) -> Iterator[Finding]:
    health, config = patient.health, patient.config
    if health is None:
        return
    retention = Retention(config.keep_acknowledged_weeks, config.keep_at_most_weeks, config.leave_within_days)
    overdue = [
        drop
        for drop in health.drops
        if compute_due(drop, health.acknowledged.get(drop.name), retention) + OVERDUE < patient.today
    ]
    if overdue:
        yield wrong(
            "retention",
            f"{count(len(overdue), 'drop')} should have left by now",
            "systemctl enable --now leakdrop-upkeep.timer; leakdrop purge shows which",
        )
        return
    lonely = [
        drop
        for drop in health.drops
        if drop.name not in health.acknowledged and compute_due(drop, None, retention) <= patient.today + SOON
    ]
    if lonely:
        yield wrong(
            "retention",
            f"{count(len(lonely), 'drop')} will leave within four weeks and never was acknowledged",
            "export again, and ask the reviewers for an acknowledgement",
        )
    else:
        yield right("retention", f"drops leave in time; it is {iso_week(patient.today)}")


LOOKS = (
    look_at_store,
    look_at_orphans,
    look_at_sizes,
    look_at_replies,
    look_at_uploads,
    look_at_times,
    look_at_retention,
)
