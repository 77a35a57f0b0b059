"""Forms with files (RFC 7578), as far as uploads of official clients need them."""

from __future__ import annotations

from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.policy import HTTP
from typing import TYPE_CHECKING

from fanwise.testing.twin._http import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fanwise.testing.twin._http import Request


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form; `filename` is None where it is no file."""

    content: bytes
    filename: str | None = None


def read_form(request: Request) -> Mapping[str, FormField]:
    """Return the fields by name; raises Refused (400) where the body is no such form."""
    kind = BytesHeaderParser(policy=HTTP).parsebytes(
        b"Content-Type: " + request.headers.get("content-type", "").encode("latin-1")
    )
    boundary = kind.get_boundary()
    if kind.get_content_type() != "multipart/form-data" or boundary is None:
        raise Refused(400, "invalid", "the body must be multipart/form-data with a boundary")
    mark = b"\r\n--" + boundary.encode("latin-1")
    first, *fields = (b"\r\n" + request.body).split(mark)
    if first or not fields or not fields[-1].startswith(b"--"):
        raise Refused(400, "invalid", "the form ends before its last boundary")
    return dict(_field(each) for each in fields[:-1])


def _field(text: bytes) -> tuple[str, FormField]:
    head, blank, content = text.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    disposition = BytesHeaderParser(policy=HTTP).parsebytes(head)["content-disposition"]
    name = None if disposition is None else disposition.params.get("name")
    if not blank or name is None:
        raise Refused(400, "invalid", "a field of the form has no name")
    filename = disposition.params.get("filename")
    return name, FormField(content, None if filename is None else _unescaped(filename))


def _unescaped(filename: str) -> str:
    """Undo what browsers and clients do to a name (WHATWG HTML, multipart/form-data)."""
    return filename.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
