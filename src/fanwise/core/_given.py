"""What a runtime is given, as it is meant: addresses looked up, names checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from fanwise.core import _registry
from fanwise.core._canonical import digest_of
from fanwise.core._policies import above_zero, whole_number
from fanwise.core._run import EQUAL, Share

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core._policies import Limit
    from fanwise.core._protocols import Gates, Names
    from fanwise.core._reload import LimitsFile
    from fanwise.core._writer import RecordWriter


def record_writer() -> type[RecordWriter]:
    """Give what writes a record, loaded when the first is to be written."""
    return cast("type[RecordWriter]", _registry.load("record", "writer"))


def limits_file(
    given: Mapping[str, Limit] | str | os.PathLike[str] | LimitsFile | None,
) -> LimitsFile | None:
    """Give the file that limits stand in; `None` where they are given themselves."""
    if isinstance(given, (str, os.PathLike)):
        return cast("type[LimitsFile]", _registry.load("limit", "file"))(given)
    is_file = hasattr(given, "follow") and not isinstance(given, Mapping)
    return cast("LimitsFile", given) if is_file else None


def names_of(models: Mapping[str, object]) -> Names:
    """Give what the names of models stand for; raise, naming the name, where that cannot be."""
    made = cast("Callable[[object], Names]", _registry.load("names", "models"))
    return made(models)


def gates_of(shared: Gates | str) -> Gates:
    """Look up an address; raise for one that nobody knows, without telling the password in it."""
    if not isinstance(shared, str):
        if not hasattr(shared, "gate"):
            msg = (
                'shared is where limits stand, such as "redis://127.0.0.1:6379" or a SharedLimits, '
                f"got a {type(shared).__name__}"
            )
            raise TypeError(msg)
        return shared
    kind, known = shared.partition(":")[0], _registry.TABLE["gates"]
    if kind not in known:
        shown = f"{kind}:..." if ":" in shared else "..."
        raise ValueError(f'shared="{shown}" is not known; known are: {", ".join(sorted(known))}')
    return cast("Gates", _registry.load("gates", shared))


def share_of_run(tenant: str | None, weight: float, priority: int) -> Share:
    """Give whose a run is; raise, naming the argument, where that cannot be meant."""
    if tenant is None and weight == 1 and priority == 0:
        return EQUAL
    if tenant is not None and not isinstance(tenant, str):
        msg = f'tenant is a str, such as tenant="acme", got {tenant!r}'
        raise TypeError(msg)
    above_zero("weight", weight)
    whole_number("priority", priority)
    return Share(tenant, weight, priority)


def file_name(run_id: str) -> str:
    """Give a name for a file that stays in its folder, whatever the caller's id is."""
    plain = re.sub(r"[^\w.-]", "_", run_id)[:100]
    return (
        plain if plain == run_id and plain.strip(".") else f"{plain}-{digest_of(run_id).hex()[:8]}"
    )
