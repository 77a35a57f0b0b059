"""The input file of a batch: one request a line, all to one endpoint and one model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fanwise.testing.twin._batches import BatchRequest
from fanwise.testing.twin._fields import Fields
from fanwise.testing.twin._http import Refused
from fanwise.testing.twin._reading import read_json

if TYPE_CHECKING:
    from fanwise.testing.twin._values import Json


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong with a line, counted from 1; None where it is the whole file."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def write(self) -> Json:
        """Return it as a batch shows it."""
        return {
            "code": self.code,
            "message": self.message,
            "line": self.line,
            "param": self.param,
        }


def read_lines(
    content: bytes, endpoint: str
) -> tuple[tuple[BatchRequest, ...], tuple[LineError, ...]]:
    """Return the requests of a file, and what is wrong with it; blank lines are passed over."""
    found: dict[str, BatchRequest] = {}
    errors: list[LineError] = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            each = _line(line, endpoint)
        except Refused as wrong:
            code = wrong.code or "invalid_request"
            errors.append(LineError(code, wrong.message, number, wrong.param))
            continue
        if each.custom_id in found:
            msg = f"The custom_id '{each.custom_id}' for this request is a duplicate."
            errors.append(LineError("duplicate_custom_id", msg, number, "custom_id"))
        found.setdefault(each.custom_id, each)
    models = {str(each.params.get("model")) for each in found.values()}
    if len(models) > 1:
        msg = f"All requests of a batch must be for one model, not {', '.join(sorted(models))}."
        errors.append(LineError("mismatched_model", msg))
    if not found and not errors:
        errors.append(LineError("empty_file", "The input file has no requests."))
    return tuple(found.values()), tuple(errors)


def _line(line: bytes, endpoint: str) -> BatchRequest:
    try:
        fields = Fields(json.loads(line), "")
    except (ValueError, RecursionError) as error:
        msg = "This line is not parseable as valid JSON."
        raise Refused(400, "invalid", msg, code="invalid_json_line") from error
    if fields.text("method") != "POST":
        raise Refused(400, "invalid", "The method must be POST.", param="method")
    if fields.text("url") != endpoint:
        msg = f"The URL provided for this request does not match the endpoint {endpoint}."
        raise Refused(400, "invalid", msg, param="url", code="mismatched_endpoint")
    body = fields.fields("body")
    if body.flag("stream"):
        raise Refused(400, "invalid", "Streaming is not supported in batches.", param="stream")
    return BatchRequest(fields.text("custom_id"), read_json(fields, "body"))
