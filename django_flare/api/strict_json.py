"""Read JSON as RFC 8259 has it, without what parsers let pass, and without recursing into what is hostile."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NoReturn

from django_flare.api.problems import ProblemError, problem, refused
from django_flare.definitions.json_values import HIGHEST_INTEGER

# Without backtracking, and one that does not end goes to the end of the text: hostile escapes stay linear.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_OTHERS = bytes(set(range(256)) - set(_STEPS))
# In pieces, so that what goes deep is known at once.
_PIECE = 16_384
# Longer integers lie outside 64 bits, and reading one of a million digits takes seconds.
_MOST_DIGITS = 20


def parse(data: bytes, deepest: int) -> Any:
    """Return the value that `data` is: UTF-8 without a mark, no name twice in an object, no NaN.

    Raises the problem `malformed_json`, `invalid_payload` for what is nested deeper than `deepest`
    levels, `invalid_request` for a name given twice. An integer beyond 64 bits becomes one just beyond.
    """
    _require_shallow(data, deepest)
    try:
        # Decoded here: the parser itself would guess UTF-16 and UTF-32 too.
        return _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at line {error.lineno}, column {error.colno}") from None


def _require_shallow(data: bytes, deepest: int) -> None:
    """Count brackets before anything is parsed: parsers recurse, and end with the stack."""
    if data.count(b"[") + data.count(b"{") <= deepest:
        return
    brackets = _STRING.sub(b"", data).translate(None, _OTHERS)
    depth = 0
    for start in range(0, len(brackets), _PIECE):
        piece = brackets[start : start + _PIECE]
        depths = list(accumulate(map(_STEPS.__getitem__, piece), initial=depth))
        if max(depths) > deepest:
            raise refused("body", f"nested deeper than {deepest} levels", "too_deep", "invalid_payload")
        depth = depths[-1]


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise refused("body", f"an object names {twice[:100]!a} twice", "duplicate_key")
    return members


def _constant(name: str) -> NoReturn:
    raise _malformed(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) <= _MOST_DIGITS:
        return int(digits)
    return -HIGHEST_INTEGER - 2 if digits.startswith("-") else HIGHEST_INTEGER + 1


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant, parse_int=_integer)


def _malformed(text: str) -> ProblemError:
    return problem("malformed_json", f"the body is not JSON: {text}")
