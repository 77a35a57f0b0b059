"""What `fanwise show --json` prints: docs/show.md has the fields."""

from fanwise.analysis import CUT, UNFINISHED, FanInTimes, Finding, Fold, Line, Loss, Money, Report

FORMAT = 1


def show_data(report: Report) -> dict[str, object]:
    """Give the figures of a run as plain data; times are integer microseconds."""
    outline = report.outline()
    main = next(line.row for line in outline.lines if isinstance(line, Line))
    tax = report.tax
    return {
        "format": FORMAT,
        "run": report.record.header.run,
        "status": main.status,
        "over": main.call != UNFINISHED,
        "torn": report.record.torn,
        "calls": outline.calls,
        "start": outline.start,
        "end": outline.end,
        "finish": report.finish,
        "findings": [_finding(each) for each in report.findings],
        "blame": report.blame.kinds,
        "critical_path": [
            {"call": each.call, "step": each.step, "kind": each.kind,
             "start": each.start, "end": each.end}
            for each in report.path.segments
        ],
        "fan_ins": [_fan_in(each) for each in report.fan_ins],
        "waste": {
            "time": report.waste.microseconds,
            "usage": report.waste.usage,
            "cost": None if report.waste.cost is None else str(report.waste.cost),
            "money": money_data(report.waste.money),
            "losses": [_loss(each) for each in report.waste.losses],
        },
        "coordination_tax": {"merge": tax.merge, "dedupe": tax.dedupe, "errors": tax.errors,
                             "orchestration": tax.orchestration},
        "work": report.summary.work,
        "waits": report.summary.waits,
        "usage": report.summary.usage,
        "money": money_data(report.summary.money),
        "cut": report.summary.cut,
        "answered": report.summary.answered,
        "failed_over": report.summary.failed_over,
        "slack": {str(call): time for call, time in report.slack.items()},
        "outline": [_line(each) for each in outline.lines],
    }  # fmt: skip


def money_data(money: Money) -> dict[str, object]:
    """Give sums of money as plain data: dollars are decimal strings."""
    return {
        "cost": None if money.cost is None else f"{money.cost:f}",
        "estimated": f"{money.estimated:f}",
        "unpriced": money.unpriced,
    }


def _finding(each: Finding) -> dict[str, object]:
    return {
        "kind": each.kind, "steps": list(each.steps), "start": each.start, "end": each.end,
        "strength": each.strength, "what": each.what, "cure": each.cure,
        "evidence": dict(each.evidence),
    }  # fmt: skip


def _fan_in(each: FanInTimes) -> dict[str, object]:
    return {
        "call": each.call, "name": each.name, "pattern": each.pattern, "status": each.status,
        "branches": each.branches, "outcomes": dict(each.outcomes), "need": each.need,
        "reason": each.reason, "start": each.start, "closed": each.closed, "end": each.end,
        "p50": each.p50, "p90": each.p90, "p99": each.p99, "longest": each.longest,
        "slowest": each.slowest, "wait": each.wait, "orchestration": each.orchestration,
        "errors": each.errors,
    }  # fmt: skip


def _loss(each: Loss) -> dict[str, object]:
    return {
        "call": each.call, "name": each.name, "attempt": each.attempt, "why": each.why,
        "time": each.microseconds, "usage": dict(each.usage),
        "cost": None if each.cost is None else str(each.cost), "estimated": each.estimated,
    }  # fmt: skip


def _line(each: Line | Fold) -> dict[str, object]:
    if isinstance(each, Fold):
        return {
            "depth": each.depth, "hidden": each.hidden, "calls": each.calls,
            "outcomes": dict(each.outcomes), "shortest": each.shortest, "p50": each.p50,
            "p90": each.p90, "p99": each.p99, "longest": each.longest, "bins": list(each.bins),
        }  # fmt: skip
    row = each.row
    return {
        "depth": each.depth, "call": row.call, "name": each.name, "step": row.step,
        "pattern": row.pattern, "status": row.status, "start": row.start, "end": row.end,
        "attempts": row.attempts, "waits": dict(row.waits), "critical": each.critical,
        "slack": each.slack, "inside": each.inside, "error": row.error,
        "usage": dict(row.usage), "model": row.facts.get("model"), "cost": row.facts.get("cost"),
        "estimated": bool(row.facts.get("estimated")), "finish": row.facts.get("finish"),
        "complete": row.status in ("ok", "reused") and row.facts.get("finish") not in CUT,
    }  # fmt: skip
