"""Settings speak at start-up: each is documented, a bad value is named in words, and with nothing set all is well."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from epsilon import language_models
from tests.processes import free_port
from tests.product import PATIENCE_S, ROOT, Product, command_for

READERS = {"_text", "_words", "_flag", "_number"}
WITHOUT_ROOTS_RIGHTS = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 1)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE: from the next program on, modes count for root too
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def read_by_settings() -> set[str]:
    """The names that epsilon/settings.py takes from the environment."""
    found = set(language_models.NAMES)  # handed in as a whole
    for node in ast.walk(ast.parse((ROOT / "epsilon/settings.py").read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = ast.unparse(node.func)
            if function in READERS or (function.startswith("env.") and not function.endswith("_config")):
                found.add(str(node.args[0].value))
    return found


def example_names() -> set[str]:
    return set(re.findall(r"^(?:# ?)?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_every_setting_is_in_the_example_and_the_example_has_no_other() -> None:
    assert {"SECRET_KEY", "MIVA_RATE", "DATABASE_URL"} <= read_by_settings(), "the walk finds no settings any more"
    assert read_by_settings() == example_names()


def test_every_setting_is_explained_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    rows = [line.partition("|")[2].partition("|")[0] for line in readme.splitlines() if line.startswith("|")]
    explained = {name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]*)`", row)}
    assert read_by_settings() <= explained, f"not in the table: {sorted(read_by_settings() - explained)}"


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """What a process gets that is to see these settings and no others."""
    return Product(folder).environment() | {"MIVA_RATE": "", "MIVA_SOCKETS": "", "PORT": ""} | settings


def run(arguments: Iterable[str], settings: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=settings, text=True, capture_output=True, timeout=2 * PATIENCE_S
    )


BAD = [
    ("DEBUG", "perhaps", "miva.E001", "DEBUG=on or DEBUG=off"),
    ("MIVA_ANONYMOUS", "sometimes", "miva.E001", "MIVA_ANONYMOUS=on"),
    ("PORT", "http", "miva.E002", "PORT=8000"),
    ("MIVA_ENGINE_CONNECT_S", "soon", "miva.E002", "MIVA_ENGINE_CONNECT_S=5"),
    ("MIVA_ENGINE_TIMEOUT_S", "-1", "miva.E002", "MIVA_ENGINE_TIMEOUT_S=120"),
    ("MIVA_ENGINE_TOTAL_S", "nan", "miva.E002", "MIVA_ENGINE_TOTAL_S=600"),
    ("MIVA_MAX_FILE_MB", "0", "miva.E002", "MIVA_MAX_FILE_MB=50"),
    ("MIVA_MAX_PAGES", "many", "miva.E002", "MIVA_MAX_PAGES=5000"),
    ("MIVA_MAX_PAGES", "12.5", "miva.E002", "MIVA_MAX_PAGES=5000"),
    ("MIVA_SOCKETS", "0", "miva.E002", "MIVA_SOCKETS=20"),
    ("MIVA_PDF_TIMEOUT_S", "0", "miva.E002", "MIVA_PDF_TIMEOUT_S=60"),
    ("MIVA_PDF_MEMORY_MB", "1", "miva.E002", "MIVA_PDF_MEMORY_MB=1024"),
    ("MIVA_PDF_WORKERS", "1000", "miva.E002", "MIVA_PDF_WORKERS="),
    ("MIVA_LEASE_S", "0.1", "miva.E002", "MIVA_LEASE_S=10"),
    ("MIVA_LOG_HOURS", "a day", "miva.E002", "MIVA_LOG_HOURS=24"),
    ("REDIS_URL", "127.0.0.1:6379", "miva.E004", "redis://127.0.0.1:6379/0"),
    ("CSRF_TRUSTED_ORIGINS", "chat.example.org", "miva.E005", "https://chat.example.org"),
    ("DATABASE_URL", "a database", "miva.E008", "postgresql://"),
    ("MIVA_ENGINE_URL", "http://127.0.0.1:8001", "miva.E009", "ws://127.0.0.1:8001/ws/chat"),
    ("MIVA_PDF_ENGINES", "pdfium,acrobat", "miva.E010", "MIVA_PDF_ENGINES=pdfium,pypdf2"),
    ("MIVA_OCR", "maybe", "miva.E011", "MIVA_OCR=off"),
    ("MIVA_LLM_MODEL", "mistral", "miva.E016", "MIVA_LLM_MODEL=bundled"),
    ("MIVA_VECTOR_STORE", "chroma", "miva.E017", "pgvector, faiss, or package.module.Class"),
    ("MIVA_RATE", "60 a minute", "miva.E012", "MIVA_RATE=60/min"),
    ("EMAIL_URL", "mail.example.org", "miva.E0", "smtp"),
    ("ALLOWED_HOSTS", "https://chat.example.org", "miva.E018", "ALLOWED_HOSTS=chat.example.org"),
    ("MIVA_RATES", "1/s", "miva.W001", ".env.example"),
]


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `manage.py check` says where every value is bad at once."""
    settings = environment(tmp_path_factory.mktemp("bad"), **{name: value for name, value, *_ in BAD})
    done = run(["manage.py", "check"], settings)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


