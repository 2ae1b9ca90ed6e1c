"""`leakdrop export`: what is on the stick is whole and compared, however often it is broken off."""

import errno
import hashlib
import json
import os

import pytest

from leakdrop.bundle import parse_bundle
from leakdrop.envelope.sealing import seal
from leakdrop.store.drops import Drops
from tests.campaigns.faults import build_layer
from tests.keys import label_key_pair, public_key_file
from tests.site import BIN, assert_one_line, damage, leakdrop, make_test_site, run, temporary_mount


@pytest.fixture
def stopped_site(tmp_path):
    return make_test_site(tmp_path / "site", [public_key_file("alice")])


def fill(site, count: int) -> None:
    with Drops(site.data) as drops:
        for number in range(count):
            with drops.receive(300_000) as incoming:
                seal([label_key_pair("alice").public], incoming, sealed="server", message=str(number))
                drops.keep(incoming)


def export(site, stick, *words):
    return leakdrop("export", stick, "--config", site.config, *words)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_holds_every_drop_with_its_size_sum_and_week(stopped_site, tmp_path):
    fill(stopped_site, 3)
    done = export(stopped_site, tmp_path / "stick")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 drops copied" in done.stdout
    with Drops(stopped_site.data) as drops:
        expected = [
            (
                f"{drop.name}.envelope",
                drop.size,
                hashlib.sha256(drops.path(drop).read_bytes()).hexdigest(),
                drop.week,
            )
            for drop in drops.all()
        ]
    bundle = parse_bundle((tmp_path / "stick" / "bundle.json").read_bytes())
    assert [(e.name, e.size, e.sha256, e.week) for e in bundle.entries] == expected
    for entry in bundle.entries:
        assert hashlib.sha256((tmp_path / "stick" / entry.name).read_bytes()).hexdigest() == entry.sha256
    assert len(list((tmp_path / "stick").iterdir())) == 4


def test_a_second_export_changes_nothing_and_a_third_adds_what_is_new(stopped_site, tmp_path):
    stick = tmp_path / "stick"
    fill(stopped_site, 2)
    export(stopped_site, stick)
    before = contents(stick)
    assert "2 drops lay there already" in export(stopped_site, stick).stdout
    assert contents(stick) == before
    fill(stopped_site, 1)
    done = export(stopped_site, stick, "--json")
    told = {"copied": 1, "bytes": 0, "present": 2, "unreadable": []}
    assert json.loads(done.stdout) | {"bytes": 0} == told
    assert len(contents(stick)) == 4


def test_an_export_of_nothing_makes_an_empty_bundle(stopped_site, tmp_path):
    assert export(stopped_site, tmp_path / "stick").returncode == 0
    assert parse_bundle((tmp_path / "stick" / "bundle.json").read_bytes()).entries == ()


def test_an_export_that_was_broken_off_goes_on_where_it_stopped(stopped_site, tmp_path):
    """What was copied is compared and kept, half a copy is removed, a damaged copy is made anew."""
    stick = tmp_path / "stick"
    fill(stopped_site, 3)
    export(stopped_site, stick)
    whole = contents(stick)
    (stick / "bundle.json").unlink()
    first, second, third = sorted(name for name in whole if name.endswith(".envelope"))
    kept = (stick / first).stat().st_ino
    damage(stick / second)
    (stick / third).rename(stick / f".{third}.partial")
    done = export(stopped_site, stick, "--json")
    assert json.loads(done.stdout)["present"] == 1
    assert contents(stick) == whole
    assert (stick / first).stat().st_ino == kept


def test_a_copy_that_went_missing_is_made_again(stopped_site, tmp_path):
    fill(stopped_site, 2)
    export(stopped_site, tmp_path / "stick")
    before = contents(tmp_path / "stick")
    next((tmp_path / "stick").glob("*.envelope")).unlink()
    export(stopped_site, tmp_path / "stick")
    assert contents(tmp_path / "stick") == before


def test_entries_of_drops_that_have_left_stay_in_the_bundle(stopped_site, tmp_path):
    fill(stopped_site, 2)
    export(stopped_site, tmp_path / "stick")
    before = contents(tmp_path / "stick")
    for path in stopped_site.envelopes():
        path.unlink()
    assert export(stopped_site, tmp_path / "stick").returncode == 0
    assert contents(tmp_path / "stick") == before


