"""The random stream of a curriculum: MRG32k3a.

Source: P. L'Ecuyer 1999, "Good Parameters and Implementations for Combined Multiple Recursive
Random Number Generators", Operations Research 47(1), 159-164.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

INDEX_TRIES = 16
_TEXT_SIZE: Final = 48

M1 = 4294967087
M2 = 4294944443

State = tuple[int, int, int, int, int, int]


class RandomStream:
    """MRG32k3a, the combined multiple recursive generator of L'Ecuyer (1999).

    Two recurrences of order three, modulo m1 and m2, are subtracted; the period is about 2**191.
    Every intermediate value is a whole number below 2**53, so a double holds it exactly and Lua,
    C and Python give the same numbers.

    Args:
        state: Six numbers, as in ``state``, from which it goes on.
    """

    def __init__(self, state: Sequence[int]) -> None:
        s10, s11, s12, s20, s21, s22 = state
        self._state: State = (s10, s11, s12, s20, s21, s22)

    @classmethod
    def from_seed(cls, seed: int) -> RandomStream:
        """Return the stream of a curriculum's seed; SHA-512 keeps near seeds far apart."""
        digest = hashlib.sha512(b"redis-curriculum stream %d" % seed).digest()
        words = [int.from_bytes(digest[i : i + 8], "big") for i in range(0, 48, 8)]
        moduli = [M1, M1, M1, M2, M2, M2]
        return cls([word % (m - 1) + 1 for word, m in zip(words, moduli, strict=True)])

    @classmethod
    def from_text(cls, text: str) -> RandomStream:
        """Return a stream that goes on from ``text``.

        Raises:
            ValueError: It is not six numbers of eight hexadecimal digits.
        """
        if len(text) != _TEXT_SIZE or not re.fullmatch("[0-9a-f]+", text):
            raise ValueError(text)
        return cls([int(text[i : i + 8], 16) for i in range(0, _TEXT_SIZE, 8)])

    @property
    def text(self) -> str:
        """The state as it is stored: six numbers of eight hexadecimal digits each."""
        return "".join(f"{number:08x}" for number in self._state)

    @property
    def state(self) -> State:
        """The six numbers s10 s11 s12 (below m1) and s20 s21 s22 (below m2)."""
        return self._state

    def number(self) -> int:
        """Return the next z, uniform on the integers 1 to m1."""
        s10, s11, s12, s20, s21, s22 = self._state
        p1 = (1403580 * s11 - 810728 * s10) % M1
        p2 = (527612 * s22 - 1370589 * s20) % M2
        self._state = (s11, s12, p1, s21, s22, p2)
        return p1 - p2 if p1 > p2 else p1 - p2 + M1

    def uniform(self) -> float:
        """Return the next number in (0, 1)."""
        return self.number() * 2.328306549295727688e-10

    def index(self, n: int) -> int:
        """Return an integer from 0 to n - 1, each equally likely.

        Numbers above the largest multiple of n are drawn again, at most 16 times: by then the
        remaining bias is below (n / 2**32)**16.
        """
        limit = M1 - M1 % n
        k = 0
        for _ in range(INDEX_TRIES):
            k = self.number() - 1
            if k < limit:
                break
        return k % n
