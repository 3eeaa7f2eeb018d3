"""What a URL says, and that no repr, message or pickle repeats its password."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from redis_curriculum._wire.urls import PASSWORD_VARIABLE, Address, parse
from redis_curriculum.errors import InvalidInputError, InvalidURLError, without_password

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
    ("embedded://?run=7f-A_", {"kind": "embedded", "path": "", "run": "7f-A_"}),
    ("embedded:///data/x%20y", {"kind": "embedded", "path": "/data/x y"}),
    (
        "redis+sentinel://a,b:7/main/2",
        {"kind": "sentinel", "hosts": (("a", 26379), ("b", 7)), "service": "main", "db": 2},
    ),
    ("rediss+sentinel://a/main", {"kind": "sentinel", "tls": True}),
    ("redis+cluster://a:1,b:2", {"kind": "cluster", "hosts": (("a", 1), ("b", 2))}),
    ("rediss+cluster://a", {"kind": "cluster", "tls": True, "hosts": (("a", 6379),)}),
    ("valkey://h:7", {"kind": "single", "hosts": (("h", 7),), "tls": False}),
    ("valkeys://h", {"kind": "single", "tls": True}),
    ("valkey+cluster://h", {"kind": "cluster"}),
    ("REDIS://H:7/2", {"kind": "single", "hosts": (("H", 7),), "db": 2}),
    ("Rediss+Sentinel://a/main", {"kind": "sentinel", "tls": True, "service": "main"}),
    (" \tredis://h:7/3\n", {"hosts": (("h", 7),), "db": 3}),
    ("redis://h/3?protocol=3&health_check_interval=30", {"db": 3, "public": "redis://h/3"}),
    ("redis://h?prefix=team-a:", {"prefix": "team-a:", "public": "redis://h?prefix=team-a:"}),
    ("redis://h?db=1&prefix=a%3Ab", {"prefix": "a:b", "db": 1}),
    ("unix:///s?prefix=team-a:", {"prefix": "team-a:"}),
    ("embedded:///d?prefix=team-a:", {"prefix": "team-a:", "path": "/d"}),
    ("redis+cluster://a?prefix=x/", {"prefix": "x/"}),
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
    for name in ("kind", "hosts", "path", "service", "db", "username", "tls", "prefix"):
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
        ("embedded://?run=a/b", "run="),
        ("embedded://?run=", "run="),
        ("embedded:///d?run=a", "unknown option 'run'"),
        ("redis://h/123456", "number as database"),
        ("redis://h/\u0663", "number as database"),
        ("redis://h:+1", "port"),
        ("redis://a,", "host"),
        ("redis://h#1", "scheme"),
        ("redis ://h", "scheme"),
        ("redis://h?protocol=4", "protocol="),
        ("redis://h?health_check_interval=often", "health_check_interval="),
        ("redis://h?socket_timeout=3", "WorkerSettings(timeout_s=...)"),
        ("redis://h?retry_on_timeout=true", "WorkerSettings(retry_deadline_s=...)"),
        ("redis://h?username=u", "user:password@"),
        ("redis://h?prefix=a{b}:", "prefix of up to 128"),
        ("redis://h?prefix=a*", "prefix of up to 128"),
        ("redis://h?prefix=" + 129 * "a", "prefix of up to 128"),
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


MALFORMED = [
    "u:S3CRET@h",
    "u:S3CRET@h:6379/0",
    "redis:u:S3CRET@h",
    "redis:/u:S3CRET@h",
    "redis//u:S3CRET@h",
    "redis//:S3CRET@h",
    "http://u:S3CRET@h",
    "redis ://u:S3CRET@h",
    "redis://u:S3CRET",
    "redis://u:S3CRET/0",
    "redis://:S3CRET",
    "redis://u:S3CRET:h:6379",
    "redis://u:S3CRET%40h:6379",
    "redis://u:x#S3CRET@h",
    "redis://u:x#S3CRET",
    "redis://u:x?S3CRET@h",
    "redis://u:x?S3CRET",
    "redis://u:x\nS3CRET@h:no",
    "redis://u:x@S3CRET@h:no",
    "redis://u:x/S3CRET@h:99999",
    "redis://h:6379?auth=S3CRET",
    "redis://h:6379?token=S3CRET&db=1",
    "redis://h?password=S3CRET",
    "redis://u:S3CRET@[::1",
    "redis+sentinel://u:S3CRET@a,b",
    "unix://u:S3CRET@run/s",
    "redis://h:6379,password=S3CRET,ssl=True",
    "redis://h:6379/0&password=S3CRET",
    "redis://h?db=0;password=S3CRET",
    "host=h password=S3CRET",
    b"redis://u:S3CRET@h",
    ("redis://u:S3CRET@h",),
]


@pytest.mark.parametrize("url", MALFORMED, ids=repr)
def test_a_malformed_url_never_shows_its_password(url: object) -> None:
    with pytest.raises(InvalidURLError) as caught:
        parse(url)
    assert "S3CRET" not in str(caught.value) + repr(caught.value) + repr(vars(caught.value))


@pytest.mark.parametrize(
    "host", ["a..b", ".", "x" * 64, "h h", "h%20h", "h\0h", "a%2Fb", "a;b=1"], ids=ascii
)
def test_a_host_that_cannot_be_looked_up_is_refused_as_such(host: str) -> None:
    with pytest.raises(InvalidURLError, match="with a host that can be looked up"):
        parse(f"redis+cluster://:S3CRET@h,{host}:6379")


def test_a_url_in_the_place_of_something_else_hides_its_password() -> None:
    caught = InvalidInputError("name", "a name", "redis://u:S3CRET@h")
    assert "S3CRET" not in str(caught) + repr(vars(caught))


def test_a_malformed_url_is_shown_as_far_as_it_helps() -> None:
    for url, shown in (
        ("redis://u:pw@h:x/0", "redis://u:***@h:***/0"),
        ("redis://h:6379/x", "redis://h:6379/x"),
        ("rediss://[::1]:7/0?ssl_cert_reqs=no", "rediss://[::1]:7/0?ssl_cert_reqs=no"),
        ("redis://h:70000", "redis://h:70000"),
    ):
        with pytest.raises(InvalidURLError) as caught:
            parse(url)
        assert shown in str(caught.value)


def test_a_prefix_may_be_given_beside_the_url() -> None:
    plain, named = parse("redis://h/1"), parse("redis://h/1?prefix=a:")
    assert plain.with_prefix("a:") == named
    assert parse("redis://h?db=1").with_prefix("a:").public == "redis://h?db=1&prefix=a:"
    assert named.with_prefix(None) == named.with_prefix("a:") == named
    for other in ("b:", ""):
        with pytest.raises(InvalidInputError, match="'a:' as in the URL"):
            named.with_prefix(other)


def test_an_address_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        parse("redis://h").db = 3  # type: ignore[misc]
    assert Address(public="x", kind="single") == Address(public="x", kind="single")
