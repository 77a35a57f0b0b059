"""The docs name every command and option, their links lead somewhere, the README is short."""

import re
import sys

import click
import pytest

from fanwise.cli import main
from tests.repository.sources import ROOT


def root_command():
    """The one click group beside `main`, which is a function that maps errors to exit codes."""
    names = vars(sys.modules[main.__module__]).values()
    (group,) = {id(each): each for each in names if isinstance(each, click.Group)}.values()
    return group


def commands(command, path):
    """Every command below, itself included, with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from commands(inner, f"{path} {name}")


def words(root, name):
    """What must stand in the docs: each command's call, and each long option."""
    for path, command in commands(root, name):
        yield path
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                names = (*parameter.opts, *parameter.secondary_opts)
                yield from (each for each in names if each.startswith("--"))


def unexplained(wanted, text):
    """Those that do not stand in the text as whole words."""
    return sorted(
        word
        for word in set(wanted)
        if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)
    )


def broken_links(root):
    """Relative links in Markdown whose file is not there; the part after `#` is not checked."""
    for path in sorted([*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("tests/*.md")]):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)", path.read_text("utf-8")):
            if not (path.parent / target).exists():
                yield f"{path.relative_to(root)}: {target}"


def test_links_lead_somewhere():
    assert list(broken_links(ROOT)) == []


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "README.md").write_text("[a](docs/a.md#x) [web](https://example.org/x) [c](#here)")
    (tmp_path / "docs" / "a.md").write_text("[up](../README.md) [gone](gone.md)")
    (tmp_path / "docs" / "deep" / "b.md").write_text("[a](../a.md) [b](a.md#there)")
    assert list(broken_links(tmp_path)) == ["docs/a.md: gone.md", "docs/deep/b.md: a.md"]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 200


def docs():
    return "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "docs").rglob("*.md")))


def test_every_command_and_option_is_documented():
    wanted = list(words(root_command(), "fanwise"))
    assert "fanwise digest" in wanted
    assert unexplained(wanted, docs()) == []


@click.group()
@click.version_option("1")
def toy_group():
    pass


@toy_group.command("press")
@click.option("--grape/--no-grape", "-g")
@click.option("--secret", hidden=True)
@click.argument("path")
def toy_press(**_options):
    pass


def test_words_of_a_command_line():
    assert sorted(words(toy_group, "toy")) == sorted(
        ["toy", "--version", "toy press", "--grape", "--no-grape"]
    )


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("`toy press --grape PATH`", []),
        ("`toy press --grapes PATH`", ["--grape"]),
        ("`toy press --no--grape PATH`", ["--grape"]),
        ("`toy pressing --grape PATH`", ["toy press"]),
        ("", ["--grape", "toy press"]),
    ],
)
def test_undocumented_words_are_found(text, missing):
    assert unexplained(["toy press", "--grape"], text) == missing
