"""Who reads slowly gets the whole answer, and keeps nobody from getting theirs."""

import contextlib
import re
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from leakdrop.envelope.index import encode_base64url
from leakdrop.envelope.receipt import UNIT, decode_answer
from tests.circuits import ONION, Circuit
from tests.replies import URLENCODED, label_receipt, seal_reply, store_reply
from tests.site import wait_until
from tests.tus import TusClient, make_envelope

AMINA = label_receipt("amina")


def get(path: str, times: int = 1, *, last: bool = False) -> bytes:
    """The same request so many times."""
    keep = "close" if last else "keep-alive"
    return f"GET {path} HTTP/1.1\r\nHost: {ONION}\r\nConnection: {keep}\r\n\r\n".encode() * times


def question(token: bytes) -> bytes:
    """A question for replies, the last request of its connection."""
    body = f"token={encode_base64url(token)}"
    lines = {"Host": ONION, "Connection": "close", "Content-Length": str(len(body)), **URLENCODED}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /replies HTTP/1.1\r\n{head}\r\n{body}".encode()


def largest_file(circuit: Circuit) -> str:
    """The address of the script that the first page loads."""
    status, page = circuit.request("GET", "/")
    assert status == 200
    return re.search('<script src="([^"]+)"', page)[1]


def ask_for_replies(circuit: Circuit) -> int:
    """The status of an answer that was read whole."""
    connection = circuit.connect()
    with contextlib.closing(connection):
        connection.request("POST", "/replies", f"token={encode_base64url(AMINA.token)}", URLENCODED)
        response = connection.getresponse()
        body = response.read()
        assert response.status != 200 or decode_answer(body) == []
        return response.status


def is_held(connection: socket.socket) -> bool:
    """Whether the server has not hung up."""
    poll = select.poll()
    poll.register(connection, 0)
    return not poll.poll(0)


@contextmanager
def slow_readers(circuits: list[Circuit], request: bytes) -> Iterator[list[socket.socket]]:
    """A connection by each circuit, which sends a request and reads a KiB of its answer each second."""
    stop = threading.Event()
    with ExitStack() as held:
        readers = [held.enter_context(circuit.open()) for circuit in circuits]

        def read() -> None:
            while not stop.wait(1):
                for reader in readers:
                    with contextlib.suppress(OSError):
                        reader.recv(1024, socket.MSG_DONTWAIT)

        for reader in readers:
            reader.sendall(request)
        reading = threading.Thread(target=read)
        reading.start()
        try:
            yield readers
        finally:
            stop.set()
            reading.join()


def read_slowly(connection: socket.socket) -> bytes:
    """All until the server hangs up, a little after each pause."""
    received, pause = bytearray(), threading.Event()
    while piece := connection.recv(16 * 1024):
        received += piece
        pause.wait(0.02)
    return bytes(received)


def test_more_slow_readers_than_threads_by_eleven_circuits_stop_nobody(behind_tor):
    site, circuit = behind_tor()  # 320 threads
    script = largest_file(circuit(0))
    circuits = [circuit(1 + number % 11) for number in range(352)]
    with slow_readers(circuits, get(script, 3)) as readers:
        wait_until(lambda: all(select.select([reader], [], [], 0)[0] for reader in readers))
        assert largest_file(circuit(12)) == script
        TusClient(circuit(13).open, ONION).upload(make_envelope())
        assert len(site.envelopes()) == 1
        assert all(map(is_held, readers))


def test_a_slow_reader_gets_whole_answers_one_after_another(behind_tor):
    _, circuit = behind_tor(threads=2, submissions_at_once=1)
    script = largest_file(circuit(1))
    content = circuit(1).request("GET", script)[1].encode()
    with circuit(2).open() as connection:
        connection.sendall(get(script, 5) + get("/none", last=True))
        _, *answers, refusal = re.split(b"HTTP/1.1 (?:200|404) ", read_slowly(connection))
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == [content] * 5
    assert refusal.endswith(b"</html>")


def test_who_reads_less_than_a_little_is_hung_up_on(behind_tor):
    _, circuit = behind_tor(silence_seconds=1)
    script = largest_file(circuit(1))
    with slow_readers([circuit(2)], get(script, 3)) as (reader,):
        wait_until(lambda: not is_held(reader))


def test_the_circuit_with_most_connections_makes_room(behind_tor):
    _, circuit = behind_tor(threads=5, submissions_at_once=1)  # 20 connections
    script = largest_file(circuit(1))
    with (
        slow_readers([circuit(2)], get(script, 3)) as (oldest,),
        slow_readers([circuit(3)] * 30, get(script, 3)) as readers,
    ):
        wait_until(lambda: sum(map(is_held, readers)) < 20)
        with circuit(4).open() as without_a_head:
            assert largest_file(circuit(5)) == script
            assert is_held(oldest)
            assert is_held(without_a_head)
            assert is_held(readers[-1])


def test_answers_that_sixteen_circuits_read_slowly_keep_nobody_from_asking(behind_tor):
    _, circuit = behind_tor()  # 32 answers at once
    with slow_readers([circuit(number // 2) for number in range(32)], question(AMINA.token)) as readers:
        wait_until(lambda: all(select.select([reader], [], [], 0)[0] for reader in readers))
        assert [ask_for_replies(circuit(number)) for number in (16, 17, 18)] == [200] * 3
        assert sum(map(is_held, readers)) >= 29


def test_circuits_take_turns_with_answers(behind_tor):
    _, circuit = behind_tor(  # two answers at once
        threads=6, submissions_at_once=2, slow_seconds=1, replies_per_circuit="", replies_in_all=""
    )
    with slow_readers([circuit(1), circuit(2)], question(AMINA.token)) as readers:
        wait_until(lambda: all(select.select([reader], [], [], 0)[0] for reader in readers))
        wait_until(lambda: ask_for_replies(circuit(3)) == 200)


def test_a_slow_reader_gets_all_replies_whole(behind_tor):
    site, circuit = behind_tor()
    envelopes = [seal_reply(AMINA.key_pair.public, f"{number}", (("a", bytes(UNIT)),)) for number in range(2)]
    for envelope in envelopes:
        store_reply(site, AMINA.mailbox, envelope)
    with circuit(1).open() as connection:
        connection.sendall(question(AMINA.token))
        answer = read_slowly(connection).partition(b"\r\n\r\n")[2]
    assert sorted(decode_answer(answer)) == sorted(envelopes)
