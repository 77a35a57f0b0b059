"""`fanwise twin`: its address on standard output, its table at Ctrl-C, wrong use in a line."""

import json
import signal
import socket
import subprocess
from decimal import Decimal

import openai
import pytest

from fanwise.cli import main
from fanwise.cli._twin_options import (
    read_answers,
    read_faults,
    read_models,
    read_prices,
    read_quotas,
)
from fanwise.testing.twin import Fault, Law, Price, Quota
from tests.cli.terminals import START, environment

pytestmark = [pytest.mark.real_clock, pytest.mark.blocking_ok]


class Running:
    """The command as a process; its address is read from its standard output."""

    def __init__(self, *arguments, cwd):
        self.process = subprocess.Popen(
            [*START, "twin", "--port", "0", *arguments],
            cwd=cwd,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.address = self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        _, told = self.process.communicate(timeout=15)
        return self.process.returncode, told


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(["twin", *arguments])
    return left.value.code, capsys.readouterr().err


def ask(client, model="gpt-x", text="hello there"):
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])


def test_it_serves_until_ctrl_c_and_then_tells_what_it_saw(tmp_path):
    (tmp_path / "faults.json").write_text('[{"kind": "status", "nth": 3, "status": 500}]')
    options = (
        *("--model", "gpt-x,first=0.001,per_second=10000", "--quota", "gpt-x,requests=2"),
        *("--price", "gpt-x,input=2.5,output=10", "--faults", "faults.json"),
        *("--ledger", "ledger.jsonl"),
    )
    with Running(*options, cwd=tmp_path) as twin:
        assert twin.address.startswith("http://127.0.0.1:")
        address = f"{twin.address}/v1"
        with openai.OpenAI(api_key="secret", base_url=address, max_retries=0) as client:
            assert ask(client).choices[0].message.content == "hello there"
            ask(client)
            with pytest.raises(openai.InternalServerError):
                ask(client)
            with pytest.raises(openai.RateLimitError):
                ask(client)
        code, told = twin.end()
    assert code == 0
    lines = told.splitlines()
    assert f"OpenAI's clients: base_url={address}" in lines[0]
    heads, row = (line.removeprefix("fanwise: ").split() for line in lines[-2:])
    assert heads[:6] == ["model", "requests", "answered", "429", "failed", "left"]
    assert row == ["gpt-x", "4", "2", "1", "1", "0", "6", "0", "6", "0.0001"]
    ledger = (tmp_path / "ledger.jsonl").read_text()
    entries = [json.loads(line) for line in ledger.splitlines()]
    assert [entry["status"] for entry in entries] == [200, 200, 500, 429]
    assert sum(Decimal(entry["cost"]) for entry in entries if entry["cost"]) == Decimal("0.000075")
    assert "secret" not in ledger


def test_a_termination_ends_it_too_and_quiet_says_nothing(tmp_path):
    with Running("--quiet", cwd=tmp_path) as twin:
        assert twin.end(signal.SIGTERM) == (0, "")


def test_without_requests_it_says_so(tmp_path):
    with Running(cwd=tmp_path) as twin:
        assert twin.end()[1].endswith("fanwise: no requests\n")


def test_a_port_that_is_taken_is_told_in_a_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, told = refused(["--port", port], capsys)
    assert code == 1
    assert told.startswith(f"fanwise: cannot listen on 127.0.0.1 port {port}: ")
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--port", "70000"), "--port is 70000"),
        (("--model", "m,fist=2"), "'fist=2' is none of first="),
        (("--model", "first=2"), "names no model"),
        (("--model", "m,first=-2"), "first=-2.0"),
        (("--model", "m,first=fast"), "first='fast' is no number"),
        (("--quota", "requests=0"), "requests_per_minute=0.0"),
        (("--quota", "charge=later"), "charge='later'"),
        (("--price", "m,input=2"), "lacks output"),
        (("--price", "m,input=x,output=1"), "input='x' is no number"),
        (("--answers", "ecco"), "'ecco': one of auto"),
        (("--answers", "none.json"), "none.json cannot be read"),
        (("--faults", "none.json"), "none.json cannot be read"),
        (("--faults", "broken.json"), "broken.json is no JSON"),
        (("--faults", "other.json"), "fault 0: 'typ' is none of after"),
        (("--ledger", "nowhere/ledger.jsonl"), "--ledger nowhere/ledger.jsonl cannot be written"),
    ],
)
def test_wrong_use_is_exit_code_2_and_names_the_option(
    tmp_path, arguments, told, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("[")
    (tmp_path / "other.json").write_text('[{"kind": "reset", "typ": 1}]')
    code, said = refused(arguments, capsys)
    assert code == 2
    assert told in said
    assert "Traceback" not in said


def test_options_are_read_as_the_values_of_the_library(tmp_path):
    assert read_models([]) is None
    assert read_models(["m, first=0.5, slow_share=0.1"]) == {"m": Law(0.5, slow_share=0.1)}
    assert read_quotas(["tokens=10,charge=use", "m,requests=5,burst=1"]) == {
        "*": Quota(tokens_per_minute=10, charge="use"),
        "m": Quota(requests_per_minute=5, burst_s=1),
    }
    assert read_prices(["input=1,output=2"]) == {"*": Price(Decimal(1), Decimal(2))}
    path = tmp_path / "faults.json"
    path.write_text('[{"kind": "outage", "between": [1, 2]}]')
    assert read_faults(path) == [Fault("outage", between=[1, 2])]
    answers = tmp_path / "answers.json"
    answers.write_text('["one", "two"]')
    assert read_answers(str(answers)).answers == ["one", "two"]
    answers.write_text('{"tide": "the moon"}')
    assert read_answers(str(answers)).matches == {"tide": "the moon"}
