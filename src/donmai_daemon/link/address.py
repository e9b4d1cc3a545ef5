"""Where the platform is, and the way there: `[platform]` checked and turned into a base URL, a proxy, a trust store."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from donmai_daemon.errors import ConfigInvalid
from donmai_daemon.model.config import PlatformLink

_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


@dataclass(frozen=True, slots=True)
class Address:
    """`base` has no trailing slash; `proxy` is None where the connection is direct."""

    base: str
    proxy: httpx.Proxy | None
    tls: ssl.SSLContext


def address_of(platform: PlatformLink, environ: Mapping[str, str]) -> Address:
    """Check `[platform]`. Raises `ConfigInvalid` with the key to blame."""
    url = _checked_url(platform)
    tls = _trust(platform.ca_file) if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    named = None if is_loopback(url.host) else platform.proxy or _environment_proxy(url, environ)
    proxy = _checked_proxy(named, platform) if named else None
    return Address(str(url).rstrip("/"), proxy, tls)


def is_loopback(host: str) -> bool:
    """Whether `host` can only mean this machine: 127.0.0.0/8, ::1 or localhost."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_url(platform: PlatformLink) -> httpx.URL:
    key = "platform.url"
    if not platform.url:
        raise ConfigInvalid("there is no platform to dial", key=key)
    try:
        url = httpx.URL(platform.url)
    except httpx.InvalidURL as error:
        raise ConfigInvalid("not a URL", key=key) from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigInvalid("must begin with https:// (or http:// for this machine) and name a host", key=key)
    if not _is_host(url):
        raise ConfigInvalid("does not name a host that there can be", key=key)
    if url.userinfo:
        raise ConfigInvalid("must not carry a user name or password", key=key, hint="use platform.token_file")
    if url.query or url.fragment:
        raise ConfigInvalid("must not have a query or a fragment", key=key)
    if url.scheme == "http" and not is_loopback(url.host) and not platform.allow_insecure:
        raise ConfigInvalid(
            "http:// would send the token in clear to another machine",
            key=key,
            hint="use https://, or set platform.allow_insecure = true",
        )
    return url


def _is_host(url: httpx.URL) -> bool:
    """Whether name resolution can be asked for it: it raises what it should not for labels that are empty or too long."""
    return ":" in url.host or _HOST.fullmatch(url.raw_host.decode("ascii")) is not None


def _trust(ca_file: str | None) -> ssl.SSLContext:
    """`ca_file` alone where it is set; else the system's certificates; else those that come with httpx."""
    if ca_file is not None:
        try:
            return ssl.create_default_context(cafile=ca_file)
        except ssl.SSLError as error:
            raise ConfigInvalid("holds no usable PEM certificate", key="platform.ca_file") from error
        except OSError as error:
            raise ConfigInvalid(f"cannot be read: {error.strerror}", key="platform.ca_file") from error
    system = ssl.get_default_verify_paths()
    if system.cafile or (system.capath and any(Path(system.capath).iterdir())):
        return ssl.create_default_context()
    return httpx.create_ssl_context(trust_env=False)


def _environment_proxy(url: httpx.URL, environ: Mapping[str, str]) -> str | None:
    """As curl reads it: `https_proxy` or `http_proxy`, else `all_proxy`, unless `no_proxy` exempts the host.

    Upper case counts too, except `HTTP_PROXY` in a CGI environment, where a request header could have set it.
    """
    cgi = "REQUEST_METHOD" in environ

    def read(name: str) -> str:
        return environ.get(name) or ("" if cgi and name == "http_proxy" else environ.get(name.upper(), ""))

    if _exempt(url.host, read("no_proxy")):
        return None
    proxy = read(f"{url.scheme}_proxy") or read("all_proxy")
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def _exempt(host: str, no_proxy: str) -> bool:
    for entry in (part.strip().lower().lstrip(".") for part in no_proxy.split(",")):
        if entry == "*" or (entry and (host == entry or host.endswith(f".{entry}"))):
            return True
        try:
            if entry and ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False):
                return True
        except (ValueError, TypeError):
            continue
    return False


def _checked_proxy(named: str, platform: PlatformLink) -> httpx.Proxy:
    blame = "platform.proxy" if platform.proxy else "the proxy variable of the environment"
    try:
        proxy = httpx.Proxy(named)
    except (httpx.InvalidURL, ValueError) as error:
        raise ConfigInvalid("not a proxy URL", key=blame) from error
    if proxy.url.scheme not in {"http", "https"} or not _is_host(proxy.url):
        raise ConfigInvalid("only http:// and https:// proxies are supported", key=blame)
    if proxy.url.scheme == "https":
        proxy.ssl_context = _trust(platform.ca_file)
    return proxy
