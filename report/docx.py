"""``report.docx``: real styles, headings, captions, fields, for a teacher to annotate.

Pandoc writes the document; what it takes from a "reference" document (styles, page, footers)
comes from one made here out of pandoc's own and ``templates/docx/styles.xml``. What pandoc does
not do (contents, widths of columns, code that hangs where it wraps) is done afterwards.
Field codes are those of ECMA-376 part 1, 17.16.5.
"""

import copy
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import docx
from docx.document import Document
from docx.enum.text import WD_ALIGN_PARAGRAPH, WD_LINE_SPACING
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Length, Mm, Pt
from docx.styles.style import ParagraphStyle
from docx.text.paragraph import Paragraph

from . import pandoc
from .export import TEMPLATES
from .run_pandoc import run

DEPTH = {"book": 2, "gost": 3}
"""How many levels of headings the contents show."""
PAGE = (Mm(210), Mm(297))
MARGINS = {"book": (30, 20, 20, 20), "gost": (30, 15, 20, 20)}
"""Left, right, top, bottom, in millimetres."""
CODE_POINTS = {"book": 8.5, "gost": 10}
TABLE_POINTS = {"book": 10, "gost": 12}
STRUCTURAL = "Structural Heading"
CODE_STYLES = ("Source Code", "Output")
SHORT_CODE = 12
"""Lines; code that is not longer stays on one page."""

_MC = "http://schemas.openxmlformats.org/markup-compatibility/2006"
_W15 = "http://schemas.microsoft.com/office/word/2012/wordml"
# Parts of the size of the letters: how wide a letter is, of text and of code.
_LETTER, _CODE_LETTER = 0.56, 0.6
_CELL_PADDING = Pt(12)
_BREAKS = re.compile(r"(?<=[/_.:(])")
# Of the height of the page: a part of a table surely fits into this.
_FILLED = 0.75


def write(folder: Path, path: Path) -> None:
    """Write the document that was prepared in *folder* to the file *path*.

    Raises PandocError.
    """
    told = pandoc.metadata(folder)
    form = told.get("form", "book")
    reference, written = folder / "reference.docx", folder / "written.docx"
    write_reference(reference, form, told.get("title-page", {}).get("place", ""))
    pandoc.convert(
        folder,
        written,
        *("--reference-doc", str(reference.resolve())),
        *("--template", str(TEMPLATES / "docx" / "pandoc.openxml")),
        *(["--syntax-highlighting", "none"] if form == "gost" else []),
    )
    document = docx.Document(str(written))
    _hang_code(document, form)
    _fit_tables(document, form, told.get("continued-table", ""))
    _add_contents(document, form)
    if told.get("front"):
        _break_before_front(document)
    _mark_lists(document, form)
    _save(document, path)


def _save(document: Document, path: Path) -> None:
    """Write *document* without the time at which it was written: the same bytes every time."""
    for when in ("dcterms:created", "dcterms:modified"):
        for element in document.core_properties._element.findall(qn(when)):
            element.getparent().remove(element)
    buffer = io.BytesIO()
    document.save(buffer)
    with (
        zipfile.ZipFile(buffer) as package,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as final,
    ):
        for name in package.namelist():
            part = zipfile.ZipInfo(name)  # of 1 January 1980, as every entry then
            final.writestr(part, package.read(name), zipfile.ZIP_DEFLATED)


# --- the reference document -------------------------------------------------------------------


def write_reference(path: Path, form: str, first_page_footer: str) -> None:
    """Write to *path* the document that pandoc takes styles, margins and footers from."""
    path.write_bytes(run(path.parent, "--print-default-data-file", "reference.docx"))
    with zipfile.ZipFile(path) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    styles = (TEMPLATES / "docx" / "styles.xml").read_text("utf-8")
    parts["word/styles.xml"] = (_in_black(styles) if form == "gost" else styles).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in parts.items():
            package.writestr(name, content)
    document = docx.Document(str(path))
    section = document.sections[0]
    section.page_width, section.page_height = PAGE
    left, right, top, bottom = (Mm(side) for side in MARGINS[form])
    section.left_margin, section.right_margin = left, right
    section.top_margin, section.bottom_margin = top, bottom
    section.header_distance = section.footer_distance = Mm(10)
    section.different_first_page_header_footer = True
    section.first_page_footer.paragraphs[0].text = first_page_footer
    section.footer.paragraphs[0]._p.append(parse_xml(_field("PAGE", "1")))
    for footer in (section.footer, section.first_page_footer):
        footer.paragraphs[0].style = document.styles["footer"]
    hyphenation = OxmlElement("w:autoHyphenation")
    document.settings.element.find(qn("w:defaultTabStop")).addprevious(hyphenation)
    if form == "gost":
        _set_gost_styles(document)
    for name in CODE_STYLES:
        document.styles[name].font.size = Pt(CODE_POINTS[form])
    document.save(str(path))


