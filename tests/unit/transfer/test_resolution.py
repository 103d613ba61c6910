# SPDX-License-Identifier: Apache-2.0
"""Names, the addresses they have, and the certificates they show."""

import pathlib
import socket
import ssl
import subprocess
import threading

import pytest

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.testing.http_source import HttpSource
from glance_tasks.testing.http_source import Resource
from tests.support import fetching

BODY = b"bytes of an image" * 1000


class Answers:
    """A name service that gives one answer after another.

    :ivar asked: the names it was asked for
    """

    def __init__(self, *answers):
        self._answers, self.asked = list(answers), []

    def __call__(self, host, port):
        self.asked.append(host)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def failing(uri, path, **options):
    with pytest.raises(exceptions.FetchError) as caught:
        fetching.fetch(uri, path, **options)
    return caught.value


def test_the_connection_goes_to_the_address_that_was_checked(source, tmp_path):
    source.put("/a", Resource(BODY))
    rebinding = Answers(["127.0.0.1"], ["169.254.169.254"])
    uri = source.url("/a", "images.example")

    fetched = fetching.fetch(uri, tmp_path / "a", resolver=rebinding)

    assert fetched.size == len(BODY)
    assert rebinding.asked == ["images.example"]


def test_the_source_is_told_its_name(source, tmp_path):
    source.put("/a", Resource(BODY))
    uri = source.url("/a", "images.example")

    fetching.fetch(uri, tmp_path / "a", resolver=Answers(["127.0.0.1"]))

    host = source.requests[0].headers["host"]
    assert host == f"images.example:{source.port}"


@pytest.mark.parametrize(
    "answer",
    [
        ["169.254.169.254"],
        ["127.0.0.1", "10.0.0.1"],
        ["8.8.8.8", "::1"],
        ["::ffff:10.0.0.1"],
    ],
)
def test_one_forbidden_address_of_a_name_is_enough(source, tmp_path, answer):
    uri = source.url("/a", "images.example")

    error = failing(uri, tmp_path / "a", resolver=Answers(answer))

    assert error.code == "source_not_allowed"
    assert not any(address in str(error) for address in answer)
    assert source.requests == []


def test_a_name_is_checked_again_when_a_transfer_goes_on(source, tmp_path):
    source.put("/a", Resource(BODY, cut_after=5))
    rebinding = Answers(["127.0.0.1"], ["169.254.169.254"])
    uri = source.url("/a", "images.example")

    error = failing(uri, tmp_path / "a", resolver=rebinding)

    assert error.code == "source_not_allowed"
    assert len(source.requests) == 1


def test_a_redirect_s_name_is_checked_too(source, tmp_path):
    location = source.url("/b", "inside.example")
    source.put("/a", Resource(status=302, location=location))
    uri = source.url("/a", "images.example")
    answers = Answers(["127.0.0.1"], ["10.0.0.1"])

    error = failing(uri, tmp_path / "a", resolver=answers)

    assert error.code == "source_not_allowed"
    assert answers.asked == ["images.example", "inside.example"]


def test_the_next_address_is_tried_when_one_does_not_answer(source, tmp_path):
    source.put("/a", Resource(BODY))
    uri = source.url("/a", "images.example")

    # Nobody listens on the first: the source has bound one address only.
    fetched = fetching.fetch(
        uri, tmp_path / "a", resolver=Answers(["127.0.0.2", "127.0.0.1"])
    )

    assert fetched.size == len(BODY)


@pytest.mark.parametrize(
    "answer",
    [
        socket.gaierror(socket.EAI_NONAME, "unknown"),
        UnicodeError("label too long"),
        [],
    ],
)
def test_a_name_without_an_address_is_an_unavailable_source(tmp_path, answer):
    answers = Answers(answer)

    error = failing(
        "http://images.example/a", tmp_path / "a", resolver=answers
    )

    assert error.code == "source_unavailable"
    assert "http://images.example/a" in str(error)
    assert len(answers.asked) == 1


def test_a_name_service_that_is_down_is_asked_again(source, tmp_path):
    source.put("/a", Resource(BODY))
    down = socket.gaierror(socket.EAI_AGAIN, "try again")
    uri = source.url("/a", "images.example")

    fetched = fetching.fetch(
        uri, tmp_path / "a", resolver=Answers(down, down, ["127.0.0.1"])
    )

    assert fetched.size == len(BODY)


class Hanging:
    """A name service that does not answer before it is let go."""

    def __init__(self):
        self.asked, self.let_go = threading.Event(), threading.Event()

    def __call__(self, host, port):
        self.asked.set()
        self.let_go.wait(60)
        return []


