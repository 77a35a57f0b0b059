"""`fanwise twin --batches`: how long batches take, read as the library's own value."""

import pytest

from fanwise.cli import main
from fanwise.cli._twin_options import read_pace
from fanwise.testing.twin import BatchPace


def test_what_is_not_said_is_as_in_the_library():
    assert read_pace("first=1,each=0.5") == BatchPace(first=1, each=0.5)
    assert read_pace(None) is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("first=soon", "no number"),
        ("gpt-x,first=1", "for all models"),
        ("second=1", "first=, each=, closing=, window="),
        ("each=-1", "seconds, 0 or more"),
    ],
)
def test_wrong_use_is_exit_code_2(given, told, capsys):
    with pytest.raises(SystemExit) as left:
        main(["twin", "--batches", given])
    assert left.value.code == 2
    assert told in capsys.readouterr().err
