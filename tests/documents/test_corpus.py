"""The corpus command counts what came of a folder of PDFs, and the pool loses nothing that pdfium alone can read."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.documents.helpers import SHARED, scan_pdf
from tests.pdfs import make_pdf

CORPUS = sorted((SHARED / "corpus").glob("*.pdf"))


def run(folder: Path, *arguments: str) -> str:
    out = StringIO()
    call_command("corpus", str(folder), *arguments, stdout=out)
    return out.getvalue()


def test_it_counts_codes_and_pages_and_compares(tmp_path: Path, data_dir: Path) -> None:
    folder = tmp_path / "pdfs"
    folder.mkdir()
    for name, data in {
        "good": make_pdf(["one", "two"]),
        "scan": scan_pdf(),
        "no": b"text",
        "broken": b"%PDF-1.4 broken",
    }.items():
        (folder / f"{name}.pdf").write_bytes(data)
    said = run(folder, "--json", str(tmp_path / "out.json"))
    assert "files 4" in said
    assert "server crashes 0, unanswered 0" in said
    assert "pdfium alone gets text from 1; of these through the pool 1 (100.00 %)" in said
    outcome: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    assert {name: facts["code"] for name, facts in outcome.items()} == {
        "broken.pdf": "broken_pdf",
        "good.pdf": "text",
        "no.pdf": "not_a_pdf",
        "scan.pdf": "no_text",
    }
    assert (outcome["good.pdf"]["pages"], outcome["good.pdf"]["pdfium_alone"]) == (2, 6)


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no PDFs"):
        run(tmp_path)


@pytest.mark.skipif(not CORPUS, reason="the folder of public PDFs is not here")
def test_a_sample_of_public_files_loses_nothing(tmp_path: Path, data_dir: Path) -> None:
    folder = tmp_path / "sample"
    folder.mkdir()
    for path in CORPUS[::12]:
        (folder / path.name).symlink_to(path)
    said = run(folder, "--json", str(tmp_path / "out.json"))
    assert "server crashes 0, unanswered 0" in said
    outcome: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    lost = [name for name, facts in outcome.items() if facts["pdfium_alone"] and facts["code"] != "text"]
    assert lost == []
