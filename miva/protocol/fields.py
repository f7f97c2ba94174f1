"""Checks of single members of a client's frame, shared by the dialects; each raises BadField with the member's name."""

from __future__ import annotations

import math
import re
from typing import Any

from miva.protocol.errors import BadField
from miva.protocol.requests import InlineFile, Scalar

LONGEST_LABEL = 255
"""Characters of an id, a label or a file's name."""
LARGEST_NUMBER = 2**63
"""Bound of a number that stands for an id."""
_UNKEPT = re.compile("[\0\ud800-\udfff]")
"""What databases refuse: NUL, and halves of characters."""
MOST_FILES = 20
"""Files in one question."""


def text(data: dict[str, Any], name: str, longest: int) -> str:
    """A member that must be a string of at most `longest` characters."""
    value = data.get(name)
    if not isinstance(value, str):
        raise BadField(f"The field “{name}” must be a text.", field=name)
    if len(value) > longest:
        raise BadField(f"The field “{name}” may have {longest:,} characters at most.", field=name)
    return value


def short(data: dict[str, Any], name: str) -> str:
    """A member that must be a short, not empty string."""
    value = text(data, name, LONGEST_LABEL)
    if not value:
        raise BadField(f"The field “{name}” must not be empty.", field=name)
    return value


def label(data: dict[str, Any], name: str) -> str:
    """The same for what names something: it must be such that it is kept as it came, or it might name another thing."""
    value = short(data, name)
    if _UNKEPT.search(value):
        raise BadField(f"The field “{name}” holds a character that cannot be kept.", field=name)
    return value


def label_or_none(data: dict[str, Any], name: str) -> str | None:
    """The same where it is one, else None."""
    try:
        return label(data, name)
    except BadField:
        return None


def optional(data: dict[str, Any], name: str, longest: int = LONGEST_LABEL) -> str | None:
    """A member that may be missing, null or a string."""
    return None if data.get(name) is None else text(data, name, longest)


def whole(data: dict[str, Any], name: str, least: int) -> int:
    """A member that must be a whole number of at least `least`, and such as databases can hold."""
    value = data.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < LARGEST_NUMBER:
        raise BadField(f"The field “{name}” must be a whole number of at least {least}.", field=name)
    return value


def scalar(data: dict[str, Any], name: str) -> Scalar:
    """A member that may be missing, null, a number or a string."""
    value = data.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() and abs(value) <= LARGEST_NUMBER else value
    if isinstance(value, str) and len(value) <= LONGEST_LABEL:
        return value
    raise BadField(f"The field “{name}” must be a text of at most {LONGEST_LABEL} characters.", field=name)


def files(data: dict[str, Any]) -> tuple[InlineFile, ...]:
    """The files of `file` (one) and `files` (a list), which may be missing or null."""
    one, several = data.get("file"), data.get("files")
    if several is not None and not isinstance(several, list):
        raise BadField("The field “files” must be a list of files.", field="files")
    found = ([] if one is None else [_file(one, "file")]) + [_file(item, "files") for item in several or []]
    if len(found) > MOST_FILES:
        raise BadField(f"A question may have {MOST_FILES} files at most.", field="files")
    return tuple(found)


def names(data: dict[str, Any], name: str, most: int) -> tuple[str, ...]:
    """A member that may be missing or a list of short strings."""
    value = data.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > most or not all(isinstance(item, str) for item in value):
        raise BadField(f"The field “{name}” must be a list of at most {most} texts.", field=name)
    return tuple(value)


def _file(value: Any, name: str) -> InlineFile:
    if not isinstance(value, dict):
        raise BadField(f"The field “{name}” must hold an object with name, type and content.", field=name)
    for member in ("name", "type", "content"):
        if not isinstance(value.get(member, "" if member != "content" else None), str):
            raise BadField(f"The file's “{member}” must be a text.", field=f"{name}.{member}")
    password = value.get("password")
    if password is not None and not isinstance(password, str):
        raise BadField("The file's “password” must be a text.", field=f"{name}.password")
    file_name, media_type = value.get("name", "") or "document", value.get("type", "")
    if len(file_name) > LONGEST_LABEL:
        raise BadField(f"The file's name may have {LONGEST_LABEL} characters at most.", field=f"{name}.name")
    return InlineFile(file_name, media_type[:LONGEST_LABEL], value["content"], password)
