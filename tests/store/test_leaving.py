"""Drops leave when they may, never earlier; and then nothing of them is left in any file."""

import datetime
import errno
import hashlib
import json
import os
import shutil
import subprocess
from contextlib import suppress

import pytest

from leakdrop.acknowledgement import Acknowledged
from leakdrop.envelope.sealing import seal
from leakdrop.store.drop import Drop, iso_week
from leakdrop.store.drops import Drops
from leakdrop.store.layout import Layout, free_bytes
from leakdrop.store.leaving import (
    Leaving,
    Retention,
    Taken,
    acknowledge,
    compute_due,
    plan_leaving,
    remove,
)
from leakdrop.store.settle import settle
from leakdrop.store.week import find_leap
from tests.campaigns.faults import build_layer
from tests.keys import label_key_pair, public_key_file, write_key_files
from tests.site import (
    BIN,
    assert_one_line,
    damage,
    leakdrop,
    make_test_site,
    open_drops,
    run,
    temporary_mount,
)

BIN_REVIEW = "leakdrop-review"
EXACT = Retention(acknowledged_weeks=4, at_most_weeks=26, within_days=0)
FUZZY = Retention(acknowledged_weeks=4, at_most_weeks=26, within_days=7)
WEEK = datetime.timedelta(weeks=1)
TODAY = datetime.datetime.now(datetime.UTC).date()


@pytest.fixture
def drops(tmp_path):
    with open_drops(tmp_path / "data") as drops:
        yield drops


def fill(drops: Drops, count: int) -> list[Drop]:
    for number in range(count):
        with drops.receive(300_000) as incoming:
            seal([label_key_pair("alice").public], incoming, sealed="server", message=str(number))
            drops.keep(incoming)
    return drops.all()


