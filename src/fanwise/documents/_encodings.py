"""The encoding of an HTML file.

As the HTML standard says (section 13.2.3.2, "Determining the character encoding", and the
Encoding standard's labels): a byte order mark, else what a `meta` element or an XML
declaration in the first 1,024 bytes says, else UTF-8 where all bytes are valid, else
windows-1252, the standard's default for western locales. What the encoding does not know
becomes U+FFFD, as in a browser. Rejected: guessing from frequencies, which differs by version.
"""

import codecs
import re
from typing import Final

_SEARCHED: Final = 1024
_COMMENT: Final = re.compile(rb"<!--.*?-->", re.DOTALL)
_META: Final = re.compile(rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML: Final = re.compile(rb"<\?xml\b[^>]*?\bencoding\s*=\s*[\"']([\w.:-]+)")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_AS_THE_STANDARD_SAYS: Final = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "utf-16": "utf-8",
    "utf-16-le": "utf-8",
    "utf-16-be": "utf-8",
    "utf-7": "cp1252",
}


def marked_encoding(data: bytes) -> str | None:
    """Give the encoding that a byte order mark names."""
    return next((name for mark, name in _MARKS if data.startswith(mark)), None)


def text_of(data: bytes) -> str:
    """Decode the bytes of an HTML file, without a byte order mark; never raises."""
    name = marked_encoding(data) or _declared(data)
    if name is None:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            name = "cp1252"
    return data.decode(name, errors="replace").removeprefix("\ufeff")


def _declared(data: bytes) -> str | None:
    """Give the encoding that a file declares; a label which nobody knows counts as none."""
    start = _COMMENT.sub(b"", data[:_SEARCHED])
    found = _XML.match(start) or _META.search(start)
    if found is None:
        return None
    label = found[1].decode("ascii", errors="replace")
    try:
        b"a".decode(
            label, "replace"
        )  # refuses unknown names, and codecs that are no encodings of text
    except LookupError:
        return None
    known = codecs.lookup(label).name
    return _AS_THE_STANDARD_SAYS.get(known, known)
