"""Parts, numbers, captions and references of the merged document."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from nbformat import NotebookNode, v4

from report.merge import NBSP, Merged, MergeError, merge

from .conftest import PREDICTION, tagged


def prose(text: str) -> NotebookNode:
    return v4.new_markdown_cell(text)  # type: ignore[no-any-return, no-untyped-call]


def shown(kind: str, label: str, caption: str = "Подпись.", **more: object) -> NotebookNode:
    """Return a code cell that displayed something with a caption."""
    about = {"kind": kind, "label": label, "caption": caption, "alt": "…", **more}
    output = v4.new_output("display_data", {"text/plain": "x"}, metadata={"report": about})  # type: ignore[no-untyped-call]
    return v4.new_code_cell("show()", outputs=[output])  # type: ignore[no-any-return, no-untyped-call]


def merged(*books: Sequence[NotebookNode]) -> Merged:
    names = ["01_a.ipynb", "02_b.ipynb", "03_c.ipynb"]
    return merge(
        [
            (Path("notebooks") / name, v4.new_notebook(cells=list(cells)))  # type: ignore[no-untyped-call]
            for name, cells in zip(names, books, strict=False)
        ],
        "ru",
    )


def text_of(document: Merged) -> str:
    return "\n".join(cell.source for cell in document.notebook.cells)


def captions(document: Merged) -> list[tuple[str, int]]:
    return [
        (output.metadata.report.label, output.metadata.report.number)
        for cell in document.notebook.cells
        for output in cell.get("outputs", [])
    ]


def test_headings_are_numbered_through_parts_and_sections() -> None:
    document = merged(
        [prose("# А\n\nтекст\n\n## Первый\n\n### Глубже\n\n## Второй")], [prose("# Б\n## Третий")]
    )
    assert [(heading.number, heading.title) for heading in document.headings] == [
        ("1", "А"),
        ("1.1", "Первый"),
        ("1.1.1", "Глубже"),
        ("1.2", "Второй"),
        ("2", "Б"),
        ("2.1", "Третий"),
    ]
    assert len({heading.anchor for heading in document.headings}) == 6


def test_a_number_sign_inside_code_is_no_heading() -> None:
    document = merged([prose("# А\n```sh\n# комментарий\n```\n~~~~\n# и этот\n~~~\n~~~~\nтекст")])
    assert [heading.title for heading in document.headings] == ["А"]
    assert "# комментарий" in text_of(document)
    assert "# и этот" in text_of(document)


def test_figures_listings_and_tables_are_counted_apart_through_the_whole_document() -> None:
    listing = shown("listing", "lst-a", file="chat/a.py", first_line=3, last_line=9)
    document = merged(
        [prose("# А"), shown("figure", "fig-a"), listing, shown("figure", "fig-b")],
        [prose("# Б"), shown("table", "tab-a"), shown("figure", "fig-c")],
    )
    assert captions(document) == [
        ("fig-a", 1),
        ("lst-a", 1),
        ("fig-b", 2),
        ("tab-a", 1),
        ("fig-c", 3),
    ]


def test_a_reference_gets_the_number_whether_it_looks_forward_or_back() -> None:
    document = merged(
        [prose("# А\nна [рисунке](#fig-b)"), shown("figure", "fig-a")],
        [prose("# Б"), shown("figure", "fig-b"), prose("[рис.](#fig-a)")],
    )
    assert f"на [рисунке{NBSP}2](#fig-b)" in text_of(document)
    assert f"[рис.{NBSP}1](#fig-a)" in text_of(document)


def test_a_reference_that_does_not_name_its_kind_gets_the_name_too() -> None:
    text = "# А\n[здесь](#fig-a), [листинг про таблицу](#fig-a), [Таблицы](#tab-a)"
    document = merged([prose(text), shown("figure", "fig-a"), shown("table", "tab-a")])
    assert f"[здесь (рис.{NBSP}1)](#fig-a)" in text_of(document)
    assert f"[листинг про таблицу (рис.{NBSP}1)](#fig-a)" in text_of(document)
    assert f"[Таблицы{NBSP}1](#tab-a)" in text_of(document)


def test_a_reference_may_name_the_notebook_too_and_hold_code() -> None:
    document = merged(
        [prose("# А\n[листинг `f[0]`](02_b.ipynb#lst-f)")],
        [prose("# Б"), shown("listing", "lst-f")],
    )
    assert f"[листинг `f[0]` (листинг{NBSP}1)](#lst-f)" in text_of(document)


def test_captions_and_shown_prose_hold_references_too() -> None:
    output = v4.new_output("display_data", {"text/markdown": "см. [рис.](#fig-a)"})  # type: ignore[no-untyped-call]
    document = merged(
        [
            prose("# А"),
            shown("figure", "fig-a", caption="Как на [рисунке](#fig-a)."),
            v4.new_code_cell("", outputs=[output]),  # type: ignore[no-untyped-call]
        ]
    )
    first, second = (cell for cell in document.notebook.cells if cell.cell_type == "code")
    assert first.outputs[0].metadata.report.caption == f"Как на [рисунке{NBSP}1](#fig-a)."
    assert second.outputs[0].data["text/markdown"] == f"см. [рис.{NBSP}1](#fig-a)"


def test_what_looks_like_a_reference_inside_code_is_code() -> None:
    code = "`[a](#fig-none)` и ``[`b`](#fig-none)``\n\n```md\n[c](#fig-none)\n```"
    assert code in text_of(merged([prose(f"# А\n{code}")]))


def test_a_dash_stays_on_the_line_of_the_word_before_it() -> None:
    document = merged(
        [prose("# А\nодин – два\n— три `a – b` – [четыре – пять](#А)\n\n- шесть\n- семь")]
    )
    text = text_of(document).replace(NBSP, "~")
    assert "один~– два~— три `a – b`~– [четыре~– пять](#sec-1)\n\n- шесть\n- семь" in text


def test_links_between_notebooks_lead_to_parts_and_sections() -> None:
    document = merged(
        [
            prose(
                "# А\n[теория](02_b.ipynb), [кадры](02_b.ipynb#Кадры-и-%60recv%60), [тут](#Тут)\n"
                "## Тут"
            )
        ],
        [prose("# Б\n## Кадры и `recv`\n[сеть](https://www.rfc-editor.org/rfc/rfc9293#x)")],
    )
    text = text_of(document)
    assert "[теория](#sec-2), [кадры](#sec-2-1), [тут](#sec-1-1)" in text
    assert "[сеть](https://www.rfc-editor.org/rfc/rfc9293#x)\u00a0[\\[1\\]](#src-1)" in text


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ([prose("нет заголовка")], "01_a.ipynb"),
        ([shown("figure", "fig-a")], "01_a.ipynb"),
        ([], "01_a.ipynb"),
        ([prose("# А\n\n# Ещё")], "Ещё"),
        ([prose("# А\n[р](#fig-lost)")], "fig-lost"),
        ([prose("# А\n[р](01_a.ipynb#Нет-такого)")], "Нет-такого"),
        ([prose("# А\n[р](#Нет-такого)")], "Нет-такого"),
        ([prose("# А\n[р](#term-нет)")], "#term-нет"),
        ([prose("# А"), tagged(prose("без списка"), "glossary")], "без списка"),
        ([prose("# А\n![к](lost.png)")], "lost.png"),
        ([prose("# А\n![к](attachment:lost.png)")], "lost.png"),
        ([prose("# А\n![к](https://example.org/a.png)")], "https://example.org/a.png"),
        ([prose("# А"), shown("figure", "fig-a"), shown("figure", "fig-a")], "fig-a"),
    ],
)
def test_what_cannot_be_merged_is_refused_by_name(
    cells: list[NotebookNode], complaint: str
) -> None:
    with pytest.raises(MergeError, match=complaint):
        merged(cells)


def test_an_attached_picture_comes_along() -> None:
    cell = prose("# А\n![к](attachment:сн%20имок.png)")
    cell["attachments"] = {"сн имок.png": {"image/png": "aGk="}}
    document = merged([cell])
    assert document.pictures == {"figures/01_a-сн-имок.png": b"hi"}
    assert "![к](figures/01_a-сн-имок.png)" in text_of(document)


def kinds(document: Merged) -> list[str]:
    return [cell.metadata.report.kind for cell in document.notebook.cells]


def test_an_answer_stands_at_the_end_of_its_section_for_paper() -> None:
    asked = PREDICTION.replace(
        "часть имени", "часть [имени](https://www.rfc-editor.org/rfc/rfc9293)"
    )
    document = merged(
        [prose(f"# А\n{asked}\n\nопыт\n\n## Б\n{asked}"), prose("и всё")], [prose("# В")]
    )
    assert kinds(document) == [
        *("heading", "prediction", "prose", "answers"),
        *("heading", "prediction", "prose", "answers", "heading"),
    ]
    questions = [cell.metadata.report for cell in document.notebook.cells]
    assert [about.number for about in questions if about.kind == "prediction"] == [1, 2]
    (entry,) = questions[3].entries
    assert (entry.number, entry.answer) == (1, "а")
    assert entry.why == questions[1].why
    assert "[\\[1\\]](#src-1)" in entry.why


def test_a_prediction_that_is_not_whole_names_its_notebook() -> None:
    with pytest.raises(MergeError, match=r"01_a\.ipynb"):
        merged([prose("# А\n<details>\n\n</details>")])


def test_a_term_leads_to_the_glossary_wherever_that_stands() -> None:
    glossary = tagged(
        prose("- **поток `TCP`** – без\n  границ\n- **ACK**: [кадр](#term-поток-tcp)"), "glossary"
    )
    document = merged([prose("# А\n[потоке](#term-поток-TCP)")], [prose("# Б"), glossary])
    assert "[потоке](#term-1)" in text_of(document)
    first, second = document.notebook.cells[-1].metadata.report.entries
    assert (first.term, first.definition) == ("поток `TCP`", "без границ")
    assert second == {"anchor": "term-2", "term": "ACK", "definition": "[кадр](#term-1)"}


def test_the_front_page_comes_before_the_first_part() -> None:
    document = merged(
        [prose("# А\nтекст"), tagged(prose("Это чат."), "front")],
        [prose("# Б"), tagged(shown("figure", "fig-front"), "front")],
    )
    cells = document.notebook.cells
    assert [cell.metadata.report.get("front", False) for cell in cells[:3]] == [True, True, False]
    assert cells[0].source == "Это чат."
    assert cells[1].outputs[0].metadata.report.label == "fig-front"
    assert cells[2].source == "А"


def test_an_appendix_has_a_letter() -> None:
    book = v4.new_notebook(cells=[prose("# Листинг\n## Ядро\n[тут](#Ядро)")])  # type: ignore[no-untyped-call]
    more = v4.new_notebook(cells=[prose("# Ещё")])  # type: ignore[no-untyped-call]
    files = [(Path("06_appendix_core.ipynb"), book), (Path("07_appendix_more.ipynb"), more)]
    document = merge(files, "ru")
    assert [(heading.number, heading.appendix) for heading in document.headings] == [
        ("А", True),
        ("А.1", False),
        ("Б", True),
    ]
    assert [heading.anchor for heading in document.headings] == ["sec-1", "sec-1-1", "sec-2"]
    assert merge(files[:1], "en").headings[0].number == "A"


def test_a_note_to_a_listing_holds_references_too() -> None:
    note = {"line": 0, "number": 1, "text": "как на [рисунке](#fig-a)"}
    document = merged(
        [prose("# А"), shown("figure", "fig-a"), shown("listing", "lst-a", notes=[note])]
    )
    about = document.notebook.cells[-1].outputs[0].metadata.report
    assert about.notes[0].text == f"как на [рисунке{NBSP}1](#fig-a)"


@pytest.mark.parametrize(
    "metadata", [{"tags": ["hide-input"]}, {"jupyter": {"source_hidden": True}}]
)
def test_hidden_code_is_kept_apart(metadata: dict[str, object]) -> None:
    cell = shown("figure", "fig-a")
    cell.metadata.update(metadata)
    (_title, made) = merged([prose("# А"), cell]).notebook.cells
    assert made.source == ""
    assert made.metadata.report.hidden == "show()"


def test_hidden_input_leaves_the_output_alone() -> None:
    cell = shown("figure", "fig-a")
    cell.metadata["tags"] = ["hide-input"]
    document = merged([prose("# А"), cell])
    assert [cell.source for cell in document.notebook.cells] == ["А", ""]
    assert captions(document) == [("fig-a", 1)]
