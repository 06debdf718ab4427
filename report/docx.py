"""``report.docx``: real styles, headings, captions and contents, for a teacher to annotate.

Pandoc writes the document; what it takes from a "reference" document (styles, page, footers)
comes from one made here out of pandoc's own and ``templates/docx/styles.xml``.
"""

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

from . import pandoc
from .export import TEMPLATES, Document
from .merge import Heading
from .run_pandoc import run

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_FOOTER_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.footer+xml"
CONTENTS_DEPTH = 2


def write(document: Document, folder: Path, path: Path) -> None:
    """Write *document*, which was prepared in *folder*, to the file *path*.

    Raises PandocError.
    """
    reference = folder / "reference.docx"
    write_reference(reference, first_page_footer=document.place)
    pandoc.convert(
        folder,
        path,
        *("--reference-doc", str(reference.resolve())),
        *("--template", str(TEMPLATES / "docx" / "pandoc.openxml")),
        *("--variable", f"contents={contents(document.headings)}"),
    )


def contents(headings: list[Heading]) -> str:
    """Return the contents: a line for each heading, linked to it, with a field for its page.

    The page is known only to the program that lays the document out, so the field is marked
    as out of date (ECMA-376 part 1, 17.16.5.45: PAGEREF). There is no TOC field around the
    lines: LibreOffice shows what such a field last gave, and nothing has given anything yet.
    """
    paragraphs = []
    for heading in headings:
        if heading.level <= CONTENTS_DEPTH:
            bookmark = f"_Toc_{heading.anchor}"
            text = escape(f"{heading.number}\N{EN SPACE}{heading.title.replace('`', '')}")
            paragraphs.append(
                f'<w:p><w:pPr><w:pStyle w:val="TOC{heading.level}"/></w:pPr>'
                f'<w:hyperlink w:anchor="{bookmark}" w:history="1">'
                f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r><w:r><w:tab/></w:r>'
                '<w:r><w:fldChar w:fldCharType="begin" w:dirty="true"/></w:r>'
                f'<w:r><w:instrText xml:space="preserve"> PAGEREF {bookmark} </w:instrText></w:r>'
                '<w:r><w:fldChar w:fldCharType="separate"/></w:r><w:r><w:t>…</w:t></w:r>'
                '<w:r><w:fldChar w:fldCharType="end"/></w:r></w:hyperlink></w:p>'
            )
    return "\n".join(paragraphs)


def write_reference(path: Path, first_page_footer: str) -> None:
    """Write to *path* the document that pandoc takes styles, margins and footers from."""
    path.write_bytes(run(path.parent, "--print-default-data-file", "reference.docx"))
    with zipfile.ZipFile(path) as package:
        parts = {name: package.read(name).decode() for name in package.namelist()}
    parts["word/styles.xml"] = (TEMPLATES / "docx" / "styles.xml").read_text("utf-8")
    parts["word/footer1.xml"] = _footer('<w:fldSimple w:instr=" PAGE "/>')
    parts["word/footer2.xml"] = _footer(f"<w:r><w:t>{escape(first_page_footer)}</w:t></w:r>")
    parts["[Content_Types].xml"] = parts["[Content_Types].xml"].replace(
        "</Types>",
        f'<Override PartName="/word/footer1.xml" ContentType="{_FOOTER_TYPE}"/>'
        f'<Override PartName="/word/footer2.xml" ContentType="{_FOOTER_TYPE}"/></Types>',
    )
    settings = parts["word/settings.xml"]
    parts["word/settings.xml"] = settings.replace(
        "<w:defaultTabStop", "<w:autoHyphenation/><w:defaultTabStop"
    )
    relations = "word/_rels/document.xml.rels"
    parts[relations] = parts[relations].replace(
        "</Relationships>",
        f'<Relationship Id="rIdFooter1" Type="{_R}/footer" Target="footer1.xml"/>'
        f'<Relationship Id="rIdFooter2" Type="{_R}/footer" Target="footer2.xml"/></Relationships>',
    )
    # A4 with the margins of a course work, in twentieths of a point: 30 mm on the left.
    parts["word/document.xml"] = (
        f'<?xml version="1.0" encoding="UTF-8"?><w:document {_W} xmlns:r="{_R}"><w:body><w:sectPr>'
        '<w:footerReference w:type="default" r:id="rIdFooter1"/>'
        '<w:footerReference w:type="first" r:id="rIdFooter2"/>'
        '<w:pgSz w:w="11906" w:h="16838"/>'
        '<w:pgMar w:top="1134" w:right="1134" w:bottom="1134" w:left="1701"'
        ' w:header="567" w:footer="567" w:gutter="0"/><w:titlePg/>'
        "</w:sectPr></w:body></w:document>"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in parts.items():
            package.writestr(name, text)


def _footer(content: str) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><w:ftr {_W}><w:p><w:pPr>'
        f'<w:pStyle w:val="Footer"/></w:pPr>{content}</w:p></w:ftr>'
    )