def entry(drops: Drops, drop: Drop) -> Acknowledged:
    return Acknowledged(f"{drop.name}.envelope", hashlib.sha256(drops.path(drop).read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("week", "acknowledged", "due"),
    [
        ("2026-W47", None, (2027, 5, 24)),
        ("2026-W47", "2026-W47", (2026, 12, 21)),
        ("2026-W47", "2026-W50", (2027, 1, 11)),
        ("2026-W47", "2027-W40", (2027, 5, 24)),
        ("2026-W53", None, (2027, 7, 5)),
    ],
    ids=["never acknowledged", "at once", "later", "too late", "a long year"],
)
def test_when_a_drop_may_leave(week, acknowledged, due):
    assert compute_due(Drop("0" * 32, 1, week), acknowledged, EXACT) == datetime.date(*due)


def test_a_drop_leaves_never_earlier_and_up_to_some_days_later():
    names = [os.urandom(16).hex() for _ in range(400)]
    days = [
        (compute_due(Drop(name, 1, "2026-W47"), None, FUZZY) - datetime.date(2027, 5, 24)).days
        for name in names
    ]
    assert set(days) == set(range(8))
    again = [compute_due(Drop(name, 1, "2026-W47"), None, FUZZY) for name in names]
    assert [(day - datetime.date(2027, 5, 24)).days for day in again] == days


def test_nothing_leaves_before_its_day_and_everything_is_due_after_the_last_one(drops):
    kept = fill(drops, 3)
    monday = datetime.date.fromisocalendar(*TODAY.isocalendar()[:2], 1) + WEEK
    assert plan_leaving(drops, EXACT, monday + 26 * WEEK - datetime.timedelta(days=1)) == []
    due = plan_leaving(drops, EXACT, monday + 26 * WEEK)
    assert [one.drop for one in due] == kept
    assert plan_leaving(drops, FUZZY, monday + 27 * WEEK) != []


def test_only_what_was_acknowledged_leaves_early(drops):
    first, second = fill(drops, 2)
    taken = acknowledge(drops, [entry(drops, first)], TODAY)
    assert taken == Taken(acknowledged=1, before=0, differing=0, absent=0)
    (leaving,) = plan_leaving(drops, FUZZY, TODAY + 7 * WEEK)
    assert (leaving.drop, leaving.acknowledged) == (first, iso_week(TODAY))
    assert drops.all() == [first, second]


def test_an_acknowledgement_counts_from_the_first_time_it_was_taken(drops):
    (drop,) = fill(drops, 1)
    acknowledge(drops, [entry(drops, drop)], TODAY)
    assert acknowledge(drops, [entry(drops, drop)], TODAY + 9 * WEEK) == Taken(0, 1, 0, 0)
    assert plan_leaving(drops, FUZZY, TODAY + 7 * WEEK) != []


def test_an_acknowledgement_of_other_bytes_or_of_what_is_not_here_is_not_taken(drops):
    (drop,) = fill(drops, 1)
    others = [Acknowledged(f"{'0' * 32}.envelope", "0" * 64), Acknowledged(f"{drop.name}.envelope", "0" * 64)]
    assert acknowledge(drops, others, TODAY) == Taken(0, 0, differing=1, absent=1)
    assert plan_leaving(drops, FUZZY, TODAY + 7 * WEEK) == []


def test_a_drop_without_a_row_can_be_acknowledged(drops):
    (drop,) = fill(drops, 1)
    with drops.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM drops")
    assert acknowledge(drops, [entry(drops, drop)], TODAY).acknowledged == 1
    assert drops.recover().listed == ()


def test_of_a_drop_that_left_no_byte_is_in_the_database_or_in_any_file(drops):
    kept = fill(drops, 8)
    settle(drops)
    gone, stays = kept[:4], kept[4:]
    # 64 bytes from the middle of each: random, so they are nowhere by accident.
    marks = [drops.path(drop).read_bytes()[100_000:100_064] for drop in gone]
    names = [drop.name for drop in gone]
    assert all(name.encode() in drops.layout.database.read_bytes() for name in names)
    # What a settling that was killed would have left.
    (drops.layout.settling / "00.part").write_bytes(drops.path(gone[0]).read_bytes())
    assert remove(drops, [Leaving(drop, None, TODAY) for drop in gone]) == 4
    files = [path for path in drops.layout.root.rglob("*") if path.is_file()]
    assert len(files) == 1 + 1 + len(stays)
    for path in files:
        content = path.read_bytes()
        assert not any(mark in content for mark in marks)
        assert not any(name.encode() in content or bytes.fromhex(name) in content for name in names)
        assert path.stem not in names
    assert drops.all() == stays


def test_a_crash_between_file_and_row_is_made_whole(drops):
    first, second = fill(drops, 2)
    drops.path(first).unlink()
    drops.recover()
    assert drops.all() == [second]


@pytest.fixture
def site(tmp_path):
    site = make_test_site(tmp_path / "site", [public_key_file("alice")], keep_acknowledged_weeks=0)
    with Drops(site.data) as drops:
        fill(drops, 3)
    return site


def make_old(site, weeks: int) -> None:
    """As if all drops, and their acknowledgements, were of an earlier week."""
    week = iso_week(TODAY - weeks * WEEK)
    with Drops(site.data) as drops, drops.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE drops SET week = ?", (week,))
        connection.exec_driver_sql(
            "UPDATE drops SET acknowledged = ? WHERE acknowledged IS NOT NULL", (week,)
        )


def purge(site, *words):
    return leakdrop("purge", "--config", site.config, *words)


def test_a_removal_that_was_killed_is_finished_by_the_next_one(drops):
    lost, kept = fill(drops, 2)
    drops.path(lost).unlink()  # as far as the first removal came
    assert remove(drops, []) == 0
    with drops.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT name FROM drops").scalars().all() == [kept.name]
    assert drops.all() == [kept]


def acknowledge_all_but_one(site, stick) -> tuple[subprocess.CompletedProcess, str]:
    """The reviewers copy a bundle, and hold all of it whole but one envelope, whose file's name is told."""
    leakdrop("export", stick, "--config", site.config)
    copies = stick.with_name("copies")
    shutil.copytree(stick, copies)
    missing = sorted(copies.glob("*.envelope"))[0]
    damage(missing)
    return run(BIN / BIN_REVIEW, "acknowledge", copies, "-o", stick, "--here"), missing.name


def test_from_export_to_leaving(site, tmp_path):
    """The stick goes to the reviewers and comes back with what they hold whole."""
    write_key_files(tmp_path, "alice")
    stick = tmp_path / "stick"
    done, damaged = acknowledge_all_but_one(site, stick)
    assert done.returncode == 1
    assert "2 envelopes acknowledged" in done.stdout
    assert "1 envelope missing or damaged" in done.stderr
    taken = purge(site, "--acknowledged", stick)
    assert "2 drops acknowledged: to leave 0 weeks after this one." in taken.stdout
    assert "No drop is due to leave" in taken.stdout
    make_old(site, 3)
    shown = purge(site)
    assert f"{iso_week(TODAY - 3 * WEEK)}: 2 drops" in shown.stdout
    assert "To remove them, add --yes" in shown.stdout
    assert len(site.envelopes()) == 3
    assert "2 drops removed for good" in purge(site, "--yes").stdout
    assert [path.name for path in site.envelopes()] == [damaged]
    with_key = ("--key", tmp_path / "alice.key", "--passphrase-file", tmp_path / "passphrase")
    assert "acknowledged.json" not in run(BIN / BIN_REVIEW, "list", stick, *with_key).stderr


def test_what_was_never_acknowledged_leaves_at_last_and_is_warned_of(site):
    make_old(site, 29)
    done = purge(site)
    assert "3 drops" in done.stdout
    assert "NEVER ACKNOWLEDGED" in done.stdout
    assert "ask the reviewers" in done.stderr
    assert len(site.envelopes()) == 3
    assert len(json.loads(purge(site, "--json").stdout)["drops"]) == 3
    Layout(site.data).week.write_text(iso_week(TODAY - 3 * WEEK))  # of the last upkeep
    quiet = purge(site, "--yes", "--quiet")
    assert (quiet.stdout, quiet.stderr, site.envelopes()) == ("", "", [])
    assert Layout(site.data).week.read_text() == f"{iso_week(TODAY)}\n"
    assert Layout(site.data).week.stat().st_mtime == 0


@pytest.fixture
def purge_at(site, tmp_path):
    """`leakdrop purge` under a clock that is wrong by so many weeks."""
    layer = build_layer(tmp_path, site.data)

    def at(weeks: int, *words: str) -> subprocess.CompletedProcess:
        layer.set_clock(weeks * 7 * 24)
        return run(*layer.prefix, BIN / "leakdrop", "purge", "--config", site.config, *words)

    return at


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("has_upkeep", [True, False], ids=["after an upkeep", "before the first upkeep"])
def test_a_clock_that_leaps_ahead_deletes_nothing_by_itself(site, purge_at, has_upkeep):
    if has_upkeep:
        assert purge_at(0, "--yes", "--quiet").stderr == ""
    for _ in range(2):  # it does not get used to it
        done = purge_at(29, "--yes", "--quiet")
        assert (done.returncode, done.stdout, len(site.envelopes())) == (0, "", 3)
        assert f"the last upkeep was in {iso_week(TODAY)}: what was never acknowledged stays" in done.stderr
        assert "drop" not in done.stderr.replace("leakdrop", ""), "how many are there is no journal's matter"
    assert purge_at(0, "--yes", "--quiet").stderr == ""


@pytest.mark.needs("gcc")
def test_whoever_says_that_the_clock_is_right_is_believed(site, purge_at):
    purge_at(0, "--yes", "--quiet")
    shown = purge_at(29)
    assert "is today’s date right?" in shown.stderr
    assert "3 drops" in shown.stdout
    assert "3 drops removed for good" in purge_at(29, "--yes").stdout
    with Drops(site.data) as drops:
        fill(drops, 1)
    assert "stays" not in purge_at(32, "--yes", "--quiet").stderr


def test_what_was_acknowledged_leaves_under_a_clock_that_has_leapt(site, tmp_path):
    _, missing = acknowledge_all_but_one(site, tmp_path / "stick")
    purge(site, "--acknowledged", tmp_path / "stick")
    make_old(site, 29)
    purge(site, "--yes", "--quiet")
    assert [path.name for path in site.envelopes()] == [missing]


@pytest.mark.needs("gcc")
def test_a_clock_that_was_behind_when_drops_were_listed_makes_none_of_them_old(site, tmp_path):
    purge(site, "--yes", "--quiet")
    (site.data / "leakdrop.sqlite").unlink()
    layer = build_layer(tmp_path, site.data)
    layer.set_clock(-29 * 7 * 24)
    site.prefix = layer.prefix
    site.start()
    site.stop()
    with Drops(site.data) as drops:
        assert {drop.week for drop in drops.all()} == {iso_week(TODAY)}
    assert "No drop is due to leave" in purge(site).stdout


@pytest.mark.parametrize(
    ("remembered", "weeks", "leaps"),
    [
        ("2026-W47", 0, False),
        ("2026-W47", 4, False),
        ("2026-W47", 5, True),
        ("2026-W47", -1, True),
        ("2026-W50", 3, False),
        ("2026-W99", 0, False),
        ("", 0, False),
    ],
    ids=["at once", "a month off", "longer off", "behind", "into a long year", "no week", "nothing"],
)
def test_what_is_taken_for_a_leap(tmp_path, remembered, weeks, leaps):
    layout = Layout(tmp_path)
    layout.week.write_text(remembered)
    start = datetime.date.fromisocalendar(2026, int(remembered[-2:] or 47) % 53, 3)
    assert (find_leap(layout, [], start + weeks * WEEK) is not None) == leaps


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ('{"format":"leakdrop bundle 1","envelopes":[]}', "is not an acknowledgement"),
        ('{"format":"leakdrop acknowledgement 1"}', "other fields"),
        ('{"format":"leakdrop acknowledgement 1","envelopes":[{"name":"../x","sha256":"0"}]}', "the name of"),
        ('{"format":"leakdrop acknowledgement 1","envelopes":[1]}', "envelope 1 has other fields"),
        ('{"format":"leakdrop acknowledgement 1","format":"x","envelopes":[]}', "it is not JSON"),
    ],
)
def test_a_file_that_is_no_acknowledgement_is_told(site, tmp_path, content, sentence):
    (tmp_path / "acknowledged.json").write_text(content)
    assert_one_line(purge(site, "--acknowledged", tmp_path), sentence)
    assert_one_line(purge(site, "--acknowledged", tmp_path / "acknowledged.json"), sentence)