def test_a_name_service_that_hangs_does_not_delay_a_stop(tmp_path):
    hanging = Hanging()
    stop = doubles.StopWhen(hanging.asked.is_set)

    with pytest.raises(exceptions.LeaseLost):
        fetching.fetch(
            "http://images.example/a",
            tmp_path / "a",
            resolver=hanging,
            stop=stop,
            connect_timeout=600.0,
        )

    hanging.let_go.set()


def test_a_name_service_that_hangs_is_not_waited_for_for_ever(tmp_path):
    hanging = Hanging()

    error = failing(
        "http://images.example/a",
        tmp_path / "a",
        resolver=hanging,
        connect_timeout=0.1,
    )

    hanging.let_go.set()
    assert error.code == "source_unavailable"


@pytest.fixture
def full_backlog():
    """Give the port of a server that lets nobody connect any more."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = []
        for _ in range(8):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(server.getsockname())
            waiting.append(client)
        yield server.getsockname()[1]
        for client in waiting:
            client.close()


def test_a_host_that_does_not_answer_is_not_waited_for_for_ever(
    full_backlog, tmp_path
):
    uri = f"http://127.0.0.1:{full_backlog}/a"

    error = failing(uri, tmp_path / "a", connect_timeout=0.1)

    assert error.code == "source_unavailable"
    assert str(error) == f"{uri} could not be connected to"


def test_a_host_that_does_not_answer_does_not_delay_a_stop(
    full_backlog, tmp_path
):
    with pytest.raises(exceptions.LeaseLost):
        fetching.fetch(
            f"http://127.0.0.1:{full_backlog}/a",
            tmp_path / "a",
            stop=doubles.StopAfter(5),
            connect_timeout=600.0,
        )


# --- TLS --------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Give a file with a key and a certificate for images.example."""
    place: pathlib.Path = tmp_path_factory.mktemp("tls") / "pair.pem"
    certificate = place.with_suffix(".crt")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
        " -nodes -days 2 -subj /CN=images.example"
        " -addext subjectAltName=DNS:images.example"
    )
    subprocess.run(
        [*command.split(), "-keyout", place, "-out", certificate],
        check=True,
        capture_output=True,
    )
    with place.open("a") as pair:
        pair.write(certificate.read_text())
    return place


@pytest.fixture
def secure(certificate, monkeypatch):
    """Give a TLS server whose certificate the system trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.names = []
    context.sni_callback = lambda sock, name, _: context.names.append(name)
    with HttpSource(context) as running:
        running.names = context.names
        yield running


def test_a_certificate_is_checked_for_the_name_not_the_address(
    secure, tmp_path
):
    secure.put("/a", Resource(BODY))
    uri = secure.url("/a", "images.example")

    fetched = fetching.fetch(
        uri, tmp_path / "a", resolver=Answers(["127.0.0.1"])
    )

    assert fetched.size == len(BODY)
    assert secure.names == ["images.example"]


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
def test_a_certificate_for_another_name_is_refused(secure, tmp_path, host):
    secure.put("/a", Resource(BODY))
    answers = Answers(["127.0.0.1"])

    error = failing(secure.url("/a", host), tmp_path / "a", resolver=answers)

    assert error.code == "source_unavailable"
    assert "certificate" in str(error)
    assert secure.requests == []


def test_a_certificate_nobody_vouches_for_is_refused(
    secure, tmp_path, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    uri = secure.url("/a", "images.example")

    error = failing(uri, tmp_path / "a", resolver=Answers(["127.0.0.1"]))

    assert error.code == "source_unavailable"
    assert secure.requests == []


def test_a_source_that_does_not_speak_tls_is_final(source, tmp_path):
    uri = source.put("/a", Resource(BODY)).replace("http:", "https:")

    error = failing(uri, tmp_path / "a")

    assert error.code == "source_unavailable"
    assert "TLS" in str(error)


def test_a_redirect_from_https_to_http_is_refused(secure, source, tmp_path):
    target = source.put("/a", Resource(BODY))
    secure.put("/a", Resource(status=302, location=target))
    uri = secure.url("/a", "images.example")

    error = failing(uri, tmp_path / "a", resolver=Answers(["127.0.0.1"]))

    assert error.code == "source_not_allowed"
    assert source.requests == []


def test_a_cut_transfer_goes_on_over_tls(secure, tmp_path):
    secure.put("/a", Resource(BODY, cut_after=5000, cuts=2))
    uri = secure.url("/a", "images.example")

    fetching.fetch(uri, tmp_path / "a", resolver=Answers(*[["127.0.0.1"]] * 3))

    assert (tmp_path / "a").read_bytes() == BODY
    assert secure.asked_again("/a") == [0, 0]
