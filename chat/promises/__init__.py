"""What the core does not promise: one file for each promise, put in at one seam."""


class UnusableError(Exception):
    """What a promise needs cannot be used, a file for example.

    `code` names the sentence that says so (`chat.app.sentences`), `details` are the words in it.
    """

    def __init__(self, code: str, **details: object) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details
