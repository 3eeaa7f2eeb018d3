"""How a request finds the server that answers it: redirects, scripts, lost and hanging servers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from redis import exceptions
from redis.crc import key_slot

from redis_curriculum._protocol.asking import is_retriable
from redis_curriculum._protocol.plan import Commands, Plan, Run, Sleep, one
from redis_curriculum._protocol.scripts import in_use, load, use
from redis_curriculum._wire.link import MOST_REDIRECTS, Link
from redis_curriculum._wire.steps import Exchange
from redis_curriculum._wire.urls import parse
from redis_curriculum.errors import (
    AuthenticationError,
    InvalidURLError,
    ScriptError,
    ServerError,
    ServerRefusedError,
    ServerUnavailableError,
)
from tests.families import VARIANTS
from tests.wire.network import Network, Server, Words, replies

SCRIPT = load("forget")
PORT = 6379
HOME = "redis://home"
CLUSTER = "redis+cluster://a,b,c"
SENTINEL = "redis+sentinel://s1,s2,s3/main"


def at(**servers: Server) -> Network:
    """A network of hosts on Redis's own port, or on that of Sentinels."""
    return Network({(h, 26379 if h.startswith("s") else PORT): one for h, one in servers.items()})


def link_to(url: str) -> Link:
    return Link(parse(url), 5.0)


def get(link: Link, network: Network, words: Sequence[Any] = ("GET", "k")) -> Any:
    return network.run(link.send(words, "k"))


# --- one exchange --------------------------------------------------------------------------------


def test_the_connection_is_held_open() -> None:
    link, network = link_to(HOME), at(home=replies("one", "two"))
    assert [get(link, network), get(link, network)] == ["one", "two"]
    assert (len(network.wires), network.open) == (1, ["home"])
    network.run(link.hang_up())
    assert network.open == []
    assert get(link, network) == "two"
    assert network.open == ["home"]


def test_numbers_are_sent_as_text() -> None:
    """hiredis crashes the process if a signal's handler raises while it packs a number."""
    network = at(home=replies("answer"))
    get(link_to(HOME), network, ("EVALSHA", "sha", 1, b"k", 2**53 - 1, 1 / 3))
    assert network.sent[-1][1] == (
        "EVALSHA",
        "sha",
        "1",
        b"k",
        "9007199254740991",
        "0.3333333333333333",
    )


@pytest.mark.parametrize(
    "interruption", [KeyboardInterrupt(), asyncio.CancelledError(), SystemExit()]
)
def test_an_interrupted_exchange_takes_its_connection_along(interruption: BaseException) -> None:
    """The late reply would answer the next call."""
    link, network = link_to(HOME), at(home=replies("first", interruption, "after"))
    get(link, network)
    with pytest.raises(type(interruption)):
        get(link, network)
    assert network.open == []
    assert get(link, network) == "after"
    assert (len(network.wires), network.open) == (2, ["home"])


@pytest.mark.parametrize(
    "failure", [TimeoutError(), exceptions.TimeoutError("late"), ConnectionResetError("reset")]
)
def test_a_lost_reply_leaves_it_open_whether_the_call_was_applied(failure: Exception) -> None:
    link, network = link_to(HOME), at(home=replies(failure, "after"))
    with pytest.raises(ServerUnavailableError, match=r"redis://home does not answer: .+") as lost:
        get(link, network)
    assert lost.value.applied == "unknown"
    assert network.open == []
    assert get(link, network) == "after"


def test_a_reply_that_cannot_be_read() -> None:
    """redis-py raises ``ValueError`` for it: text that is not UTF-8, a MOVED without an address."""
    unreadable = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    link, network = link_to(HOME), at(home=replies(unreadable, "after"))
    with pytest.raises(ScriptError, match="cannot be read or written") as failed:
        get(link, network)
    assert failed.value.applied == "unknown"
    assert network.open == []


def test_an_error_reply_leaves_the_connection_open() -> None:
    oom = exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
    link, network = link_to(HOME), at(home=replies(oom, "after"))
    with pytest.raises(ServerRefusedError) as refused:
        get(link, network)
    assert (refused.value.code, refused.value.applied) == ("OOM", "no")
    assert get(link, network) == "after"
    assert len(network.wires) == 1


