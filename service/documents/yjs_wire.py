"""The frames of the Yjs sync and awareness protocols (y-protocols), read with care and written."""

from msgspec import Struct
from pycrdt import Decoder, YMessageType, YSyncMessageType, write_message

from service.errors import BadParams

# What JavaScript can count: a greater number makes its clients fail.
MAX_SAFE_INTEGER = (1 << 53) - 1
# "Who is there?"; pycrdt has no name for it.
QUERY_AWARENESS = 3
# Bytes of the longest number that is read: 2^53 has 8 groups of 7 bits.
MAX_NUMBER_BYTES = 8


class Step1(Struct, frozen=True):
    """A client says what it knows; it is answered with what it lacks."""

    vector: bytes


class Update(Struct, frozen=True):
    """A client's changes; `is_answer` when they are all that was missing here."""

    update: bytes
    is_answer: bool


class Awareness(Struct, frozen=True):
    """Who a client's people are and where their cursors stand."""

    update: bytes


class QueryAwareness(Struct, frozen=True):
    """A client asks for all awareness."""


Message = Step1 | Update | Awareness | QueryAwareness


class Reader:
    """pycrdt's decoder, which reads numbers of any length and beyond the end, with bounds."""

    def __init__(self, body: bytes, field: str) -> None:
        self._decoder = Decoder(body)
        self._body = body
        self._field = field

    def number(self) -> int:
        place = self._decoder.i0
        head = self._body[place : place + MAX_NUMBER_BYTES]
        if all(byte > 127 for byte in head):
            raise self.refuse(f"a number at byte {place} has no end")
        number: int = self._decoder.read_var_uint()
        if number > MAX_SAFE_INTEGER:
            raise self.refuse(f"{number} at byte {place} > {MAX_SAFE_INTEGER}")
        return number

    def bytes(self) -> bytes:
        place, length = self._decoder.i0, self.number()
        if self._decoder.i0 + length > len(self._body):
            raise self.refuse(f"{length} bytes at {place} are more than there are")
        self._decoder.i0 += length
        return self._body[self._decoder.i0 - length : self._decoder.i0]

    def refuse(self, reason: str) -> BadParams:
        return BadParams(f"$.{self._field}: {reason}", param=self._field, code="bad_frame")


def read_frame(body: bytes) -> Message | None:
    """The message of a frame; None for kinds that mean nothing here. Raises BadParams."""
    reader = Reader(body, "frame")
    match reader.number():
        case YMessageType.SYNC:
            return _read_sync(reader)
        case YMessageType.AWARENESS:
            return Awareness(reader.bytes())
        case number if number == QUERY_AWARENESS:
            return QueryAwareness()
        case _:
            return None


def step1_frame(vector: bytes) -> bytes:
    """Asks for what is not in the state vector."""
    return bytes([YMessageType.SYNC, YSyncMessageType.SYNC_STEP1]) + write_message(vector)


def step2_frame(update: bytes) -> bytes:
    """Answers a step 1."""
    return bytes([YMessageType.SYNC, YSyncMessageType.SYNC_STEP2]) + write_message(update)


def update_frame(update: bytes) -> bytes:
    return bytes([YMessageType.SYNC, YSyncMessageType.SYNC_UPDATE]) + write_message(update)


def awareness_frame(update: bytes) -> bytes:
    return bytes([YMessageType.AWARENESS]) + write_message(update)


def num_known(vector: bytes) -> int:
    """How much a state vector knows of all clients together, in UTF-16 units and items. Raises BadParams."""
    reader = Reader(vector, "vector")
    total = 0
    for _ in range(reader.number()):
        reader.number()
        total += reader.number()
    return total


def _read_sync(reader: Reader) -> Message | None:
    kind, payload = reader.number(), reader.bytes()
    match kind:
        case YSyncMessageType.SYNC_STEP1:
            return Step1(payload)
        case YSyncMessageType.SYNC_STEP2:
            return Update(payload, is_answer=True)
        case YSyncMessageType.SYNC_UPDATE:
            return Update(payload, is_answer=False)
        case _:
            return None
