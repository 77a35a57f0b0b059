"""Rules 3, 8 and 27 of the style: sizes and names. Each rule gives its violations as lines."""

import ast
import re
from collections.abc import Iterator, Sequence
from statistics import median

from tests.repository.sources import Function, Module

MEDIAN_FUNCTION = 8
LONG_FUNCTION = 50
LONG_SHARE = 0.02
LONGEST_FUNCTION = 80
MEDIAN_MODULE = 150
LONGEST_MODULE = 500
PARAMETERS = 7
LINES_PER_SWALLOW = 1_000

# The parts of the public face whose many arguments are the design's; `using` takes what `step`
# takes. Anything added here needs a decision note.
MANY_PARAMETERS = frozenset(
    {
        "step",
        "Step.__init__",
        "Step.using",
        "Runtime.__init__",
        "Runtime.run",
        "Runtime.start",
        "Limit.__init__",
    }
)
FORBIDDEN_FILES = frozenset({"utils", "util", "helpers", "helper", "common", "base", "manager"})
FORBIDDEN_WORDS = frozenset(
    {"Manager", "Helper", "Util", "Utils", "Handler", "Processor", "Service", "Wrapper", "Factory"}
)
BROAD = frozenset({"Exception", "BaseException"})
# Calls that tell of an error without keeping it.
TELLING = frozenset(
    {"debug", "info", "warning", "warn", "error", "exception", "critical", "log", "print", "echo"}
)


def function_sizes(modules: Sequence[Module]) -> Iterator[str]:
    """The median, the share of long ones and the longest of all functions."""
    sized = [(each.lines, module, each) for module in modules for each in module.functions]
    if not sized:
        return
    middle = median(lines for lines, _, _ in sized)
    if middle > MEDIAN_FUNCTION:
        yield f"the median function has {middle:g} lines, more than {MEDIAN_FUNCTION}"
    long = [each for each in sized if each[0] > LONG_FUNCTION]
    if len(long) > LONG_SHARE * len(sized):
        names = ", ".join(f"{module.path}:{each.name} ({lines})" for lines, module, each in long)
        yield f"more than {LONG_SHARE:.0%} of functions over {LONG_FUNCTION} lines: {names}"
    for lines, module, each in sized:
        if lines > LONGEST_FUNCTION:
            yield f"{module.path}:{each.name} has {lines} lines, more than {LONGEST_FUNCTION}"


def module_sizes(modules: Sequence[Module]) -> Iterator[str]:
    """The median and the longest of all modules, empty ones left out of the median."""
    sizes = [module.lines for module in modules if module.lines]
    if sizes and median(sizes) > MEDIAN_MODULE:
        yield f"the median module has {median(sizes):g} lines, more than {MEDIAN_MODULE}"
    for module in modules:
        if module.lines > LONGEST_MODULE:
            yield f"{module.path} has {module.lines} lines, more than {LONGEST_MODULE}"


def parameter_counts(modules: Sequence[Module]) -> Iterator[str]:
    """Public functions with more parameters than a reader holds in mind."""
    for module in modules:
        # A command has one parameter per option, and is called by click alone.
        if module.path.parts[0] != "cli":
            yield from (f"{module.path}:{each.name} {said}" for each, said in crowded(module))


def crowded(module: Module) -> Iterator[tuple[Function, str]]:
    for each in module.functions:
        if each.public and each.name not in MANY_PARAMETERS and each.parameters > PARAMETERS:
            yield each, f"takes {each.parameters} parameters, more than {PARAMETERS}"


def forbidden_names(modules: Sequence[Module]) -> Iterator[str]:
    """Dumping grounds and names of ceremony."""
    for module in modules:
        for part in (*module.path.parts[:-1], module.path.stem):
            if part.strip("_") in FORBIDDEN_FILES:
                yield f"{module.path}: nothing belongs to a place called {part}"
        for node in module.classes:
            words = set(re.findall(r"[A-Z][a-z]+", node.name))
            yield from (
                f"{module.path}:{node.name}: the word {word} says nothing"
                for word in sorted(words & FORBIDDEN_WORDS)
            )


def swallowed_errors(modules: Sequence[Module]) -> Iterator[str]:
    """Broad handlers that neither raise nor keep the error, beyond one per thousand lines."""
    found = [f"{module.path}:{line}" for module in modules for line in swallows(module)]
    allowed = sum(module.lines for module in modules) // LINES_PER_SWALLOW
    if len(found) > allowed:
        yield f"{len(found)} broad handlers log and go on, {allowed} allowed: {', '.join(found)}"


def swallows(module: Module) -> Iterator[int]:
    handlers = (node for node in ast.walk(module.tree) if isinstance(node, ast.ExceptHandler))
    return (each.lineno for each in handlers if is_broad(each) and not keeps(each))


def is_broad(handler: ast.ExceptHandler) -> bool:
    """`except:`, `except Exception`, `except (OSError, BaseException)` and the like."""
    if handler.type is None:
        return True
    listed = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(each).split(".")[-1] in BROAD for each in listed)


def keeps(handler: ast.ExceptHandler) -> bool:
    """Whether the handler raises, or uses the error for more than telling of it."""
    nodes = [node for statement in handler.body for node in ast.walk(statement)]
    if any(isinstance(node, ast.Raise) for node in nodes):
        return True
    uses = {id(node) for node in nodes if isinstance(node, ast.Name) and node.id == handler.name}
    told = {id(node) for call in nodes if tells(call) for node in ast.walk(call)}
    return bool(uses - told)


def tells(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    return ast.unparse(node.func).split(".")[-1] in TELLING