def noting(noted: list[str]) -> Plan[Any]:
    """A plan that notes its end, as writes do."""
    try:
        return (yield Run(SCRIPT, "k", []))
    finally:
        noted.append("the end")


def test_an_interrupted_plan_ends_at_once() -> None:
    """Not only when nobody looks at the traceback any more."""
    noted: list[str] = []
    with pytest.raises(KeyboardInterrupt) as caught:
        at(home=replies(KeyboardInterrupt())).run(link_to(HOME).carry(noting(noted)))
    assert (noted, caught.tb is not None) == (["the end"], True)


def test_a_driver_that_ends_between_two_steps() -> None:
    """Ctrl-C outside of a step closes the plans; none of them can ask for a step any more."""
    noted: list[str] = []
    link, network = link_to(HOME), at(home=replies("answer"))
    steps = link.carry(noting(noted))
    connection = network.perform(next(steps))
    assert isinstance(steps.send(connection), Exchange)
    steps.close()
    assert noted == ["the end"]
    assert get(link, network) == "answer"
    assert len(network.wires) == 2, "the first may still be sent a reply"


def test_a_plan_hears_of_errors_and_goes_on() -> None:
    def patient() -> Plan[Any]:
        try:
            return (yield Run(SCRIPT, "k", []))
        except ServerError as error:
            return str(error)

    busy = exceptions.ResponseError("BUSY Redis is busy running a script.")
    network = at(home=replies(busy))
    assert "BUSY" in network.run(link_to(HOME).carry(patient()))


def test_a_plan_may_sleep() -> None:
    assert next(link_to(HOME).carry(one(Sleep(1.5)))) == Sleep(1.5)


# --- scripts -------------------------------------------------------------------------------------


def forgetful(times: int) -> Server:
    """A server that forgets scripts, so many times."""
    no_script = exceptions.NoScriptError("No matching script. Please use EVAL.")
    left = iter([no_script] * times)

    def server(words: Words) -> Any:
        if words[:2] == ("SCRIPT", "EXISTS"):
            return [1] * len(words[2:])
        return next(left, "answer") if words[0] == "EVALSHA" else "answer"

    return server


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_script_is_loaded_and_only_then_sent_whole(times: int) -> None:
    """EVAL is refused to least-privilege users: it is for what loading cannot reach."""
    network = at(home=forgetful(times))
    assert network.run(link_to(HOME).carry(one(Run(SCRIPT, "k", [1, 2])))) == "answer"
    known = ("EVALSHA", SCRIPT.sha, "1", "k", "1", "2")
    loads = [("SCRIPT", "LOAD", SCRIPT.source), known] if times else []
    whole = [("EVAL", SCRIPT.source, "1", "k", "1", "2")] if times == 2 else []
    sent = [words for _, words in network.sent if words[:2] != ("SCRIPT", "EXISTS")]
    assert sent == [known, *loads, *whole]


def test_what_else_may_be_called_is_loaded_with_it() -> None:
    """By who may load scripts, for those who may not; only what is missing."""
    use(VARIANTS["uniform"])
    others = in_use()
    absent = {others[3].sha, others[5].sha}

    def server(words: Words) -> Any:
        if words[:2] == ("SCRIPT", "EXISTS"):
            return [int(sha not in absent) for sha in words[2:]]
        return forget(words)

    forget = forgetful(1)
    network = at(home=server)
    assert network.run(link_to(HOME).carry(one(Run(SCRIPT, "k", [])))) == "answer"
    loads = [words[2] for _, words in network.sent if words[:2] == ("SCRIPT", "LOAD")]
    assert loads == [SCRIPT.source, others[3].source, others[5].source]
    assert network.sent[-1][1][:2] == ("EVALSHA", SCRIPT.sha)


def denied(command: str) -> exceptions.NoPermissionError:
    return exceptions.NoPermissionError(f"User w has no permissions to run the '{command}' command")


def test_who_may_load_nothing_waits_for_others() -> None:
    def server(words: Words) -> Any:
        if words[0] == "EVALSHA":
            return exceptions.NoScriptError("No matching script. Please use EVAL.")
        return denied("script|load" if words[0] == "SCRIPT" else str(words[0]).lower())

    network = at(home=server)
    with pytest.raises(ServerRefusedError, match="acl --load") as caught:
        network.run(link_to(HOME).carry(one(Run(SCRIPT, "k", []))))
    assert (caught.value.code, caught.value.applied) == ("NOSCRIPT", "no")
    assert is_retriable(caught.value)
    assert [words[0] for _, words in network.sent] == ["EVALSHA", "SCRIPT", "EVAL"]