def test_a_bundle_list_that_is_damaged_is_told_and_nothing_is_changed(stopped_site, tmp_path):
    fill(stopped_site, 1)
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "bundle.json").write_text('{"format":"leakdrop bundle 1"')
    assert_one_line(export(stopped_site, stick), "Export into an empty folder instead")
    assert list(contents(stick)) == ["bundle.json"]


def test_a_destination_without_its_folder_is_told(stopped_site, tmp_path):
    assert_one_line(export(stopped_site, tmp_path / "no" / "stick"), "is the stick in?")


def test_a_destination_that_is_a_file_is_told(stopped_site, tmp_path):
    (tmp_path / "stick").write_text("")
    assert_one_line(export(stopped_site, tmp_path / "stick"), "is not a folder")


def test_a_full_stick_is_told_before_anything_is_changed(stopped_site, tmp_path):
    fill(stopped_site, 5)
    if not temporary_mount(tmp_path / "stick", "2M"):
        pytest.skip("to run it: be root, who can mount a small file system")
    try:
        assert_one_line(export(stopped_site, tmp_path / "stick"), "Use a larger stick")
        assert contents(tmp_path / "stick") == {}
    finally:
        run("umount", tmp_path / "stick")


def test_a_read_only_stick_is_told_before_anything_is_changed(stopped_site, tmp_path):
    fill(stopped_site, 1)
    if not temporary_mount(tmp_path / "stick", "4M"):
        pytest.skip("to run it: be root, who can mount a small file system")
    try:
        run("mount", "-o", "remount,ro", tmp_path / "stick")
        assert_one_line(export(stopped_site, tmp_path / "stick"), "is read-only")
        assert contents(tmp_path / "stick") == {}
    finally:
        run("umount", tmp_path / "stick")


def test_a_link_on_the_stick_is_not_followed(stopped_site, tmp_path):
    fill(stopped_site, 1)
    stick, elsewhere = tmp_path / "stick", tmp_path / "elsewhere"
    stick.mkdir()
    (envelope,) = stopped_site.envelopes()
    elsewhere.write_bytes(envelope.read_bytes())
    (stick / envelope.name).symlink_to(elsewhere)
    assert export(stopped_site, stick).returncode == 0
    assert not (stick / envelope.name).is_symlink()


def test_a_link_in_the_place_of_a_file_that_is_made_for_a_moment_is_not_followed(stopped_site, tmp_path):
    fill(stopped_site, 1)
    stick, victim = tmp_path / "stick", tmp_path / "victim"
    stick.mkdir()
    victim.write_text("precious")
    (envelope,) = stopped_site.envelopes()
    for name in (".bundle.json.partial", f".{envelope.name}.partial"):
        (stick / name).symlink_to(victim)
    assert export(stopped_site, stick).returncode == 0
    assert victim.read_text() == "precious"
    assert not (stick / "bundle.json").is_symlink()


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_list_that_is_no_file_is_told(stopped_site, tmp_path, kind):
    stick = tmp_path / "stick"
    stick.mkdir()
    if kind == "pipe":
        os.mkfifo(stick / "bundle.json")
    else:
        (stick / "bundle.json").symlink_to("/dev/zero")
    assert_one_line(export(stopped_site, stick), "bundle.json")


def test_a_copy_that_was_changed_is_found_by_verify(stopped_site, tmp_path):
    fill(stopped_site, 1)
    stick = tmp_path / "stick"
    export(stopped_site, stick)
    before = contents(stick)
    envelope = next(stick.glob("*.envelope"))
    damage(envelope)
    assert json.loads(export(stopped_site, stick, "--json").stdout)["copied"] == 0
    assert json.loads(export(stopped_site, stick, "--verify", "--json").stdout)["copied"] == 1
    assert contents(stick) == before


@pytest.fixture
def bad_sectors(stopped_site, tmp_path):
    """A layer that lets reading of drops fail."""
    return build_layer(tmp_path, stopped_site.data / "drops", ("read",))