def _in_black(styles: str) -> str:
    """GOST 7.32-2017, 6.1.1: letters are black. Nor are there tints and bars."""
    styles = re.sub(r'w:color w:val="[0-9A-F]{6}"', 'w:color w:val="000000"', styles)
    styles = re.sub(r"<w:pBdr>.*?</w:pBdr>|<w:shd [^>]*/>", "", styles)
    return styles.replace("Consolas", "Courier New")


def _set_gost_styles(document: Document) -> None:
    """Change sizes, indents and spaces to those of GOST 7.32-2017, 6.1 to 6.6."""
    body = {"line": 1.5, "indent": Mm(12.5), "align": WD_ALIGN_PARAGRAPH.JUSTIFY}
    heading = {"bold": True, "line": 1.5, "after": 12, "align": WD_ALIGN_PARAGRAPH.LEFT}
    middle, left = WD_ALIGN_PARAGRAPH.CENTER, WD_ALIGN_PARAGRAPH.LEFT
    changes: dict[str, dict[str, Any]] = {
        "Normal": {"points": 14},
        "Body Text": body,
        "First Paragraph": body,
        "Compact": body,
        "Block Text": body | {"left": Mm(0)},
        "Prediction": body | {"left": Mm(0)},
        "Answers": body | {"points": 14},
        "Source": body,
        "heading 1": heading | {"points": 14, "indent": Mm(12.5)},
        "heading 2": heading | {"points": 14, "indent": Mm(12.5), "before": 12},
        "heading 3": heading | {"points": 14, "indent": Mm(12.5), "before": 12},
        "heading 4": heading | {"points": 14, "indent": Mm(12.5), "before": 12},
        STRUCTURAL: heading | {"points": 14, "align": middle},
        "TOC Heading": heading | {"points": 14, "align": middle},
        "toc 1": {"bold": False, "line": 1.5},
        "toc 2": {"line": 1.5, "left": Mm(5)},
        "toc 3": {"line": 1.5, "left": Mm(10)},
        "caption": {"points": 14, "line": 1},
        "Image Caption": {"line": 1, "align": middle, "before": 6, "after": 12},
        "Table Caption": {"line": 1, "align": left, "before": 12, "after": 6},
        "Table Text": {"points": TABLE_POINTS["gost"]},
        "Notes": body | {"points": 14},
        "Title Page": {"points": 14},
        "Subtitle": {"points": 14},
        "Title": {"points": 14},
        "footer": {"points": 12},
    }
    for name, change in changes.items():
        _change_style(document.styles[name], **change)
    borders = document.styles["Table"].element.find(".//" + qn("w:tblBorders"))
    for side in ("top", "left", "bottom", "right", "insideH", "insideV"):
        for old in borders.findall(qn(f"w:{side}")):
            borders.remove(old)
        line = OxmlElement(f"w:{side}")
        for key, value in {"val": "single", "sz": "4", "space": "0", "color": "000000"}.items():
            line.set(qn(f"w:{key}"), value)
        borders.append(line)
    for bold in document.styles["Table"].element.findall(".//" + qn("w:rPr")):
        bold.getparent().remove(bold)


def _change_style(
    style: ParagraphStyle,
    *,
    points: float | None = None,
    bold: bool | None = None,
    line: float | None = None,
    indent: Length | None = None,
    left: Length | None = None,
    before: float = 0,
    after: float = 0,
    align: WD_ALIGN_PARAGRAPH | None = None,
) -> None:
    if points is not None:
        style.font.size = Pt(points)
    if bold is not None:
        style.font.bold = bold
    if line is None:
        return
    form = style.paragraph_format
    form.line_spacing_rule = WD_LINE_SPACING.MULTIPLE
    form.line_spacing = line
    form.space_before, form.space_after = Pt(before), Pt(after)
    form.first_line_indent = indent or Mm(0)
    if left is not None:
        form.left_indent = left
    if align is not None:
        form.alignment = align


# --- code -------------------------------------------------------------------------------------


