"""A frame below lines: whatever is drawn and written in whatever order, the terminal shows both."""

import io
import os
from itertools import count

import pyte
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.text import Text

from fanwise.cli import _screen as screens
from fanwise.cli._screen import Aside, Screen

COLUMNS = 20
lines = st.text(st.sampled_from("abc 網"), min_size=1, max_size=9).map(lambda text: f"|{text}|")
acts = st.lists(
    st.one_of(
        st.tuples(st.just("draw"), st.lists(lines, min_size=1, max_size=6)),
        st.tuples(st.just("write"), st.lists(lines, min_size=1, max_size=3)),
        st.tuples(st.sampled_from(["again", "erase"]), st.just([])),
    ),
    max_size=12,
)


class Memory(io.StringIO):
    """A stream onto a terminal in memory. Its size is asked of it as of a real one."""

    def __init__(self, rows):
        super().__init__()
        self.screen = pyte.Screen(COLUMNS, rows)
        self.stream = pyte.Stream(self.screen)

    def write(self, text):
        self.stream.feed(text.replace("\n", "\r\n"))  # as a terminal's line discipline does
        return len(text)

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def sized(monkeypatch):
    monkeypatch.setattr(screens, "size_of", lambda stream: os.terminal_size((COLUMNS, 0)))
    monkeypatch.setattr(screens, "monotonic", screens.monotonic)  # put back in any case


def shown(acts, rows, pause):
    """Do what is said, with a pause between; give what the terminal shows, and what it must show."""
    clock = count(step=pause)
    screens.monotonic = lambda: next(clock)
    memory = Memory(rows)
    screen = Screen(memory)
    aside = Aside(screen, memory)
    written, frame, hidden = [], [], []
    for act, what in acts:
        if act == "draw":
            screen.draw([Text(line) for line in what])
            frame, hidden = what, []
        elif act == "write":
            for part in ("\n".join(what), "\n"):  # as print does
                aside.write(part)
            written = [*written, *what]
            if frame and not pause:  # where lines come fast it gives way
                frame, hidden = [], frame
        elif act == "again":
            screen.again()
            frame, hidden = hidden or frame, []
        else:
            screen.erase()
            frame, hidden = [], []
    expected = [*written, *frame]
    display = [line.rstrip() for line in memory.screen.display]
    return display[: memory.screen.cursor.y], expected, memory.screen.cursor


def check_screen(acts, rows, pause=1):
    display, expected, cursor = shown(acts, rows, pause)
    assert cursor.x == 0
    # On a low terminal lines scroll out at the top; the frame itself is lower than the terminal.
    assert display == expected[len(expected) - len(display) :]
    assert rows < 40 or display == expected


EVERY_ACT = [
    ("draw", ["|a|", "|b|", "|c|"]),
    ("draw", ["|d|"]),
    ("write", ["|e|", "|f|"]),
    ("draw", ["|g|", "|網|"]),
    ("again", []),
    ("write", ["|h|"]),
    ("draw", ["|i|", "|j|"]),
    ("erase", []),
    ("write", ["|k|"]),
]


@given(acts, st.sampled_from([7, 50]), st.sampled_from([0, 1]))
@example(EVERY_ACT, 7, 0)
@example(EVERY_ACT, 50, 1)
def test_lines_stand_above_the_frame_and_nothing_is_left_of_old_ones(acts, rows, pause):
    check_screen(acts, rows, pause)


@pytest.mark.parametrize("mutant", ["nothing taken back", "nothing erased", "all forgotten"])
def test_the_law_rejects(monkeypatch, mutant):
    check_screen(EVERY_ACT, 50)
    if mutant == "nothing taken back":
        monkeypatch.setattr(Screen, "_back", lambda self: "")
    elif mutant == "nothing erased":
        monkeypatch.setattr(screens, "_TO_END", "")
        monkeypatch.setattr(screens, "_TO_END_OF_LINE", "")
    else:
        monkeypatch.setattr(Screen, "erase", Screen.forget)
    with pytest.raises(AssertionError):
        check_screen(EVERY_ACT, 50)


def test_a_terminal_that_became_narrower_has_wrapped_the_frame(monkeypatch):
    memory = Memory(20)
    screen = Screen(memory)
    screen.draw([Text("x" * 19), Text("y" * 5), Text("")])
    monkeypatch.setattr(screens, "size_of", lambda stream: os.terminal_size((10, 0)))
    sent = []
    memory.write = sent.append
    screen.erase()
    assert sent == ["\r\x1b[4A\x1b[J"], "two lines, one, and an empty one"


def test_in_the_background_nothing_is_drawn(monkeypatch):
    memory = Memory(20)
    screen = Screen(memory)
    monkeypatch.setattr(screens, "in_foreground", lambda stream: False)
    screen.draw([Text("a frame")])
    assert "a frame" not in memory.screen.display[0]
    Aside(screen, memory).write("a line\n")
    assert memory.screen.display[0].rstrip() == "a line"


def test_a_part_of_a_line_waits_for_its_end():
    memory = Memory(20)
    aside = Aside(Screen(memory), memory)
    aside.write("half ")
    aside.flush()
    assert memory.screen.display[0].rstrip() == ""
    aside.writelines(["a line\nand ", "more"])
    assert memory.screen.display[0].rstrip() == "half a line"
    aside.close_line()
    assert memory.screen.display[1].rstrip() == "and more"


def test_a_terminal_that_is_gone_is_no_reason_to_fail():
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(5, "Input/output error")

    screen = Screen(Gone())
    aside = Aside(screen, Gone())
    assert aside.write("a line\n") == 7
    with pytest.raises(OSError, match="Input/output"):
        screen.draw([Text("a frame")])  # the view ends by it
    screen._widths = [7]
    screen.erase()


def test_their_texts_say_what_they_are():
    memory = Memory(20)
    screen = Screen(memory)
    screen.draw([Text("a"), Text("b")])
    assert repr(screen) == "<Screen with a frame of 2 lines>"
    aside = Aside(screen, memory)
    assert repr(aside).startswith("<Aside of ")
    assert aside.isatty()
