"""Scanned pages are read by the OCR program where there is one, within the same bounds as everything else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from miva.documents.clean import is_garbled
from miva.documents.extraction import Listener
from miva.documents.pool import Pool
from miva.protocol import errors
from tests.documents.helpers import (
    SECONDS,
    alive,
    eventually,
    garbled_pdf,
    needs_proc,
    scan_pdf,
    submit,
    typed_onto,
)
from tests.pdfs import make_pdf

MakePool = Callable[..., Pool]


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Makes a program that is called as tesseract is; `body` is what it does with `picture` and `header`."""

    def make(body: str) -> str:
        path = tmp_path / "tesseract"
        path.write_text(
            f"#!{sys.executable}\n"
            "import os, sys, time\n"
            "picture = sys.stdin.buffer.read()\n"
            "kind, width, height, depth = picture.split(maxsplit=4)[:4]\n"
            "assert sys.argv[1:3] == ['stdin', 'stdout'] and kind == b'P5' and os.environ['OMP_THREAD_LIMIT'] == '1'\n"
            "assert len(picture) == len(b'P5 %s %s 255 ' % (width, height)) + int(width) * int(height)\n" + body
        )
        path.chmod(0o755)
        return str(path)

    return make


def test_scans_are_rendered_and_read_page_by_page(make_pool: MakePool, program: Callable[[str], str]) -> None:
    pool = make_pool(tesseract=program("print('read from a picture of', int(width), 'by', int(height))"))
    seen: list[tuple[int, int]] = []
    found = submit(pool, scan_pdf(3), listener=Listener(lambda *step: seen.append(step))).result(timeout=SECONDS)
    assert found.extractor == "ocr"
    assert found.pages == ("read from a picture of 1700 by 2200",) * 3  # 8.5 by 11 inches at 200 dots an inch
    assert seen[-3:] == [(1, 3), (2, 3), (3, 3)]


def test_a_file_with_text_is_not_given_to_the_program(make_pool: MakePool, program: Callable[[str], str]) -> None:
    pool = make_pool(tesseract=program("print('never')"))
    found = submit(pool, make_pdf(["These are more than twenty letters."])).result(timeout=SECONDS)
    assert (found.pages, found.extractor) == (("These are more than twenty letters.",), "pdfium")


def test_a_page_whose_font_tells_no_letters_is_read_as_a_picture(
    make_pool: MakePool, program: Callable[[str], str]
) -> None:
    found = submit(make_pool(tesseract=program("print('a picture')")), garbled_pdf()).result(timeout=SECONDS)
    assert (found.pages, found.extractor) == (("a picture",), "ocr")
    found = submit(make_pool(tesseract=program("sys.exit(1)")), garbled_pdf()).result(timeout=SECONDS)
    assert is_garbled(found.pages[0]), "better than nothing"
    found = submit(make_pool(), garbled_pdf()).result(timeout=SECONDS)
    assert is_garbled(found.pages[0])


def test_a_scan_with_words_typed_onto_it_is_still_read(make_pool: MakePool, program: Callable[[str], str]) -> None:
    scan = typed_onto(b"612 0 0 792 0 0 cm /I Do", b"/Contents(Paid on Monday.)", of_page=b"/XObject<</I 7 0 R>>")
    pool = make_pool(tesseract=program("print('All that the scan shows. Paid on Monday.')"))
    assert submit(pool, scan).result(timeout=SECONDS).pages == ("All that the scan shows. Paid on Monday.",)
    assert submit(make_pool(), scan).result(timeout=SECONDS).pages == ("Paid on Monday.",)


def test_a_program_that_finds_nothing_is_no_text(make_pool: MakePool, program: Callable[[str], str]) -> None:
    pool = make_pool(tesseract=program("sys.exit(1)"))
    with pytest.raises(errors.NoText, match="gave nothing"):
        submit(pool, scan_pdf()).result(timeout=SECONDS)


@needs_proc
def test_a_program_that_hangs_is_stopped_with_its_worker(
    make_pool: MakePool, program: Callable[[str], str], tmp_path: Path
) -> None:
    pool = make_pool(tesseract=program("time.sleep(600)"), stall_s=2.0)
    reading = submit(pool, scan_pdf())
    eventually(lambda: running(str(tmp_path / "tesseract")))
    with pytest.raises(errors.ExtractionTimeout):
        reading.result(timeout=SECONDS)
    eventually(lambda: not running(str(tmp_path / "tesseract")))


def test_the_setting_decides(reader: Any, settings: Any, program: Callable[[str], str], monkeypatch: Any) -> None:
    folder = Path(program("print('by the program')")).parent
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def read() -> Any:
        received = reader.receive_chunks([scan_pdf()], name="scan.pdf", declared="application/pdf")
        return asyncio.run(reader.read(received))

    settings.MIVA_OCR = "off"
    with pytest.raises(errors.NoText, match="tesseract"):
        read()
    reader.stop()
    settings.MIVA_OCR = "auto"
    assert read().pages == ("by the program",)


def running(program: str) -> list[int]:
    """Processes that run a program."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if program.encode() in words and alive(int(folder.name)):
            found.append(int(folder.name))
    return found
