"""`manage.py corpus`: runs a folder of PDFs through the extraction pool and counts what came of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from miva.documents import extraction, intake
from miva.documents.limits import Limits
from miva.documents.pool import Pool
from miva.documents.reader import current_limits
from miva.documents.slot import Slot
from miva.protocol import errors


class Command(BaseCommand):
    help = "Reads all PDFs of a folder as the server would and compares with what pdfium alone gets from them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", nargs="?", type=Path, default=settings.BASE_DIR.parent / "shared/pdfs/corpus")
        parser.add_argument("--json", type=Path, help="a file for the outcome of every PDF")

    def handle(self, *_: Any, folder: Path, json: Path | None, **__: Any) -> None:
        files = sorted(folder.glob("*.pdf"))
        if not files:
            raise CommandError(f"There are no PDFs in {folder}. Name a folder that has some.")
        began = time.monotonic()
        outcomes = _read_all(files, current_limits())
        seconds = time.monotonic() - began
        plain = _plain_pdfium(folder)
        if json is not None:
            json.write_text(_as_json(outcomes, plain))
        self.stdout.write(_summary(outcomes, plain, seconds))


def _read_all(files: list[Path], limits: Limits) -> dict[str, dict[str, Any]]:
    """What came of each file: code, pages, characters, extractor. A few at a time, as a server would."""
    pool = Pool(limits)
    outcomes: dict[str, dict[str, Any]] = {}
    under_way: dict[Future[dict[str, Any]], Path] = {}
    waiting = list(reversed(files))
    try:
        while waiting or under_way:
            while waiting and len(under_way) < 2 * limits.workers:
                path = waiting.pop()
                under_way[pool.submit(partial(_read, path=path, limits=limits))] = path
            done, _ = wait(under_way, timeout=2 * limits.timeout_s, return_when=FIRST_COMPLETED)
            if not done:
                outcomes.update({path.name: {"code": "unanswered"} for path in under_way.values()})
                break
            for future in done:
                outcomes[under_way.pop(future).name] = _outcome(future)
    finally:
        pool.stop()
    outcomes.update({path.name: {"code": "unanswered"} for path in waiting})
    return outcomes


def _read(slot: Slot, *, path: Path, limits: Limits) -> dict[str, Any]:
    with path.open("rb") as file:
        intake.sniff(file.read(2**16), name=path.name, declared=intake.PDF)
        found = extraction.extract_pdf(slot, file.fileno(), limits, None, extraction.Listener())
    return {
        "code": "text",
        "pages": len(found.pages),
        "characters": sum(map(len, found.pages)),
        "visible": sum(len("".join(page.split())) for page in found.pages),
        "extractor": found.extractor,
    }


def _outcome(future: Future[dict[str, Any]]) -> dict[str, Any]:
    try:
        return future.result()
    except errors.MivaError as why:
        return {"code": why.code, "message": why.message}


def _plain_pdfium(folder: Path) -> dict[str, int | None]:
    """Visible characters that pdfium alone finds in each file, by file name."""
    command = [sys.executable, "-m", "miva.documents.plain_pdfium", str(folder)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, cwd=settings.BASE_DIR)
    return {line["file"]: line["characters"] for line in map(json.loads, run.stdout.splitlines())}


def _as_json(outcomes: dict[str, dict[str, Any]], plain: dict[str, int | None]) -> str:
    files = {name: {**outcome, "pdfium_alone": plain.get(name)} for name, outcome in sorted(outcomes.items())}
    return json.dumps(files, indent=1, ensure_ascii=False)


def _summary(outcomes: dict[str, dict[str, Any]], plain: dict[str, int | None], seconds: float) -> str:
    codes = Counter(outcome["code"] for outcome in outcomes.values())
    extractors = Counter(outcome["extractor"] for outcome in outcomes.values() if outcome["code"] == "text")
    alone = {name for name, count in plain.items() if count}
    both = {name for name in alone if outcomes[name]["code"] == "text"}
    gained = {name for name, outcome in outcomes.items() if outcome["code"] == "text"} - alone
    share = 100 * len(both) / len(alone) if alone else 100.0
    lines = [
        f"files {len(outcomes)}, in {seconds:.0f} s",
        *(f"  {code}: {count}" for code, count in codes.most_common()),
        f"pages {sum(outcome.get('pages', 0) for outcome in outcomes.values()):,}",
        f"characters {sum(outcome.get('characters', 0) for outcome in outcomes.values()):,}",
        "text by " + ", ".join(f"{name}: {count}" for name, count in extractors.most_common()),
        f"server crashes {codes['internal']}, unanswered {codes['unanswered']}",
        f"pdfium alone gets text from {len(alone)}; of these through the pool {len(both)} ({share:.2f} %)",
        f"text through the pool where pdfium alone gets none: {len(gained)}",
    ]
    return "\n".join(lines)
