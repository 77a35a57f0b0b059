"""Sizes and names of the package (style 3, 8, 27), each rule first seen failing on a toy tree."""

import pytest

from tests.repository import budgets
from tests.repository.sources import PACKAGE, read_tree, toy

RULES = [
    budgets.function_sizes,
    budgets.module_sizes,
    budgets.parameter_counts,
    budgets.forbidden_names,
    budgets.swallowed_errors,
]


def body(lines, name="f"):
    return f"def {name}():\n" + "    x = 1\n" * (lines - 1)


def many(count, lines):
    return "".join(body(lines, f"f{number}") for number in range(count))


def broad(handler):
    return f"try:\n    work()\nexcept Exception as error:\n    {handler}\n"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule):
    modules = read_tree(PACKAGE)
    assert len(modules) > 5, "no package was read, so nothing was checked"
    assert list(rule(modules)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (body(9), "the median function has 9 lines"),
        (many(98, 2) + many(3, 51), "more than 2% of functions over 50 lines"),
        (many(99, 2) + body(81), "m.py:f has 81 lines"),
        ("class A:\n    def g(self):\n" + "        x = 1\n" * 8, "the median function has 9"),
        ("def f():\n    def g():\n" + "        x = 1\n" * 20, "the median function has 21.5"),
    ],
)
def test_long_functions_are_found(text, said):
    assert said in "\n".join(budgets.function_sizes(toy(m=text)))


@pytest.mark.parametrize(
    "text",
    [
        body(8),
        many(99, 2) + body(80),
        'def f():\n    """One.\n' + "\n    More.\n" * 20 + '    """\n    return 1\n',
        "@overload\ndef f(\n" + "    a,\n" * 20 + "): ...\n",
    ],
    ids=["at the bar", "one long of a hundred", "docstring does not count", "overload"],
)
def test_short_functions_pass(text):
    assert list(budgets.function_sizes(toy(m=text))) == []


def test_long_modules_are_found():
    said = "\n".join(budgets.module_sizes(toy(a="x = 1\n" * 151, b="x = 1\n" * 501, c="\n" * 200)))
    assert "the median module has 200 lines" in said
    assert "b.py has 501 lines" in said
    fair = toy(a="x = 1\n" * 150, b="x = 1\n" * 500, c="x = 1", d="")
    assert list(budgets.module_sizes(fair)) == []


EIGHT = "a, b, c, d, *e, f, g=1, **h"
SEVEN = "a, b, c, d, *e, f, g=1"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"def f({EIGHT}): ...", True),
        (f"class A:\n    def __init__(self, {EIGHT}): ...", True),
        (f"class A:\n    @classmethod\n    def f(cls, {EIGHT}): ...", True),
        (f"class A:\n    def f(self, {SEVEN}): ...", False),
        (f"def f({SEVEN}): ...", False),
        (f"def _f({EIGHT}): ...", False),
        (f"class _A:\n    def f(self, {EIGHT}): ...", False),
        (f"def f():\n    def g({EIGHT}): ...", False),
        (f"def step({EIGHT}): ...", False),
        (f"class Runtime:\n    def __init__(self, {EIGHT}): ...", False),
        (f"class Runtime:\n    def drain(self, {EIGHT}): ...", True),
    ],
)
def test_crowded_functions_are_found(text, found):
    assert bool(list(budgets.parameter_counts(toy(core__m=text)))) is found
    assert list(budgets.parameter_counts(toy(cli__m=text))) == []


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("core___utils", "", True),
        ("common__m", "", True),
        ("base", "", True),
        ("core__database", "", False),
        ("m", "class TaskManager: ...", True),
        ("m", "class _HTTPHandlerPool: ...", True),
        ("m", "class Managerial: ...", False),
        ("m", "class Handled: ...", False),
    ],
)
def test_forbidden_names_are_found(name, text, found):
    assert bool(list(budgets.forbidden_names(toy(**{name: text})))) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (broad("pass"), True),
        (broad("return None"), True),
        (broad("log.warning('failed: %s', error)"), True),
        (broad("print(repr(error))"), True),
        (broad("raise Failed from error"), False),
        (broad("failures.append(error)"), False),
        (broad("log.error(error); result = Outcome(error)"), False),
        ("try:\n    work()\nexcept:\n    pass\n", True),
        ("try:\n    work()\nexcept (OSError, builtins.Exception):\n    pass\n", True),
        ("try:\n    work()\nexcept (OSError, BaseException):\n    pass\n", True),
        ("try:\n    work()\nexcept OSError:\n    pass\n", False),
    ],
)
def test_swallowed_errors_are_found(text, found):
    assert bool(list(budgets.swallowed_errors(toy(m=text)))) is found


def test_one_swallowed_error_per_thousand_lines_is_allowed():
    text = "x = 1\n" * 996 + broad("pass")
    assert list(budgets.swallowed_errors(toy(m=text))) == []
    assert len(list(budgets.swallowed_errors(toy(m=text, n=broad("pass"))))) == 1
