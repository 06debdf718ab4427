"""``report.pdf``: set by Typst, which travels in a wheel, in fonts that travel in wheels too."""

import shutil
from pathlib import Path

import matplotlib
import typst
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

from . import ReportError, pandoc
from .export import TEMPLATES

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


class TypstError(ReportError):
    """Typst refused the document, or warned about it; the message is its own."""


def write(folder: Path, path: Path) -> None:
    """Write the document that was prepared in *folder* to the file *path*.

    Uses no font of this machine, so that every machine sets the same pages: Libertinus and
    DejaVu Sans Mono are inside Typst, further DejaVu faces come with matplotlib.
    Raises TypstError or PandocError.
    """
    pandoc.convert(
        folder, folder / "body.typ", "--template", str(TEMPLATES / "typst" / "pandoc.typ")
    )
    body = (folder / "body.typ").read_text("utf-8")
    (folder / "body.typ").write_text(spell_out_missing(body, _characters()), "utf-8")
    for part in ("report.typ", "code.tmTheme"):
        shutil.copyfile(TEMPLATES / "typst" / part, folder / part)
    try:
        content, warnings = typst.compile_with_warnings(
            str(folder / "body.typ"),
            root=str(folder),
            font_paths=[str(FONTS)],
            ignore_system_fonts=True,
        )
    except typst.TypstError as error:
        raise TypstError(error.diagnostic) from error
    if warnings:
        raise TypstError("\n".join(warning.diagnostic for warning in warnings))
    path.write_bytes(content)


def _characters() -> set[int]:
    """Return the code points that the fonts of last choice have glyphs for."""
    faces = (TTFont(FONTS / name) for name in ("DejaVuSans.ttf", "DejaVuSansMono.ttf"))
    return {point for face in faces for point in face.getBestCmap()}


def spell_out_missing(text: str, known: set[int]) -> str:
    """Replace each character of *text* that is not *known* by its number: ``[U+1F98A]``.

    An emoji, say, for which no font travels with the libraries: its number tells more than
    the empty box that would stand there.
    """
    wanted = {ord(character) for character in set(text) if character not in "\n\t\r"}
    missing = {point: f"[U+{point:04X}]" for point in wanted - known}
    # These only choose how the character before them is drawn.
    missing |= dict.fromkeys(range(0xFE00, 0xFE10), "")
    return text.translate(missing)
