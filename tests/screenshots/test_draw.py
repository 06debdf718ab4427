"""Drawing: what the emulator holds is what the picture shows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import pytest
from PIL import Image, ImageChops
from pyte.graphics import FG_BG_256

from chat.app.conversation import _NICK_COLOURS
from chat.lab.terminal import Cell, Snapshot
from screenshots import draw

BLANK = Cell(" ", "default", "default", *[False] * 6)


def shot(
    text: str | Sequence[Cell] = "",
    columns: int = draw.HALF_COLUMNS,
    rows: int = 3,
    cursor: tuple[int, int] | None = None,
) -> Snapshot:
    cells = [replace(BLANK, text=each) if isinstance(each, str) else each for each in text]
    first = tuple(cells + [BLANK] * (columns - len(cells)))
    return Snapshot("окно", columns, (first, *[(BLANK,) * columns] * (rows - 1)), cursor)


def cell_image(snapshot: Snapshot, column: int, row: int = 0, cells: int = 1) -> Image.Image:
    left, top = draw.cell_place(column, row)
    box = (left, top, left + cells * draw.CELL_WIDTH, top + draw.CELL_HEIGHT)
    return draw.draw([[snapshot]]).convert("RGB").crop(box)


def colours_of(image: Image.Image) -> set[tuple[int, int, int]]:
    pixels = image.load()
    assert pixels is not None
    return {pixels[x, y] for x in range(image.width) for y in range(image.height)}  # type: ignore[misc]


def ink(image: Image.Image) -> int:
    """Return how much of *image* differs from its corner."""
    paper = Image.new("RGB", image.size, image.getpixel((0, 0)))
    return sum(ImageChops.difference(image, paper).convert("L").tobytes())


class TestCells:
    @pytest.mark.parametrize("name", ["red", "brightcyan", "ff8700", "default"])
    def test_a_letter_has_its_colour(self, name: str) -> None:
        cell = replace(BLANK, text="█", fg=name)
        letter, _paper = draw.colours(cell)
        assert letter in colours_of(cell_image(shot([cell]), 0))
        assert letter not in colours_of(cell_image(shot([cell]), 1))

    def test_reverse_swaps_the_colours(self) -> None:
        plain = replace(BLANK, text="x", fg="red", bg="0000ff")
        assert draw.colours(replace(plain, reverse=True)) == draw.colours(plain)[::-1]
        assert cell_image(shot([plain]), 0).getpixel((0, 0)) == (0, 0, 255)

    def test_faint_is_between_the_letter_and_the_background(self) -> None:
        letter, paper = draw.colours(BLANK)
        faint, _paper = draw.colours(replace(BLANK, faint=True))
        assert all(
            low < value < high for low, value, high in zip(paper, faint, letter, strict=True)
        )

    def test_bold_is_heavier_and_italics_are_another_shape(self) -> None:
        plain = replace(BLANK, text="ж")
        normal = cell_image(shot([plain]), 0)
        assert ink(cell_image(shot([replace(plain, bold=True)]), 0)) > ink(normal)
        oblique = cell_image(shot([replace(plain, italics=True)]), 0)
        assert ImageChops.difference(oblique, normal).getbbox() is not None

    @pytest.mark.parametrize("attribute", ["underscore", "strikethrough"])
    def test_lines_run_through_blanks_too(self, attribute: str) -> None:
        lined = replace(BLANK, **{attribute: True})  # type: ignore[arg-type]
        letter, _paper = draw.colours(BLANK)
        assert letter in colours_of(cell_image(shot([lined]), 0))

    def test_cyrillic_is_not_drawn_as_a_box(self) -> None:
        missing = cell_image(shot("\ufffe"), 0).tobytes()
        letters = {cell_image(shot(letter), 0).tobytes() for letter in "ЖжЩщЪъЁёЯя—→«»"}
        assert len(letters) == 14
        assert missing not in letters

    def test_what_the_monospaced_face_lacks_comes_from_another(self) -> None:
        assert ord("😀") not in draw._characters("DejaVuSansMono")
        wide = [replace(BLANK, text="😀"), replace(BLANK, text="")]
        missing = [replace(BLANK, text="\U0010fffe"), replace(BLANK, text="")]
        face, box = (cell_image(shot(text), 0, cells=2) for text in (wide, missing))
        assert ImageChops.difference(face, box).getbbox() is not None

    def test_a_cell_stays_within_its_borders(self) -> None:
        alone = shot([replace(BLANK, text="Щ", bold=True)])
        assert len(colours_of(cell_image(alone, 1))) == 1

    def test_the_cursor_is_drawn_where_it_is(self) -> None:
        with_cursor, without = shot("ab", cursor=(1, 1)), shot("ab", rows=3)
        assert colours_of(cell_image(with_cursor, 1, row=1)) == {draw._CURSOR}
        tall = replace(without, rows=(without.rows[0], without.rows[0]))
        assert draw._CURSOR not in colours_of(draw.draw([[tall]]).convert("RGB"))

    @pytest.mark.parametrize("name", [name for name in draw._NAMED if "black" not in name])
    def test_named_colours_can_be_read(self, name: str) -> None:
        letter, paper = map(_luminance, draw.colours(replace(BLANK, fg=name)))
        assert (letter + 0.05) / (paper + 0.05) >= 4.5

    @pytest.mark.parametrize("number", _NICK_COLOURS)
    def test_the_colours_of_nicknames_can_be_read(self, number: int) -> None:
        cell = replace(BLANK, fg=FG_BG_256[number])
        letter, paper = map(_luminance, draw.colours(cell))
        assert (letter + 0.05) / (paper + 0.05) >= 4.5


class TestWindows:
    def test_only_the_rows_in_use_are_drawn(self) -> None:
        assert draw.used_rows(shot("text", rows=24)) == 1
        assert draw.used_rows(shot("text", rows=24, cursor=(0, 5))) == 6
        low, high = draw.draw([[shot(rows=24)]]), draw.draw([[shot(rows=24, cursor=(0, 9))]])
        assert high.height - low.height == 9 * draw.CELL_HEIGHT

    def test_windows_side_by_side_are_as_wide_as_one(self) -> None:
        one = draw.draw([[shot(columns=draw.FULL_COLUMNS)]])
        assert draw.draw([[shot(), shot()]]).width == one.width
        assert draw.draw([[shot(columns=40)], [shot(), shot()]]).width == one.width

    def test_gaps_between_windows_are_equal_and_transparent(self) -> None:
        picture = draw.draw([[shot(), shot()], [shot(), shot()]])
        alpha = picture.getchannel("A")
        x, y = picture.width // 4, alpha.height // 4
        across = [alpha.getpixel((column, y)) for column in range(picture.width)]
        down = [alpha.getpixel((x, row)) for row in range(picture.height)]
        assert across.count(0) == down.count(0) == draw.GAP
        assert alpha.getpixel((0, 0)) == 0

    def test_the_title_is_drawn(self) -> None:
        titled, untitled = shot(), replace(shot(), title="")
        assert draw.draw([[titled]]).tobytes() != draw.draw([[untitled]]).tobytes()

    def test_nothing_to_draw_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="window"):
            draw.draw([])
        with pytest.raises(ValueError, match="window"):
            draw.draw([[shot()], []])


def test_the_file_is_small_and_keeps_colours_and_texts() -> None:
    cell = replace(BLANK, text="█", fg="ff8700")
    snapshot = shot([cell] * 30)
    data = draw.png(draw.draw([[snapshot]]), {"Commands": "Аня: привет"})
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.mode == "P"
        assert picture.info["Commands"] == "Аня: привет"
        assert picture.info["dpi"] == pytest.approx((128, 128), abs=0.1)
        left, top = draw.cell_place(3, 0)
        shown = picture.convert("RGBA").getpixel((left + 9, top + 9))
    assert isinstance(shown, tuple)
    assert max(abs(a - b) for a, b in zip(shown, (255, 135, 0, 255), strict=True)) <= 4
    assert len(data) < 20_000


def _luminance(colour: tuple[int, int, int]) -> float:
    """Return the relative luminance of *colour* (WCAG 2.2)."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
