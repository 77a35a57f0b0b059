"""HTML: the reader's text with its structure; each word on its line of the source."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.documents import Document, Gap, Memory, Raw, Reason, decode_again, runs_apart

PAGE = """<!DOCTYPE html>
<html><head><title>Gardens &amp; fields</title><style>p { color: red }</style>
<script>if (a < b) { document.write("<p>Never shown</p>") }</script></head>
<body><nav><ul><li>Home<li>About us</ul></nav>
<header><h1>Of <em>tomatoes</em><a class="headerlink" href="#t">\u00b6</a></h1></header>
<p>Tomatoes need much&nbsp;sun,
and a <b>warm</b> so&shy;il &mdash; they are from the south.
<p>Water them early<br>in the day.
<h2>Tools</h2>
<ul><li>A spade for the soil.<li><p>A can for the water.</p><p>It is of tin.</p></ul>
<pre><code>while dry:
    water()
</code></pre>
<table><tr><th>Month<th>Work<tr><td>May<td>Sow the seeds.</table>
<p hidden>Not shown.</p><footer>All rights reserved.</footer></body></html>
"""
TEXT = """# Of tomatoes

Tomatoes need much sun, and a warm soil \u2014 they are from the south.

Water them early in the day.

## Tools

- A spade for the soil.

- A can for the water.

It is of tin.

```
while dry:
    water()
```

