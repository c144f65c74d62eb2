r"""The journal's bytes: what an event, an action and a record look like, and how records are framed.

    file    = "mm-journal 1\n" frame(header as JSON) frame(entry as MessagePack)*      (whole file optionally gzip)
    frame   = length u32 LE, CRC-32 of the payload u32 LE, payload
    entry   = ["record", boot_ns, wall_ms, event, [action as JSON, …], error] | ["end", reason, complete, records, decisions_sha256]

An action's encoding is canonical: the same bytes on every machine and under every hash seed. `decisionsSha256` of a run is the SHA-256 of
all of them in order, each followed by a newline.
"""

from __future__ import annotations

import hashlib
import platform
import struct
import zlib
from collections.abc import Iterable
from typing import Final

import msgspec

from mm_contract import __version__
from mm_contract.claim import Claim
from mm_contract.resource import MarketMakerSpec
from mm_runner.core.messages import Action, Event, Instant

MAGIC: Final = b"mm-journal 1\n"
FORMAT: Final = 1
MAX_FRAME: Final = 64 * 1024 * 1024
"""A longer frame is damage: the largest event is an account snapshot with a day's trades, a few megabytes."""
_HEAD: Final = struct.Struct("<II")
_SPEC_HIDES: Final[dict[str, bool | set[str]]] = {"pod": True, "telemetry": True, "exchange": {"endpoints"}}
"""What the core never reads and where somebody may have written a password: a URL, an environment variable (invariant 8)."""


class JournalError(ValueError):
    """A journal that cannot be read, or not on; the message says where and why."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Whose inputs these are. `engine` is the version that decided; another one may decide otherwise by right."""

    claim: Claim
    engine: str = __version__
    started_wall_ms: int = 0
    python: str = msgspec.field(default_factory=platform.python_version)
    format: int = FORMAT


class Record(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag="record", gc=False):
    """One call of `Engine.handle`: what went in, and the actions that came out, each as `encode_action` writes it."""

    boot_ns: int
    wall_ms: int
    event: Event
    actions: tuple[bytes, ...] = ()
    error: str = ""
    """Name of the exception where the core broke at this event."""

    @property
    def now(self) -> Instant:
        """The instant that was handed in with the event."""
        return Instant(self.boot_ns, self.wall_ms)


class End(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag="end"):
    """The journal's last word. A journal without one was cut off: the process was killed, or the disk was full."""

    reason: str
    complete: bool
    """Whether everything up to the engine's end is in; False: the bound was reached, the disk failed, or the writer fell behind."""
    records: int
    decisions_sha256: str


def _plain(value: object) -> object:
    if isinstance(value, MarketMakerSpec):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=_SPEC_HIDES)
    raise NotImplementedError(f"the journal has no encoding for {type(value).__name__}")


def _typed(kind: type, value: object) -> object:
    if kind is MarketMakerSpec:
        # Not strict JSON rules again: it was accepted once, by the engine that wrote it.
        return MarketMakerSpec.model_validate_json(msgspec.json.encode(value))
    raise NotImplementedError(f"the journal has no decoding for {kind.__name__}")


_actions: Final = msgspec.json.Encoder(order="deterministic")
_entries: Final = msgspec.msgpack.Encoder(enc_hook=_plain)
_entry_decoder: Final[msgspec.msgpack.Decoder[Record | End]] = msgspec.msgpack.Decoder(Record | End, dec_hook=_typed)
_headers: Final = msgspec.json.Decoder(Header)


def encode_action(action: Action) -> bytes:
    """One action as canonical JSON, sorted and without spaces; amounts are integers, money and prices decimal strings."""
    return _actions.encode(action)


class DecisionDigest:
    """Rolling SHA-256 over actions: `decisionsSha256`."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def add(self, actions: Iterable[Action]) -> None:
        """Take what one call decided."""
        for action in actions:
            self.add_encoded(_actions.encode(action))

    def add_encoded(self, action: bytes) -> None:
        """The same for an action that is encoded already."""
        self._sha.update(action)
        self._sha.update(b"\n")

    @property
    def hex(self) -> str:
        """The digest so far."""
        return self._sha.hexdigest()


def frame(payload: bytes) -> bytes:
    """A payload with its length and checksum."""
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def preamble(header: Header) -> bytes:
    """The beginning of a journal."""
    return MAGIC + frame(msgspec.json.encode(header))


def encode_entry(entry: Record | End) -> bytes:
    """An entry's payload, not framed yet."""
    return _entries.encode(entry)


def decode_entry(payload: bytes) -> Record | End:
    """Read a payload back.

    Raises:
        JournalError: it is whole, but of an engine whose events this one does not know.
    """
    try:
        return _entry_decoder.decode(payload)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        raise JournalError(f"cannot be understood by this engine ({__version__}): {error}") from error


def decode_header(payload: bytes) -> Header:
    """Read the header.

    Raises:
        JournalError: not a journal of this format.
    """
    try:
        header = _headers.decode(payload)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise JournalError(f"the header cannot be read: {error}") from error
    if header.format != FORMAT:
        raise JournalError(f"its format is {header.format}, this engine ({__version__}) reads {FORMAT}")
    return header


class Frames:
    """Bytes in, payloads out; the sans-I/O half of the reader."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self.offset = 0
        """Bytes of whole frames so far (and the magic), counted in the uncompressed journal."""

    @property
    def left(self) -> int:
        """Bytes that make no whole frame (yet)."""
        return len(self._buffer) - self._at

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += chunk

    def take_magic(self) -> bool | None:
        """Whether it begins like a journal; None: too short to say."""
        if len(self._buffer) < len(MAGIC):
            return None
        self._at = self.offset = len(MAGIC)
        return self._buffer.startswith(MAGIC)

    def take(self) -> bytes | None:
        """The next payload; None: more bytes are needed.

        Raises:
            JournalError: the checksum does not hold.
        """
        if self.left < _HEAD.size:
            return None
        length, checksum = _HEAD.unpack_from(self._buffer, self._at)
        if length > MAX_FRAME:
            raise JournalError(f"byte {self.offset} is damaged: it announces a record of {length} bytes")
        begin, end = self._at + _HEAD.size, self._at + _HEAD.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[begin:end])
        if zlib.crc32(payload) != checksum:
            raise JournalError(f"the record at byte {self.offset} is damaged: its checksum does not hold")
        self._at = end
        self.offset += end - begin + _HEAD.size
        return payload
