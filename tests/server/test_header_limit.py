"""The limit of 64 KiB for the header of a request, however the header arrives."""

import pytest

from tests.server.wire import read_to_end, request_bytes
from webhook.server.connection import MAX_HEADER_BYTES, MAX_PIPELINED_REQUESTS


def with_header_of(size: int, lines: int = 1) -> bytes:
    """A request whose header, from its first byte to the blank line, has this many bytes."""
    header, body = request_bytes(close=True).split(b"\r\n\r\n", 1)
    filler = size - len(header) - 4 - lines * len(b"\r\nX-000000: ")
    sizes = [filler // lines + (number < filler % lines) for number in range(lines)]
    added = b"".join(b"\r\nX-%06d: %s" % (number, b"a" * length) for number, length in enumerate(sizes))
    assert len(header + added) + 4 == size
    return header + added + b"\r\n\r\n" + body


@pytest.mark.parametrize("piece", [10**6, 16_000, 1_000])
@pytest.mark.parametrize("lines", [1, 50])
@pytest.mark.parametrize(
    ("size", "accepted"),
    [(MAX_HEADER_BYTES - 1, True), (MAX_HEADER_BYTES, True), (MAX_HEADER_BYTES + 1, False), (70_000, False)],
)
def test_the_limit_is_exact_for_any_pieces(running, piece, lines, size, accepted):
    request = with_header_of(size, lines)
    with running.connect() as connection:
        try:
            for start in range(0, len(request), piece):
                connection.sendall(request[start : start + piece])
        except ConnectionError:
            assert not accepted
            return
        assert read_to_end(connection).startswith(b"HTTP/1.1 200 ") == accepted


def test_a_long_target_counts_as_header(running):
    with running.connect() as connection:
        connection.sendall(b"GET /healthz?%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 70_000))
        assert not read_to_end(connection).startswith(b"HTTP/1.1 200 ")


def test_trailers_count_as_header(running, client):
    header = request_bytes().split(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    with running.connect() as connection:
        connection.sendall(header + b"X: %s\r\n" % (b"a" * 1000) * 100 + b"\r\n")
        assert not read_to_end(connection).startswith(b"HTTP/1.1 200 ")
    assert client.get("/healthz").status_code == 200


def test_requests_in_advance_are_limited(running, client):
    """Each costs memory until it is answered, and no API server sends any."""
    with running.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
        assert read_to_end(connection).count(b"HTTP/1.1 200 ") <= MAX_PIPELINED_REQUESTS + 1
    assert client.get("/healthz").status_code == 200
