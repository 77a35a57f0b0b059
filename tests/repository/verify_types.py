"""Every public name of the package has a complete type, as pyright sees it: 100 %, not 99.

`pyright --verifytypes` fails on errors, but prints hundreds of lines. This reads its report and
prints the names that are not fully known, one line each.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COMMAND = (
    *(sys.executable, "-m", "pyright"),
    *("--verifytypes", "fanwise", "--ignoreexternal", "--outputjson"),
)


def score(report: dict[str, Any]) -> float:
    """The share of public names with a known type; 0 where pyright saw no package at all."""
    return float(report.get("typeCompleteness", {}).get("completenessScore", 0))


def complaints(report: dict[str, Any]) -> Iterator[str]:
    """One line for each name whose type is not fully known, and for each general error.

    A class is unknown with its attribute; only the attribute says why, so only it is named.
    """
    for symbol in report.get("typeCompleteness", {}).get("symbols", ()):
        if not symbol["isTypeKnown"]:
            for each in symbol["diagnostics"]:
                yield f"{symbol['name']}: {each['message'].splitlines()[0]}"
    for each in report.get("generalDiagnostics", ()):
        yield each["message"]


def complete(report: dict[str, Any]) -> bool:
    return score(report) == 1.0 and bool(report["typeCompleteness"]["symbols"])


def environment() -> dict[str, str]:
    """Ours, with this interpreter first: here pyright obeys PATH, and no option or setting."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path}


def main() -> int:
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False, env=environment())
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        print(done.stdout, done.stderr, sep="\n")
        return 2
    for line in complaints(report):
        print(line)
    print(f"types of public names known to pyright: {score(report):.1%}")
    return 0 if complete(report) else 1


if __name__ == "__main__":
    raise SystemExit(main())
