"""Public ids: version 7 UUIDs, which sort by the time of their making (RFC 9562, section 5.7)."""

from __future__ import annotations

import os
import time
from uuid import UUID

_VERSION_7 = 0x7 << 76
_VARIANT = 0x2 << 62
_last_millisecond = 0
_sequence = 0


def new_id() -> UUID:
    """Make an id that is greater than those this thread made before, unless the clock steps back."""
    # 48 bits of milliseconds, then a 12-bit sequence within the millisecond, then 62 random bits.
    # Threads may share a sequence number; the random bits keep their ids apart.
    global _last_millisecond, _sequence
    millisecond = time.time_ns() // 1_000_000
    _sequence = (_sequence + 1) & 0xFFF if millisecond == _last_millisecond else 0
    _last_millisecond = millisecond
    random_bits = int.from_bytes(os.urandom(8)) >> 2
    return UUID(int=millisecond << 80 | _VERSION_7 | _sequence << 64 | _VARIANT | random_bits)
