"""What a client library makes of each call: its value or its error, and every warning it gave on the way.

Shared by the scripts of this folder. Each runs in an environment of its own, reads where the exchange is as JSON from
standard input, and writes what happened to each call as one JSON object to standard output.
"""

import asyncio
import json
import logging
import sys
import urllib.request
import warnings

STEP_SECONDS = 15


class Admin:
    """The exchange's admin port: what a test does to the market behind the library's back."""

    def __init__(self, base):
        self._base = base

    def post(self, path, **body):
        request = urllib.request.Request(  # noqa: S310 - the exchange's own address
            self._base + path, data=json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the exchange's own address
            return json.loads(answer.read())


class _Warnings(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(f"{record.levelname} {record.name}: {record.getMessage()}")


class Report:
    """The calls so far. `plain` turns a library's value into JSON."""

    def __init__(self, plain=lambda value: value):
        self._plain = plain
        self._rows = {}
        self._heard = _Warnings()
        logging.getLogger().addHandler(self._heard)

    def _begin(self):
        self._heard.lines.clear()

    def _end(self, name, caught, **outcome):
        # What a library says of its own future (deprecations of its dependencies) is not about the exchange.
        told = [str(item.message) for item in caught if not issubclass(item.category, DeprecationWarning)]
        self._rows[name] = outcome | {"warnings": told + list(self._heard.lines)}

    def call(self, name, function, *arguments, **options):
        """Make a call; its raw value, or None when it failed."""
        self._begin()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                value = function(*arguments, **options)
            except Exception as error:  # noqa: BLE001 - whatever the library raises is the result
                self._end(name, caught, error=_said(error))
                return None
            self._end(name, caught, value=self._plain(value))
            return value

    async def wait(self, name, awaitable):
        """Await a call; its raw value, or None when it failed."""
        self._begin()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                async with asyncio.timeout(STEP_SECONDS):
                    value = await awaitable
            except Exception as error:  # noqa: BLE001 - whatever the library raises is the result
                self._end(name, caught, error=_said(error))
                return None
            self._end(name, caught, value=self._plain(value))
            return value

    def note(self, name, value):
        """Record something that was seen without a call of its own, such as a frame."""
        self._rows[name] = {"value": self._plain(value), "warnings": []}

    def write(self):
        json.dump(self._rows, sys.stdout, default=str)


def _said(error):
    code = getattr(error, "error_code", None) or getattr(error, "code", None) or getattr(error, "status_code", None)
    return {"type": type(error).__name__, "code": code, "text": str(error)[:500]}


def world():
    """Where the exchange is, and the account to use."""
    return json.load(sys.stdin)
