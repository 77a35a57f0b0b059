"""`--limit` of `fanwise digest` and `fanwise run`: what it means, and what it cannot mean."""

import pytest

from fanwise import Limit
from fanwise.cli import main
from fanwise.cli._limit_options import fits, read_named, read_quotas, with_file

pytestmark = [pytest.mark.real_clock, pytest.mark.blocking_ok]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ([], {}),
        (["requests=500"], {"*": Limit(requests_per_minute=500)}),
        (
            ["tokens=3e4, at_once=4,burst=10,charge=admission"],
            {"*": Limit(tokens_per_minute=30_000, at_once=4, burst=10, charge="admission")},
        ),
        (
            ["input=10", "openai:*,output=20", "openai:small,requests=1"],
            {
                "openai:small": Limit(requests_per_minute=1),
                "openai:*": Limit(output_tokens_per_minute=20),
                "*": Limit(input_tokens_per_minute=10),
            },
        ),
    ],
)
def test_quotas_are_read_and_the_widest_pattern_comes_last(given, meant):
    found = read_quotas(given)
    assert found == meant
    assert list(found) == list(meant)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ([], {"*": Limit()}),
        (["search=8"], {"search": Limit(at_once=8), "*": Limit()}),
        (["requests=8"], {"requests": Limit(at_once=8), "*": Limit()}),
        (
            ["model,requests=500,at_once=3"],
            {"model": Limit(requests_per_minute=500, at_once=3), "*": Limit()},
        ),
        (["*=2"], {"*": Limit(at_once=2)}),
        (["*=2", "a=b=3"], {"a=b": Limit(at_once=3), "*": Limit(at_once=2)}),
    ],
)
def test_named_limits_are_read_and_others_have_none(given, meant):
    found = read_named(given)
    assert found == meant
    assert list(found) == list(meant)


@pytest.mark.parametrize(
    ("read", "given", "said"),
    [
        (read_quotas, ["rpm=5"], "'rpm=5' is none of at_once=, requests=, tokens="),
        (read_quotas, ["requests=many"], "requests='many' is no number"),
        (read_quotas, ["requests=0"], "Limit(requests_per_minute=) is above 0"),
        (read_quotas, ["at_once=1.5"], "at_once=) is a whole number, got 1.5"),
        (read_quotas, ["requests=1,burst=1"], "burst is at least 60 s here"),
        (read_quotas, ["tokens=5,charge=later"], '"use" or "admission"'),
        (read_quotas, ["openai:*"], "bounds nothing: such as openai:*,requests=500"),
        (read_quotas, ["requests=1", "tokens=2"], "'*' has one already"),
        (read_quotas, [""], "'' is none of"),
        (read_named, ["door"], "is not NAME=N with N at least 1"),
        (read_named, ["door=0"], "is not NAME=N"),
        (read_named, ["=3"], "is not NAME=N"),
        (read_named, ["door="], "is not NAME=N"),
        (read_named, ["requests=5,tokens=6"], "is not NAME=N"),
    ],
)
def test_what_cannot_be_meant_is_named(read, given, said):
    with pytest.raises(ValueError, match="--limit") as caught:
        read(given)
    assert said in str(caught.value)


def test_names_and_patterns_fit():
    assert fits("openai:gpt-x", ["anthropic:*", "openai:*"])
    assert not fits("openai:gpt-x", ["anthropic:*", "openai:gpt"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--limit", "rpm=5"], "--limit 'rpm=5'"),
        (["--limit", "requests=5"], "--limit '*' is for a model that is not asked"),
        (
            ["--model", "openai:gpt-x", "--limit", "anthropic:*,requests=5"],
            "--limit 'anthropic:*' is for a model that is not asked; asked: openai:gpt-x",
        ),
    ],
)
def test_a_digest_refuses_a_limit_that_bounds_nothing(options, said, capsys, tmp_path):
    (tmp_path / "a.md").write_text("# A\n\nA sentence.\n")
    with pytest.raises(SystemExit) as left:
        main(["digest", str(tmp_path), "--task", "why?", *options])
    assert left.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "none.toml cannot be read: No such file"),
        ("[limits.it]\nat_once = 0", "limits.toml: [limits.it]: Limit(at_once=) is at least 1"),
        ("it = 3", "limits.toml: there is no table [limits]"),
    ],
)
@pytest.mark.parametrize("command", [["run", "json:dumps"], ["digest", ".", "--task", "why?"]])
def test_a_file_of_limits_that_is_wrong_is_refused(command, text, said, capsys, tmp_path):
    path = tmp_path / ("none.toml" if text is None else "limits.toml")
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit) as left:
        main([*command, "--limits", str(path)])
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_a_file_goes_before_an_option(tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text('[limits.a]\nat_once = 1\n[limits."b*"]\nrequests_per_minute = 60')
    found = with_file(read_named(["a=9", "c=3"]), path).read()
    assert found["a"] == Limit(at_once=1)
    assert found["c"] == Limit(at_once=3)
    assert list(found)[-1] == "*"
    assert with_file({"a": Limit()}, None) == {"a": Limit()}