def test_a_proxy_without_script_gets_it_whole() -> None:
    def server(words: Words) -> Any:
        if words[0] == "EVAL":
            return "answer"
        unknown = exceptions.ResponseError(f"unknown command `{words[0]!s}`, with args beginning")
        return unknown if words[0] == "SCRIPT" else exceptions.NoScriptError("No matching script.")

    network = at(home=server)
    assert network.run(link_to(HOME).carry(one(Run(SCRIPT, "k", [])))) == "answer"
    assert [words[0] for _, words in network.sent] == ["EVALSHA", "SCRIPT", "EVAL"]


# --- many commands at once -----------------------------------------------------------------------


MANY = Commands([("GET", "k"), ("GET", "l")], "k")


def test_many_commands_go_at_once() -> None:
    network = at(home=replies(b"one", b"two"))
    assert network.run(link_to(HOME).carry(one(MANY))) == [b"one", b"two"]


def test_many_commands_follow_a_slot_that_has_moved() -> None:
    network = at(a=replies(moved("b"), b"x"), b=replies(b"one", b"two"))
    link = link_to("redis://a")
    assert network.run(link.carry(one(MANY))) == [b"one", b"two"]
    assert network.open == ["b"]


def test_many_commands_wait_for_a_slot_that_is_moving() -> None:
    network = at(home=replies(b"x", ask("b"), b"one", b"two"))
    link = link_to(HOME)
    with pytest.raises(ServerRefusedError) as caught:
        network.run(link.carry(one(MANY)))
    assert caught.value.code == "ASK"
    assert is_retriable(caught.value)
    assert network.run(link.carry(one(MANY))) == [b"one", b"two"]


def test_a_script_names_a_second_key_on_a_cluster() -> None:
    network = at(a=owned_by("a"), b=owned_by("a"), c=owned_by("a"))
    network.run(link_to(CLUSTER).carry(one(Run(SCRIPT, "k", []))))
    assert network.sent[-1] == ("a", ("EVALSHA", SCRIPT.sha, "2", "k", "k:absent"))


# --- redirects -----------------------------------------------------------------------------------


def moved(host: str, port: int = PORT) -> exceptions.MovedError:
    return exceptions.MovedError(f"1234 {host}:{port}")


def ask(host: str, port: int = PORT) -> exceptions.AskError:
    return exceptions.AskError(f"1234 {host}:{port}")


def test_moved_is_followed_and_remembered() -> None:
    link, network = link_to(HOME), at(home=replies(moved("b")), b=replies("here"))
    assert [get(link, network), get(link, network)] == ["here", "here"]
    assert [host for host, _ in network.sent] == ["home", "b", "b"]
    assert network.open == ["b"]


def test_moved_without_a_host_means_the_same_host() -> None:
    network = Network({("home", PORT): replies(moved("")), ("home", 7): replies("here")})
    network.servers["home", PORT] = replies(moved("", 7))
    assert get(link_to(HOME), network) == "here"


def test_moved_to_a_node_that_is_gone_begins_anew() -> None:
    link, network = link_to(HOME), at(home=replies(moved("gone"), "back"))
    with pytest.raises(ServerUnavailableError) as lost:
        get(link, network)
    assert lost.value.applied == "no"
    assert get(link, network) == "back"


def test_redirects_come_to_an_end() -> None:
    link, network = link_to(HOME), at(home=replies(moved("b")), b=replies(moved("home")))
    with pytest.raises(ServerUnavailableError, match="redirected without end") as lost:
        get(link, network)
    assert lost.value.applied == "no"
    assert len(network.sent) == MOST_REDIRECTS
    assert network.open == []


def test_ask_is_followed_once() -> None:
    """The slot is on its way: the next command about it begins at the old node again."""
    link, network = link_to(HOME), at(home=replies(ask("b"), "still"), b=replies("OK", "there"))
    assert get(link, network) == "there"
    asked = [("home", ("GET", "k")), ("b", ("ASKING",)), ("b", ("GET", "k"))]
    assert network.sent == asked
    assert network.open == ["home"]
    assert get(link, network) == "still"
    assert len(network.wires) == 2


