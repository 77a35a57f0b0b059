"""README.md and every page under docs/ are executed: their python blocks, page by page.

A page's blocks share one namespace and run in the order of the page, in a temporary folder that
holds a copy of README.md and docs/, so that an example may read them and may write files.
A block that cannot run stands under `<!--- skip: next "the reason" -->`.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from _pytest._code import ExceptionInfo, Traceback
from sybil import Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).parent

# `pytester` runs a toy suite in a process of its own; only the root conftest may ask for it.
pytest_plugins = ["pytester"]


def enter_folder(namespace: dict[str, Any]) -> None:
    """Starts a page in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="fanwise-page-"))
    shutil.copy(ROOT / "README.md", folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    namespace["_page"] = (folder, Path.cwd())
    os.chdir(folder)


def leave_folder(namespace: dict[str, Any]) -> None:
    """Ends a page and removes its folder."""
    folder, before = namespace["_page"]
    os.chdir(before)
    shutil.rmtree(folder)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keeps a failure outside the frames of an example (an unclosed file) from ending the run.

    Sybil cuts the traceback down to the example and takes it for granted that there is one.
    """
    if not isinstance(item, SybilItem):
        return
    cut = item._traceback_filter

    def cut_or_whole(error: ExceptionInfo[BaseException]) -> Traceback:
        try:
            return cut(error)
        except IndexError:
            return error.traceback

    item._traceback_filter = cut_or_whole


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=enter_folder,
    teardown=leave_folder,
).pytest()
