"""What a URL says, and that no repr, message or pickle repeats its password."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from redis_curriculum._wire.urls import PASSWORD_VARIABLE, Address, parse, without_password
from redis_curriculum.errors import InvalidURLError

PARSED: list[tuple[str, dict[str, Any]]] = [
    ("redis://h", {"kind": "single", "hosts": (("h", 6379),), "db": 0}),
    ("redis://h:7/3", {"hosts": (("h", 7),), "db": 3}),
    ("redis://h?db=3", {"db": 3}),
    ("redis://[::1]:7", {"hosts": (("::1", 7),)}),
    ("redis://:p@h", {"username": None, "password": "p"}),
    ("redis://u:p%40%2F%3A@h", {"username": "u", "password": "p@/:"}),
    ("redis://u:p@q:r/s@h:7/1", {"username": "u", "password": "p@q:r/s", "hosts": (("h", 7),)}),
    ("redis://u@h", {"username": "u", "password": None}),
    ("rediss://h", {"tls": True, "tls_options": {}}),
    ("rediss://h?ssl_ca_certs=/ca", {"tls": True, "tls_options": {"ssl_ca_certs": "/ca"}}),
    (
        "rediss://h?ssl_check_hostname=false&insecure=true",
        {"tls_options": {"ssl_check_hostname": False}},
    ),
    ("rediss://h?ssl_cert_reqs=none&insecure=1", {"tls_options": {"ssl_cert_reqs": "none"}}),
    ("unix:///run/r.sock?db=2", {"kind": "unix", "path": "/run/r.sock", "db": 2}),
    ("unix://u:p@/run/a%20b", {"path": "/run/a b", "username": "u", "password": "p"}),
    ("embedded://", {"kind": "embedded", "path": ""}),
    ("embedded:///data/x%20y", {"kind": "embedded", "path": "/data/x y"}),
    (
        "redis+sentinel://a,b:7/main/2",
        {"kind": "sentinel", "hosts": (("a", 26379), ("b", 7)), "service": "main", "db": 2},
    ),
    ("rediss+sentinel://a/main", {"kind": "sentinel", "tls": True}),
    ("redis+cluster://a:1,b:2", {"kind": "cluster", "hosts": (("a", 1), ("b", 2))}),
    ("rediss+cluster://a", {"kind": "cluster", "tls": True, "hosts": (("a", 6379),)}),
]


@pytest.mark.parametrize(("url", "expected"), PARSED, ids=[url for url, _ in PARSED])
def test_what_a_url_says(url: str, expected: dict[str, Any]) -> None:
    address = parse(url)
    assert {name: getattr(address, name) for name in expected} == expected


@pytest.mark.parametrize("url", [url for url, _ in PARSED])
def test_the_public_form_says_the_same_but_for_the_password(url: str) -> None:
    address = parse(url)
    again = parse(address.public)
    assert again.password is None
    for name in ("kind", "hosts", "path", "service", "db", "username", "tls"):
        assert getattr(again, name) == getattr(address, name)
    assert parse(again.public) == again


@pytest.mark.parametrize(
    "url", ["redis://u:S3CRET@h/1", "unix://:S3CRET@/s", "redis+cluster://u:S3CRET@a,b"]
)
def test_no_repr_and_no_public_form_has_the_password(url: str) -> None:
    address = parse(url)
    assert str(address.secret) == "S3CRET"
    assert "S3CRET" not in repr(address)
    assert "S3CRET" not in address.public
    assert "S3CRET" not in without_password(f"cannot connect to {url}")
    assert b"S3CRET" not in pickle.dumps(address.public)


def test_a_password_comes_from_the_environment_where_the_url_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "from the environment")
    secrets = [parse(url).secret for url in ("redis://h", "redis://:own@h")]
    assert secrets == ["from the environment", "own"]
    assert parse("embedded://").secret is None, "an embedded server has none"
    assert "environment" not in repr(parse("redis://h"))
    monkeypatch.setenv(PASSWORD_VARIABLE, "")
    assert parse("redis://h").secret is None


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("rediss://h?ssl_check_hostname=false", "insecure=true as well"),
        ("rediss://h?ssl_check_hostname=maybe", "ssl_check_hostname=true or"),
        ("rediss://h?ssl_cert_reqs=optional", "required or none"),
        ("rediss://h?insecure=", "insecure=true or"),
        ("redis://h?insecure=true", "unknown option 'insecure'"),
        ("embedded://?db=1", "unknown option 'db'"),
        ("embedded://host/path", "absolute"),
        ("redis://h/123456", "number as database"),
        ("redis://h/\u0663", "number as database"),
        ("redis://h:+1", "port"),
        ("redis://a,", "host"),
        ("redis://h#1", "scheme"),
        ("REDIS://h", "scheme"),
        (" redis://h", "scheme"),
        ("redis+sentinel://a", "service"),
        ("redis+unix:///s", "known scheme"),
        ("redis://h?=1", "option"),
    ],
)
def test_what_is_no_url(url: str, rule: str) -> None:
    with pytest.raises(InvalidURLError) as caught:
        parse(url)
    assert rule in str(caught.value)
    assert caught.value.field == "url"


def test_a_password_among_the_options_is_refused_and_not_repeated() -> None:
    """Where redis-py would take it."""
    for url in ("redis://h?password=S3CRET", "rediss://h/0?db=1&ssl_Password=S3CRET&insecure=true"):
        with pytest.raises(InvalidURLError) as caught:
            parse(url)
        assert "S3CRET" not in str(caught.value) + repr(vars(caught.value))


def test_an_address_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        parse("redis://h").db = 3  # type: ignore[misc]
    assert Address(public="x", kind="single") == Address(public="x", kind="single")
