"""Which platforms may be dialled, and by which way."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import pytest
from tests.support.clock import FakeClock
from tests.support.link import Reply, answer, scripted_platform

from donmai_daemon.errors import ConfigInvalid, PlatformUnreachable
from donmai_daemon.link.address import address_of, is_loopback
from donmai_daemon.link.client import PlatformClient, open_client
from donmai_daemon.model.config import PlatformLink
from donmai_daemon.model.secret import Secret

pytestmark = pytest.mark.anyio

TOKEN = Secret("rt_secret")


async def beat(client: PlatformClient) -> None:
    await client.heartbeat("wkr_1", TOKEN, {})


def client_for(link: PlatformLink, environ: Mapping[str, str] | None = None) -> PlatformClient:
    return open_client(link, FakeClock(), "1.2.3", environ or {})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("localhost", True),
        ("LocalHost", True),
        ("128.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("127.1", False),
        ("2130706433", False),
        ("", False),
    ],
)
def test_loopback_is_what_can_only_be_this_machine(host: str, loopback: bool) -> None:
    """Only 127.0.0.0/8, ::1 and the name localhost are this machine for certain."""
    assert is_loopback(host) == loopback


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://platform.example", "https://platform.example"),
        ("https://platform.example/", "https://platform.example"),
        ("https://platform.example:8443/team/donmai/", "https://platform.example:8443/team/donmai"),
        ("HTTP://LOCALHOST:7735", "http://localhost:7735"),
        ("http://[::1]:7735", "http://[::1]:7735"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_good_urls(url: str, base: str) -> None:
    """The base of every request is the URL without its trailing slash."""
    assert address_of(PlatformLink(url=url), {}).base == base


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (None, "no platform"),
        ("", "no platform"),
        ("platform.example", "must begin with https"),
        ("ftp://platform.example", "must begin with https"),
        ("https://", "must begin with https"),
        ("https:///path", "must begin with https"),
        ("https://platform.example:port", "not a URL"),
        ("https://platform .example", "host that there can be"),
        ("https://platform.example\n", "not a URL"),
        (f"https://{'x' * 64}.example", "host that there can be"),
        ("https://a..b", "host that there can be"),
        ("https://me:secret@platform.example", "must not carry a user name"),
        ("https://platform.example/?org=1", "must not have a query"),
        ("https://platform.example/#x", "must not have a query"),
        ("http://platform.example", "in clear"),
        ("http://10.0.0.1:7735", "in clear"),
        ("http://localhost.example", "in clear"),
    ],
)
def test_bad_urls(url: str | None, reason: str) -> None:
    """A URL that cannot be meant, or that would send the token in clear, is an error of platform.url."""
    with pytest.raises(ConfigInvalid, match=reason) as invalid:
        client_for(PlatformLink(url=url))
    assert invalid.value.key == "platform.url"
    assert "secret" not in str(invalid.value)


def test_http_to_another_machine_where_that_is_wanted() -> None:
    """`allow_insecure` allows http:// anywhere."""
    assert address_of(PlatformLink(url="http://10.0.0.1", allow_insecure=True), {}).base == "http://10.0.0.1"


async def test_a_path_before_the_routes(tmp_path: Path) -> None:
    """The path of the URL comes before the route."""
    async with scripted_platform() as platform:
        platform.will(answer({"acknowledged": True}))
        async with client_for(PlatformLink(url=f"{platform.url}/team/")) as client:
            await beat(client)
        assert platform.lines == ["POST /team/api/workers/wkr_1/heartbeat HTTP/1.1"]


# Proxies


async def test_loopback_never_goes_through_a_proxy() -> None:
    """Neither the configuration nor the environment sends a loopback request to a proxy."""
    async with scripted_platform() as platform, scripted_platform() as proxy:
        platform.will(answer({"acknowledged": True}))
        environ = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"), proxy.url)
        async with client_for(PlatformLink(url=platform.url, proxy=proxy.url), environ) as client:
            await beat(client)
        assert proxy.connections == 0
        assert platform.connections == 1


@pytest.mark.parametrize("where", ["configuration", "environment"])
async def test_other_machines_go_through_the_proxy(where: str) -> None:
    """Where a proxy is configured, or named by the environment, it gets the request, with its own credentials."""
    async with scripted_platform() as proxy:
        proxy.will(answer({"acknowledged": True}))
        named = f"http://me:pw@127.0.0.1:{proxy.port}"
        link = PlatformLink(
            url="http://platform.test", allow_insecure=True, proxy=named if where == "configuration" else None
        )
        environ = {"http_proxy": named} if where == "environment" else {"http_proxy": "http://127.0.0.1:1"}
        async with client_for(link, environ) as client:
            await beat(client)
        (heard,) = proxy.heard
        assert heard.line == "POST http://platform.test/api/workers/wkr_1/heartbeat HTTP/1.1"
        assert heard.headers["proxy-authorization"] == "Basic bWU6cHc="


