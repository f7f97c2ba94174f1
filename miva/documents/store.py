"""Texts that were read before and the originals they came from, kept by content hash through Django's default storage.

    texts/ab/<sha256>.<what it depends on>.json             text that anybody who has the file may see
    texts/ab/<sha256>.<what it depends on>.<hmac>.json      text that was unlocked with a password
    documents/ab/<sha256>                                   the original

The name of an unlocked text is made with the password, so nobody finds it who does not give that password.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import logging
import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.core.files.storage import default_storage

from . import placing
from .intake import OpenFile
from .limits import Limits
from .outline import Bookmark, bookmarks

log = logging.getLogger(__name__)

READER_VERSION = 6
"""Raise it when the same file would now be read differently."""
_CACHED_CHARACTERS = 16_000_000
MOST_LOOKS = 3


@dataclass(frozen=True)
class Reading:
    """What was read: the pages' text in order; for text/plain one element, the whole text. And a PDF's bookmarks."""

    sha256: str
    media_type: str
    pages: tuple[str, ...]
    extractor: str
    outline: tuple[Bookmark, ...] = ()

    @property
    def characters(self) -> int:
        """Characters of all pages together."""
        return sum(map(len, self.pages))


class _Cache:
    """The most recently used texts, bounded by their characters."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readings: OrderedDict[str, Reading] = OrderedDict()
        self._characters = 0

    def get(self, name: str) -> Reading | None:
        with self._lock:
            reading = self._readings.get(name)
            if reading is not None:
                self._readings.move_to_end(name)
            return reading

    def put(self, name: str, reading: Reading) -> None:
        with self._lock:
            if name in self._readings:
                return
            self._readings[name] = reading
            self._characters += reading.characters
            while self._characters > _CACHED_CHARACTERS:
                _, oldest = self._readings.popitem(last=False)
                self._characters -= oldest.characters

    def clear(self) -> None:
        with self._lock:
            self._readings.clear()
            self._characters = 0

    def drop(self, beginning: str) -> None:
        with self._lock:
            for name in [name for name in self._readings if name.startswith(beginning)]:
                self._characters -= self._readings.pop(name).characters


_cache = _Cache()


def empty_cache() -> None:
    """Frees the memory that kept texts take; they stay in the storage."""
    _cache.clear()


def text_name(sha256: str, limits: Limits, password: str | None = None) -> str:
    """The storage name of a text; it changes with the reader's version and every setting that changes what is read."""
    name = _name_of_settings(limits.engines, limits.tesseract is not None)
    if password is not None:
        key = password.encode(errors="surrogatepass")
        name += "." + hmac.new(key, f"{sha256} {name}".encode(), hashlib.sha256).hexdigest()
    return f"{_text_folder(sha256)}/{sha256}.{name}.json"


@functools.cache
def _name_of_settings(engines: tuple[str, ...], reads_scans: bool) -> str:
    depends = [READER_VERSION, engines, reads_scans]
    return hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:12]


def load(name: str) -> Reading | None:
    """The text kept under a storage name, or None. A file that cannot be understood counts as none."""
    cached = _cache.get(name)
    if cached is not None:
        return cached
    try:
        with _opened(name) as file:
            kept: dict[str, Any] = json.loads(file.read())
        outline = bookmarks(kept["outline"])
        reading = Reading(kept["sha256"], kept["media_type"], tuple(kept["pages"]), kept["extractor"], outline)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        log.warning("the kept text %s cannot be read and will be made again", name)
        default_storage.delete(name)
        return None
    _cache.put(name, reading)
    return reading


def holds(name: str) -> bool:
    """Whether a text is kept under a storage name."""
    return _cache.get(name) is not None or default_storage.exists(name)


def save(name: str, reading: Reading, folder: Path, *, is_locked: bool) -> None:
    """Keeps a text, written in `folder` first; `is_locked` says that a password was needed for it.

    What goes wrong is logged and costs only a second reading.
    """
    content = json.dumps(
        {
            "sha256": reading.sha256,
            "media_type": reading.media_type,
            "extractor": reading.extractor,
            "outline": reading.outline,
            "pages": reading.pages,
        },
        ensure_ascii=False,
    ).encode()
    try:
        # A text that is lost is made again from the original, but for one that only a password opens.
        placing.put(name, content, folder, is_lasting=is_locked)
    except OSError:
        log.exception("a text could not be kept")
        return
    _cache.put(name, reading)


def _opened(name: str) -> IO[Any]:
    """What is kept under a storage name; most texts that are asked for are not there, and Django is slow to say so."""
    path = placing.path_of(name)
    return default_storage.open(name) if path is None else open(path, "rb")


@dataclass(frozen=True)
class Original:
    """A file whose bytes are kept, to be read now or once more; `size` is in bytes."""

    sha256: str
    size: int
    media_type: str

    def open(self) -> OpenFile:
        """The file, for reading. Raises FileNotFoundError."""
        name = _original_name(self.sha256)
        try:
            return OpenFile(os.open(default_storage.path(name), os.O_RDONLY | os.O_CLOEXEC))
        except (NotImplementedError, FileNotFoundError):  # no local file: a bucket, for one
            with default_storage.open(name) as kept, tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(kept, copy, 2**20)
                copy.flush()
                return OpenFile(os.dup(copy.fileno()))


def keep_original(path: Path, sha256: str) -> None:
    """Keeps the bytes of a file, once however often it comes; the file itself goes.

    Raises OSError.
    """
    name = _original_name(sha256)
    if not default_storage.exists(name):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        placing.move(name, path)
    path.unlink(missing_ok=True)


def keep_bytes(content: bytes, sha256: str, folder: Path) -> None:
    """Keeps the bytes of a small file, once however often it comes, written in `folder` first. Raises OSError."""
    name = _original_name(sha256)
    if not default_storage.exists(name):
        placing.put(name, content, folder, is_lasting=True)


def is_kept(sha256: str) -> bool:
    """Whether the bytes of a file are kept."""
    return default_storage.exists(_original_name(sha256))


def original(sha256: str) -> IO[Any]:
    """The kept bytes of a file, opened for reading. Raises FileNotFoundError."""
    return default_storage.open(_original_name(sha256))


def forget(sha256: str) -> None:
    """Deletes all that is kept of a file: its texts, unlocked ones too, and the original."""
    _cache.drop(f"{_text_folder(sha256)}/{sha256}.")
    for _ in range(MOST_LOOKS):  # a reading may put a text there at this moment
        kept = _kept_texts(sha256)
        if not kept:
            break
        for name in kept:
            default_storage.delete(name)
    default_storage.delete(_original_name(sha256))


def _kept_texts(sha256: str) -> list[str]:
    """The names of all that is kept of a file's text, a folder behind what lies in it."""
    folder = _text_folder(sha256)
    folders, files = _listed(folder)
    kept = [f"{folder}/{name}" for name in files if name.startswith(f"{sha256}.")]
    if sha256 in folders:  # where texts lay before they had this place
        before = f"{folder}/{sha256}"
        kept += [*(f"{before}/{name}" for name in _listed(before)[1]), before]
    return kept


def _listed(folder: str) -> tuple[list[str], list[str]]:
    try:
        return default_storage.listdir(folder)
    except FileNotFoundError:
        return [], []


def _text_folder(sha256: str) -> str:
    return f"texts/{_checked(sha256)[:2]}"


def _original_name(sha256: str) -> str:
    return f"documents/{_checked(sha256)[:2]}/{sha256}"


def _checked(sha256: str) -> str:
    """A hash becomes part of a path, so it must be nothing but a hash."""
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError("not a SHA-256 in lower-case hex")
    return sha256
