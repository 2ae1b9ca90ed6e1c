"""Whatever root starts by hand, the data folder stays its owner's: the service must be able to read it."""

import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import leakdrop
from leakdrop.store.database import newest_revision
from tests.campaigns.verbs import prepare_migration, prepare_move, prepare_replies
from tests.keys import public_key_file, write_key_files
from tests.site import BIN, Site, assert_one_line, make_test_site, run, wait_until
from tests.tus import MIB, TusClient, make_envelope

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="to run it: be root")
NOBODY = 65_534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others can pass through; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def let_all_read_the_program(keep: Path) -> tuple[str, ...]:
    """Words before a command, for which the program lies where every user can read it, as if installed."""
    needed = {Path(sys.base_prefix).resolve(), Path(__file__).parents[2]}
    closed = {
        path for place in needed for path in (place, *place.parents) if not path.stat().st_mode & stat.S_IXOTH
    }
    if not closed:
        return ()
    kept = {place: keep / str(number) for number, place in enumerate(needed)}
    for path in kept.values():
        path.mkdir(parents=True)
    script = [
        *(f"mount --bind {place} {path}" for place, path in kept.items()),
        *(f"mount -t tmpfs -o mode=755 tmpfs {path}" for path in closed if closed.isdisjoint(path.parents)),
        *(f"mkdir -p {place} && mount --bind {path} {place}" for place, path in kept.items()),
        'exec "$@"',
    ]
    return ("unshare", "-m", "sh", "-ec", "\n".join(script), "sh")


@pytest.fixture
def site(folder) -> Iterator[Site]:
    """A site as it is installed: root's, and the data another user's."""
    site = make_test_site(folder / "site", [public_key_file("alice")], keep_at_most_weeks=520)
    site.prefix = let_all_read_the_program(folder / "program")
    site.folder.chmod(0o755)
    site.temporary.mkdir()
    site.temporary.chmod(0o1777)
    hand_over(site.data)
    yield site
    site.stop()


@pytest.fixture
def stick(folder) -> Path:
    """A stick that root alone can look into."""
    (folder / "stick").mkdir(mode=0o700)
    return folder / "stick"


def hand_over(data: Path) -> None:
    for path in (data, *data.rglob("*")):
        os.chown(path, NOBODY, NOBODY)


def owners(data: Path) -> set[tuple[int, int]]:
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in (data, *data.rglob("*"))}


def do(site: Site, *words: object) -> str:
    done = run(*site.prefix, BIN / "leakdrop", *words, "--config", site.config)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def users(process: int) -> set[tuple[str, ...]]:
    """The users (real, effective, saved, of the file system) that the threads of some processes are."""
    tasks = Path(f"/proc/{process}/task")
    children = [int(child) for path in tasks.glob("*/children") for child in path.read_text().split()]
    ours = {
        tuple(line.split()[1:])
        for path in tasks.glob("*/status")
        for line in path.read_text().splitlines()
        if line.startswith(("Uid:", "Gid:", "Groups:"))
    }
    return ours.union(*map(users, children))


def family(process: int) -> list[int]:
    """A process and all that it started."""
    children = [
        int(child)
        for path in Path(f"/proc/{process}/task").glob("*/children")
        for child in path.read_text().split()
    ]
    return [process, *(one for child in children for one in family(child))]


def test_no_other_process_of_its_user_can_read_what_the_server_has_in_memory(site):
    """A process that cannot be dumped is root's in /proc, and no core of it is written or piped (proc(5))."""
    as_owner = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    # Not started by root: a process that changes its user cannot be dumped in any case.
    site.prefix = (*site.prefix, *as_owner)
    site.start()
    with subprocess.Popen([*as_owner, "sleep", "600"]) as other:
        try:
            wait_until(lambda: Path(f"/proc/{other.pid}/mem").stat().st_uid == NOBODY)
            assert run(*as_owner, "cat", f"/proc/{other.pid}/environ").returncode == 0
        finally:
            other.kill()
    servers = family(site.process.pid)
    assert len(servers) > 1
    for pid in servers:
        assert str(NOBODY) in Path(f"/proc/{pid}/status").read_text()
        assert Path(f"/proc/{pid}/mem").stat().st_uid == 0
        for name in ("environ", "maps"):
            refused = run(*as_owner, "cat", f"/proc/{pid}/{name}")
            assert "Permission denied" in refused.stderr


def test_a_server_that_root_starts_is_the_owner_for_good(site):
    site.start()
    assert site.send(("message", "hello"))[0] == 200
    client = TusClient.direct(site.port)
    path = client.create(len(envelope := make_envelope(MIB)))
    client.patch(path, 0, envelope[:5000])
    number = str(NOBODY)
    assert users(site.process.pid) == {(number,) * 4, (number,)}
    assert owners(site.data) == {(NOBODY, NOBODY)}
    site.stop(signal.SIGKILL)
    site.start()
    assert client.offset(path) == 5000
    assert owners(site.data) == {(NOBODY, NOBODY)}


