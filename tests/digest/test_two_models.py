"""Another model for the merges, and statements that deny each other."""

import pytest

from fanwise import run
from fanwise.digest import Bounds, digest, to_data, to_markdown
from fanwise.documents import Memory
from fanwise.models import CONTRASTING, Answer, Model, Quote, Usage, write_quotes
from fanwise.text import sentences

FILES = {
    "a.md": b"# Rates\n\nThe limit is ten requests a second for each key.\n",
    "b.md": b"# Service\n\nThe limit is twenty requests a second for each key.\n",
    "c.md": b"# Other\n\nKeys are made on the page of the account.\n",
}
MERGED = "[1] The limit is ten requests a second for each key.\n"


class Said:
    """Quotes every sentence; of a prompt over several documents it answers with `merged`."""

    def __init__(self, name, merged=None):
        self.name = name
        self.merged = merged
        self.prompts = []

    async def answer(self, request):
        prompt = request.asked
        self.prompts.append(prompt)
        found = [
            Quote(n, passage.text[s.start : s.end])
            for n, passage in enumerate(prompt.passages, 1)
            for s in sentences(passage.text, passage.markup)
            if s.kind == "paragraph"
        ]
        text = self.merged if self.merged and len(prompt.passages) > 1 else write_quotes(found)
        return Answer(text, Usage(10, 1), self.name, text)


def made(merged, most=12):
    reader, merger = Said("test:small"), Said("test:large", merged)
    found = run(
        digest(
            ["."],
            "How many requests?",
            by=Model(reader),
            merge_by=Model(merger),
            bounds=Bounds(most=most),
            library=Memory(FILES),
        )
    )
    return found, reader, merger


def texts(pairs):
    return [(pair.one.text, pair.other.text) for pair in pairs]


def test_one_model_reads_and_another_chooses():
    found, reader, merger = made(None)
    assert found.model == "test:small and test:large"
    assert {len(prompt.passages) for prompt in reader.prompts} == {1}
    assert [len(prompt.passages) for prompt in merger.prompts] == [3]
    assert CONTRASTING in merger.prompts[0].instructions
    assert CONTRASTING not in reader.prompts[0].instructions
    assert found.part.usage == Usage(40, 4)


def test_what_denies_each_other_stands_side_by_side_with_both_places():
    found, _, _ = made(MERGED + "[2] contradicts [1]\n")
    assert [statement.source for statement in found.part.statements] == ["a.md"]
    assert [(p.one.source, p.other.source) for p in found.part.conflicts] == [("a.md", "b.md")]
    assert found.part.dropped == 0
    text = to_markdown(found)
    assert text.endswith(
        "\n## In conflict\n\n"
        "- The limit is ten requests a second for each key.\n  `a.md:9-57`\n"
        "- The limit is twenty requests a second for each key.\n  `b.md:11-62`\n"
    )
    pair = to_data(found)["conflicts"][0]
    assert [(each["source"], each["start"]) for each in pair] == [("a.md", 9), ("b.md", 11)]


def test_a_conflict_that_is_said_twice_is_shown_once():
    found, _, _ = made(MERGED + "[1] contradicts [2]\n[2] contradicts [1].\n")
    assert len(found.part.conflicts) == 1


@pytest.mark.parametrize(
    "line", ["[1] contradicts [1]", "[1] contradicts [4]", "[0] contradicts [1]"]
)
def test_a_conflict_of_passages_that_are_not_there_is_none(line):
    found, _, _ = made(MERGED + line)
    assert found.part.conflicts == ()
    assert "In conflict" not in to_markdown(found)
