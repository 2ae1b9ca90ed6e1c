"""A private Tor network on loopback: an onion service is reached through real circuits, without the internet.

    with PrivateTorNetwork(folder, target=site.port) as net:
        net.onion, net.socks_port                the service's address, and the port to reach it by
        net.control("client", "SIGNAL NEWNYM")   a command to one node
        net.kill("relay2")                       end one node at once
        net.restart("host")                      stop one node, if it runs, and start it again

It needs Debian's `tor` package, but no root: every node is bound to 127.0.0.0/8, and no relay is an exit.
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self, TextIO

RELAYS, AUTHORITIES = 5, 3
PATIENCE = 120  # seconds until a network that does not start is given up

# OutboundBindAddress sees to it that not even a mistake leaves this machine.
EVERY_NODE = """\
TestingTorNetwork 1
DataDirectory {node.folder}
Log notice file {node.folder}/notice.log
ControlPort 127.0.0.1:auto
ControlPortWriteToFile {node.folder}/control_port
CookieAuthentication 1
OutboundBindAddress 127.0.0.1
ShutdownWaitLength 0
LearnCircuitBuildTimeout 0
CircuitBuildTimeout 10
"""
RELAY = """\
Nickname {node.name}
Address {address}
ORPort {address}:{or_port}
SocksPort 0
ExitRelay 0
AssumeReachable 1
"""
# No authority votes for a long while, until _call_vote. A network at rest is quiet after that.
AUTHORITY = """\
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
ContactInfo private test network
DirPort {dir_address}
AuthDirTestReachability 0
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
V3AuthVotingInterval 1800
V3AuthVoteDelay 2
V3AuthDistDelay 2
TestingV3AuthInitialVotingInterval 1800
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
TestingV3AuthVotingStartOffset {far_away}
"""


class TorNetworkError(RuntimeError):
    """The private network did not start, or a node refused a command."""


class Node:
    """One tor process, with its folder and torrc."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.folder = folder
        self.torrc = folder / "torrc"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                ["tor", "--defaults-torrc", "", "-f", self.torrc],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def send_signal(self, number: int) -> None:
        if self.is_running():
            self._process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.send_signal(number)
        if self._process:
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def control(self, command: str) -> list[str]:
        """Send a control-port command; the lines of its reply, without their status codes."""
        cookie = (self.folder / "control_auth_cookie").read_bytes()
        port = int((self.folder / "control_port").read_text().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            lines = connection.makefile("r", encoding="utf-8", newline="\r\n")
            for line in (f"AUTHENTICATE {cookie.hex()}", command):
                connection.sendall(f"{line}\r\n".encode())
                reply = list(read_control_reply(lines))
        return reply

    def is_bootstrapped(self) -> bool:
        return "PROGRESS=100" in self.control("GETINFO status/bootstrap-phase")[0]


class PrivateTorNetwork:
    """Directory authorities, relays, an onion service's host and a client, all below `folder`.

    `target` is the local port behind the onion's port 80; `host_options` are more lines for the host's torrc.
    """

    onion: str
    socks_port: int

    def __init__(self, folder: Path, target: int, host_options: tuple[str, ...] = ()) -> None:
        self.folder = folder.resolve()
        self.target = target
        self.host_options = host_options
        self.nodes: dict[str, Node] = {}

    def __enter__(self) -> Self:
        self._deadline = time.monotonic() + PATIENCE
        self._configure()
        try:
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes.values():
            node.send_signal(signal.SIGTERM)
        for node in self.nodes.values():
            node.stop()

    def control(self, name: str, command: str) -> list[str]:
        return self.nodes[name].control(command)

    def kill(self, name: str) -> None:
        self.nodes[name].stop(signal.SIGKILL)

    def restart(self, name: str) -> None:
        self.nodes[name].stop()
        self.nodes[name].start()

    def circuits_to_the_onion(self) -> dict[str, list[str]]:
        """The client's circuits that carry streams of the onion service: id, and the names of the hops."""
        lines = self.control("client", "GETINFO circuit-status")
        rendezvous = [
            line.split() for line in lines if "PURPOSE=HS_CLIENT_REND" in line and " BUILT " in line
        ]
        return {words[0]: re.findall(r"~(\w+)", words[2]) for words in rendezvous}

    def guards(self) -> set[str]:
        """The relays by which client and host enter the network; it takes them minutes to trust another."""
        lines = [line for node in ("client", "host") for line in self.control(node, "GETINFO circuit-status")]
        paths = [re.findall(r"~(\w+)", line) for line in lines]
        return {hops[0] for hops in paths if len(hops) > 2}

    def _configure(self) -> None:
        self._authorities = [Node(self.folder / f"auth{i}") for i in range(AUTHORITIES)]
        self._relays = [Node(self.folder / f"relay{i}") for i in range(RELAYS)]
        host, client = Node(self.folder / "host"), Node(self.folder / "client")
        self.nodes = {node.name: node for node in [*self._authorities, *self._relays, host, client]}
        for node in self.nodes.values():
            shutil.rmtree(node.folder, ignore_errors=True)
            node.folder.mkdir(mode=0o700, parents=True)
        # An address of its own keeps these fixed ports clear of every other network on the machine.
        address = "127.{}.{}.{}".format(*random.choices(range(1, 255), k=3))
        dir_addresses = [f"{address}:{4000 + i}" for i in range(AUTHORITIES)]
        self._directory_urls = [f"http://{dir_address}/tor" for dir_address in dir_addresses]
        options = {
            node: RELAY.format(node=node, address=address, or_port=5000 + i)
            for i, node in enumerate(self._authorities + self._relays)
        }
        far_away = int(time.time() + 900) % 1800
        for node, dir_address in zip(self._authorities, dir_addresses, strict=True):
            options[node] += AUTHORITY.format(dir_address=dir_address, far_away=far_away)
        options[host] = self._onion_options()
        options[client] = "SocksPort 127.0.0.1:auto\n"
        with ThreadPoolExecutor() as pool:
            common = "".join(pool.map(make_authority, self._authorities, dir_addresses, range(5000, 6000)))
        # What any tor needs that is to be part of this network.
        self.options = f"TestingTorNetwork 1\nOutboundBindAddress 127.0.0.1\nCircuitBuildTimeout 10\n{common}"
        common += f"__OwningControllerProcess {os.getpid()}\n"  # no node outlives a test run that is killed
        for node in self.nodes.values():
            node.torrc.write_text(EVERY_NODE.format(node=node) + common + options[node])

    def _onion_options(self) -> str:
        (self.folder / "onion").mkdir(mode=0o700, exist_ok=True)
        service = [
            "SocksPort 0",
            f"HiddenServiceDir {self.folder}/onion",
            f"HiddenServicePort 80 127.0.0.1:{self.target}",
        ]
        return "\n".join([*service, *self.host_options, ""])

    def _boot(self) -> None:
        host, client = self.nodes["host"], self.nodes["client"]
        self._start(self._authorities)
        self._wait("the authorities", lambda: all(n.control("GETINFO version") for n in self._authorities))
        self._start(self._relays)
        self._wait("the relays' descriptors", lambda: self._are_all_in("server/all", "\nonion-key\n"))
        self._call_vote()
        self._wait("a consensus", lambda: self._are_all_in("status-vote/current/consensus", "\nr "))
        for node in self._relays:
            node.send_signal(signal.SIGHUP)  # fetch the consensus now, not when tor would next try
        self._wait("the relays' circuits", lambda: all(node.is_bootstrapped() for node in self._relays))
        self._start([host, client])
        self._wait(
            "host's and client's circuits", lambda: host.is_bootstrapped() and client.is_bootstrapped()
        )
        listener = client.control("GETINFO net/listeners/socks")[0]
        self.socks_port = int(listener.rpartition(":")[2].strip('"'))
        self.onion = (self.folder / "onion" / "hostname").read_text().strip()
        self._wait("the onion service's answer", self._is_served)

    def _start(self, nodes: list[Node]) -> None:
        for node in nodes:
            node.start()

    def _are_all_in(self, document: str, mark: str) -> bool:
        """Whether every authority's document has the mark of every authority and relay."""
        directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return all(
            directly.open(f"{url}/{document}", timeout=5).read().decode().count(mark) == RELAYS + AUTHORITIES
            for url in self._directory_urls
        )

    def _call_vote(self) -> None:
        """Have a consensus made in 5 s (both delays and one to spare), or else every 10 s from then on."""
        offset = (int(time.time()) + 5) % 10
        for node in self._authorities:
            node.control(
                f"SETCONF TestingV3AuthInitialVotingInterval=10 TestingV3AuthVotingStartOffset={offset}"
            )

    def _is_served(self) -> bool:
        """Whether `GET /` gets an HTTP answer, whatever its status."""
        with connect_by_socks(self.socks_port, self.onion, timeout=20) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {self.onion}\r\nConnection: close\r\n\r\n".encode())
            return connection.makefile("rb").read(5) == b"HTTP/"

    def _wait(self, what: str, is_there: Callable[[], bool]) -> None:
        while True:
            with suppress(OSError, TorNetworkError):  # it may not be ready to tell
                if is_there():
                    return
            for node in self.nodes.values():
                if node.has_ended():
                    raise TorNetworkError(f"{node.name} ended: see {node.folder}/output.log")
            if time.monotonic() > self._deadline:
                raise TorNetworkError(f"not there within {PATIENCE} s: {what}")
            time.sleep(0.1)


def connect_by_socks(socks_port: int, host: str, who: str = "somebody", timeout: float = 60) -> socket.socket:
    """A connection to port 80 of an onion service (SOCKS5, RFC 1928 and 1929). Raises OSError.

    Tor gives each `who` circuits of their own.
    """
    connection = socket.create_connection(("127.0.0.1", socks_port), timeout)
    try:
        name = who.encode()
        connection.sendall(b"\x05\x01\x02")
        expect(connection, b"\x05\x02")
        connection.sendall(b"\x01" + bytes([len(name)]) + name + b"\x01x")
        expect(connection, b"\x01\x00")
        port = (80).to_bytes(2, "big")
        connection.sendall(b"\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + port)
        expect(connection, b"\x05\x00\x00\x01")
        read_exactly(connection, 6)
    except BaseException:
        connection.close()
        raise
    return connection


def expect(connection: socket.socket, answer: bytes) -> None:
    if (got := read_exactly(connection, len(answer))) != answer:
        raise OSError(f"SOCKS answered {got.hex()}")


def read_exactly(connection: socket.socket, size: int) -> bytes:
    """`size` bytes, and none of those behind them. Raises OSError."""
    got = b""
    while len(got) < size:
        if not (piece := connection.recv(size - len(got))):
            raise OSError("the SOCKS port hung up")
        got += piece
    return got


def make_authority(node: Node, dir_address: str, or_port: int) -> str:
    """Make an authority's keys, and return the torrc line that tells of it."""
    keys = node.folder / "keys"
    keys.mkdir(mode=0o700)
    run("tor-gencert", "--create-identity-key", "--passphrase-fd", "0", "-a", dir_address, cwd=keys)
    run("tor", "--defaults-torrc", "", "--ignore-missing-torrc", "-f", node.torrc, "--list-fingerprint",
        "--DataDirectory", node.folder, "--Nickname", node.name, "--ORPort", str(or_port))  # fmt: skip
    certificate = (keys / "authority_certificate").read_text()
    identity = certificate.partition("\nfingerprint ")[2].partition("\n")[0]
    fingerprint = (node.folder / "fingerprint").read_text().split()[1]
    return f"DirAuthority {node.name} orport={or_port} v3ident={identity} {dir_address} {fingerprint}\n"


def run(*command: str | Path, cwd: Path | None = None) -> None:
    result = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise TorNetworkError(f"{command[0]} failed:\n{result.stdout}{result.stderr}")


def read_control_reply(lines: TextIO) -> Iterator[str]:
    """The lines of one control-port reply; an error reply is raised."""
    while line := lines.readline().rstrip("\r\n"):
        if not line.startswith("2"):
            raise TorNetworkError(f"tor answered: {line}")
        yield line[4:]
        if line[3] == "+":
            yield from iter(lambda: lines.readline().rstrip("\r\n"), ".")
        elif line[3] == " ":
            return
