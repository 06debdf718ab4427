"""The report: five notebooks executed, merged into one document, written in four formats.

The way of a notebook through the modules of this package, in the order they are read:

    digest     what the report is built from, as one number; is a built report still fresh?
    execute    run a notebook in a fresh kernel, or take the cached run of an unchanged one
    merge      five executed notebooks -> one: parts, numbers, captions, references resolved
    settings   report.toml: what the title page says
    export     the merged notebook through a Jinja template: nbconvert does the walking
    html       -> report.html, one file that loads nothing
    markdown   -> report.md with its pictures beside it
    pandoc     -> the dialect that pandoc reads, and pandoc itself
    pdf        -> report.pdf, set by Typst
    docx       -> report.docx, with real styles, headings and captions
    build      all of the above in order, with progress

``python -m report --help`` tells how to call it.
"""


class ReportError(Exception):
    """The report cannot be built; the message tells a person what to do about it."""
