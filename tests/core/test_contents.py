"""What a record holds of arguments and results: nothing unless asked for."""

import json
from dataclasses import dataclass

import pytest

from fanwise import Runtime, step
from fanwise.record import Record, read_records

pytestmark = pytest.mark.blocking_ok  # on the virtual clock the record is written inline


@dataclass
class Hit:
    title: str
    score: float


@step
async def search(query, limit=3):
    return [Hit("secret title", 0.5)] * limit


@step
async def fails(query):
    raise ValueError


async def facts_of(call, tmp_path, **options):
    path = tmp_path / "run.jsonl"
    async with Runtime(record=Record(path, **options)) as runtime:
        await runtime.run(call)
    (record,) = read_records(path.read_text().splitlines(keepends=True))
    return record.calls[0].facts


async def test_nothing_is_kept_unless_asked_for(tmp_path):
    assert await facts_of(search("a secret"), tmp_path) == {}
    assert "secret" not in (tmp_path / "run.jsonl").read_text()


async def test_a_shape_is_types_and_lengths(tmp_path):
    facts = await facts_of(search("a secret", limit=2), tmp_path, contents="shape")
    assert json.loads(facts["args"]) == {"query": "str(8)", "limit": "int"}
    assert json.loads(facts["result"]) == "list(2)"
    assert "secret" not in (tmp_path / "run.jsonl").read_text()


async def test_full_is_all_of_it_as_json(tmp_path):
    facts = await facts_of(search("a secret", 1), tmp_path, contents="full")
    assert json.loads(facts["args"]) == {"query": "a secret", "limit": 1}
    assert json.loads(facts["result"]) == [{"title": "secret title", "score": 0.5}]


async def test_what_json_cannot_say_is_named_by_its_type(tmp_path):
    facts = await facts_of(search(object(), 0), tmp_path, contents="full")
    assert json.loads(facts["args"])["query"] == "<object>"


async def test_redact_has_the_last_word(tmp_path):
    options = {"contents": "full", "redact": lambda text: text.replace("secret", "***")}
    facts = await facts_of(search("a secret", 1), tmp_path, **options)
    assert json.loads(facts["args"])["query"] == "a ***"
    assert "secret" not in (tmp_path / "run.jsonl").read_text()


async def test_a_failure_has_arguments_and_no_result(tmp_path):
    with pytest.raises(ValueError):
        await facts_of(fails("why"), tmp_path, contents="full")
    (record,) = read_records((tmp_path / "run.jsonl").read_text().splitlines(keepends=True))
    assert json.loads(record.calls[0].facts["args"]) == {"query": "why"}
    assert "result" not in record.calls[0].facts


@pytest.mark.parametrize(
    ("options", "message"),
    [({"contents": "all"}, "none.*shape.*full.*'all'"), ({"redact": "x"}, "redact.*function.*'x'")],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Record("x", **options)
