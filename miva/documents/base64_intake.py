"""Base64 from a frame on its way to a file: the short in this process, the long in an extraction process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future

from miva import no_room
from miva.protocol import errors

from . import base64_text
from .intake import OpenFile, Received, Spool
from .pool import Pool
from .refusal import Refusal, too_large
from .slot import Slot
from .temporary import TemporaryFolder

IN_THREAD = 2**20
"""Base64 text up to this many characters is decoded in a thread; a thread still holds the interpreter (design 3)."""
_PIECE = 2**18
"""Characters copied at a time, each a moment in which nothing else runs in this process."""
_WHITE_SPACE_SHARE = 1.1
"""Base64 text may be a tenth longer than its bytes need, for line ends."""


def check_length(content: str, max_bytes: int) -> None:
    """Raises FileTooLarge where the text is too long to hold a file within the limit."""
    if len(content) > max_bytes * 4 / 3 * _WHITE_SPACE_SHARE + base64_text.MAX_PREFIX:
        raise errors.FileTooLarge(too_large(max_bytes))


def decode(content: str) -> Iterator[bytes]:
    """The bytes of a short base64 text. Raises BadBase64."""
    try:
        yield from base64_text.decode([content.encode("ascii")])
    except (Refusal, UnicodeEncodeError) as why:
        raise errors.BadBase64 from why


def decode_in_pool(pool: Pool, folder: TemporaryFolder, content: str, *, name: str, declared: str) -> Future[Received]:
    """Spools a long base64 text (blocking) and has a process of the pool decode it. Raises BadBase64, Busy.

    The future raises what `Spool.keep` raises, BadBase64 and FileTooLarge.
    """
    with Spool(folder) as spool:
        try:
            for start in range(0, len(content), _PIECE):
                spool.write(content[start : start + _PIECE].encode("ascii"))
        except UnicodeEncodeError as why:
            raise errors.BadBase64 from why
        source = OpenFile(os.open(spool.path, os.O_RDONLY | os.O_CLOEXEC))
        spool.path.unlink()
    room = len(content) // 4 * 3 + 3

    def task(slot: Slot) -> Received:
        with Spool(folder) as target:
            try:
                # Real blocks: a full disk is to be noticed here, not as a bus error in the process that writes.
                target.make_room(room)
            except OSError as why:
                raise no_room.told(why) from why
            end = slot.run({"kind": "base64"}, [source.fd, target.fd], pool.limits.timeout_s, lambda *_: None)
            source.close()
            os.ftruncate(target.fd, end["size"])
            return target.keep(size=end["size"], digest=end["sha256"], name=name, declared=declared)

    return pool.submit(task, size=len(content), quick=True)
