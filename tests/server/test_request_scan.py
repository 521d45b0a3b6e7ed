"""Is a request whole? For any way in which its bytes may be cut, exactly from its last byte on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import errors
from hypothesis import given, settings
from hypothesis import strategies as st

from server.hosting.connection import Connection
from server.hosting.request_scan import CHUNK_OVERHEAD_BYTES, MAX_HEAD_BYTES, Arrival, RequestScan

LIMIT = 10_000
GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/predict/a/b HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: 11\r\n\r\nhello\r\n\r\nyo"
EMPTY = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhe\r\no\r\nA\r\n0\r\n\r\n 4567\r\n0\r\n\r\n"
TRAILERS = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: 1\r\nB: 2\r\n\r\n"


def arrive(parts: list[bytes]) -> list[Arrival]:
    scan, inbox, seen = RequestScan(LIMIT), bytearray(), []
    for part in parts:
        inbox += part
        seen.append(scan.look(inbox))
    return seen


@settings(max_examples=150, deadline=None)
@given(request=st.sampled_from([GET, POST, EMPTY, CHUNKED, TRAILERS]), cuts=st.lists(st.integers(1, 150), max_size=6))
def test_a_request_is_whole_with_its_last_byte_however_it_is_cut(request: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(request), *(cut for cut in cuts if cut < len(request))})
    seen = arrive([request[start:end] for start, end in pairwise(places)])
    assert seen[-1] is Arrival.WHOLE
    assert Arrival.WHOLE not in seen[:-1]


@pytest.mark.parametrize("request_bytes", [GET, POST, EMPTY, CHUNKED, TRAILERS])
def test_byte_by_byte_too(request_bytes: bytes) -> None:
    seen = arrive([request_bytes[at : at + 1] for at in range(len(request_bytes))])
    assert seen.index(Arrival.WHOLE) == len(seen) - 1


def test_what_follows_belongs_to_the_next_request() -> None:
    scan = RequestScan(LIMIT)
    assert scan.look(bytearray(POST + GET)) is Arrival.WHOLE
    assert scan.end == len(POST)


def test_the_head_tells_where_the_request_goes_and_whether_the_client_waits() -> None:
    scan = RequestScan(LIMIT)
    head = b"POST /v1/predict/a/b?top=1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    assert scan.look(bytearray(head)) is Arrival.BODY
    assert scan.target == b"/v1/predict/a/b?top=1"
    assert scan.expects_continue


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 10001\r\n\r\n",  # refused unread
        b"A" * (MAX_HEAD_BYTES + 1),
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 5000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n" + b"x" * 100,
    ],
)  # fmt: skip
def test_what_is_too_large_or_makes_no_sense_is_handed_over_at_once(request_bytes: bytes) -> None:
    scan, inbox = RequestScan(LIMIT), bytearray(request_bytes)
    found = scan.look(inbox)
    if b"FFFFFFF" in request_bytes:  # the chunk is longer than any body may be: known when more of it has come
        inbox += b"x" * 2_000_000
        found = scan.look(inbox)
    assert found is Arrival.WHOLE
    assert not scan.expects_continue


@pytest.mark.parametrize("length", [b"00000000000000000000011", b"11", b"011 \t"])
def test_zeros_before_a_length_change_nothing(length: bytes) -> None:
    scan = RequestScan(LIMIT)
    head = b"POST / HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n"
    assert scan.look(bytearray(head)) is Arrival.BODY
    assert scan.end == len(head) + 11
    assert not scan.cut


@pytest.mark.parametrize("field", [
    b"Content-Length: 9999999999999999999", b"Content-Length : 5", b"content-length:", b"Content-Length: 5, 5",
    b"A: b\nContent-Length: 5", b"Content-Length:\r\n 5",
])  # fmt: skip
def test_nothing_is_read_behind_a_length_that_makes_no_sense(field: bytes) -> None:
    scan = RequestScan(LIMIT)
    assert scan.look(bytearray(b"POST / HTTP/1.1\r\n" + field + b"\r\n\r\nGET / HTTP/1.1\r\n\r\n")) is Arrival.WHOLE
    assert scan.cut


def test_an_empty_line_before_a_request_hides_no_prediction() -> None:
    scan = RequestScan(LIMIT)
    assert scan.look(bytearray(b"\r\n" + POST)) is Arrival.WHOLE
    assert scan.target == b"/v1/predict/a/b"


def test_chunks_may_add_a_little_to_a_body_and_not_more() -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    scan = RequestScan(100 * CHUNK_OVERHEAD_BYTES)
    assert scan.look(bytearray(head + b"1\r\nx\r\n" * (CHUNK_OVERHEAD_BYTES // 5 - 1))) is Arrival.BODY
    scan = RequestScan(100 * CHUNK_OVERHEAD_BYTES)
    assert scan.look(bytearray(head + b"1\r\nx\r\n" * (CHUNK_OVERHEAD_BYTES // 5 + 2))) is Arrival.WHOLE
    assert scan.cut


@pytest.mark.parametrize(("request_bytes", "expected"), [
    (POST, True),
    (GET, True),
    (POST.replace(b"Host: x", b"Connection: keep-alive"), True),
    (POST.replace(b"Host: x", b"Connection: close"), False),
    (POST.replace(b"HTTP/1.1", b"HTTP/1.0"), False),
    (POST.replace(b"Host: x", b"Content-Length: 11"), False),
    (POST.replace(b"11", b"99999"), False),
    (CHUNKED, False),
    (GET.replace(b"Host: x", b"Host: x\r\nA: b\nC: d"), False),
    (GET.replace(b"Host: x", b"Host: x\r\n folded"), False),
])  # fmt: skip
def test_a_request_is_skipped_only_where_its_end_is_beyond_doubt(request_bytes: bytes, expected: bool) -> None:
    scan, inbox = RequestScan(LIMIT), bytearray(request_bytes)
    assert scan.look(inbox) is Arrival.WHOLE
    assert scan.may_be_skipped(inbox) is expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=8))
def test_no_bytes_at_all_make_it_fail(parts: list[bytes]) -> None:
    assert all(isinstance(state, Arrival) for state in arrive(parts))


class NoSocket:
    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 80)


PARSER = Config()
FIELDS = st.sampled_from([
    b"Content-Length: 5", b"content-length:05", b"Content-Length: \t5 ", b"Content-Length: +5", b"Content-Length: 5,5",
    b"Content-Length : 5", b" Content-Length: 5", b"X: y\nContent-Length: 5", b"Content_Length: 7", b"Content-length:0",
    b"Content-Length: " + b"0" * 20 + b"5", b"Content-Length: \xb2", b"X-Content-Length: 9", b"Content-Length: 0x5",
    b"Transfer-Encoding: chunked", b"transfer-encoding: CHUNKED", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: identity", b"X: y\nTransfer-Encoding: chunked",
    b"\tTransfer-Encoding: chunked", b"Connection: close", b"Expect: 100-continue",
])  # fmt: skip
BODIES = st.sampled_from([
    b"", b"hello", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"005;a\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"000000005\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n000000000\r\n\r\n",
    b"5\nhello\n0\n\n", b"-1\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n X\r\n\r\n",
])  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(
    begin=st.sampled_from([b"", b"\r\n", b"\n"]), version=st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]),
    fields=st.lists(FIELDS, max_size=3, unique=True), end=st.sampled_from([b"\r\n", b"\n"]), body=BODIES,
)  # fmt: skip
def test_a_connection_goes_on_only_where_the_parser_saw_the_same_end(
    begin: bytes, version: bytes, fields: list[bytes], end: bytes, body: bytes
) -> None:
    head = begin + b"POST /x " + version + b"\r\nHost: x\r\n" + b"".join(field + b"\r\n" for field in fields) + end
    sock: Any = NoSocket()
    connection = Connection(sock, ("127.0.0.1", 1), PARSER, LIMIT, 0.0)
    connection.inbox += head + body + GET
    if connection.arrival() is not Arrival.WHOLE:
        return
    expected = connection._scan.end
    skipped = connection._scan.may_be_skipped(connection.inbox)
    try:
        request = next(connection.parser)
    except (errors.ParseException, errors.NoMoreData):
        assert not skipped
        return
    try:
        kept = connection.reusable and not request.should_close() and connection.parser.finish_body()
    except (errors.ParseException, errors.NoMoreData):
        kept = False
    assert kept or not skipped
    if kept:
        connection.next_request(0.0)
        assert len(head + body + GET) - len(connection.inbox) == expected
