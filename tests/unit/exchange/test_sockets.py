"""What a socket's URL says, and what happens to a consumer that does not read."""

import pytest

from mm_exchange.clock import VirtualClock
from mm_exchange.frames import Frame
from mm_exchange.limits import LimitValues
from mm_exchange.server.exchange import Exchange, Quirks
from mm_exchange.server.stream_socket import StreamSocket, parse_address


@pytest.mark.parametrize(
    ("target", "route", "combined", "names", "key", "events"),
    [
        ("/public/ws/a@trade/b@depth", "public", False, ("a@trade", "b@depth"), None, set()),
        ("/market/stream?streams=a@aggTrade/b@markPrice", "market", True, ("a@aggTrade", "b@markPrice"), None, set()),
        ("/private/ws?listenKey=K&events=A/B", "private", False, (), "K", {"A", "B"}),
        ("/ws", "", False, (), None, set()),
        ("/stream?streams=a%40trade", "", True, ("a@trade",), None, set()),
        ("/public/ws/0", "public", False, ("0",), None, set()),
    ],
)
def test_a_url_is_taken_apart(*, target, route, combined, names, key, events):
    address = parse_address(target)
    assert (address.route, address.combined, address.names) == (route, combined, names)
    assert (address.listen_key, address.events) == (key, frozenset(events))


@pytest.mark.parametrize("target", ["/", "/public", "/nowhere/ws", "/ws-fapi/v1", "/public/public/ws"])
def test_other_paths_are_none_of_its_own(target):
    assert parse_address(target) is None


class FullPipe:
    """A connection whose peer stopped reading long ago."""

    def __init__(self):
        self.transport = self
        self.aborted = False

    def get_write_buffer_size(self):
        return 5 * 1024 * 1024

    def abort(self):
        self.aborted = True


def test_a_consumer_that_does_not_read_is_cut_not_buffered_for():
    exchange = Exchange(VirtualClock(0), seed=0, limits=LimitValues(), quirks=Quirks())
    pipe = FullPipe()
    socket = StreamSocket(exchange, pipe, address=parse_address("/public/ws"), number=1)
    socket.deliver(Frame("a@trade", b"{}", "A"))
    assert pipe.aborted
