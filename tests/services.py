"""Real servers that several machines share, each in a folder of its own and on loopback.

PostgreSQL, Redis, and Ceph's object gateway as the S3-compatible store (a monitor, one OSD that keeps its
objects in memory, and radosgw), all from Debian.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.site import PATIENCE, free_port, run, wait_until

if TYPE_CHECKING:
    from leakdrop.store.shared.objects import Bucket


@contextmanager
def serving(*command: object, log: Path) -> Iterator[subprocess.Popen]:
    """A server that ends with the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def must(*command: object, **options) -> str:
    done = run(*command, **options)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def find_postgresql() -> Path | None:
    """The folder of PostgreSQL's programs, which Debian keeps out of the PATH."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@dataclass
class PostgreSQL:
    """A database server on a unix socket. Each `database` is a new one."""

    folder: Path
    made: int = field(default=0)

    def database(self) -> str:
        """The URL of a new, empty database."""
        self.made += 1
        name = f"site{self.made}"
        self.ask(f"CREATE DATABASE {name}", "postgres")
        return f"postgresql://leakdrop@/{name}?host={self.folder}"

    def ask(self, statement: str, database: str) -> str:
        return must("psql", "-h", self.folder, "-U", "leakdrop", "-d", database, "-tAc", statement).strip()

    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def start_postgresql() -> Iterator[PostgreSQL]:
    # In /tmp, since the path of a socket can have 107 bytes only.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    programs = find_postgresql()
    # PostgreSQL does not run as root.
    by = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
    if by:
        shutil.chown(folder, "postgres")
    try:
        must(
            *by,
            programs / "initdb",
            "-D",
            folder / "db",
            "-U",
            "leakdrop",
            "-A",
            "trust",
            "--no-sync",
            cwd="/",
        )
        server = [*by, programs / "postgres", "-D", folder / "db", "-k", folder, "-c", "listen_addresses="]
        with serving(*server, log=folder / "log"):
            ready = (programs / "pg_isready", "-h", folder, "-U", "leakdrop", "-d", "postgres")
            wait_until(lambda: run(*ready).returncode == 0)
            yield PostgreSQL(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def start_redis(folder: Path) -> Iterator[str]:
    """The URL of a Redis server that keeps nothing on disk."""
    port = free_port()
    command = ("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    with serving(*command, "--dir", folder, log=folder / "redis.log"):
        wait_until(lambda: is_open(port))
        yield f"redis://127.0.0.1:{port}"


CEPH = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file = {folder}/$name.pid
crash dir = {folder}
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
osd objectstore = memstore
memstore device bytes = 4294967296
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
"""
ALL = ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
KEY, SECRET = "LEAKDROPTEST", "a secret of tests"


@dataclass
class Ceph:
    """An object store. Each `bucket` is a new one."""

    config: Path
    port: int
    made: int = field(default=0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def another_gateway(self) -> Iterator[str]:
        """The URL of a second gateway to the same objects, for as long as the block lasts."""
        port = free_port()
        with serve_gateway(self.config, port):
            yield f"http://127.0.0.1:{port}"

    def bucket(self) -> "Bucket":
        # Here, since most tests need none of it.
        import boto3

        from leakdrop.store.shared.objects import Bucket

        self.made += 1
        bucket = Bucket(self.url, f"bucket{self.made}", "us-east-1", KEY, SECRET)
        names = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": bucket.region}
        client = boto3.client("s3", endpoint_url=self.url, **names)
        client.create_bucket(Bucket=bucket.name)
        client.close()
        return bucket


@contextmanager
def serve_gateway(config: Path, port: int) -> Iterator[None]:
    frontend = f"--rgw-frontends=beast endpoint=127.0.0.1:{port}"
    command = ("radosgw", "-c", config, "-n", "client.rgw", "-f", frontend)
    with serving(*command, log=config.with_name("output.log")):
        wait_until(lambda: is_open(port))
        yield


@contextmanager
def start_ceph() -> Iterator[Ceph]:
    folder = Path(tempfile.mkdtemp(prefix="ceph-"))
    mon_port, port = free_port(), free_port()
    fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
    config, keyring = folder / "ceph.conf", folder / "keyring"
    config.write_text(CEPH.format(fsid=fsid, mon_port=mon_port, folder=folder))
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    options = ("-c", config)
    must("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    for name in ("client.admin", "client.rgw", "osd.0"):
        must("ceph-authtool", keyring, "--gen-key", "-n", name, *ALL)
    shutil.copy(keyring, folder / "osd" / "keyring")
    address = f"[v2:127.0.0.1:{mon_port}/0]"
    must("monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, folder / "monmap")
    must("ceph-mon", *options, "--mkfs", "-i", "a", "--monmap", folder / "monmap", "--keyring", keyring)
    log = folder / "output.log"
    try:
        with serving("ceph-mon", *options, "-i", "a", "-f", log=log):
            must("ceph", *options, "--connect-timeout", str(PATIENCE), "osd", "new", osd)
            must("ceph-osd", *options, "-i", "0", "--mkfs", "--osd-uuid", osd)
            with serving("ceph-osd", *options, "-i", "0", "-f", log=log):
                user = ("--uid", "leakdrop", "--display-name", "leakdrop")
                secret = ("--access-key", KEY, "--secret-key", SECRET)
                must("radosgw-admin", *options, "user", "create", *user, *secret)
                with serve_gateway(config, port):
                    yield Ceph(config, port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ask(postgresql: PostgreSQL, places: tuple[str, "Bucket"], statement: str) -> str:
    """What the database of some places answers."""
    database = places[0].partition("@/")[2].partition("?")[0]
    return postgresql.ask(statement, database)


def settings(url: str, bucket: "Bucket") -> dict[str, str]:
    """What a machine's configuration says of its places."""
    return {
        "database_url": url,
        "object_store_url": bucket.url,
        "object_store_bucket": bucket.name,
        "object_store_key": bucket.key,
        "object_store_secret": bucket.secret,
    }
