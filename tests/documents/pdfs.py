"""PDF files made for tests: with text, without, locked, cut off."""

from io import BytesIO

from fpdf import FPDF
from PIL import Image
from pypdf import PdfReader, PdfWriter

STORY = """\
The harbour was built in 1704 by order of the council. It has room for forty ships of the larger kind, and for many boats besides, so that it soon became the first of the coast.
Most of the trade was in timber. The merchants sold it to the islands, where no trees grow, and brought back fish, wool and salt.
""".splitlines()


def pdf(pages, *, head="", foot=False, width=0.0):
    """A PDF of pages, each a list of paragraphs; "# ..." is a heading, None a picture."""
    made = Book(head, foot)
    made.set_auto_page_break(auto=False)
    for page in pages:
        made.add_page()
        made.set_y(25)
        for paragraph in page:
            write(made, paragraph, width)
    return bytes(made.output())


def write(made, paragraph, width):
    if paragraph is None:
        made.image(Image.new("L", (60, 80), 200), w=120)
    elif paragraph.startswith("# "):
        made.set_font("Helvetica", "B", 18)
        made.multi_cell(0, 10, paragraph[2:], new_x="LMARGIN", new_y="NEXT")
        made.ln(4)
    else:
        made.set_font("Times", "", 11)
        made.multi_cell(width, 5, paragraph, new_x="LMARGIN", new_y="NEXT", align="L")
        made.ln(4)


class Book(FPDF):
    def __init__(self, head, foot):
        super().__init__()
        self.head, self.foot = head, foot

    def header(self):
        if self.head:
            self.set_font("Times", "I", 9)
            self.cell(0, 5, f"{self.head} {self.page_no()}")

    def footer(self):
        if self.foot:
            self.set_y(-15)
            self.set_font("Times", "I", 9)
            self.cell(0, 5, f"Page {self.page_no()}", align="C")


def locked(data, password="x"):  # noqa: S107 - it locks nothing of worth
    writer = PdfWriter(clone_from=PdfReader(BytesIO(data)))
    writer.encrypt(user_password=password, owner_password="other", algorithm="RC4-128")
    return written(writer)


def without_pages():
    return written(PdfWriter())


def written(writer):
    out = BytesIO()
    writer.write(out)
    return out.getvalue()
