"""Limits without addresses: what one circuit does too often is refused, and nobody else notices."""

import contextlib
import os
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from limits import parse_many

from leakdrop.config import load_config, parse_config
from leakdrop.envelope.header import envelope_length
from leakdrop.errors import ConfigError
from leakdrop.intake.limits import check_limits
from leakdrop.intake.privacy import name_circuit
from tests.circuits import ask, proxy_line, submit
from tests.site import assert_one_line, leakdrop, run, wait_until

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
LEAST = {"organisation": "O", "keys_dir": "keys", "data_dir": "data"}


def test_a_flood_from_one_circuit_is_limited_and_another_gets_through(behind_tor):
    site, circuit = behind_tor(requests_per_circuit="20 per hour")
    flood = [circuit(1).request("GET", "/")[0] for _ in range(30)]
    assert flood == [200] * 20 + [429] * 10
    assert circuit(2).request("GET", "/")[0] == 200
    assert submit(circuit(2))[0] == 200
    assert len(site.envelopes()) == 1


def test_every_request_of_a_connection_is_counted_for_its_circuit(behind_tor):
    _, circuit = behind_tor(requests_per_circuit="3 per hour")
    connection = circuit(1).connect()
    assert [ask(connection, "GET", "/")[0] for _ in range(5)] == [200, 200, 200, 429, 429]
    connection.close()
    assert circuit(1).request("GET", "/")[0] == 429


def test_submissions_of_a_circuit_are_limited_and_its_pages_are_not(behind_tor):
    site, circuit = behind_tor(submissions_per_circuit="2 per hour")
    length = envelope_length(1, 262_144)
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(length)}
    assert submit(circuit(1))[0] == 200
    assert circuit(1).request("POST", "/uploads", headers=tus)[0] == 201
    status, page = submit(circuit(1))
    assert status == 429
    assert "New Tor circuit for this site" in page
    assert "Nothing was kept" in page
    status, text = circuit(1).request("POST", "/uploads", headers=tus)
    assert (status, text.partition(".")[0]) == (429, "Too many at once")
    assert circuit(1).request("GET", "/")[0] == 200
    assert submit(circuit(2))[0] == 200
    assert len(site.envelopes()) == 2


def test_what_goes_on_with_an_upload_is_no_new_submission(behind_tor):
    _, circuit = behind_tor(submissions_per_circuit="1 per hour")
    tus = {"Tus-Resumable": "1.0.0"}
    connection = circuit(1).connect()
    created = {**tus, "Upload-Length": str(envelope_length(1, 262_144))}
    connection.request("POST", "/uploads", headers=created)
    answer = connection.getresponse()
    answer.read()
    for _ in range(3):
        assert ask(connection, "HEAD", answer.headers["Location"], headers=tus)[0] == 200
    connection.close()


def test_the_limit_for_all_together_says_that_the_site_is_busy(behind_tor):
    _, circuit = behind_tor(submissions_in_all="2 per hour")
    assert [submit(circuit(number))[0] for number in (1, 2)] == [200, 200]
    status, page = submit(circuit(3))
    assert status == 503
    assert "Wait ten minutes" in page


@pytest.mark.parametrize("what", ["requests", "submissions", "replies"])
def test_fewer_than_500_circuits_cannot_use_up_for_an_hour_what_is_for_all(what):
    def in_an_hour(limit: str) -> float:
        return sum(item.amount * 3600 / item.get_expiry() for item in parse_many(limit))

    config = load_config(EXAMPLE)
    one, everybody = (getattr(config, f"{what}_{whose}") for whose in ("per_circuit", "in_all"))
    assert in_an_hour(everybody) >= 500 * in_an_hour(one)


def test_what_a_circuit_is_refused_counts_against_nobody_else(behind_tor):
    _, circuit = behind_tor(
        requests_per_circuit="5 per hour", requests_in_all="60 per minute",
        submissions_per_circuit="1 per hour", submissions_in_all="3 per minute",
    )  # fmt: skip
    assert [submit(circuit(1))[0] for _ in range(5)] == [200, 429, 429, 429, 429]
    assert {circuit(1).request("GET", "/")[0] for _ in range(60)} == {429}
    assert submit(circuit(2))[0] == 200


def begin_question(circuit, body=b""):
    """A connection that asks for replies, with these bytes of its 49."""
    connection = circuit.connect()
    connection.putrequest("POST", "/replies")
    connection.putheader("Content-Type", "application/x-www-form-urlencoded")
    connection.putheader("Content-Length", "49")
    connection.endheaders()
    connection.send(body)
    return connection


def ask_for_replies(circuit):
    connection = begin_question(circuit, b"token=" + b"A" * 43)
    status = connection.getresponse().status
    connection.close()
    return status