| Month | Work |
|---|---|
| May | Sow the seeds. |
"""


def read(page, name="a.html"):
    data = page if isinstance(page, bytes) else page.encode()
    return Memory({name: data}).read(name)


def text(page):
    return read(page).text.strip()


def test_the_text_and_its_structure():
    found = read(PAGE)
    assert found.text == TEXT
    assert found.title == "Gardens & fields"
    assert found.markup == "markdown"


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("Tomatoes need much sun, and a", "lines 6-7"),
        ("they are from", "line 7"),
        ("Tools", "line 9"),
        ("    water()", "line 12"),
        ("Sow the seeds.", "line 14"),
    ],
)
def test_words_know_their_line(words, place):
    found = read(PAGE)
    start = found.text.index(words)
    assert found.origin.named(start, start + len(words)) == place


def test_a_main_part_is_what_is_read():
    page = "<div>Around</div><main><p>The point.</p></main><div>More around</div>"
    assert text(page) == "The point."
    assert text(page.replace("main", "section")) == "Around\n\nThe point.\n\nMore around"
    assert text('<div>Around</div><div role="main">The point.</div>') == "The point."
    assert text("<div>All there is</div><main></main>") == "All there is"


def test_what_is_left_out_is_read_where_nothing_else_is():
    assert text("<nav>One</nav><p>Two</p>") == "Two"
    assert text("<nav>One</nav>") == "One"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>One<p>Two", "One\n\nTwo"),
        ("<b>One</p>Two</i></div>Three", "One\n\nTwo\n\nThree"),
        ("One<script/>Two", "OneTwo"),
        ("<title>T<p>One", "One"),
        ("One <![if x]> Two <![endif]> <!-- not > --> Three <!x> Four", "One Two Three Four"),
        ("a < b and c & d &lt;e&gt; &nosuch; &#65;", "a < b and c & d <e> &nosuch; A"),
        ("<p>One<button>Press</button> Two", "One Two"),
        ("<svg><title>Drawing</title></svg>One", "One"),
        ("One<br><br>Two<br>Three", "One\n\nTwo Three"),
        ("<h7>One</h7><h3>Two</h3>", "One\n\n### Two"),
        ("<p>One <span", "One"),
        ("<p>One <a <b <!-- ", "One"),
        ("<p>One < two", "One < two"),
        ("<table><tr><td><h2>Layout</h2><p>of old</p></td><td>pages</td></table>", "## Layout\n\nof old\n\npages"),
        ("<pre>```\nx</pre>", "````\n```\nx\n````"),
    ],
)  # fmt: skip
def test_broken_and_odd_pages(page, expected):
    assert text(page) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("\ufeff<p>n\u00e4he".encode(), "n\u00e4he"),
        ("\ufeff<p>n\u00e4he".encode("utf-16-le"), "n\u00e4he"),
        ("\ufeff<p>n\u00e4he".encode("utf-16-be"), "n\u00e4he"),
        ("<p>n\u00e4he".encode(), "n\u00e4he"),
        ("<p>n\u00e4he \u201cso\u201d".encode("cp1252"), "n\u00e4he \u201cso\u201d"),
        (b'<meta charset="iso-8859-1"><p>' + "\u201cso\u201d".encode("cp1252"), "\u201cso\u201d"),
        (b"<meta http-equiv=Content-Type content='text/html; charset=koi8-r'><p>" + "\u0434\u0430".encode("koi8-r"), "\u0434\u0430"),
        (b'<?xml version="1.0" encoding="shift_jis"?><p>' + "\u6797".encode("cp932"), "\u6797"),
        (b"<!-- <meta charset=koi8-r> --><p>" + "n\u00e4he".encode(), "n\u00e4he"),
        (b"<meta charset=utf-16><p>plain", "plain"),
        (b"<meta charset=hex><p>plain", "plain"),
        (b"<meta charset=nonsense><p>plain", "plain"),
        (b"<meta charset=utf-8><p>a\xffb", "a\ufffdb"),
    ],
)  # fmt: skip
def test_encodings_as_the_standard_says(data, expected):
    assert text(data) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html><head><title>Only</title></head><body><img src=x></body>", Reason.NO_TEXT),
        (b"<script>all()</script>", Reason.NO_TEXT),
        (b"<p>\0\1\2\3", Reason.BINARY),
        (b"", Reason.EMPTY),
    ],
)
def test_pages_that_cannot_be_read(data, reason):
    found = read(data)
    assert isinstance(found, Gap)
    assert found.reason is reason


def test_html_is_known_by_its_opening_under_another_name():
    assert read("<!-- a page --> <!DOCTYPE HTML><p>Text", name="page").origin is not None
    assert read("a <html> in the middle", name="page").text == "a <html> in the middle"


@pytest.mark.parametrize(
    "part", ["<a ", "<!--", "</a", "<div>", '<a b="', "<", "<p><li>", "<![CDATA["]
)
@pytest.mark.parametrize("end", ["", ">"])
def test_a_page_that_closes_nothing_takes_no_time_to_speak_of(part, end):
    data = (part * 131_072)[:131_000] + end
    assert isinstance(read(data), Document | Gap)


def test_large_pages_are_for_another_process():
    assert not runs_apart(Raw("a.html", bytes(131_071), "html"))
    assert runs_apart(Raw("a.html", bytes(131_072), "html"))
    gap = decode_again(Raw("a.html", bytes(131_072), "html"))
    assert str(gap) == "a.html: unreadable (its reader took too long, or broke down)"


SOUP = st.lists(
    st.sampled_from(
        "<p> </p> <div> </div> <li> <ul> </ul> <b> </b> <nav> </nav> <main> </main> <pre> </pre> <h2> "
        "</h2> <table> <tr> <td> </td> </table> <br> <script> </script> <title> </title> <!-- --> <![x "
        "<?pi &amp; &# < > \u00ad word other \n <a # </a> <svg> </svg> <p/> <script/> <!doctype ``` |".split(" ")
    )
)  # fmt: skip


@given(SOUP)
def test_tag_soup_is_read_and_each_word_stands_on_its_line(parts):
    page = " ".join(parts)
    found = read(page) if page.strip() else None
    if not isinstance(found, Document):
        return
    assert found == read(page)
    source = page.split("\n")
    for wanted in ("word", "other"):
        at = found.text.find(wanted)
        while at >= 0:
            assert wanted in source[found.origin.at(at) - 1]
            at = found.text.find(wanted, at + 1)