def test_a_server_that_root_starts_listens_where_the_owner_can(site, folder):
    place = folder / "run"
    place.mkdir()
    os.chown(place, NOBODY, NOBODY)
    text = site.config.read_text()
    site.config.write_text(re.sub('bind = ".*"', f'bind = "unix:{place}/socket"', text))
    site.socket_path = place / "socket"
    site.start()
    assert site.send(("message", "hello"))[0] == 200
    assert (site.socket_path.stat().st_uid, site.socket_path.stat().st_gid) == (NOBODY, NOBODY)


@pytest.mark.needs("tor")
def test_with_a_tor_of_its_own_the_server_is_the_owner_too_and_tor_finds_its_socket(site, stick):
    (stick / "more").write_text("DisableNetwork 1\n")
    command = [*site.prefix, BIN / "leakdrop", "serve", "--onion", "--torrc", stick / "more"]
    environment = {**os.environ, "TMPDIR": str(site.temporary)}
    with site.log.open("ab") as log:
        site.process = subprocess.Popen(
            [*command, "--config", site.config],
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    wait_until(lambda: any(site.temporary.glob("leakdrop-*/socket")))
    (path,) = site.temporary.glob("leakdrop-*/socket")
    assert (path.parent.stat().st_uid, path.parent.stat().st_mode & 0o777) == (NOBODY, 0o700)
    assert path.stat().st_uid == NOBODY
    assert owners(site.data) == {(NOBODY, NOBODY)}
    assert (site.folder / "onion" / "service" / "hostname").stat().st_uid == 0


@pytest.mark.parametrize(
    "verb", ["status", "export", "import", "import --drops", "settle", "purge", "digest"]
)
def test_what_a_verb_of_roots_makes_in_the_data_folder_is_its_owners(site, stick, verb):
    site.start()
    site.send(("message", "hello"))
    site.stop()
    if verb == "import --drops":
        prepare_move(site, stick)
    prepare_migration(site, stick)
    (site.data / "uploads").rmdir()
    hand_over(site.data)
    prepare_replies(site, stick)
    key = write_key_files(stick / "reviewers", "alice").with_suffix(".pub")
    words = {
        "export": [stick / "bundle"],
        "import": [stick / "bundle"],
        "import --drops": [stick / "bundle"],
        "purge": ["--yes"],
        "digest": ["--to", key, "-o", stick / "digest"],
    }
    do(site, *verb.split(), *words.get(verb, []))
    assert owners(site.data) == {(NOBODY, NOBODY)}
    assert (site.data / "uploads").is_dir()
    assert revision(site) == newest_revision()
    made = {"export": "bundle/bundle.json", "digest": "digest"}
    assert verb not in made or (stick / made[verb]).stat().st_uid == 0
    assert verb != "import" or len(list((site.data / "replies").iterdir())) == 3
    assert verb != "import --drops" or len(site.envelopes()) == 4


def revision(site: Site) -> str:
    with closing(sqlite3.connect(site.data / "leakdrop.sqlite")) as database:
        return database.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def test_a_new_site_around_anothers_data_folder_leaves_it_theirs(folder):
    data = folder / "new" / "data"
    data.mkdir(parents=True)
    hand_over(data)
    prefix = let_all_read_the_program(folder / "program")
    assert run(*prefix, BIN / "leakdrop", "init", folder / "new", "--yes").returncode == 0
    assert owners(data) == {(NOBODY, NOBODY)}
    assert (data / "leakdrop.sqlite").exists()


def test_a_folder_of_roots_own_stays_roots(folder):
    """As in a container whose only user is root."""
    site = make_test_site(folder / "site", [public_key_file("alice")])
    site.start()
    try:
        assert site.send(("message", "hello"))[0] == 200
    finally:
        site.stop()
    do(site, "settle")
    assert owners(site.data) == {(0, 0)}


def test_a_program_that_the_owner_cannot_read_does_not_serve(site, folder):
    closed = folder / "closed"
    shutil.copytree(Path(leakdrop.__file__).parent, closed / "leakdrop")
    closed.chmod(0o700)
    command = f"import sys; sys.path.insert(0, {str(closed)!r}); from leakdrop.operate.cli import main; "
    program = (BIN / "python", "-c", f"{command}sys.argv[0] = 'leakdrop'; sys.exit(main())")
    done = run(*site.prefix, *program, "serve", "--config", site.config)
    assert_one_line(done, f"who cannot read {closed}/leakdrop")
    assert owners(site.data) == {(NOBODY, NOBODY)}


def test_a_root_that_may_become_nobody_is_told_whom_to_run_it_as(site):
    """As in a container that has given up root's rights."""
    less = ("setpriv", "--bounding-set", "-setuid,-setgid", "--inh-caps", "-setuid,-setgid")
    for verb in ("status", "serve"):
        done = run(*site.prefix, *less, BIN / "leakdrop", verb, "--config", site.config)
        assert_one_line(done, f"belongs to user {NOBODY}, whom this user cannot become")
    assert owners(site.data) == {(NOBODY, NOBODY)}
