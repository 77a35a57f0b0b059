"""`fanwise digest` of 2,000 chunks in a quota of tokens and requests, as a process.

The provider is the twin, over a socket, with buckets and prices of its own: it counts what it
answers and refuses, and its ledger is the bill. The quota is tight: the questions are there within
a second, and would take a tenth of the time without it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks._figure import Figure
from benchmarks._measure import Spread
from fanwise.testing.twin import Law, Price, Quota, Twin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks._measure import Scale
    from fanwise.testing.twin import Entry

DOCUMENTS = 40
LINES = 260  # of a document: 51 chunks
CHUNK = 60  # tokens
TOKENS = 1_200_000  # a minute
REQUESTS = 24_000
BURST = 3.0  # seconds
MODEL = "gpt-4o-mini"
PRICE = Price("0.15", "0.6")  # as genai-prices has it
RAMP = 0.02  # of the calls
COMMAND = [sys.executable, "-c", "from fanwise.cli import main; main()", "digest"]
TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Digested:
    """What came of it: what the command printed as JSON, and the ledger."""

    said: Any
    entries: Sequence[Entry]

    @property
    def refused(self) -> tuple[int, int]:
        """How many calls met a 429 after the ramp, and before."""
        ramp = int(RAMP * len(self.entries))
        late = sum(entry.status == TOO_MANY for entry in self.entries[ramp:])
        return late, sum(entry.status == TOO_MANY for entry in self.entries) - late

    @property
    def difference(self) -> Decimal:
        """How many dollars the printed cost is off the ledger, estimated calls apart."""
        money = self.said["money"]
        billed = sum((entry.cost or Decimal(0) for entry in self.entries), Decimal(0))
        return abs(Decimal(money["cost"]) - Decimal(money["estimated"]) - billed)

    @property
    def used(self) -> float:
        """The share of the tokens that were there while questions waited for them.

        The last tenth of the calls are merges of merges, which wait for each other.
        """
        entries = sorted(self.entries, key=lambda entry: entry.time)
        entries = entries[: len(entries) * 9 // 10]
        seconds = entries[-1].time - entries[0].time + BURST
        tokens = sum(entry.counts.tokens_in + entry.counts.tokens_out for entry in entries)
        return tokens / (TOKENS / 60 * seconds)


def in_quota(scale: Scale) -> Iterator[Figure]:
    """Count what the twin refused, and compare what the command says that it cost."""
    found = asyncio.run(_digested(scale.of(DOCUMENTS, 2)))
    chunks, calls = found.said["chunks_answered"], len(found.entries)
    late, early = found.refused
    what = f"digest in a quota, {chunks:,} chunks:"
    note = f"{calls:,} calls, {early} before that; {found.said['seconds']:.1f} s"
    yardstick = "the twin's own buckets and ledger"
    yield Figure(f"{what} 429s", Spread(late, late, late), 0, yardstick, unit="count", note=note)
    off = float(found.difference)
    note = f"${found.said['money']['cost']} for {found.said['tokens']['in']:,} tokens in"
    yield Figure(f"{what} $ off", Spread(off, off, off), 0.0, yardstick, unit="count", note=note)
    used = Spread(found.used, found.used, found.used)
    note = f"of {TOKENS:,} tokens a minute, in the first nine tenths of the calls"
    yield Figure(f"{what} used", used, 0.9, yardstick, unit="number", at_least=True, note=note)


async def _digested(documents: int) -> Digested:
    quota = Quota(
        tokens_per_minute=TOKENS, requests_per_minute=REQUESTS, charge="use", burst_s=BURST
    )
    law = Law(first=0.05, per_second=1_000, jitter=0.5)
    twin = Twin({"*": law}, quota=quota, prices={MODEL: PRICE}, answers="quote")
    limit = f"tokens={TOKENS},requests={REQUESTS},burst={BURST:g}"
    options = ["--chunk-tokens", str(CHUNK), "--model", f"openai:{MODEL}", "--limit", limit]
    with TemporaryDirectory() as folder:
        _write(Path(folder), documents)
        async with twin.serve() as address:
            reached = {"OPENAI_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": "any"}
            process = await asyncio.create_subprocess_exec(
                *COMMAND, folder, "--task", "How many requests a second?", "--json", "--quiet",
                *options,
                env=os.environ | reached,
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, _ = await process.communicate()
    assert process.returncode == 0, "the digest is complete"
    said = json.loads(out)
    assert said["chunks_answered"] == said["chunks"] >= documents
    return Digested(said, tuple(twin.ledger))


def _write(folder: Path, documents: int) -> None:
    for number in range(documents):
        lines = [f"Rule {number}.{n} allows {n + 2} requests a second." for n in range(LINES)]
        (folder / f"{number}.md").write_text("\n\n".join(lines), encoding="utf-8")