def _hang_code(document: Document, form: str) -> None:
    """Make each line of code a paragraph: what does not fit goes on below, deeper indented."""
    for paragraph in list(document.paragraphs):
        if paragraph.style is not None and paragraph.style.name in CODE_STYLES:
            lines = list(_lines(paragraph))
            paragraph._p.getparent().remove(paragraph._p)
            for index, line in enumerate(lines):
                _hang(line, CODE_POINTS[form])
                layout = line.paragraph_format
                layout.space_before = Pt(6 if index == 0 else 0)
                layout.space_after = Pt(8 if index == len(lines) - 1 else 0)
                near_an_end = index < 3 or index >= len(lines) - 4
                layout.keep_with_next = (len(lines) <= SHORT_CODE or near_an_end) and index < len(
                    lines
                ) - 1


def _lines(paragraph: Paragraph) -> Iterator[Paragraph]:
    """Insert before *paragraph* one for each of its lines, and yield them."""
    runs = [child for child in paragraph._p if child.tag != qn("w:pPr")]
    line: list[Any] = []
    for run_ in [*runs, None]:
        if run_ is not None and run_.find(qn("w:br")) is None:
            line.append(run_)
            continue
        new = OxmlElement("w:p")
        if paragraph._p.pPr is not None:
            new.append(copy.deepcopy(paragraph._p.pPr))
        new.extend(line)
        paragraph._p.addprevious(new)
        yield Paragraph(new, paragraph._parent)
        line = []


def _hang(line: Paragraph, points: float) -> None:
    text = line.text
    indent = len(text) - len(text.lstrip(" "))
    hanging = Pt((indent + 4) * _CODE_LETTER * points)
    line.paragraph_format.left_indent = hanging
    line.paragraph_format.first_line_indent = -hanging


# --- tables -----------------------------------------------------------------------------------


def _fit_tables(document: Document, form: str, continued: str) -> None:
    """Give each column the room that its words need, and each page a head."""
    left, right, top, bottom = (Mm(side) for side in MARGINS[form])
    room, height = PAGE[0] - left - right, PAGE[1] - top - bottom
    for table in document.tables:
        texts = [
            [list(_letters(cell, TABLE_POINTS[form])) for cell in row.findall(qn("w:tc"))]
            for row in table._tbl.findall(qn("w:tr"))
        ]
        widths = column_widths(texts, room)
        if sum(_least(texts, whole_words=True)) > room:
            _let_names_break(table._tbl)
        table.autofit = False
        _set_widths(table._tbl, widths)
        for row in table.rows:
            row._tr.get_or_add_trPr().append(OxmlElement("w:cantSplit"))
        if form == "gost":
            heights = [_row_height(row, widths, TABLE_POINTS[form]) for row in texts]
            _split_table(table._tbl, heights, int(height * _FILLED), continued)


Letters = list[tuple[str, float]]
"""A text as pairs of a letter and its width in English metric units."""


def _letters(cell: Any, points: float) -> Iterator[tuple[str, float]]:
    for run_ in cell.iter(qn("w:r")):
        style = run_.find(qn("w:rPr") + "/" + qn("w:rStyle"))
        is_code = style is not None and style.get(qn("w:val")) == "VerbatimChar"
        width = Pt(points) * (_CODE_LETTER if is_code else _LETTER)
        for text in run_.findall(qn("w:t")):
            yield from ((letter, width) for letter in text.text or "")


