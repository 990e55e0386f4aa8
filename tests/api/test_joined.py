"""What is written in one turn of the loop goes out as one, in order, and nothing of it is lost when the connection closes."""

import asyncio

import pytest

from tidemill.api.joined import Joined

pytestmark = pytest.mark.anyio


class Wire(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = []
        self.closed = ""

    def write(self, data):
        self.written.append(data)

    def get_write_buffer_size(self):
        return 0

    def close(self):
        self.closed = "closed"

    def abort(self):
        self.closed = "aborted"


@pytest.fixture
async def joined():
    wire = Wire()
    return wire, Joined(wire, asyncio.get_running_loop())


async def test_a_head_and_its_body_go_out_as_one(joined):
    wire, transport = joined
    transport.write(b"head ")
    transport.write(b"body")
    assert (wire.written, transport.get_write_buffer_size()) == ([], 9)
    await asyncio.sleep(0)
    assert (wire.written, transport.get_write_buffer_size()) == ([b"head body"], 0)
    transport.write(b"more")
    await asyncio.sleep(0)
    assert wire.written == [b"head body", b"more"]


async def test_what_waits_goes_out_before_the_connection_closes(joined):
    wire, transport = joined
    transport.write(b"last")
    transport.close()
    await asyncio.sleep(0)
    assert (wire.written, wire.closed) == ([b"last"], "closed")


async def test_what_waits_is_dropped_when_it_is_cut_off(joined):
    wire, transport = joined
    transport.write(b"last")
    transport.abort()
    await asyncio.sleep(0)
    assert (wire.written, wire.closed) == ([], "aborted")
