"""The checks on a request's head, one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from donmai_daemon.control.guards import Head, check_host, check_method, check_origin, is_own_authority, read_head

PORT = 7734


@pytest.mark.parametrize(
    "authority",
    [
        "localhost:7734",
        "LOCALHOST:7734",
        "127.0.0.1:7734",
        "127.0.0.2:7734",
        "127.255.255.254:7734",
        "[::1]:7734",
        "[0:0:0:0:0:0:0:1]:7734",
    ],
)
def test_loopback_authorities_are_own(authority: str) -> None:
    """Every loopback name or address with our port is the daemon."""
    assert is_own_authority(authority.encode(), PORT)


@pytest.mark.parametrize(
    "authority",
    [
        "",
        ":7734",
        "localhost",
        "localhost:",
        "localhost:80",
        "localhost:07734",
        "localhost:77340",
        "localhost:7734:7734",
        "localhost:7734/",
        "localhost:7734@evil.test",
        "me@localhost:7734",
        "localhost.:7734",
        "sub.localhost:7734",
        "localhost.evil.test:7734",
        "evil.test:7734",
        "0.0.0.0:7734",
        "10.0.0.1:7734",
        "127.1:7734",
        "127.0.0.01:7734",
        "2130706433:7734",
        "0x7f000001:7734",
        "127.0.0.1.evil.test:7734",
        "[::]:7734",
        "[::2]:7734",
        "[::ffff:127.0.0.1]:7734",
        "[::1%lo]:7734",
        "::1:7734",
        "[::1]",
        " localhost:7734",
        "localhost:7734\n",
        "loca\u017fhost:7734",
        "localhost:٧٧٣٤",
    ],
)
def test_other_authorities_are_foreign(authority: str) -> None:
    """A name or address that is not plainly loopback, or another port, is somebody else's."""
    assert not is_own_authority(authority.encode("utf-8"), PORT)


def test_the_default_port_of_http_may_be_left_out() -> None:
    """`Host: localhost` means port 80, so it is own exactly there."""
    assert is_own_authority(b"localhost", 80)
    assert is_own_authority(b"localhost:80", 80)
    assert not is_own_authority(b"localhost", 81)


@given(st.binary(max_size=40))
def test_any_bytes_have_a_verdict(authority: bytes) -> None:
    """Whatever stands in Host, the check answers yes or no, and yes only for a text with our port."""
    if is_own_authority(authority, PORT):
        assert authority.endswith(b":7734")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"http://127.0.0.1:7734", True),
        (b"http://localhost:7734", True),
        (b"http://[::1]:7734", True),
        (b"HTTP://localhost:7734", True),
        (b"https://localhost:7734", False),
        (b"http://localhost", False),
        (b"http://localhost:7735", False),
        (b"http://evil.test", False),
        (b"http://localhost:7734/", False),
        (b"localhost:7734", False),
        (b"//localhost:7734", False),
        (b"null", False),
        (b"", False),
        (b"http://localhost:7734 http://evil.test", False),
    ],
)
def test_only_our_own_origin_passes(origin: bytes, allowed: bool) -> None:
    """A page may call only when the daemon itself served it."""
    refused = check_origin(Head(origins=[origin]), PORT)
    assert (refused is None) is allowed
    assert refused is None or refused.status == 403


def test_one_foreign_origin_among_several_is_enough() -> None:
    """A second Origin header does not hide a foreign first one."""
    own = b"http://localhost:7734"
    assert check_origin(Head(), PORT) is None
    assert check_origin(Head(origins=[b"http://evil.test", own]), PORT) is not None
    assert check_origin(Head(origins=[own, b"http://evil.test"]), PORT) is not None


def test_host_must_be_there_once() -> None:
    """No Host, or two, is refused like a foreign one."""
    assert check_host(Head(hosts=[b"localhost:7734"]), PORT) is None
    for hosts in ([], [b"localhost:7734", b"localhost:7734"], [b"evil.test"]):
        refused = check_host(Head(hosts=hosts), PORT)
        assert refused is not None
        assert refused.status == 403


@pytest.mark.parametrize(
    ("values", "bearer"),
    [
        ([b"Bearer abc"], b"abc"),
        ([], None),
        ([b"Bearer abc", b"Bearer abc"], None),
        ([b"Bearer  abc"], None),
        ([b"Bearer abc "], None),
        ([b" Bearer abc"], None),
        ([b"Bearer\tabc"], None),
        ([b"Bearer abc def"], None),
        ([b"Bearer abc, Bearer abc"], None),
        ([b"bearer abc"], None),
        ([b"BEARER abc"], None),
        ([b"Bearer"], None),
        ([b"Bearer "], None),
        ([b"Bearerabc"], None),
        ([b"Basic abc"], None),
        ([b"Bearer abc\xff"], None),
        ([b"abc"], None),
        ([b""], None),
    ],
)
def test_a_bearer_has_one_form(values: list[bytes], bearer: bytes | None) -> None:
    """`Bearer`, one space, the token, in one header; padding and repetition are no bearer."""
    assert read_head([(b"authorization", value) for value in values]).bearer == bearer


@pytest.mark.parametrize(
    ("method", "trusted", "status"),
    [
        ("GET", False, None),
        ("HEAD", False, None),
        ("GET", True, None),
        ("POST", True, None),
        ("POST", False, 401),
        ("PUT", False, 401),
        ("DELETE", False, 401),
        ("TRACE", False, 401),
        ("CONNECT", False, 401),
        ("get", False, 401),
        ("OPTIONS", False, 403),
        ("OPTIONS", True, 403),
    ],
)
def test_only_reading_is_open(method: str, trusted: bool, status: int | None) -> None:
    """Any method but GET and HEAD needs the token, and OPTIONS is refused to everybody."""
    refused = check_method(method, trusted)
    assert (refused.status if refused else None) == status