async def test_tls_goes_through_the_proxy_as_a_tunnel() -> None:
    """To https:// the proxy gets a CONNECT and never the token; its refusal is no answer of the platform."""
    async with scripted_platform() as proxy:
        proxy.will(answer({}, 407))
        async with client_for(PlatformLink(url="https://platform.test", proxy=proxy.url)) as client:
            with pytest.raises(PlatformUnreachable, match="407"):
                await beat(client)
        (heard,) = proxy.heard
        assert heard.line == "CONNECT platform.test:443 HTTP/1.1"
        assert "authorization" not in heard.headers


HTTPS = "https://platform.example"


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"http_proxy": "http://p:1"}, None),
        ({"https_proxy": "http://p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "http://p:1"),
        ({"all_proxy": "p:1"}, "http://p:1"),
        ({"https_proxy": "", "ALL_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "http://p:1", "no_proxy": "*"}, None),
        ({"https_proxy": "http://p:1", "no_proxy": "platform.example"}, None),
        ({"https_proxy": "http://p:1", "NO_PROXY": "other, .EXAMPLE"}, None),
        ({"https_proxy": "http://p:1", "no_proxy": "example"}, None),
        ({"https_proxy": "http://p:1", "no_proxy": "ample,form.example,10.0.0.0/8,"}, "http://p:1"),
    ],
)
def test_the_environment_is_read_as_curl_reads_it(environ: dict[str, str], proxy: str | None) -> None:
    """Lower case before upper, the scheme's own before all_proxy, and no_proxy exempts a domain and what is below it."""
    found = address_of(PlatformLink(url=HTTPS), environ).proxy
    assert (str(found.url) if found is not None else None) == proxy


@pytest.mark.parametrize(
    ("no_proxy", "exempt"),
    [
        ("10.0.0.0/8", True),
        ("10.1.2.3", True),
        ("10.1.2.3/8", True),
        ("11.0.0.0/8,fe80::/10", False),
        ("10.x/8", False),
    ],
)
def test_networks_can_be_exempt(no_proxy: str, exempt: bool) -> None:
    """An address is exempt where no_proxy names it or a network that holds it."""
    address = address_of(PlatformLink(url="https://10.1.2.3"), {"https_proxy": "http://p:1", "no_proxy": no_proxy})
    assert (address.proxy is None) == exempt


def test_a_request_header_cannot_name_the_proxy() -> None:
    """In a CGI environment HTTP_PROXY may come from a request's `Proxy` header and is not read."""
    link = PlatformLink(url="http://platform.example", allow_insecure=True)
    assert address_of(link, {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}).proxy is None
    assert address_of(link, {"HTTP_PROXY": "http://p:1"}).proxy is not None


@pytest.mark.parametrize("proxy", ["socks5://p:1", "p:1", "http://", "http://p:x", "ftp://p", "http://a..b"])
def test_bad_proxies(proxy: str) -> None:
    """A proxy that cannot be used is an error that names where it was set, and never a direct connection."""
    with pytest.raises(ConfigInvalid) as invalid:
        client_for(PlatformLink(url=HTTPS, proxy=proxy))
    assert invalid.value.key == "platform.proxy"


# Trust


@dataclass(frozen=True)
class Certificates:
    """A throw-away authority, a server certificate for 127.0.0.1 that it signed, and an authority that did not."""

    authority: Path
    stranger: Path
    server: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        "req",
        "-x509",
        *key,
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-days",
        "2",
        "-subj",
        "/CN=Test authority",
        "-addext",
        "keyUsage=critical,keyCertSign",
    )
    openssl(
        "req", "-x509", *key, "-keyout", "other.key", "-out", "other.pem", "-days", "2", "-subj", "/CN=Stranger"
    )
    # Python 3.13 checks what RFC 5280 asks for: what the authority may do, and who signed.
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    (directory / "san").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
    openssl(
        "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "2", "-extfile", "san", "-out", "server.pem",
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    return Certificates(directory / "ca.pem", directory / "other.pem", context)


async def test_ca_file_is_trusted(certificates: Certificates) -> None:
    """A platform whose certificate comes from `ca_file` is spoken to over TLS."""
    async with scripted_platform(certificates.server) as platform:
        platform.will(answer({"acknowledged": True}))
        url = f"https://127.0.0.1:{platform.port}"
        async with client_for(PlatformLink(url=url, ca_file=str(certificates.authority))) as client:
            await beat(client)
        assert platform.lines == ["POST /api/workers/wkr_1/heartbeat HTTP/1.1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_strangers_are_not_trusted(certificates: Certificates, host: str) -> None:
    """A certificate from nobody we know, or for another name, ends the conversation before the token is sent."""
    async with scripted_platform(certificates.server) as platform:
        ca_file = str(certificates.authority) if host == "localhost" else None
        async with client_for(PlatformLink(url=f"https://{host}:{platform.port}", ca_file=ca_file)) as client:
            with pytest.raises(PlatformUnreachable, match="certificate not trusted"):
                await beat(client)
        assert platform.heard == []


async def test_a_stalled_handshake_leaves_no_socket(certificates: Certificates) -> None:
    """A platform that never answers the TLS handshake costs the deadline, and the socket is closed then."""
    async with scripted_platform() as platform:  # it waits for the end of an HTTP request that never comes
        link = PlatformLink(url=f"https://127.0.0.1:{platform.port}", ca_file=str(certificates.authority))
        async with client_for(link) as client:
            with pytest.raises(PlatformUnreachable):
                await client.heartbeat("wkr_1", TOKEN, {}, timeout=0.2)
            await platform.hung_up()
    assert platform.connections == 1


async def test_stalled_tunnels_do_not_use_up_the_pool() -> None:
    """More handshakes that stall behind a proxy than the pool has places leave no socket and room for the next."""
    link = PlatformLink(url="https://platform.test")
    async with scripted_platform() as proxy, client_for(replace(link, proxy=proxy.url)) as client:
        for count in range(1, 41):
            proxy.will(Reply(b"HTTP/1.1 200 OK\r\n\r\n"))
            async with anyio.create_task_group() as group:
                group.start_soon(beat, client)
                await proxy.requests(count)
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
        await proxy.hung_up()
        proxy.will(answer({}, 407))
        with pytest.raises(PlatformUnreachable, match="407"):
            await beat(client)


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_bad_ca_file(tmp_path: Path, content: bytes | None) -> None:
    """A `ca_file` that is missing or holds no certificate is an error, and never a reason to trust somebody else."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigInvalid) as invalid:
        client_for(PlatformLink(url=HTTPS, ca_file=str(path)))
    assert invalid.value.key == "platform.ca_file"


def test_plain_loopback_loads_no_certificates() -> None:
    """Plain http to this machine costs no trust store in memory, and could trust nobody with what it has."""
    tls = address_of(PlatformLink(url="http://127.0.0.1:7735"), {}).tls
    assert tls.cert_store_stats()["x509_ca"] == 0
    assert tls.verify_mode is ssl.CERT_REQUIRED


# Settings that change


async def test_other_settings_are_used_from_the_next_request_on(certificates: Certificates) -> None:
    """A new `ca_file` makes the next request work; the URL stays."""
    async with scripted_platform(certificates.server) as platform:
        platform.will(answer({"acknowledged": True}))
        link = PlatformLink(url=f"https://127.0.0.1:{platform.port}")
        async with client_for(link) as client:
            with pytest.raises(PlatformUnreachable):
                await beat(client)
            await client.adopt(PlatformLink(url="https://elsewhere.test", ca_file=str(certificates.authority)))
            await beat(client)


async def test_a_replaced_ca_file_is_read_again(certificates: Certificates, tmp_path: Path) -> None:
    """The same settings adopted once more take a certificate that was replaced under the same name."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(certificates.stranger.read_bytes())
    async with scripted_platform(certificates.server) as platform:
        platform.will(answer({"acknowledged": True}))
        link = PlatformLink(url=f"https://127.0.0.1:{platform.port}", ca_file=str(ca_file))
        async with client_for(link) as client:
            with pytest.raises(PlatformUnreachable, match="certificate not trusted"):
                await beat(client)
            ca_file.write_bytes(certificates.authority.read_bytes())
            await client.adopt(link)
            await beat(client)


async def test_bad_settings_leave_the_old_ones(tmp_path: Path) -> None:
    """Settings that cannot be used raise, and the client goes on as before."""
    async with scripted_platform() as platform:
        platform.will(answer({"acknowledged": True}))
        async with client_for(PlatformLink(url="http://10.0.0.1", allow_insecure=True)) as insecure:
            with pytest.raises(ConfigInvalid):
                await insecure.adopt(PlatformLink(url="http://10.0.0.1"))
        async with client_for(PlatformLink(url=platform.url)) as client:
            await client.adopt(PlatformLink(url=platform.url))
            await beat(client)


async def test_a_request_in_flight_ends_as_it_began() -> None:
    """A held beat survives new settings and is answered on its old connection."""
    async with scripted_platform() as platform:
        release = anyio.Event()
        platform.will(answer({"acknowledged": True}, release=release), answer({"acknowledged": True}))
        async with client_for(PlatformLink(url=platform.url)) as client, anyio.create_task_group() as group:
            group.start_soon(beat, client)
            await platform.requests(1)
            await client.adopt(PlatformLink(url=platform.url, proxy="http://127.0.0.1:1"))
            await beat(client)
            release.set()
        assert len(platform.heard) == 2
        assert platform.connections == 2
