"""Task ids and label hashes: the same on every machine."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from redis_curriculum._values.rules import In
from redis_curriculum.errors import InvalidInputError

_MASK64 = 2**64 - 1
_LOW_BITS, _HIGH_BITS = 26, 27
_ROUNDS = 6
_INDEX, _SEED = In("[0, 2**53)"), In("[0, 2**63)")


def _mix(x: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): 64 bits to 64 bits."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK64
    return x ^ (x >> 31)


@lru_cache(maxsize=64)
def _round_keys(seed: int) -> tuple[tuple[int, int], ...]:
    keys = [_mix((seed + i * 0x9E3779B97F4A7C15) & _MASK64) for i in range(1, _ROUNDS + 1)]
    return tuple(zip(keys[::2], keys[1::2], strict=True))


def task_id_at(seed: int, index: int) -> int:
    """Return the ``index``-th task id of a seed; a bijection of [0, 2**53), a few microseconds.

    A Feistel network over halves of 26 and 27 bits: each round changes one half by a function of
    the other, hence it can be undone and no two indices meet. The values are pinned by a test.

    Raises:
        InvalidInputError: ``index`` is not in [0, 2**53), or ``seed`` not in [0, 2**63).
    """
    index, seed = int(_INDEX.require(index, "index")), int(_SEED.require(seed, "seed"))
    low, high = index & ((1 << _LOW_BITS) - 1), index >> _LOW_BITS
    for high_key, low_key in _round_keys(seed):
        high ^= _mix((low + high_key) & _MASK64) >> (64 - _HIGH_BITS)
        low ^= _mix((high + low_key) & _MASK64) >> (64 - _LOW_BITS)
    return high << _LOW_BITS | low


def label_hash(label: str) -> int:
    """Return the low 53 bits of the first 8 bytes (big-endian) of SHA-256 of the UTF-8 label.

    The same in every process and language, whatever ``PYTHONHASHSEED`` is.

    Raises:
        InvalidInputError: It is no text, or one with a lone surrogate.
    """
    try:
        data = label.encode()
    except (AttributeError, UnicodeEncodeError):
        raise InvalidInputError("label", "a text that is UTF-8", label) from None
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") & (2**53 - 1)
