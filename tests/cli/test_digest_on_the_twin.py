"""`fanwise digest` as a process, asking the provider twin over both wires."""

import asyncio
import json
import os
import re
import sys
from decimal import Decimal

import pytest

from fanwise.testing.twin import Fault, Law, Price, Quota, Twin

pytestmark = [pytest.mark.real_clock, pytest.mark.timeout(120)]
COMMAND = [sys.executable, "-c", "from fanwise.cli import main; main()", "digest"]
SMALL, LARGE = "gpt-4o-mini", "claude-sonnet-4-5"
DOCUMENTS = {
    "rates.md": "# Rates\n\nThe limit is ten requests a second for each key.\n",
    "service.md": "# Service\n\nThe limit is twenty requests a second for each key.\n",
    "keys.md": "# Keys\n\nKeys are made on the page of the account.\n",
}
PRICES = {SMALL: Price("0.15", "0.6"), LARGE: Price("3", "15", cached="0.3", written="3.75")}
BOTH_WAYS = [
    (f"openai:{SMALL}", f"anthropic:{LARGE}"),
    (f"anthropic:{LARGE}", f"openai:{SMALL}"),
    (f"openai-responses:{SMALL}", f"anthropic:{LARGE}"),
]


def contrast(ask):
    """Choose what speaks of the limit, and say which statements deny each other."""
    numbered = re.findall(r"^\[(\d+)\][^\n]*\n(The limit is [^\n]+)$", ask.question, re.MULTILINE)
    lines = [f"[{number}] {sentence}" for number, sentence in numbered]
    if len(numbered) == 2:
        lines.append(f"[{numbered[0][0]}] contradicts [{numbered[1][0]}]")
    return "\n".join(lines)


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


async def digested(twin, folder, *options):
    """Run the command while the twin serves; give exit code, both outputs."""
    async with twin.serve() as address:
        reached = {
            "OPENAI_BASE_URL": f"{address}/v1",
            "OPENAI_API_KEY": "any",
            "ANTHROPIC_BASE_URL": address,
            "ANTHROPIC_API_KEY": "any",
        }
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            str(folder),
            "--task",
            "How many requests a second are allowed?",
            *options,
            cwd=folder,
            env=os.environ | reached,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def spent(twin):
    """The tokens and dollars of the twin's own account."""
    tokens_in = sum(entry.counts.tokens_in for entry in twin.ledger)
    tokens_out = sum(entry.counts.tokens_out for entry in twin.ledger)
    return tokens_in, tokens_out, sum((entry.cost for entry in twin.ledger), Decimal(0))


@pytest.mark.parametrize(("reader", "merger"), BOTH_WAYS)
async def test_two_models_keep_both_sides_of_a_conflict(documents, reader, merger):
    chosen = merger.partition(":")[2]
    twin = Twin(prices=PRICES, answers={chosen: contrast, "*": "quote"})
    options = ("--map-model", reader, "--reduce-model", merger)
    code, out, err = await digested(twin, documents, *options)
    assert code == 0, err
    _, _, disagreement = out.partition("## In conflict\n")
    for name in ("rates.md", "service.md"):
        text = DOCUMENTS[name]
        start = text.index("The limit")
        assert " ".join(disagreement.split()).count(text[start:].strip()) == 1
        assert f"{name}:{start}-{len(text) - 1}`" in disagreement
    assert [(e.model, e.status) for e in twin.ledger if e.model == chosen] == [(chosen, 200)]
    tokens_in, tokens_out, dollars = spent(twin)
    assert f"tokens: {tokens_in:,} in, {tokens_out:,} out (counted by the provider)" in err
    assert f"cost: ${dollars:.4f}" in err


async def test_as_json_with_the_record_of_every_question(documents, tmp_path):
    twin = Twin(prices=PRICES, answers="quote")
    written = tmp_path / "run.jsonl"
    options = ("--model", f"openai:{SMALL}", "--json", "--record", str(written))
    code, out, err = await digested(twin, documents, *options)
    assert code == 0, err
    tokens_in, tokens_out, dollars = spent(twin)
    tokens = json.loads(out)["tokens"]
    assert tokens == {"in": tokens_in, "out": tokens_out, "estimated": False}
    rows = [json.loads(line) for line in written.read_text("utf-8").splitlines()]
    asked = [row for row in rows if row.get("step") == f"openai:{SMALL}"]
    assert len(asked) == len(twin.ledger)
    assert sum(Decimal(row["facts"]["cost"]) for row in asked) == dollars


async def test_what_fails_in_passing_is_asked_again(documents):
    fault = Fault("status", status=429, retry_after=0.0, times=2)
    twin = Twin(prices=PRICES, answers="quote", faults=[fault])
    code, _, err = await digested(twin, documents, "--model", f"openai:{SMALL}")
    assert code == 0, err
    assert sorted(entry.status for entry in twin.ledger)[-2:] == [429, 429]


async def test_a_provider_that_refuses_is_named_and_the_digest_is_partial(documents):
    twin = Twin(quota=Quota(tokens_per_minute=50, charge="use"), answers="quote")
    code, out, err = await digested(twin, documents, "--model", f"openai:{SMALL}")
    assert code == 1, err
    assert out.count("429") == len(DOCUMENTS)
    assert "incomplete" in err


async def test_in_a_quota_no_question_is_refused_and_the_cost_is_the_providers(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(16):
        lines = [f"Rule {number}.{n} allows {n + 2} requests a second." for n in range(56)]
        (folder / f"{number}.md").write_text("\n\n".join(lines), encoding="utf-8")
    quota = Quota(tokens_per_minute=300_000, requests_per_minute=6_000, charge="use", burst_s=2)
    twin = Twin({"*": Law(first=0.02, per_second=2_000, jitter=0.5)}, quota=quota, prices=PRICES,
                answers="quote")  # fmt: skip
    options = ["--limit", "tokens=300000,requests=6000,burst=2", "--chunk-tokens", "60", "--json"]
    code, out, err = await digested(twin, folder, "--model", f"openai:{SMALL}", *options)
    assert code == 0, err
    found = json.loads(out)
    statuses = [entry.status for entry in twin.ledger]
    assert len(statuses) > 100
    assert statuses.count(429) <= len(statuses) // 50, err
    tokens_in, tokens_out, dollars = spent(twin)
    assert found["tokens"] == {"in": tokens_in, "out": tokens_out, "estimated": False}
    assert Decimal(found["money"]["cost"]) == dollars
    seconds = max(entry.time for entry in twin.ledger) - min(entry.time for entry in twin.ledger)
    used = (tokens_in + tokens_out) / (5_000 * (seconds + 2))
    assert used > 0.6, "it must have been the quota that took the time"


async def test_a_budget_is_not_overshot_and_the_digest_says_what_is_missing(documents):
    for number in range(12):
        (documents / f"{number}.md").write_text(f"# Rate {number}\n\nThe limit is {number}.\n")
    twin = Twin(prices=PRICES, answers="quote")
    options = ("--model", f"openai:{SMALL}", "--budget", "0.0004")
    code, out, err = await digested(twin, documents, *options)
    assert code == 3, err
    dollars = spent(twin)[2]
    assert Decimal("0.0002") < dollars <= Decimal("0.0004")
    assert "of $0.0004 used" in err
    assert "the budget was spent" in " ".join(out.split())