def test_a_stick_without_an_acknowledgement_is_told(site, tmp_path):
    assert_one_line(purge(site, "--acknowledged", tmp_path / "stick"), "is the stick in?")


def test_what_the_reviewers_hold_can_leave_at_once_and_is_shown_first(site, tmp_path):
    _, missing = acknowledge_all_but_one(site, tmp_path / "stick")
    assert "No drop is acknowledged" in purge(site, "--now").stdout
    shown = purge(site, "--acknowledged", tmp_path / "stick", "--now").stdout
    assert "2 drops acknowledged.\n" in shown
    assert f"{iso_week(TODAY)}: 2 drops" in shown
    assert "Ask the reviewers whether they hold as many" in shown
    assert len(site.envelopes()) == 3
    # What was noted before, by `import` or by the line above, needs no stick.
    assert len(json.loads(purge(site, "--now", "--json").stdout)["drops"]) == 2
    assert "2 drops removed for good" in purge(site, "--now", "--yes").stdout
    assert [path.name for path in site.envelopes()] == [missing]


@pytest.mark.needs("gcc")
def test_one_drop_that_cannot_be_read_keeps_no_other_from_being_acknowledged(site, tmp_path):
    acknowledge_all_but_one(site, tmp_path / "stick")
    layer = build_layer(tmp_path, site.data / "drops", ("read",))
    layer.plan(1, 1, errno.EIO)
    words = ("--acknowledged", tmp_path / "stick", "--json", "--config", site.config)
    done = run(*layer.prefix, BIN / "leakdrop", "purge", *words)
    told = json.loads(done.stdout)["acknowledgement"]
    assert (told["acknowledged"], told["unreadable"], told["differing"]) == (1, 1, 0)