@pytest.mark.parametrize("again", [ask("c"), moved("home")], ids=["ASK", "MOVED"])
def test_ask_that_leads_on_is_tried_again_later(again: Exception) -> None:
    network = at(home=replies(ask("b")), b=replies("OK", again))
    with pytest.raises(ServerRefusedError) as refused:
        get(link_to(HOME), network)
    assert (refused.value.code, refused.value.applied) == (type(again).__name__[:-5].upper(), "no")
    assert network.open == ["home"]


def test_ask_that_leads_nowhere_or_whose_reply_is_lost() -> None:
    link, network = link_to(HOME), at(home=replies(ask("b")), b=replies("OK", TimeoutError()))
    with pytest.raises(ServerUnavailableError) as lost:
        get(link, network)
    assert lost.value.applied == "unknown"
    assert network.open == ["home"]
    del network.servers["b", PORT]
    with pytest.raises(ServerUnavailableError) as unreachable:
        get(link, network)
    assert unreachable.value.applied == "no"


def test_an_interruption_while_asking_closes_the_other_connection() -> None:
    network = at(home=replies(ask("b")), b=replies("OK", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        get(link_to(HOME), network)
    assert network.open == ["home"]


# --- Sentinel ------------------------------------------------------------------------------------


def says(host: str | None, *, flags: str = "master", listed: str = "old") -> Server:
    """A Sentinel: who it names, and what it lists."""
    named = None if host is None else [host, str(PORT)]
    state = ["name", "main", "ip", listed, "port", str(PORT), "flags", flags]
    return lambda words: state if words[1] == "MASTER" else named


def test_the_promoted_one_is_found() -> None:
    """The Sentinel that leads a failover lists the old primary a little longer; it may be back."""
    network = at(s1=says("new", listed="old"), new=replies("primary"), old=replies("empty"))
    assert get(link_to(SENTINEL), network) == "primary"
    assert network.open == ["new"]


def hangs(_: Words) -> Any:
    return exceptions.TimeoutError("Timeout reading from socket")


@pytest.mark.parametrize(
    "first",
    [
        hangs,
        replies(exceptions.ResponseError("No such master with that name")),
        replies(exceptions.AuthenticationError("Authentication required.")),
        says("old", flags="s_down,master"),
        says("old", flags="s_down,o_down,master,failover_in_progress"),
        says(None),
        None,
    ],
    ids=["hangs", "unknown", "locked", "down", "failover", "none", "dead"],
)
def test_a_sentinel_that_does_not_know_is_passed_over(first: Server | None) -> None:
    servers = {"s2": says("new"), "s3": says("old"), "new": replies("primary")}
    link, network = link_to(SENTINEL), at(**servers, **({"s1": first} if first else {}))
    assert get(link, network) == "primary"
    assert network.open == ["new"]
    network.run(link.hang_up())
    asked = len(network.sent)
    assert get(link, network) == "primary"
    assert {host for host, _ in network.sent[asked:]} == {"s2", "new"}, "who knew is asked first"


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ReadOnlyError("You can't write against a read only replica."),
        exceptions.MasterDownError("Link with MASTER is down"),
        exceptions.ResponseError("Error running script: @user_script:4: -READONLY You can't write"),
    ],
    ids=["READONLY", "MASTERDOWN", "wrapped"],
)
def test_a_demoted_primary_is_left(error: Exception) -> None:
    network = at(s1=says("old"), old=replies("primary", error), new=replies("promoted"))
    link = link_to(SENTINEL)
    assert get(link, network) == "primary"
    with pytest.raises(ServerRefusedError) as refused:
        get(link, network)
    assert refused.value.applied == "no"
    assert network.open == []
    network.servers["s1", 26379] = says("new")
    assert get(link, network) == "promoted"
    assert network.open == ["new"]


def test_no_sentinel_knows() -> None:
    """Some may know a little later; each says what it lacks."""
    network = at(s1=hangs, s2=says("old", flags="s_down,master"))
    with pytest.raises(ServerUnavailableError) as lost:
        get(link_to(SENTINEL), network)
    assert lost.value.applied == "no"
    for part in ("s1:26379: Timeout", "s2:26379: the primary of 'main' is down", "s3:26379: Error"):
        assert part in str(lost.value)
    assert network.open == []


