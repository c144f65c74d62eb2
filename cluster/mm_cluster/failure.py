"""The one error that a person is meant to read: what was wrong, and what to do about it."""


class Failure(Exception):  # noqa: N818 - read as a sentence: "raise Failure(...)"
    """A step that cannot go on; the message says what is wrong and what helps."""
