"""The API key: two files, watched, so that a rotated key is taken over without a restart (promise P8).

The kubelet swaps a symlink when a Secret changes, so both files are read again whenever either looks different, and a pair
is only taken when it was read twice alike (a person writing two files by hand is not caught half-way).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mm_contract.names import API_KEY_FILE, API_SECRET_FILE
from mm_runner.venue.signing import Credentials

_POLL_SECONDS: Final = 0.5


class CredentialsError(ValueError):
    """The files are missing or empty; the text says which and what to do, and never holds their content (invariant 8)."""


def read_credentials(directory: Path) -> Credentials:
    """Read `apiKey` and `apiSecret`, surrounding white space stripped.

    Raises:
        CredentialsError: a file is missing, empty, unreadable or not one line of ASCII.
    """
    return Credentials(_read(directory / API_KEY_FILE), _read(directory / API_SECRET_FILE))


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise CredentialsError(
            f"{path} is missing: create it, or point MM_CREDENTIALS_DIR to the folder that holds it"
        ) from None
    except UnicodeDecodeError:
        raise CredentialsError(f"{path} holds bytes that no API key has; write the key as plain text") from None
    except OSError as error:
        raise CredentialsError(f"{path} cannot be read: {error.strerror}; check its permissions") from None
    if not text:
        raise CredentialsError(f"{path} is empty: write the key into it")
    if len(text.split()) != 1:
        raise CredentialsError(f"{path} holds several words or lines; it must hold the key alone")
    return text


async def watch_credentials(
    directory: Path, known: Credentials, *, rotated: Callable[[Credentials], None], failed: Callable[[str], None]
) -> None:
    """Tell each new pair, for ever; while the files are unusable the old key stays in use and the reason is told once."""
    told = ""
    candidate: Credentials | None = None
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        try:
            found = read_credentials(directory)
        except CredentialsError as error:
            if str(error) != told:
                told = str(error)
                failed(told)
            continue
        told = ""
        if found != known and found == candidate:
            known = found
            rotated(found)
        candidate = found