def test_all_sentinels_refuse() -> None:
    """Waiting would not help."""
    network = at(**dict.fromkeys(("s1", "s2", "s3"), locked))
    with pytest.raises(AuthenticationError, match="REDIS_CURRICULUM_SENTINEL_PASSWORD"):
        get(link_to(SENTINEL), network)
    unknown = replies(exceptions.ResponseError("No such master with that name"))
    with pytest.raises(InvalidURLError, match="a service that the Sentinels know"):
        get(link_to(SENTINEL), at(**dict.fromkeys(("s1", "s2", "s3"), unknown)))


def locked(_: Words) -> Any:
    return exceptions.AuthenticationError("Authentication required.")


def test_sentinels_get_their_own_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_CURRICULUM_SENTINEL_PASSWORD", "theirs")
    network = at(s1=says("new"), new=replies("primary"))
    get(link_to("redis+sentinel://user:ours@s1/main/3"), network)
    asked, used = network.connects
    assert (asked.options.get("username"), asked.options["password"]) == (None, "theirs")
    assert "db" not in asked.options
    assert (used.options["username"], used.options["password"]) == ("user", "ours")
    assert used.options["db"] == 3


# --- Cluster -------------------------------------------------------------------------------------


def owned_by(host: str | None, port: int = PORT) -> Server:
    """A node that gives half of the slots, with that of ``k``, to a primary."""
    slot = key_slot(b"k")
    rows = [[0, slot - 1, ["other", PORT, "id"]], [slot, 16383, [host, port, "id"], ["r", 1, "i"]]]
    return lambda words: rows if words == ("CLUSTER", "SLOTS") else host


def test_the_owner_of_the_slot_is_found() -> None:
    network = at(a=owned_by("c"), c=owned_by("c"))
    assert get(link_to(CLUSTER), network) == "c"
    assert network.open == ["c"]


def test_a_node_that_hangs_is_passed_over() -> None:
    link, network = link_to(CLUSTER), at(a=hangs, b=owned_by("c"), c=owned_by("c"))
    assert get(link, network) == "c"
    assert network.open == ["c"]


@pytest.mark.parametrize("nameless", ["", None])
def test_a_node_that_does_not_know_its_own_name(nameless: str | None) -> None:
    network = Network({("a", PORT): owned_by(nameless, 7), ("a", 7): replies("here")})
    assert get(link_to(CLUSTER), network) == "here"


def test_a_lost_owner_is_looked_for_again() -> None:
    link, network = link_to(CLUSTER), at(a=owned_by("b"), b=replies("b", TimeoutError()))
    assert get(link, network) == "b"
    with pytest.raises(ServerUnavailableError):
        get(link, network)
    network.servers |= at(a=owned_by("c"), c=replies("c")).servers
    assert get(link, network) == "c"


def test_clusterdown_is_looked_for_again() -> None:
    down = exceptions.ClusterDownError("The cluster is down")
    link, network = link_to(CLUSTER), at(a=owned_by("b"), b=replies(down), c=replies("c"))
    with pytest.raises(ServerRefusedError) as refused:
        get(link, network)
    assert refused.value.code == "CLUSTERDOWN"
    network.servers["a", PORT] = owned_by("c")
    assert get(link, network) == "c"


def test_a_slot_that_nobody_holds() -> None:
    uncovered = replies([[0, key_slot(b"k") - 1, ["a", PORT, "id"]]])
    with pytest.raises(ServerUnavailableError, match=f"no node holds slot {key_slot(b'k')}"):
        get(link_to(CLUSTER), at(a=uncovered, b=uncovered, c=uncovered))


def test_a_server_that_is_no_cluster() -> None:
    alone = replies(exceptions.ResponseError("This instance has cluster support disabled"))
    with pytest.raises(InvalidURLError, match="not part of a cluster"):
        get(link_to(CLUSTER), at(a=alone, b=alone, c=alone))


# --- embedded ------------------------------------------------------------------------------------


def test_an_embedded_server_is_started_in_a_thread() -> None:
    link = link_to("embedded:///nowhere")
    network = Network({})
    network.refuse = lambda step: exceptions.ConnectionError(f"no {step.options['path']}")
    for times in (1, 2):
        with pytest.raises(ServerUnavailableError):
            get(link, network)
        assert len(network.threads) == times, "it may have ended, so each time"
    network.run(link.hang_up())
    assert len(network.threads) == 3
