"""`--budget`: what a run may use, in dollars or tokens, and what is said of it afterwards."""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import click

from fanwise import Budget
from fanwise.cli._refusal import refuse
from fanwise.cli._words import count

if TYPE_CHECKING:
    from fanwise.core._accounts import BudgetStatistics

_AMOUNT: Final = re.compile(r"\$?(\d+(?:\.\d*)?|\.\d+)")
_TOKENS: Final = re.compile(r"(\d[\d_]*)\s*tokens?")

budget_option: Final = click.option(
    "--budget",
    "amounts",
    multiple=True,
    help='The most that the run may use: dollars ("0.50") or tokens ("20000tokens").  '
    "[default: no bound]",
    metavar="AMOUNT",
)


def read_budget(amounts: Iterable[str]) -> Budget | None:
    """Read amounts of dollars and tokens, one of each at most; refuse what is none."""
    found: dict[str, str] = {}
    for amount in (part.strip() for text in amounts for part in text.split(",")):
        tokens, dollars = _TOKENS.fullmatch(amount), _AMOUNT.fullmatch(amount)
        known = tokens or dollars
        if known is None:
            refuse(f"--budget {amount!r} is no amount: dollars such as 0.50, or 20000tokens")
        kind = "dollars" if tokens is None else "tokens"
        if kind in found:
            refuse(f"--budget {amount!r}: {kind} are bounded already, by {found[kind]}")
        found[kind] = known[1]
    if not found:
        return None
    tokens_given = found.get("tokens")
    return Budget(
        tokens=None if tokens_given is None else int(tokens_given),
        dollars=found.get("dollars"),
    )


def budget_lines(budget: "BudgetStatistics | None", refused: int) -> Iterator[str]:
    """Say how much of the budget was used, and what was not started for want of it."""
    if budget is not None:
        yield f"budget: {budget}"
    if refused:
        yield f"budget spent: {count(refused, 'call')} not started, as too little was left"


def budget_data(budget: "BudgetStatistics | None", refused: int) -> dict[str, object]:
    """Give the same as plain data; nothing where there is no budget."""
    if budget is None:
        return {"budget": {"spent": True, "refused": refused}} if refused else {}
    data: dict[str, object] = {"spent": refused > 0, "refused": refused}
    if budget.tokens is not None:
        data |= {"tokens": budget.tokens}
    if budget.dollars is not None:
        data |= {"dollars": _plain(budget.dollars), "used_dollars": _plain(budget.used_dollars)}
    return {"budget": data | {"used_tokens": budget.used_tokens}}


def _plain(dollars: Decimal) -> str:
    return f"{dollars.normalize():f}"
