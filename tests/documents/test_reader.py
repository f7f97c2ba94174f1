"""The reader gives the text of what clients send, once for the same bytes, and says in words what it cannot read."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
import zipfile
from pathlib import Path
from typing import Any

import PyPDF2
import pytest

from miva.documents import store
from miva.documents.intake import SMALL
from miva.documents.reader import Listener
from miva.protocol import errors
from tests.documents.helpers import (
    SECONDS,
    alive,
    computing,
    eventually,
    hanging_pdf,
    needs_proc,
    page_with,
    scan_pdf,
    typed_onto,
)
from tests.pdfs import assemble, make_pdf, stream


async def read(reader: Any, data: bytes, name: str = "a.pdf", declared: str = "application/pdf", **how: Any) -> Any:
    received = await reader.receive_base64(base64.b64encode(data).decode(), name=name, declared=declared)
    try:
        return await reader.read(received, **how)
    finally:
        received.discard()


def encrypted(text: str, user: str, owner: str) -> bytes:
    writer = PyPDF2.PdfWriter()
    writer.append_pages_from_reader(PyPDF2.PdfReader(io.BytesIO(make_pdf([text]))))
    writer.encrypt(user, owner, use_128bit=True)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


async def test_all_pages_come_in_order_with_their_text(reader: Any) -> None:
    pages = [f"Page {number}\nПривет, 世界 (and “quotes”) \\ {number}" for number in range(1, 21)]
    reading = await read(reader, make_pdf(pages))
    assert list(reading.pages) == pages
    assert (reading.media_type, reading.extractor) == ("application/pdf", "pdfium")
    assert reading.characters == sum(map(len, pages))


async def test_a_file_over_a_mebibyte_takes_the_other_way_in_and_gives_the_same(reader: Any) -> None:
    data = make_pdf(["large"], size=3_000_001)
    lines = base64.encodebytes(data).decode()
    received = await reader.receive_base64(f"data:application/pdf;base64,{lines}", name="x", declared="")
    assert received.content.read_bytes() == data
    assert (received.size, received.media_type) == (len(data), "application/pdf")
    assert (await reader.read(received)).pages == ("large",)


@pytest.mark.parametrize("filler", ["A" * 100, "A" * 2_000_000])
@pytest.mark.parametrize("wrong", ["%s*", "*%s", "%s=A", "%s\u00e9", "%s\ud800", "A%s=====", "%s🙂"])
async def test_what_is_not_base64_is_refused(reader: Any, filler: str, wrong: str) -> None:
    with pytest.raises(errors.BadBase64):
        await reader.receive_base64(wrong % filler, name="a.pdf", declared="application/pdf")


async def test_progress_comes_page_by_page_long_before_the_end(reader: Any) -> None:
    seen: list[tuple[int, int]] = []
    reading = await read(
        reader, make_pdf([f"page {n}" for n in range(1000)]), listener=Listener(lambda *x: seen.append(x))
    )
    assert seen == [(done, 1000) for done in range(1001)]
    assert reading.pages[36] == "page 36"


async def test_the_first_progress_of_a_long_file_comes_while_the_rest_is_unread(reader: Any) -> None:
    first, last = threading.Event(), threading.Event()
    go_on = threading.Event()

    def on_progress(done: int, total: int) -> None:
        if done == 1:
            first.set()
            go_on.wait(SECONDS)
        if done == total:
            last.set()

    reading = asyncio.ensure_future(read(reader, make_pdf(["x " * 50] * 1000), listener=Listener(on_progress)))
    assert await asyncio.to_thread(first.wait, SECONDS)
    assert not last.is_set()
    assert not reading.done()
    go_on.set()
    assert len((await reading).pages) == 1000
    assert last.is_set()


async def test_the_same_file_is_read_once_however_often_it_is_asked_for(reader: Any) -> None:
    data = make_pdf(["once"] * 200)
    readings = await asyncio.gather(*(read(reader, data) for _ in range(10)))
    assert len({reading.pages for reading in readings}) == 1
    assert reader.files_read() == 1
    assert (await read(reader, data, name="other.pdf")).pages == ("once",) * 200
    assert reader.files_read() == 1


async def test_a_text_outlives_a_restart_and_is_known_by_its_hash(reader: Any, data_dir: Path) -> None:
    reading = await read(reader, make_pdf(["kept"]))
    reader.stop()
    store.empty_cache()
    assert reader.known(reading.sha256) == reading
    assert (await read(reader, make_pdf(["kept"]))) == reading
    assert reader.files_read() == 0
    assert reader.known("0" * 64) is None


async def test_a_damaged_kept_text_is_made_again(reader: Any, data_dir: Path) -> None:
    reading = await read(reader, make_pdf(["kept"]))
    [kept] = (data_dir / "texts").rglob("*.json")
    for damage in (b"", b'{"sha256": "', b"[]", b'{"sha256": 1}', b"\xff"):
        kept.write_bytes(damage)
        store.empty_cache()
        assert await read(reader, make_pdf(["kept"])) == reading


async def test_a_changed_setting_means_the_file_is_read_again(reader: Any, settings: Any) -> None:
    reading = await read(reader, make_pdf(["text"]))
    reader.stop()
    settings.MIVA_PDF_ENGINES = ("pypdf2",)
    assert reader.known(reading.sha256) is None


async def test_one_of_two_who_wait_for_a_file_may_leave(reader: Any) -> None:
    data = make_pdf(["shared " * 100] * 800)
    go_on = threading.Event()

    def wait(_done: int, _total: int) -> None:
        go_on.wait(SECONDS)

    hers = asyncio.ensure_future(read(reader, data, listener=Listener(wait)))
    his = asyncio.ensure_future(read(reader, data))
    await asyncio.sleep(0.3)
    hers.cancel()
    go_on.set()
    assert len((await his).pages) == 800
    with pytest.raises(asyncio.CancelledError):
        await hers


@needs_proc
async def test_cancelling_the_last_who_waits_stops_the_reading(reader: Any, settings: Any) -> None:
    settings.MIVA_PDF_ENGINES = ("pypdf2",)
    settings.MIVA_PDF_WORKERS = 1
    hanging = asyncio.ensure_future(read(reader, hanging_pdf()))
    [worker] = await asyncio.to_thread(eventually, computing)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert (await asyncio.wait_for(read(reader, make_pdf(["next"])), SECONDS)).pages == ("next",)
    await asyncio.to_thread(eventually, lambda: not alive(worker))


def test_it_works_from_several_event_loops_in_threads_of_their_own(reader: Any) -> None:
    def in_a_loop(number: int) -> str:
        return str(asyncio.run(read(reader, make_pdf([f"loop {number}"]))).pages[0])

    found: list[str] = []
    threads = [threading.Thread(target=lambda n=n: found.append(in_a_loop(n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert sorted(found) == [f"loop {n}" for n in range(4)]


@pytest.mark.parametrize("password", ["for readers", "for the owner"])
async def test_a_locked_pdf_opens_with_either_password(reader: Any, password: str) -> None:
    data = encrypted("behind a lock", "for readers", "for the owner")
    assert (await read(reader, data, password=password)).pages == ("behind a lock",)


async def test_without_or_with_a_wrong_password_a_locked_pdf_says_which(reader: Any) -> None:
    data = encrypted("behind a lock", "right", "owner")
    with pytest.raises(errors.EncryptedPdf, match="Send the password"):
        await read(reader, data)
    for wrong in ("wrong", "\ud800", "x\0y"):
        with pytest.raises(errors.EncryptedPdf, match="is wrong"):
            await read(reader, data, password=wrong)


async def test_what_a_password_unlocked_is_not_given_to_who_has_none(reader: Any) -> None:
    data = encrypted("secret", "right", "owner")
    reading = await read(reader, data, password="right")
    assert reader.known(reading.sha256) is None
    with pytest.raises(errors.EncryptedPdf):
        await read(reader, data)
    with pytest.raises(errors.EncryptedPdf):
        await read(reader, data, password="wrong")
    jobs = reader.files_read()
    assert await read(reader, data, password="right") == reading
    assert reader.files_read() == jobs


async def test_a_needless_password_is_ignored(reader: Any) -> None:
    reading = await read(reader, make_pdf(["open"]), password="needless")
    assert reader.known(reading.sha256) == reading
    only_owner = encrypted("may be read", "", "owner")
    assert (await read(reader, only_owner)).pages == ("may be read",)


async def test_a_program_for_scans_that_is_installed_later_makes_nothing_unknown(
    reader: Any, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MIVA_OCR = "auto"
    monkeypatch.setenv("PATH", str(tmp_path))
    reading = await read(reader, make_pdf(["read without it"]))
    (tmp_path / "tesseract").write_text("#!/bin/sh\n")
    (tmp_path / "tesseract").chmod(0o755)
    assert reader.current_limits().tesseract
    assert reader.known(reading.sha256) == reading
    assert reader.is_known(reading.sha256)


async def test_pypdf2_alone_reads_and_knows_passwords(reader: Any, settings: Any) -> None:
    settings.MIVA_PDF_ENGINES = ("pypdf2",)
    assert (await read(reader, make_pdf(["by the other"]))).extractor == "pypdf2"
    data = encrypted("behind a lock", "right", "owner")
    assert (await read(reader, data, password="right")).pages == ("behind a lock",)
    with pytest.raises(errors.EncryptedPdf, match="Send the password"):
        await read(reader, data)
    with pytest.raises(errors.EncryptedPdf, match="is wrong"):
        await read(reader, data, password="wrong")


@pytest.mark.parametrize("engines", [("pdfium",), ("pypdf2",), ("pypdf2", "pdfium")])
async def test_any_order_of_extractors_works(reader: Any, settings: Any, engines: tuple[str, ...]) -> None:
    settings.MIVA_PDF_ENGINES = engines
    reading = await read(reader, make_pdf(["one", "two"]))
    assert (reading.pages, reading.extractor) == (("one", "two"), engines[0])


async def test_pypdf2_reads_a_page_that_gives_pdfium_nothing(reader: Any, settings: Any) -> None:
    data = make_pdf(["first", "second"]).replace(b"\n12 0 obj\n", b"\n12 x obj\n")  # the second page's content
    reading = await read(reader, data)
    assert reading.pages == ("first", "second")
    reader.stop()
    settings.MIVA_PDF_ENGINES = ("pdfium",)
    assert (await read(reader, data)).pages == ("first", "")


async def test_what_was_typed_onto_a_page_that_only_pypdf2_reads_is_kept(reader: Any) -> None:
    page = typed_onto(b"BT /F1 12 Tf 50 695 Td (Invoice) Tj ET", b"/Contents(Paid on Monday.)")
    damaged = page.replace(b"\n5 0 obj\n", b"\n5 x obj\n")
    assert damaged != page
    assert (await read(reader, damaged)).pages == ("Invoice\nPaid on Monday.",)


@pytest.mark.parametrize(
    ("data", "name", "declared", "error"),
    [
        (b"", "a.pdf", "application/pdf", errors.NotAPdf),
        (b"", "a.txt", "text/plain", errors.NoText),
        (b" \n\t ", "a.txt", "text/plain", errors.NoText),
        (b"just text", "a.pdf", "application/pdf", errors.NotAPdf),
        (b"just text", "a.pdf", "", errors.NotAPdf),
        (b"just text", "a.bin", "application/octet-stream", errors.UnsupportedType),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "a.png", "image/png", errors.UnsupportedType),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "a.txt", "text/plain", errors.UnsupportedType),
        (bytes(range(256)) * 40, "a.txt", "text/plain", errors.UnsupportedType),
        (b"%PDF-1.7\nnothing follows", "a.pdf", "application/pdf", errors.BrokenPdf),
        (b"%PDF-1.7\n" + bytes(5000), "a.txt", "text/plain", errors.BrokenPdf),
        (make_pdf([]), "a.pdf", "application/pdf", errors.BrokenPdf),
        (make_pdf([""]), "a.pdf", "application/pdf", errors.NoText),
    ],
)
async def test_what_cannot_be_read_is_refused_with_its_code(
    reader: Any, data: bytes, name: str, declared: str, error: type[errors.MivaError]
) -> None:
    with pytest.raises(error):
        await read(reader, data, name, declared)


async def test_a_zip_of_text_is_not_text(reader: Any) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "words and words " * 5000)
    with pytest.raises(errors.UnsupportedType):
        await read(reader, packed.getvalue(), "a.txt", "text/plain")


async def test_a_pdf_is_a_pdf_whatever_it_is_called(reader: Any) -> None:
    data = b"some junk before\n" + make_pdf(["hidden"])
    for name, declared in (("a.txt", "text/plain"), ("a.png", "image/png"), ("a", ""), ("a.pdf", "application/pdf")):
        assert (await read(reader, data, name, declared)).pages == ("hidden",)


async def test_a_note_about_pdfs_is_text(reader: Any) -> None:
    text = "A PDF begins with %PDF-1.7 and ends with %%EOF."
    assert (await read(reader, text.encode(), "note.md", "")).pages == (text,)


async def test_limits_are_named_in_words(reader: Any, settings: Any) -> None:
    settings.MIVA_MAX_PAGES = 3
    with pytest.raises(errors.TooManyPages, match="4 pages; at most 3"):
        await read(reader, make_pdf(["x"] * 4))
    reader.stop()  # it reads the settings when it starts
    settings.MIVA_MAX_FILE_BYTES = 2**21
    with pytest.raises(errors.FileTooLarge, match="at most 2 MB"):
        await read(reader, make_pdf(["x"], size=2**21 + 1))
    with pytest.raises(errors.FileTooLarge):
        await read(reader, make_pdf(["x"], size=2**22))
    with pytest.raises(errors.FileTooLarge, match="at most 2 MB"):
        reader.receive_chunks([b"%PDF-1.4"] + [bytes(2**20)] * 2, name="a", declared="")
    assert (await read(reader, make_pdf(["fits"], size=2**21))).pages == ("fits",)
    reader.stop()
    settings.MIVA_MAX_FILE_BYTES = 2**23
    with pytest.raises(errors.FileTooLarge, match="too much text"):
        await read(reader, b"word " * 1_100_000, "a.txt", "text/plain")


async def test_nothing_is_left_in_the_temporary_folder(reader: Any, data_dir: Path, settings: Any) -> None:
    settings.MIVA_MAX_FILE_BYTES = 2**21
    await read(reader, make_pdf(["small"]))
    await read(reader, make_pdf(["large"], size=2_000_000))
    for refused in ("!" * 100, "!" * 2_000_000, "A" * 2**22, base64.b64encode(b"no pdf").decode()):
        with pytest.raises(errors.MivaError):
            await reader.receive_base64(refused, name="a.pdf", declared="application/pdf")
    left = [path for path in (data_dir / "tmp").rglob("*") if path.is_file() and path.name != ".lock"]
    assert left == []
    reader.stop()
    assert list((data_dir / "tmp").iterdir()) == []


@pytest.mark.parametrize("size", [SMALL, SMALL + 1, 2_000_000])
async def test_a_file_that_is_not_kept_is_read_in_one_call_and_leaves_nothing(
    reader: Any, data_dir: Path, size: int
) -> None:
    content = base64.b64encode(make_pdf(["once"], size=size)).decode()
    readings = [await reader.read_base64(content, name="a.pdf", declared="") for _ in range(2)]
    assert [reading.pages for reading in readings] == [("once",), ("once",)]
    assert reader.files_read() == 1
    locked = base64.b64encode(encrypted("a secret", "user", "owner") + b"\n" * size).decode()
    assert (await reader.read_base64(locked, name="b.pdf", declared="", password="user")).pages == ("a secret",)
    for wrong in ("!" * 100, "!" * 2_000_000, base64.b64encode(b"no pdf").decode()):
        with pytest.raises(errors.MivaError):
            await reader.read_base64(wrong, name="a.pdf", declared="application/pdf")
    assert [path for path in (data_dir / "tmp").rglob("*") if path.is_file() and path.name != ".lock"] == []


async def test_a_large_file_lies_where_only_its_user_may_read_it_and_goes_when_it_is_discarded(reader: Any) -> None:
    content = base64.b64encode(make_pdf(["x"], size=SMALL + 1)).decode()
    received = await reader.receive_base64(content, name="a", declared="")
    assert received.content.stat().st_mode & 0o777 == 0o600
    received.discard()
    received.discard()
    assert not received.content.exists()
    with pytest.raises(FileNotFoundError):
        await reader.read(received)


async def test_a_small_file_is_read_without_a_place_on_the_disk(reader: Any, data_dir: Path) -> None:
    data = make_pdf(["few bytes"], size=SMALL)
    received = await reader.receive_base64(base64.b64encode(data).decode(), name="a", declared="")
    assert (received.read(), received.size) == (data, SMALL)
    assert [path for path in (data_dir / "tmp").rglob("*") if path.is_file() and path.name != ".lock"] == []
    assert (await reader.read(received)).pages == ("few bytes",)
    assert "few bytes" not in repr(received)


async def test_a_scan_says_which_pages_and_what_would_help(reader: Any) -> None:
    with pytest.raises(errors.NoText, match=r"Its only page is a scan.*tesseract"):
        await read(reader, scan_pdf())
    with pytest.raises(errors.NoText, match="pages 1–3"):
        await read(reader, scan_pdf(3))


async def test_line_end_hyphens_are_joined_and_controls_never_come_out(reader: Any) -> None:
    lines = page_with(
        b"BT /F1 12 Tf 14 TL 50 700 Td (This line ends with a hyphen-) Tj T* (ated word and a bell \\007.) Tj T* "
        b"(The virus is called COVID-) Tj T* (19 by doctors.) Tj ET"
    )
    [text] = (await read(reader, lines)).pages
    assert "hyphenated word" in text
    assert "COVID-19" in text
    assert text.isprintable() or set(text) - set(map(chr, range(32, 0x10FFFF))) == {"\n"}


def form_pdf(value: bytes, shown: bytes, *annotations: bytes) -> bytes:
    """A page that says "Name:" and has a text field with a value; `shown` draws what the page shows of it.

    Further `annotations` lie on the page.
    """
    appearance = b"/Type/XObject/Subtype/Form/BBox[0 0 500 600]/Resources<</Font<</F1 3 0 R>>>>"
    page = (
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>"
        b"/Contents 5 0 R/Annots[6 0 R %s]>>"
    ) % b" ".join(annotations)
    field = (
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V(%s)/DA(/F1 12 Tf)/F 4"
        b"/Rect[100 80 600 680]/P 4 0 R/AP<</N 7 0 R>>>>"
    ) % value
    return assemble(
        [
            b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[6 0 R]/DA(/F1 12 Tf)/DR<</Font<</F1 3 0 R>>>>>>>>",
            b"<</Type/Pages/Count 1/Kids[4 0 R]>>",
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
            page,
            stream(b"BT /F1 12 Tf 50 695 Td (Name:) Tj ET"),
            field,
            stream(b"/Tx BMC BT /F1 1 Tf 2 TL 2 590 Td %s ET EMC" % shown, appearance),
        ]
    )


async def test_what_was_filled_into_a_form_is_read(reader: Any) -> None:
    [text] = (await read(reader, form_pdf(b"Ada Lovelace", b"(Ada Lovelace) Tj"))).pages
    assert text.split() == ["Name:", "Ada", "Lovelace"]


async def test_what_was_typed_onto_a_page_is_read(reader: Any) -> None:
    name = b"BT /F1 12 Tf 50 695 Td (Name:) Tj ET"
    [text] = (await read(reader, typed_onto(name, b"/Contents(Ada\\rLovelace)"))).pages
    assert text == "Name:\nAda\nLovelace"
    [text] = (await read(reader, typed_onto(name, b"/F 2/Contents(Hidden)"))).pages
    assert text == "Name:"
    [text] = (await read(reader, typed_onto(name, b""))).pages
    assert text == "Name:"
    form = form_pdf(b"Ada Lovelace", b"(Ada Lovelace) Tj", b"<</Subtype/FreeText/Rect[9 9 99 99]/Contents(Born 1815)>>")
    [text] = (await read(reader, form)).pages
    assert text.split() == ["Name:", "Ada", "Lovelace", "Born", "1815"]


async def test_a_field_that_is_longer_than_its_page_is_read_to_its_end(reader: Any) -> None:
    words = [f"word{number}" for number in range(5000)]
    lines = [" ".join(words[start : start + 50]) for start in range(0, 4500, 50)]
    shown = "".join(f"({line}) Tj T* " for line in lines).encode()
    [text] = (await read(reader, form_pdf(" ".join(words).encode(), shown))).pages
    assert text.split() == ["Name:", *words]


@pytest.mark.parametrize("size", [SMALL, SMALL + 1])
async def test_originals_are_kept_once_and_forgotten_with_their_texts(reader: Any, data_dir: Path, size: int) -> None:
    data = make_pdf(["original"], size=size)
    for _ in range(2):
        received = await reader.receive_base64(base64.b64encode(data).decode(), name="a.pdf", declared="")
        reader.keep(received)
        reading = await reader.read(reader.Original(received.sha256, received.size, received.media_type))
    with reader.original(reading.sha256) as file:
        assert file.read() == data
    assert [path.name for path in (data_dir / "documents").rglob("*") if path.is_file()] == [reading.sha256]
    assert [path for path in (data_dir / "tmp").rglob("*") if path.is_file() and path.name != ".lock"] == []
    locked = encrypted("secret", "right", "owner")
    await read(reader, locked, password="right")
    before = data_dir / "texts" / reading.sha256[:2] / reading.sha256  # where texts lay once
    before.mkdir()
    (before / "0123456789ab.json").write_text("{}")
    reader.forget(reading.sha256)
    assert not before.exists()
    assert reader.known(reading.sha256) is None
    with pytest.raises(FileNotFoundError):
        reader.original(reading.sha256)
    assert len(list((data_dir / "texts").rglob("*.json"))) == 1
    for bad in ("../../etc/passwd", "A" * 64, ""):
        with pytest.raises(ValueError):
            reader.original(bad)
