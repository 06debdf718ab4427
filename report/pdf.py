"""``report.pdf``: set by Typst, which travels in a wheel, in the fonts of the page.

The file is PDF/A-2a and PDF/UA-1: Typst refuses to write what would not be.
"""

import io
import re
import shutil
import unicodedata
from pathlib import Path

import matplotlib
import pikepdf
import typst
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from PIL import Image

from . import ReportError, pandoc
from .export import TEMPLATES

PAGE_FONTS = TEMPLATES / "html" / "fonts"
FURTHER_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
"""DejaVu, for signs that the fonts of the page lack, and STIX, which looks like Times."""


_IN_NOTO = re.compile(r"(?P<look><text[^>]*'Noto Sans'[^>]*>)(?P<words>[^<]+)(?=</text>)")
_SIZE = re.compile(r"font-size: ([\d.]+)px")
_NARROWER = 0.91  # how much of the size of Noto Sans makes DejaVu Sans as wide


class TypstError(ReportError):
    """Typst refused the document, or warned about it; the message is its own."""


def write(folder: Path, path: Path) -> None:
    """Write the document that was prepared in *folder* to the file *path*.

    Uses no font of this machine, so that every machine sets the same pages.
    Raises TypstError or PandocError.
    """
    pandoc.convert(
        folder, folder / "body.typ", "--template", str(TEMPLATES / "typst" / "pandoc.typ")
    )
    known = _characters()
    for text in [folder / "body.typ", *folder.glob("**/*.svg")]:
        text.write_text(spell_out_missing(text.read_text("utf-8"), known), "utf-8")
    for drawing in folder.glob("**/*.svg"):
        drawing.write_text(with_signs(drawing.read_text("utf-8")), "utf-8")
    for part in ("report.typ", "code.tmTheme"):
        shutil.copyfile(TEMPLATES / "typst" / part, folder / part)
    fonts = folder / "fonts"
    _unpack_fonts(fonts)
    try:
        content, warnings = typst.compile_with_warnings(
            str(folder / "body.typ"),
            root=str(folder),
            font_paths=[str(fonts), str(FURTHER_FONTS)],
            ignore_system_fonts=True,
            pdf_standards=["a-2a", "ua-1"],
            sys_inputs={"metadata": (folder / pandoc.METADATA).read_text("utf-8")},
        )
    except typst.TypstError as error:
        raise TypstError(error.diagnostic) from error
    if warnings:
        raise TypstError("\n".join(warning.diagnostic for warning in warnings))
    with pikepdf.open(io.BytesIO(content)) as pdf:
        index_colours(pdf)
        # The default value; poppler reports an error where it is written out.
        if "/MarkInfo" in pdf.Root and "/Suspects" in pdf.Root.MarkInfo:
            del pdf.Root.MarkInfo.Suspects
        pikepdf.settings.set_flate_compression_level(9)
        # Typst writes the thousands of small objects that say what each word is one by one.
        pdf.save(
            path,
            object_stream_mode=pikepdf.ObjectStreamMode.generate,
            recompress_flate=True,
            deterministic_id=True,
        )


def index_colours(pdf: pikepdf.Pdf) -> None:
    """Store each picture of *pdf* that has at most 256 colours as numbers of a palette.

    Typst writes three bytes for each point, whatever the PNG was. Pictures of a screen get a
    third smaller, and no point of them changes.
    """
    for picture in pdf.objects:
        if not isinstance(picture, pikepdf.Stream) or picture.get("/Subtype") != "/Image":
            continue
        size = int(picture.Width), int(picture.Height)
        points = picture.read_bytes()
        if picture.BitsPerComponent != 8 or len(points) != 3 * size[0] * size[1]:
            continue
        image = Image.frombytes("RGB", size, points)
        indexed = image.quantize(256, dither=Image.Dither.NONE)
        palette = indexed.getpalette()
        if palette is None or indexed.convert("RGB").tobytes() != points:
            continue
        picture.write(indexed.tobytes())
        picture.ColorSpace = pikepdf.Array(
            [
                pikepdf.Name.Indexed,
                picture.ColorSpace,
                len(palette) // 3 - 1,
                pikepdf.String(bytes(palette)),
            ]
        )


def _unpack_fonts(folder: Path) -> None:
    """Write the fonts of the page to *folder* as Typst reads them: not compressed."""
    folder.mkdir(exist_ok=True)
    # The signs of DejaVu go by the name of the whole font, which Typst has from elsewhere.
    for packed in set(PAGE_FONTS.glob("*.woff2")) - set(PAGE_FONTS.glob("DejaVu*")):
        font = TTFont(packed, recalcTimestamp=False)
        font.flavor = None
        font.save(folder / f"{packed.stem}.ttf")


def with_signs(svg: str) -> str:
    """Return a drawing in which words with a sign that Noto Sans lacks are in DejaVu Sans.

    Typst would set them in the first font, of all it knows, that has the sign, say an arrow.
    """
    known = TTFont(PAGE_FONTS / "NotoSans-Regular.woff2").getBestCmap()

    def other_font(text: re.Match[str]) -> str:
        if all(ord(sign) in known for sign in text["words"]):
            return text[0]
        look = text["look"].replace("'Noto Sans', ", "")
        look = _SIZE.sub(lambda size: f"font-size: {_NARROWER * float(size[1]):g}px", look)
        return look + text["words"]

    return _IN_NOTO.sub(other_font, svg)


def _characters() -> set[int]:
    """Return the code points that the fonts of last choice have glyphs for."""
    faces = (TTFont(FURTHER_FONTS / name) for name in ("DejaVuSans.ttf", "DejaVuSansMono.ttf"))
    return {point for face in faces for point in face.getBestCmap()}


def spell_out_missing(text: str, known: set[int]) -> str:
    """Replace each character of *text* that is not *known* by its number: ``[U+1F98A]``.

    An emoji, say, for which no font travels with the libraries: its number tells more than
    the empty box that would stand there. So is a character that means nothing outside one
    program (private use), which PDF/A forbids.
    """
    wanted = {ord(character) for character in set(text) if character not in "\n\t\r"}
    missing = {
        point: f"[U+{point:04X}]"
        for point in wanted
        if point not in known or unicodedata.category(chr(point)) == "Co"
    }
    # These only choose how the character before them is drawn, or how the file is read.
    missing |= dict.fromkeys([*range(0xFE00, 0xFE10), 0xFEFF], "")
    return text.translate(missing)