def export_above(layer, site, stick, *words):
    return run(*layer.prefix, BIN / "leakdrop", "export", stick, "--config", site.config, *words)


@pytest.mark.needs("gcc")
def test_a_drop_that_cannot_be_read_is_named_and_all_others_are_copied(stopped_site, tmp_path, bad_sectors):
    fill(stopped_site, 3)
    stick = tmp_path / "stick"
    bad, *good = (path.name for path in stopped_site.envelopes())
    bad_sectors.plan(1, 1, errno.EIO)
    done = export_above(bad_sectors, stopped_site, stick)
    assert done.returncode == 1
    assert "2 drops copied" in done.stdout
    assert f"{bad} is not copied: this server's disk does not give it whole" in done.stderr
    assert "stick still in" not in done.stderr
    assert set(contents(stick)) == {"bundle.json", *good}
    assert [one.name for one in parse_bundle((stick / "bundle.json").read_bytes()).entries] == good
    bad_sectors.heal()
    assert json.loads(export_above(bad_sectors, stopped_site, stick, "--json").stdout)["copied"] == 1


@pytest.mark.needs("gcc")
def test_a_drop_that_cannot_be_read_and_has_no_row_is_named_too(stopped_site, tmp_path, bad_sectors):
    fill(stopped_site, 2)
    (stopped_site.data / "leakdrop.sqlite").unlink()
    bad = stopped_site.envelopes()[0].name
    bad_sectors.plan(1, 1000, errno.EIO)
    done = export_above(bad_sectors, stopped_site, tmp_path / "stick")
    assert (done.returncode, bad in done.stderr) == (1, True)
    assert parse_bundle((tmp_path / "stick" / "bundle.json").read_bytes()).entries == ()


@pytest.mark.needs("gcc")
def test_a_drop_that_cannot_be_compared_keeps_its_place_in_the_bundle(stopped_site, tmp_path, bad_sectors):
    fill(stopped_site, 2)
    stick = tmp_path / "stick"
    export(stopped_site, stick)
    before = contents(stick)
    bad_sectors.plan(1, 1, errno.EIO)
    done = export_above(bad_sectors, stopped_site, stick, "--verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["unreadable"] == [stopped_site.envelopes()[0].name]
    assert contents(stick) == before


@pytest.mark.needs("gcc")
def test_what_the_stick_refuses_is_still_the_stick_s_fault(stopped_site, tmp_path):
    fill(stopped_site, 1)
    stick = tmp_path / "stick"
    stick.mkdir()
    layer = build_layer(tmp_path, stick, ("read", "write", "fsync"))
    for failing in range(1, 4):
        layer.plan(failing, failing, errno.EIO)
        done = export_above(layer, stopped_site, stick)
        assert_one_line(done, "Input/output error. Is the stick still in?")


@pytest.mark.needs("strace")
def test_a_new_bundle_s_folder_is_durable_and_so_is_its_name(stopped_site, tmp_path):
    fill(stopped_site, 1)
    trace = tmp_path / "trace"
    command = (BIN / "leakdrop", "export", tmp_path / "stick", "--config", stopped_site.config)
    run("strace", "-f", "-y", "-e", "trace=fsync", "-o", trace, *command)
    assert f"<{tmp_path}>)" in trace.read_text()
    assert f"<{tmp_path}/stick>)" in trace.read_text()


def test_a_data_folder_that_is_not_mounted_is_told(stopped_site, tmp_path):
    stopped_site.data.rename(tmp_path / "elsewhere")
    assert_one_line(export(stopped_site, tmp_path / "stick"), "is its disk mounted")
    assert not (tmp_path / "stick").exists()


def test_an_export_beside_a_running_server_is_whole(start_site, tmp_path):
    site = start_site()
    site.send(("message", "while it runs"))
    assert export(site, tmp_path / "stick").returncode == 0
    site.send(("message", "and still runs"))
    export(site, tmp_path / "stick")
    assert len(parse_bundle((tmp_path / "stick" / "bundle.json").read_bytes()).entries) == 2
    assert list((site.data / "incoming").iterdir()) == []