def column_widths(texts: list[list[Letters]], room: int) -> list[int]:
    """Return the widths of columns whose cells hold *texts*, together *room* at most.

    No column is narrower than its longest word, if there is room for that; else than the
    longest part of a name (``tests/lab``).
    """
    wanted = [
        max(int(sum(width for _, width in row[column])) for row in texts) + _CELL_PADDING
        for column in range(len(texts[0]))
    ]
    if sum(wanted) <= room:
        return wanted
    least = _least(texts, whole_words=True)
    if sum(least) > room:
        least = _least(texts, whole_words=False)
    if sum(least) > room:
        return [width * room // sum(least) for width in least]
    # What is left goes to those that want more, though not all of it to the longest one.
    wish = [min(want, room) - need for want, need in zip(wanted, least, strict=True)]
    spare = room - sum(least)
    return [need + spare * more // sum(wish) for need, more in zip(least, wish, strict=True)]


def _least(texts: list[list[Letters]], *, whole_words: bool) -> list[int]:
    return [
        max(_longest(row[column], whole_words) for row in texts) + _CELL_PADDING
        for column in range(len(texts[0]))
    ]


def _longest(letters: Letters, whole_words: bool) -> int:
    text = "".join(letter for letter, _ in letters)
    longest = at = 0.0
    for index, (letter, width) in enumerate(letters):
        at = 0.0 if letter == " " else at + width
        longest = max(longest, at)
        if not whole_words and _BREAKS.match(text, index + 1):
            at = 0.0
    return int(longest)


def _let_names_break(table: Any) -> None:
    for text in table.iter(qn("w:t")):
        text.text = _BREAKS.sub("\N{ZERO WIDTH SPACE}", text.text or "")


def _set_widths(table: Any, widths: list[int]) -> None:
    for column, width in zip(table.tblGrid.findall(qn("w:gridCol")), widths, strict=True):
        column.w = Length(width)
    total = table.tblPr.find(qn("w:tblW"))
    if total is not None:
        total.set(qn("w:type"), "dxa")
        total.set(qn("w:w"), str(Length(sum(widths)).twips))
    for row in table.findall(qn("w:tr")):
        for cell, width in zip(row.findall(qn("w:tc")), widths, strict=True):
            cell.width = Length(width)


def _row_height(row: list[Letters], widths: list[int], points: float) -> int:
    lines = [
        -(-int(sum(width for _, width in letters)) // max(room - _CELL_PADDING, 1))
        for letters, room in zip(row, widths, strict=True)
    ]
    return int(Pt(points * 1.15 * max(1, *lines, 1) + 4))


def _split_table(table: Any, heights: list[int], room: int, continued: str) -> None:
    """Keep a table on one page, or cut it into parts of a page, by GOST 7.32-2017, 6.6.4.

    The first part, and «Продолжение таблицы 3» above each other, begin a page.
    """
    head, *rows = table.findall(qn("w:tr"))
    number = _number_above(table)
    if sum(heights) <= room or not number:
        for row in [head, *rows[:-1]]:
            for paragraph in row.iter(qn("w:p")):
                Paragraph(paragraph, None).paragraph_format.keep_with_next = True  # type: ignore[arg-type]
        return
    caption = Paragraph(table.getprevious(), None)  # type: ignore[arg-type]
    caption.paragraph_format.page_break_before = True
    part, used = table, heights[0]
    for row, height in zip(rows, heights[1:], strict=True):
        if used + height > room:
            part, used = _next_part(part, head, continued.format(number=number)), heights[0]
        if part is not table:
            part.append(row)
        used += height


def _number_above(table: Any) -> str:
    """Return the number in the caption above *table*, if there is one."""
    caption = table.getprevious()
    if caption is None or caption.tag != qn("w:p"):
        return ""
    text = Paragraph(caption, None).text  # type: ignore[arg-type]
    style = caption.find(qn("w:pPr") + "/" + qn("w:pStyle"))
    found = re.match(r"\w+\s+(\w?\.?\d+)", text)
    is_caption = style is not None and style.get(qn("w:val")) == "TableCaption"
    return found[1] if found and is_caption else ""


def _next_part(table: Any, head: Any, words: str) -> Any:
    part = copy.deepcopy(table)
    for row in part.findall(qn("w:tr")):
        part.remove(row)
    part.append(copy.deepcopy(head))
    table.addnext(part)
    caption = parse_xml(
        f'<w:p {nsdecls("w")}><w:pPr><w:pStyle w:val="TableCaption"/><w:pageBreakBefore/></w:pPr>'
        f"<w:r><w:t>{words}</w:t></w:r></w:p>"
    )
    table.addnext(caption)
    return part


def _mark_lists(document: Document, form: str) -> None:
    """A dash before what is listed; GOST 7.32-2017, 6.4.6, and after a number a bracket."""
    indent = {"book": Mm(5), "gost": Mm(12.5)}[form]
    # Two digits and their sign, in the letters of the text, and a gap.
    number = {"book": Mm(7), "gost": Mm(9)}[form]
    for level in document.part.numbering_part.element.iter(qn("w:lvl")):
        kind, text = level.find(qn("w:numFmt")), level.find(qn("w:lvlText"))
        depth = int(level.get(qn("w:ilvl"))) + 1
        if kind.get(qn("w:val")) == "bullet":
            text.set(qn("w:val"), "–")
        elif form == "gost":
            text.set(qn("w:val"), text.get(qn("w:val")).replace(".", ")"))
        for layout in level.iter(qn("w:ind")):
            hanging = Mm(5) if kind.get(qn("w:val")) == "bullet" else number
            layout.left, layout.hanging = Length(indent * depth + hanging), hanging


# --- contents ---------------------------------------------------------------------------------


def _add_contents(document: Document, form: str) -> None:
    """Put the contents below their heading: a TOC field, with lines that it would give.

    The pages are known only to the program that lays the document out. Word makes the contents
    anew when it opens the file, because the field is marked as out of date. LibreOffice shows
    what such a field last gave, and nothing has given anything yet; so LibreOffice is told of
    another field, whose lines have live fields for the pages (ECMA-376 part 3: of alternatives a
    program takes the first that it understands, and only Word understands w15). What comes before
    them is for readers such as pandoc, which look for an instruction outside of alternatives and
    otherwise take the next field of the text for the contents, and lists for parts of headings.
    """
    title = next(p for p in document.paragraphs if p.style and p.style.name == "TOC Heading")
    entries = list(_headings(document.paragraphs, DEPTH[form]))
    lines = [_contents_line(*entry) for entry in entries]
    if not lines:
        return
    contents = f'TOC \\o "1-{DEPTH[form]}" \\h \\z \\t "{STRUCTURAL},1"'
    begin = (
        '<w:r><w:fldChar w:fldCharType="begin" w:dirty="true"/></w:r>'
        '<w:r><w:instrText xml:space="preserve"> </w:instrText></w:r>'
        f'<w:r><mc:AlternateContent xmlns:mc="{_MC}" xmlns:w15="{_W15}">'
        f'<mc:Choice Requires="w15">{_instruction(contents)}</mc:Choice>'
        f"<mc:Fallback>{_instruction('QUOTE')}</mc:Fallback></mc:AlternateContent></w:r>"
        '<w:r><w:fldChar w:fldCharType="separate"/></w:r>'
    )
    lines[0] = lines[0].replace("</w:pPr>", f"</w:pPr>{begin}", 1)
    lines.append('<w:p><w:r><w:fldChar w:fldCharType="end"/></w:r></w:p>')
    block = (
        f"<w:sdt {nsdecls('w')}><w:sdtPr><w:docPartObj>"
        '<w:docPartGallery w:val="Table of Contents"/><w:docPartUnique/>'
        f"</w:docPartObj></w:sdtPr><w:sdtContent>{''.join(lines)}</w:sdtContent></w:sdt>"
    )
    title._p.addnext(parse_xml(block))


def _headings(paragraphs: Iterable[Paragraph], depth: int) -> Iterator[tuple[int, str, str]]:
    """Yield level, text and bookmark of every heading in the contents."""
    levels = {f"Heading {level}": level for level in range(1, depth + 1)} | {STRUCTURAL: 1}
    for paragraph in paragraphs:
        style = paragraph.style.name if paragraph.style is not None else ""
        if style in levels:
            marks = [mark.get(qn("w:name")) for mark in paragraph._p.iter(qn("w:bookmarkStart"))]
            bookmark = next((mark for mark in marks if mark.startswith("_Toc_")), None)
            if bookmark:
                yield levels[style], " ".join(paragraph.text.split("\n")), bookmark


def _contents_line(level: int, text: str, bookmark: str) -> str:
    return (
        f'<w:p><w:pPr><w:pStyle w:val="TOC{level}"/></w:pPr>'
        f'<w:hyperlink w:anchor="{bookmark}" w:history="1">'
        f'<w:r><w:t xml:space="preserve">{_escaped(text)}</w:t></w:r><w:r><w:tab/></w:r>'
        f"{_field(f'PAGEREF {bookmark}', '…')}</w:hyperlink></w:p>"
    )


def _instruction(code: str) -> str:
    return f'<w:instrText xml:space="preserve"> {_escaped(code)} </w:instrText>'


def _field(instruction: str, shown: str) -> str:
    return (
        f'<w:fldSimple {nsdecls("w")} w:instr=" {instruction} "><w:r><w:t>{shown}</w:t></w:r>'
        "</w:fldSimple>"
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _break_before_front(document: Document) -> None:
    contents = document.element.body.find(qn("w:sdt"))
    if contents is not None and contents.getnext().tag == qn("w:p"):
        Paragraph(contents.getnext(), None).paragraph_format.page_break_before = True  # type: ignore[arg-type]