@pytest.mark.parametrize(("name", "value", "check", "hint"), BAD, ids=[row[0] for row in BAD])
def test_a_bad_value_is_named_with_what_to_write_instead(
    name: str, value: str, check: str, hint: str, findings: str
) -> None:
    lines = findings.splitlines()
    matching = [
        (line, advice) for line, advice in pairwise(lines) if re.search(rf"\b{name}\b", line) and f"({check}" in line
    ]
    assert matching, findings
    assert any("HINT:" in advice and hint in advice for _, advice in matching), matching


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("DATABASE_URL", "mysql://miva:secret@127.0.0.1/miva", "miva.E008"),
        ("REDIS_URL", "redis://127.0.0.1:default/0", "miva.E004"),
        ("MIVA_ENGINE_URL", "ws://127.0.0.1:99999/ws/chat", "miva.E009"),
        ("ALLOWED_HOSTS", "chat.example.org:8000", "miva.E018"),
        ("ALLOWED_HOSTS", "::1", "miva.E018"),
    ],
)
def test_an_address_that_leads_nowhere_is_named_and_its_password_is_not(
    name: str, value: str, check: str, tmp_path: Path
) -> None:
    done = run(["manage.py", "check"], environment(tmp_path, **{name: value}))
    assert done.returncode == 1
    assert f"({check}) {name} " in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize("hosts", ["*", ".example.org,127.0.0.1", "[::1],chat.example.org"])
def test_names_that_django_knows_may_be_allowed(hosts: str, tmp_path: Path) -> None:
    done = run(["manage.py", "check"], environment(tmp_path, ALLOWED_HOSTS=hosts))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_slip_of_the_pen_is_told_when_a_server_starts(tmp_path: Path) -> None:
    with Product(tmp_path, MIVA_ANONYMUS="on") as product:
        assert "MIVA_ANONYMUS is set, but there is no such setting. See .env.example" in product.log()


def test_a_bad_context_window_is_named_with_what_to_write_instead(tmp_path: Path) -> None:
    done = run(["manage.py", "check"], environment(tmp_path, MIVA_LLM_CONTEXT_TOKENS="large"))
    assert "MIVA_LLM_CONTEXT_TOKENS is not a number from 1024 to 2000000.\n" in done.stderr
    assert "HINT: Write MIVA_LLM_CONTEXT_TOKENS=4096." in done.stderr


