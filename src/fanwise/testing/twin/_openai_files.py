"""OpenAI's files: uploaded for batches, written by them, and given back byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fanwise.testing.twin._http import Response, json_response
from fanwise.testing.twin._multipart import read_form
from fanwise.testing.twin._reading import malformed
from fanwise.testing.twin._shelf import owned, page

if TYPE_CHECKING:
    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._http import Request
    from fanwise.testing.twin._shelf import StoredFile
    from fanwise.testing.twin._values import Json

_PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")


async def upload(twin: Twin, request: Request) -> Response:
    """Take a file."""
    form = read_form(request)
    for name in ("file", "purpose"):
        if name not in form:
            raise malformed(f"Missing required parameter: '{name}'.", name)
    purpose = form["purpose"].content.decode("utf-8", "replace")
    if purpose not in _PURPOSES:
        raise malformed(f"'{purpose}' is not one of {list(_PURPOSES)}", "purpose")
    file = form["file"]
    name = file.filename or "upload"
    return json_response(_write(twin.shelf.keep(twin, name, purpose, file.content, request.key)))


async def retrieve(twin: Twin, request: Request) -> Response:
    """Tell what a file is."""
    return json_response(_write(_file(twin, request)))


async def content(twin: Twin, request: Request) -> Response:
    """Give a file as it is."""
    return Response(_file(twin, request).content, media="application/octet-stream")


async def delete(twin: Twin, request: Request) -> Response:
    """Forget a file."""
    file = _file(twin, request)
    del twin.shelf.files[file.id]
    return json_response({"id": file.id, "object": "file", "deleted": True})


async def listing(twin: Twin, request: Request) -> Response:
    """List the files of the caller, the newest first."""
    purpose = request.query.get("purpose")
    files = [
        file
        for file in reversed(twin.shelf.files.values())
        if file.key == request.key and purpose in (None, file.purpose)
    ]
    found, more = page(files, request, after="after", most=10_000)
    return json_response(listed([_write(file) for file in found], more=more))


def listed(data: list[Json], *, more: bool) -> Json:
    """Return a page of a list."""
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    first, last = ends
    return {"object": "list", "data": data, "has_more": more, "first_id": first, "last_id": last}


def _file(twin: Twin, request: Request) -> StoredFile:
    return owned(twin.shelf.files, request.params["id"], request.key, "file")


def _write(file: StoredFile) -> Json:
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": file.created,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }
