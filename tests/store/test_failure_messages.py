"""What becomes of an error's message before it is stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_curriculum._store.text import MOST_ERROR_CHARACTERS, message_of
from redis_curriculum.errors import InvalidInputError


class Mute(Exception):  # noqa: N818 - it only stands for a bad one
    def __str__(self) -> str:
        raise RuntimeError("not even that")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("as it is", "as it is"),
        ("  two\n\n lines\t", "two lines"),
        ("\x1b[31mred\x00", "\ufffd[31mred\ufffd"),
        ("\ud800", "\ufffd"),
        (ValueError("size"), "ValueError: size"),
        (ValueError(), "ValueError"),
        (ValueError("a\nb"), "ValueError: a b"),
        (Mute(), "Mute"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        ("x" * 500, "x" * 500),
        ("x" * 501, "x" * 497 + "..."),
    ],
    ids=repr,
)
def test_a_message_is_one_printable_line(error: object, message: str) -> None:
    assert message_of(error) == message


@given(st.text())
def test_whatever_is_said_it_is_printable_and_bounded(text: str) -> None:
    if text.split():
        message = message_of(text)
        assert message.isprintable()
        assert 0 < len(message) <= MOST_ERROR_CHARACTERS
        assert message.encode().decode() == message
        assert message_of(message) == message
    else:
        with pytest.raises(InvalidInputError, match="error must be an exception or a text"):
            message_of(text)


def test_a_long_text_is_cut_before_it_is_looked_at() -> None:
    assert len(message_of("ab " * 10**6)) == MOST_ERROR_CHARACTERS
