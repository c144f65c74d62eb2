"""Decoding the lines of a tape: `<local receive time, ns> <raw frame>`, frames as the venue's sockets sent them.

Sans-I/O but for `lines_of`. Numbers stay text here, because a scale is known only after some of them were seen; the
fast way to integer units, for a symbol whose scale is known, is `UnitDecoder`.
"""

from __future__ import annotations

import re
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from mm_exchange.book import Level
    from mm_exchange.rules import SymbolRules
    from mm_exchange.scales import Scale

# Partial books are absolute, not diffs, and carry the same `e`: only the stream's name tells them apart.
_PARTIAL_DEPTH = re.compile(r"@depth\d+(@|$)")
_MEMO_SIZE = 200_000
# zlib's way to say: a gzip header and trailer.
_GZIP = 31
_PACKED_PIECE = 1 << 16
_PIECE = 1 << 19
# Up to this many decimals, every number below 9e9 fits the 53 bits that the decoder's exponent form is exact in.
_EXACT_DECIMALS = 6


class TouchFrame(msgspec.Struct, gc=False):
    """A `bookTicker` frame."""

    u: int
    b: str
    B: str
    a: str
    A: str
    s: str = ""
    E: int = 0
    T: int = 0


class TradeFrame(msgspec.Struct, gc=False):
    """A `trade` frame."""

    t: int
    p: str
    q: str
    s: str = ""
    m: bool = False
    X: str = "MARKET"
    E: int = 0
    T: int = 0


class AggregateFrame(msgspec.Struct, gc=False):
    """An `aggTrade` frame."""

    a: int
    p: str
    q: str
    s: str = ""
    m: bool = False
    E: int = 0
    T: int = 0


class DepthFrame(msgspec.Struct, gc=False):
    """A `depthUpdate` frame, numbers as text."""

    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    U: int = 0
    pu: int = 0
    s: str = ""
    E: int = 0
    T: int = 0


class UnitDepth(msgspec.Struct, gc=False):
    """A `depthUpdate` frame, numbers as integer units."""

    u: int
    b: list[tuple[int, int]]
    a: list[tuple[int, int]]
    U: int = 0
    pu: int = 0
    E: int = 0
    T: int = 0


class BookFrame(msgspec.Struct, gc=False):
    """A REST depth snapshot. It names no symbol."""

    last_update_id: int = msgspec.field(name="lastUpdateId")
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


Frame = TouchFrame | TradeFrame | AggregateFrame | DepthFrame | BookFrame
_F = TypeVar("_F")


class Wrapped(msgspec.Struct, Generic[_F], gc=False):
    """A combined frame."""

    data: _F


class _Kind(msgspec.Struct, gc=False):
    e: str = ""


class _Probe(msgspec.Struct, gc=False):
    """What tells the kind of a line."""

    stream: str = ""
    e: str = ""
    last_update_id: int = msgspec.field(default=0, name="lastUpdateId")
    data: _Kind | None = None


_probe = msgspec.json.Decoder(_Probe).decode
_book = msgspec.json.Decoder(BookFrame).decode
wrapped_touch = msgspec.json.Decoder(Wrapped[TouchFrame]).decode
wrapped_trade = msgspec.json.Decoder(Wrapped[TradeFrame]).decode
wrapped_aggregate = msgspec.json.Decoder(Wrapped[AggregateFrame]).decode
wrapped_depth = msgspec.json.Decoder(Wrapped[DepthFrame]).decode
_wrapped_units = msgspec.json.Decoder(Wrapped[UnitDepth], strict=False).decode
_WRAPPED: dict[str, Callable[[bytes], Wrapped[Any]]] = {
    "bookTicker": wrapped_touch, "trade": wrapped_trade, "aggTrade": wrapped_aggregate, "depthUpdate": wrapped_depth,
}  # fmt: skip
_RAW: dict[str, Callable[[bytes], Frame]] = {
    "bookTicker": msgspec.json.Decoder(TouchFrame).decode, "trade": msgspec.json.Decoder(TradeFrame).decode,
    "aggTrade": msgspec.json.Decoder(AggregateFrame).decode, "depthUpdate": msgspec.json.Decoder(DepthFrame).decode,
}  # fmt: skip


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A line's frame with the stream it came on ('' for raw frames and REST books)."""

    stream: str
    frame: Frame


