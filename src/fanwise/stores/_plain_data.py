"""Plain data as bytes, exactly.

That is None, bool, int, float, str, bytes, list, tuple and dict with str keys. JSON as it stands
where it has all that there is; where there are tuples or bytes, every container says what it is.
The first byte says which.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any, Final

ATOMS: Final = frozenset({str, int, float, bool, type(None)})
PLAIN: Final = b"p"
TAGGED: Final = b"q"


def encode_plain(value: Any) -> bytes | None:  # noqa: ANN401 - any value
    """Give the bytes of plain data, `None` for anything else; raise ValueError for the endless."""
    form = PLAIN if value.__class__ in ATOMS else form_of(value)
    if form is None:
        return None
    told = value if form == PLAIN else tagged(value)
    return form + json.dumps(told, separators=(",", ":")).encode()


def decode_plain(data: bytes) -> Any:  # noqa: ANN401 - as above
    """Give the data of its bytes."""
    found = json.loads(data[1:])
    return untagged(found) if data[:1] == TAGGED else found


def form_of(value: Any) -> bytes | None:  # noqa: ANN401 - any value
    """Say how a value is written; `None` where it is no plain data."""
    found = PLAIN
    stack = [value]
    seen: set[int] = set()
    for each in stack:
        kind = each.__class__
        if kind in ATOMS:
            continue
        if kind is bytes:
            found = TAGGED
            continue
        if kind not in (list, dict, tuple):
            return None
        if id(each) in seen:
            continue
        seen.add(id(each))
        if kind is dict:
            if not all(key.__class__ is str for key in each):
                return None
            stack += each.values()
        else:
            found = TAGGED if kind is tuple else found
            stack += each
    return found


def tagged(value: Any) -> Any:  # noqa: ANN401 - plain data
    """Give data in which every container says what it is."""
    kind = value.__class__
    if kind is list:
        return ["l", *map(tagged, value)]
    if kind is tuple:
        return ["t", *map(tagged, value)]
    if kind is dict:
        return ["d", {key: tagged(each) for key, each in value.items()}]
    return ["b", b64encode(value).decode()] if kind is bytes else value


def untagged(value: Any) -> Any:  # noqa: ANN401 - as above
    """Give the data of `tagged` again."""
    if value.__class__ is not list:
        return value
    tag, *rest = value
    if tag == "d":
        return {key: untagged(each) for key, each in rest[0].items()}
    if tag == "b":
        return b64decode(rest[0])
    return [*map(untagged, rest)] if tag == "l" else tuple(map(untagged, rest))
