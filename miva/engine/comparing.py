"""Questions that ask how documents differ: none of their sentences tells that, so each is described instead."""

from __future__ import annotations

import re
from collections.abc import Sequence

from miva.engine import overview
from miva.engine.asked import Asked
from miva.engine.text import fold

INTRODUCTION = "I cannot compare documents in my own words; this is what each of them says:"

_CUES = re.compile(
    r"\b(?:compar(?:e|es|ed|ing|ison)|differ(?:s|ent|ence|ences)?|similar(?:ity|ities)?|common|versus|vs)\b"
)
_FILLERS = re.compile(r"\b(?:together|one|others?|another|way|ways)\b")
_DOCUMENTS = re.compile(r"\b(?:document|file|pdf|text|paper|report|article|book|attachment|upload)s?\b")


def is_comparison(question: str, documents: Sequence[Asked], previous: str = "") -> bool:
    """Whether a question asks to compare the documents, and nothing more particular.

    Behind another question ("and the difference?") it does so only where it says that it means documents.
    """
    if len(documents) < 2:
        return False
    named = _FILLERS.sub(" ", fold(question).lower())
    for document in documents:
        name = fold(document.name).lower()
        for known_as in filter(None, (name, name.rpartition(".")[0])):
            named = re.sub(rf"(?<!\w){re.escape(known_as)}(?!\w)", " document ", named)
    rest = _CUES.sub(" ", named)
    if rest == named or (previous and not _DOCUMENTS.search(named)):
        return False
    return not re.search(r"\w", rest) or overview.is_about_all(rest)
