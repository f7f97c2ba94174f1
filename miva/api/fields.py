"""Text fields of a request, checked: present, text, not too long, and such as can be stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request

from miva.protocol.errors import BadField


def members(request: Request) -> Mapping[str, Any]:
    """The request's JSON object or form."""
    data = request.data
    assert isinstance(data, Mapping)  # JsonParser and the form parsers make nothing else
    return data


def text(data: Mapping[str, Any], name: str, most: int) -> str:
    """A field that must be there: 1 to `most` characters; raises BadField."""
    value = optional_text(data, name, most)
    if not value:
        raise BadField(f"The field “{name}” is missing or empty.", field=name)
    return value


def optional_text(data: Mapping[str, Any], name: str, most: int) -> str | None:
    """A field of at most `most` characters, None where it is missing or null; raises BadField."""
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadField(f"The field “{name}” must be text.", field=name)
    if len(value) > most:
        raise BadField(f"The field “{name}” may have at most {most} characters.", field=name)
    # Databases and mail headers take neither zero characters nor halves of surrogate pairs, which JSON can spell.
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise BadField(f"The field “{name}” holds characters that cannot be stored.", field=name)
    return value
