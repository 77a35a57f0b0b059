"""The digest of a call's arguments: equal data, equal digest, in every process and version.

Problem: a journal, a retried parent and an idempotency key need to recognise a call by what it is
asked, never by `repr` or `id`, which differ between processes.
Method: a type-tagged, length-prefixed encoding (as in bencode and netstrings, so that no two
values share an encoding), hashed with BLAKE2b (RFC 7693) to 16 bytes. Linear in the data.
Rejected: JSON (bytes, tuples and non-finite floats are lost), pickle (not canonical, and it runs
code when read).
"""

from __future__ import annotations

from _blake2 import blake2b  # as `hashlib` has it, without loading OpenSSL: a millisecond
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from fanwise.core._errors import NotCanonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def digest_of(*parts: object) -> bytes:
    """Give the 16-byte digest of canonical data.

    Raises `NotCanonical` for anything but str, int, float, bool, None, bytes, lists, tuples, dicts
    with str keys, dataclasses and pydantic models.
    """
    out: list[bytes] = []
    for part in parts:
        _encode(part, out)
    return blake2b(b"".join(out), digest_size=16).digest()


def _encode(value: object, out: list[bytes]) -> None:
    encoder = _ENCODERS.get(type(value))
    if encoder is not None:
        encoder(value, out)
    elif is_dataclass(value) and not isinstance(value, type):
        _tagged(value, [(f.name, getattr(value, f.name)) for f in fields(value)], out)
    elif hasattr(value, "model_dump"):  # a pydantic model, without importing pydantic
        _tagged(value, sorted(value.model_dump(mode="python").items()), out)
    else:
        kind = type(value).__qualname__
        msg = f"a value of type {kind} has no canonical form"
        raise NotCanonical(msg)


def _atom(tag: bytes, text: bytes, out: list[bytes]) -> None:
    out.append(b"%b%d:%b" % (tag, len(text), text))


def _encode_str(value: str, out: list[bytes]) -> None:
    _atom(b"s", value.encode("utf-8", "surrogatepass"), out)


def _encode_bytes(value: bytes, out: list[bytes]) -> None:
    _atom(b"b", value, out)


def _encode_int(value: int, out: list[bytes]) -> None:
    _atom(b"i", b"%x" % value, out)  # decimal digits have a limit


def _encode_float(value: float, out: list[bytes]) -> None:
    _atom(b"f", value.hex().encode(), out)


def _encode_constant(value: object, out: list[bytes]) -> None:
    out.append({None: b"n", True: b"t", False: b"u"}[value])  # type: ignore[index]


def _encode_list(value: Iterable[object], out: list[bytes]) -> None:
    out.append(b"l" if isinstance(value, list) else b"p")
    for item in value:
        _encode(item, out)
    out.append(b"e")


def _encode_dict(value: Mapping[str, object], out: list[bytes]) -> None:
    out.append(b"d")
    for key in value:
        if not isinstance(key, str):
            msg = f"a dict with the key {key!r} has no canonical form: its keys must be str"
            raise NotCanonical(msg)
    for key in sorted(value):
        _encode_str(key, out)
        _encode(value[key], out)
    out.append(b"e")


def _tagged(value: object, items: list[tuple[str, object]], out: list[bytes]) -> None:
    kind = type(value)
    _atom(b"o", f"{kind.__module__}.{kind.__qualname__}".encode(), out)
    _encode_dict(dict(items), out)


_ENCODERS: dict[type, Callable[..., None]] = {
    str: _encode_str,
    bytes: _encode_bytes,
    int: _encode_int,
    float: _encode_float,
    bool: _encode_constant,
    type(None): _encode_constant,
    list: _encode_list,
    tuple: _encode_list,
    dict: _encode_dict,
}