def decode(frame: bytes) -> Decoded | None:
    """Any line's frame, whatever its spacing and key order; None for what is no market frame of ours.

    Raises:
        msgspec.DecodeError: the frame is no JSON object of the venue's types.
    """
    probe = _probe(frame)
    if probe.last_update_id:
        return Decoded("", _book(frame))
    if _PARTIAL_DEPTH.search(probe.stream):
        return None
    if probe.data is None:
        raw = _RAW.get(probe.e)
        return Decoded(probe.stream, raw(frame)) if raw is not None else None
    wrapped = _WRAPPED.get(probe.data.e)
    return Decoded(probe.stream, wrapped(frame).data) if wrapped is not None else None


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a tape, gzip or plain; memory does not grow with the tape. A recording may be cut off anywhere.

    Decompresses in pieces of its own: reading line by line through `gzip` takes half as long again, and decoding
    after it suffers from the change of work at every line.

    Raises:
        OSError: the file cannot be read, or is no gzip although its name says so.
    """
    rest = b""
    with path.open("rb") as file:
        for piece in _pieces(file, path) if path.suffix == ".gz" else iter(partial(file.read, _PIECE), b""):
            lines = (rest + piece).split(b"\n")
            rest = lines.pop()
            yield from lines
    if rest:
        yield rest


def _pieces(file: BinaryIO, path: Path) -> Iterator[bytes]:
    inflate = zlib.decompressobj(_GZIP)
    for packed in iter(partial(file.read, _PACKED_PIECE), b""):
        left = packed
        while left:
            try:
                yield inflate.decompress(left)
            except zlib.error as error:
                raise OSError(f"{path.name} is no gzip file, or damaged: {error}") from error
            # A file may be several gzip members after one another.
            left = inflate.unused_data
            if inflate.eof:
                inflate = zlib.decompressobj(_GZIP)


class Units(dict[str, int]):
    """Number texts of one scale to their units, remembered: prices and sizes repeat all the time.

    A look-up raises `ValueError` for a text that is no number, or finer than the scale.
    """

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self._parse = scale.parse

    def __missing__(self, text: str) -> int:
        if len(self) >= _MEMO_SIZE:
            self.clear()
        units = self[text] = self._parse(text)
        return units


class UnitDecoder:
    """Turns the numbers of one symbol into integer units."""

    def __init__(self, rules: SymbolRules) -> None:
        self.prices = Units(rules.prices)
        self.quantities = Units(rules.quantities)
        self._price_mark = b'e%d","' % rules.price_decimals
        self._quantity_mark = b'e%d"]' % rules.quantity_decimals
        self._price_growth = len(self._price_mark) - 3
        self._quantity_growth = len(self._quantity_mark) - 2
        self._exact = max(rules.price_decimals, rules.quantity_decimals) <= _EXACT_DECIMALS

    def levels(self, rows: list[tuple[str, str]]) -> list[Level]:
        """Levels of a text frame; `ValueError` as for `Units`."""
        prices, quantities = self.prices, self.quantities
        return [(prices[price], quantities[quantity]) for price, quantity in rows]

    def depth(self, frame: bytes) -> UnitDepth:
        """A combined `depthUpdate` frame in units.

        Raises:
            msgspec.DecodeError: the frame is not of that kind.
            ValueError: a number does not fit the scale.
        """
        scaled = self._scaled(frame) if self._exact else None
        if scaled is not None:
            try:
                return _wrapped_units(scaled).data
            except msgspec.DecodeError:
                pass
        text = wrapped_depth(frame).data
        return UnitDepth(text.u, self.levels(text.b), self.levels(text.a), text.U, text.pu, text.E, text.T)

    def _scaled(self, frame: bytes) -> bytes | None:
        """The frame with `"2681.62","20.506"` written as `"2681.62e2","20.506e3"`; None where its shape is another.

        So the JSON decoder itself makes the integers, without an object for each text, and refuses a number that is
        finer than the scale. It is only done where every pair was found: as many separators as ends, not none.
        """
        at = frame.find(b'"b":[')
        rows = frame[at:]
        priced = rows.replace(b'","', self._price_mark)
        scaled = priced.replace(b'"]', self._quantity_mark)
        separators, odd = divmod(len(priced) - len(rows), self._price_growth)
        ends = (len(scaled) - len(priced)) // self._quantity_growth
        return frame[:at] + scaled if at > 0 and separators == ends > 0 and not odd else None