def test_without_now_nothing_leaves_on_the_day_it_is_acknowledged(site, tmp_path):
    acknowledge_all_but_one(site, tmp_path / "stick")
    assert "No drop is due to leave" in purge(site, "--acknowledged", tmp_path / "stick", "--yes").stdout
    assert len(site.envelopes()) == 3


@pytest.fixture
def small_disk(tmp_path):
    """A data folder of 4 MiB."""
    folder = tmp_path / "small" / "data"
    if not temporary_mount(folder, "4m"):
        pytest.skip("only root can mount a disk")
    yield folder
    run("umount", folder)


def test_a_disk_without_a_free_byte_gets_room_by_what_the_reviewers_hold(small_disk, tmp_path):
    site = make_test_site(small_disk.parent, [public_key_file("alice")])
    with Drops(site.data) as drops:
        fill(drops, 4)
    _, missing = acknowledge_all_but_one(site, tmp_path / "stick")
    filler = site.data / "incoming" / "filler.part"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert free_bytes(site.data) == 0
    assert_one_line(purge(site, "--acknowledged", tmp_path / "stick"), "cannot be noted")
    assert len(site.envelopes()) == 4
    done = purge(site, "--acknowledged", tmp_path / "stick", "--now", "--yes")
    assert "3 drops removed for good" in done.stdout, done
    assert [path.name for path in site.envelopes()] == [missing]
    filler.unlink()
    with Drops(site.data) as drops:
        assert list(drops._weeks()) == [missing.removesuffix(".envelope")]