def test_questions_that_do_not_come_whole_keep_nobody_from_asking(behind_tor):
    _, circuit = behind_tor(threads=20, submissions_at_once=16)  # two answers at once
    with ExitStack() as held:
        for number in (1, 1, 2, 2):
            held.enter_context(contextlib.closing(begin_question(circuit(number), b"token=")))
        # While one of them makes room for the next, there is none.
        wait_until(lambda: ask_for_replies(circuit(3)) == 200)


def test_more_questions_that_do_not_come_whole_than_threads_stop_nobody(behind_tor):
    _, circuit = behind_tor(threads=8, submissions_at_once=1)
    with ExitStack() as held:
        for number in range(24):
            held.enter_context(contextlib.closing(begin_question(circuit(number), b"token=")))
        assert circuit(30).request("GET", "/")[0] == 200
        wait_until(lambda: ask_for_replies(circuit(31)) == 200)


def test_answers_that_one_circuit_does_not_read_keep_nobody_from_asking(behind_tor):
    _, circuit = behind_tor(threads=20, submissions_at_once=10)  # five answers at once
    whole = b"token=" + b"A" * 43
    hanging = [begin_question(circuit(1), whole) for _ in range(2)]
    assert [connection.getresponse().status for connection in hanging] == [200, 200]
    assert ask_for_replies(circuit(1)) == 429
    assert ask_for_replies(circuit(2)) == 200
    for connection in hanging:
        connection.close()


def test_without_a_circuit_s_number_only_the_limits_for_all_hold(start_site):
    site = start_site(requests_per_circuit="1 per hour", requests_in_all="40 per hour")
    statuses = [site.get("/")[0] for _ in range(60)]
    assert statuses.count(200) > 30
    assert statuses[-1] == 503


def test_a_limit_can_be_switched_off(behind_tor):
    _, circuit = behind_tor(
        requests_per_circuit="", requests_in_all="", submissions_per_circuit="", submissions_in_all=""
    )
    assert {submit(circuit(1))[0] for _ in range(5)} == {200}


def test_nothing_is_logged_of_a_flood(behind_tor):
    site, circuit = behind_tor(requests_per_circuit="2 per hour", submissions_in_all="1 per hour")
    for _ in range(5):
        circuit(0xABCDEF).request("GET", "/")
    for number in range(4):
        submit(circuit(number))
    for line in (b"PROXY nonsense\r\n", b"PROXY TCP6 ::1\r\n", proxy_line(7) * 2):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(circuit(1).path))
            connection.sendall(line + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert site.log.read_text() == ""


def test_over_tcp_nobody_can_claim_to_be_a_circuit(start_site):
    site = start_site()
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        connection.sendall(proxy_line(1) + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_a_circuit_has_one_name_however_its_number_is_spelled_and_another_one_after_a_restart():
    def name(address, secret):
        return name_circuit({"PROXY_PROTOCOL": "TCP6", "REMOTE_ADDR": address}, secret)

    first, second = os.urandom(32), os.urandom(32)
    assert name("fc00:dead:beef:4dad::0:1d", first) == name("fc00:dead:beef:4dad::1d", first)
    assert name("fc00:dead:beef:4dad::1d", first) != name("fc00:dead:beef:4dad::1e", first)
    assert name("fc00:dead:beef:4dad::1d", first) != name("fc00:dead:beef:4dad::1d", second)
    assert name_circuit({"REMOTE_ADDR": "127.0.0.1"}, first) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"requests_per_circuit": "often"}, "“requests_per_circuit” must be like"),
        ({"submissions_in_all": "10 per fortnight"}, "“submissions_in_all” must be like"),
        ({"limits_storage": "nonsense://"}, "“limits_storage” must be like"),
    ],
)
def test_a_limit_that_is_none_is_told(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_limits(parse_config({**LEAST, **change}, Path("/")))


def test_a_redis_without_its_package_says_what_to_install():
    """In a Python that has no package of that name."""
    settings = {**LEAST, "limits_storage": "redis://127.0.0.1:1"}
    program = f"""
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    def find_spec(name, path=None, target=None):
        return None if name == "redis" else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from pathlib import Path
from leakdrop.config import parse_config
from leakdrop.intake.limits import check_limits
check_limits(parse_config({settings!r}, Path("/")))
"""
    done = run(sys.executable, "-c", program)
    assert "ConfigError: limits_storage in Redis needs more packages: install leakdrop[" in done.stderr


def test_serving_with_a_limit_that_is_none_is_refused(start_site):
    site = start_site()
    site.config.write_text(site.config.read_text() + 'requests_in_all = "many"\n')
    assert_one_line(leakdrop("serve", "--config", site.config), "“requests_in_all” must be like")


def test_a_limit_ends_with_its_time(behind_tor):
    _, circuit = behind_tor(requests_per_circuit="2 per second")
    while circuit(1).request("GET", "/")[0] == 200:
        pass
    time.sleep(1)
    wait_until(lambda: circuit(1).request("GET", "/")[0] == 200)
