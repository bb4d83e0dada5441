"""The bounded shared queues between the service and one worker: a pair of pipes.

Commands go out on one, event batches come back on the other. A frame is its length (4 bytes,
little-endian) and a msgpack message. Pipes rather than `multiprocessing.Queue`, because a pipe
whose writer was killed gives a clean end-of-file at once, where a Queue hung its reader.
"""

import os
import select
import struct
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection

from workers.messages import Command, JobId, Report, decode_command, encode

HEADER = struct.Struct("<I")
READ_BYTES = 1 << 18


class EndOfPipe(Exception):
    """The other side has closed its end: its process is gone or leaving."""


class FrameReader:
    """Takes whole frames off a pipe without ever waiting."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._fd = connection.fileno()
        self._buffer = bytearray()
        os.set_blocking(self._fd, False)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        self._connection.close()

    def read(self) -> Iterator[bytes]:
        """Yield the frames that are complete by now. Raises EndOfPipe once there will be no more."""
        is_at_end = self._fill()
        yield from self._frames()
        if is_at_end:
            raise EndOfPipe

    def _fill(self) -> bool:
        """Read once; one read a call, so that a flooding worker cannot hold up the service's loop."""
        try:
            chunk = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self._buffer += chunk
        return not chunk

    def _frames(self) -> Iterator[bytes]:
        start, view = 0, self._buffer
        while len(view) - start >= HEADER.size:
            (size,) = HEADER.unpack_from(view, start)
            end = start + HEADER.size + size
            if len(view) < end:
                break
            yield bytes(memoryview(view)[start + HEADER.size : end])
            start = end
        if start:
            del self._buffer[:start]


class FrameWriter:
    """Puts frames on a pipe; what does not fit waits here, and `num_unsent_bytes` says how much."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._fd = connection.fileno()
        self._waiting: deque[tuple[JobId | None, bytes]] = deque()
        self._is_head_torn = False
        self.num_unsent_bytes = 0
        os.set_blocking(self._fd, False)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        self._connection.close()

    def put(self, message: Command | Report, *, tag: JobId | None = None, is_urgent: bool = False) -> None:
        """Queue a message and send what the pipe takes. Urgent ones (cancels) overtake the rest.

        Raises EndOfPipe when nobody reads any more.
        """
        body = encode(message)
        frame = HEADER.pack(len(body)) + body
        self.num_unsent_bytes += len(frame)
        # Behind a frame of which a part is already in the pipe, before all others.
        place = int(self._is_head_torn) if is_urgent else len(self._waiting)
        self._waiting.insert(place, (tag, frame))
        self.flush()

    def withdraw(self, tag: JobId) -> bool:
        """Take back the message put with `tag`; return whether it had not begun to leave."""
        for place, (waiting_tag, frame) in enumerate(self._waiting):
            if waiting_tag == tag and not (place == 0 and self._is_head_torn):
                del self._waiting[place]
                self.num_unsent_bytes -= len(frame)
                return True
        return False

    def flush(self) -> bool:
        """Send what the pipe takes; return whether all is sent. Raises EndOfPipe."""
        while self._waiting:
            tag, frame = self._waiting[0]
            try:
                num_sent = os.write(self._fd, frame)
            except BlockingIOError:
                return False
            except OSError as error:
                raise EndOfPipe from error
            self.num_unsent_bytes -= num_sent
            self._is_head_torn = num_sent < len(frame)
            if self._is_head_torn:
                self._waiting[0] = (tag, frame[num_sent:])
            else:
                self._waiting.popleft()
        return True


class WorkerEnd:
    """The worker's side of the pair: commands in, reports out."""

    def __init__(self, commands: Connection, reports: Connection) -> None:
        self._reader = FrameReader(commands)
        self._writer = FrameWriter(reports)

    def put(self, report: Report) -> None:
        """Send a report, or keep it until the pipe has room. Raises EndOfPipe."""
        self._writer.put(report)

    def has_room(self) -> bool:
        """Whether all reports are in the pipe, so that another step may be made. Raises EndOfPipe."""
        return self._writer.flush()

    def take(self, timeout_s: float) -> Iterator[Command]:
        """Yield the commands that wait; if none does, wait up to `timeout_s` for one or for room."""
        writers = [self._writer] if self._writer.num_unsent_bytes else []
        readable, _, _ = select.select([self._reader], writers, [], timeout_s)
        if readable:
            yield from map(decode_command, self._reader.read())

    def finish(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the last reports to leave. Raises EndOfPipe."""
        while not self._writer.flush():
            _, writable, _ = select.select([], [self._writer], [], timeout_s)
            if not writable:
                return
