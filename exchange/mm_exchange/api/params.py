"""Parameters as stock clients send them: in the query or a form body, in several spellings.

Names are matched without case (`orderidlist`, `orderIdList`); booleans come as true, "true", "TRUE" and "False".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl

import orjson

from mm_exchange.errors import VenueError, invalid_parameter, mandatory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    E = TypeVar("E", bound=StrEnum)

_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")


class Params:
    """A request's parameters; the first of a repeated name counts."""

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs.items():
            self._values.setdefault(name.lower(), value)

    @classmethod
    def parse(cls, query: str, body: str) -> Params:
        """From the raw query string and form body."""
        pairs: dict[str, str] = {}
        for part in (query, body):
            for name, value in parse_qsl(part, keep_blank_values=True):
                pairs.setdefault(name, value)
        return cls(pairs)

    def get(self, name: str) -> str | None:
        """The text of a parameter; None when absent or empty."""
        return self._values.get(name.lower()) or None

    def need(self, name: str) -> str:
        """The text of a parameter, or -1102."""
        value = self.get(name)
        if value is None:
            raise mandatory(name)
        return value

    def symbol(self) -> str:
        """The symbol, which must be sent."""
        return self.need("symbol")

    def integer(self, name: str) -> int | None:
        """A non-negative integer, None when absent, or -1102."""
        value = self.get(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdecimal() and len(value) <= 19):
            raise mandatory(name)
        return int(value)

    def flag(self, name: str) -> bool:
        """A boolean in any of the spellings clients use; absent is False."""
        value = (self.get(name) or "false").lower()
        if value not in ("true", "false"):
            raise invalid_parameter(name)
        return value == "true"

    def choice(self, name: str, kind: type[E], *, code: int, msg: str) -> E:
        """A member of an enumeration, -1102 when absent, or the given refusal."""
        value = self.need(name)
        try:
            return kind(value.upper())
        except ValueError as error:
            raise VenueError(code, msg) from error

    def client_id(self, name: str) -> str | None:
        """A client order id: at most 36 of the venue's characters; -4015 when longer, -1100 for other characters."""
        value = self.get(name)
        if value is None:
            return None
        if len(value) > 36:
            raise VenueError(-4015, "Client order id length should not be more than 36 chars")
        if not _CLIENT_ID.fullmatch(value):
            raise VenueError(
                -1100,
                f"Illegal characters found in parameter '{name}'; legal range is '^[\\.A-Z\\:/a-z0-9_-]{{1,36}}$'.",
            )
        return value

    def items(self, name: str, *, longest: int) -> list[Params]:
        """A JSON list of objects, each as parameters of its own (`batchOrders`)."""
        rows = self._list(name, longest)
        if rows is None:
            raise mandatory(name)
        if not all(isinstance(row, dict) for row in rows):
            raise invalid_parameter(name)
        return [Params({str(key): _text(value) for key, value in row.items()}) for row in rows]  # type: ignore[attr-defined]

    def texts(self, name: str, *, longest: int) -> list[str] | None:
        """A JSON list of ids as text; None when absent."""
        rows = self._list(name, longest)
        return None if rows is None else [_text(row) for row in rows]

    def _list(self, name: str, longest: int) -> list[object] | None:
        value = self.get(name)
        if value is None:
            return None
        try:
            rows = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise invalid_parameter(name) from error
        if not isinstance(rows, list) or not rows:
            raise invalid_parameter(name)
        if len(rows) > longest:
            raise VenueError(-4082, f"Batch size {len(rows)} is over the limit of {longest}.")
        return rows

    def raw(self) -> dict[str, str]:
        """Everything sent, by lower-case name; for the record of a refusal."""
        return dict(self._values)


def _text(value: object) -> str:
    """JSON scalars as the text a query would have carried."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