def test_nothing_set_is_nothing_wrong(tmp_path: Path) -> None:
    done = run(["manage.py", "check"], environment(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_values_of_the_example_can_be_used_as_they_stand(tmp_path: Path) -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [line.removeprefix("# ").partition("=") for line in lines if re.match(r"(# ?)?[A-Z][A-Z0-9_]*=", line)]
    values = {name: value for name, _, value in pairs} | {"SECRET_KEY": "not a secret"}
    settings = environment(tmp_path, **{**values, "MIVA_DATA_DIR": str(tmp_path / "data")})
    done = run(["manage.py", "check"], settings)
    assert (done.returncode, done.stderr) == (0, "")


REFUSALS = [
    (
        "uvicorn",
        {"DEBUG": "off"},
        ["SECRET_KEY is missing (DEBUG is off)", "ALLOWED_HOSTS is missing", "secrets.token"],
    ),
    ("uvicorn", {"REDIS_URL": "redis://127.0.0.1:1/0", "SECRET_KEY": "k"}, ["ALLOWED_HOSTS is missing (REDIS_URL is"]),
    ("uvicorn", {"MIVA_DATA_DIR": "/dev/null/data"}, ["MIVA_DATA_DIR"]),
    ("daphne", {"DEBUG": "off"}, ["SECRET_KEY is missing", "ALLOWED_HOSTS is missing"]),
    ("runserver", {"DEBUG": "off"}, ["SECRET_KEY is missing", "ALLOWED_HOSTS is missing"]),
    ("uvicorn", {"MIVA_VECTOR_STORE": "pgvector"}, ["MIVA_VECTOR_STORE=pgvector needs a PostgreSQL", "DATABASE_URL="]),
    ("serve", {"DEBUG": "off"}, ["SECRET_KEY is missing", "ALLOWED_HOSTS is missing"]),
]


@pytest.mark.parametrize(
    ("server", "settings", "words"), REFUSALS, ids=[f"{server}-{'-'.join(names)}" for server, names, _ in REFUSALS]
)
def test_a_server_with_unusable_settings_ends_and_says_why(
    server: str, settings: dict[str, str], words: list[str], tmp_path: Path
) -> None:
    port = free_port()
    done = run(command_for(server, port)[1:], environment(tmp_path, **{"PORT": str(port)} | settings))
    said = done.stdout + done.stderr
    assert done.returncode not in (0, None)
    assert [word for word in words if word not in said] == [], said
    assert "Traceback" not in said


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o555)
    done = run(["-c", WITHOUT_ROOTS_RIGHTS, "manage.py", "check"], environment(tmp_path))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr, done.stderr
    assert "MIVA_DATA_DIR" in done.stderr


SHOW_KEY = "from epsilon import settings; print(settings.SECRET_KEY)"


def test_the_secret_key_is_made_once_for_processes_that_start_together_and_only_its_owner_reads_it(
    tmp_path: Path,
) -> None:
    settings = environment(tmp_path)
    starts = [
        subprocess.Popen([sys.executable, "-c", SHOW_KEY], cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    keys = {start.communicate(timeout=PATIENCE_S)[0].strip() for start in starts}
    assert len(keys) == 1
    assert len(keys.pop()) >= 50
    kept = list((tmp_path / "data").glob("secret_key*"))
    assert [(path.name, path.stat().st_mode & 0o777) for path in kept] == [("secret_key", 0o600)]
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("key", ["given", "$given", "$HOME", "${HOME}"])
def test_a_key_that_is_given_is_used_letter_by_letter_and_none_is_kept(tmp_path: Path, key: str) -> None:
    done = run(["-c", SHOW_KEY], environment(tmp_path, SECRET_KEY=key))
    assert done.stdout.strip() == key
    assert not (tmp_path / "data" / "secret_key").exists()


@pytest.fixture
def copy_of_the_tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    for name in ("epsilon", "miva"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("manage.py", ".env.example"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_a_env_file_beside_manage_py_is_read_and_the_environment_goes_before_it(copy_of_the_tree: Path) -> None:
    (copy_of_the_tree / ".env").write_text(
        'PORT=8123\nMIVA_RATE="7/h"\n# a remark\nMIVA_SOCKETS=3\nexport MIVA_OCR=off\nSECRET_KEY=$5up3r\n'
    )
    show = "from epsilon.settings import PORT, MIVA_RATE, MIVA_SOCKETS, MIVA_OCR, SECRET_KEY; import json\n"
    show += "print(json.dumps([PORT, MIVA_RATE, MIVA_SOCKETS, MIVA_OCR, SECRET_KEY]))"
    bare = {
        name: value for name, value in environment(copy_of_the_tree).items() if not name.startswith(("MIVA", "PORT"))
    }
    done = run(["-c", show], bare | {"MIVA_SOCKETS": "5"}, cwd=copy_of_the_tree)
    assert json.loads(done.stdout) == [8123, [7, 3600], 5, "off", "$5up3r"]
    assert (copy_of_the_tree / "data").is_dir(), "the data folder lies beside manage.py by default"


def test_a_slip_of_the_pen_in_a_env_file_is_named(copy_of_the_tree: Path) -> None:
    (copy_of_the_tree / ".env").write_text("MIVA_SOCKET=3\n")
    bare = {name: value for name, value in environment(copy_of_the_tree).items() if not name.startswith("MIVA_")}
    done = run(["manage.py", "check"], bare, cwd=copy_of_the_tree)
    assert "MIVA_SOCKET is set, but there is no such setting" in done.stderr


@pytest.mark.parametrize(
    ("settings", "is_on"),
    [
        ({}, True),
        ({"ALLOWED_HOSTS": "localhost,127.0.0.1"}, True),
        ({"ALLOWED_HOSTS": "chat.example.org"}, False),
        ({"ALLOWED_HOSTS": "chat.example.org", "MIVA_ANONYMOUS": "on"}, True),
        ({"MIVA_ANONYMOUS": "off"}, False),
    ],
    ids=str,
)
def test_guests_may_chat_while_only_this_machine_is_served(
    settings: dict[str, str], is_on: bool, tmp_path: Path
) -> None:
    done = run(
        ["-c", "from epsilon import settings; print(settings.MIVA_ANONYMOUS)"], environment(tmp_path, **settings)
    )
    assert done.stdout.strip() == str(is_on)
