"""What the engine is told beside a question: whose it is, what it is about, what was said before. It blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from miva import history, turn_rows
from miva.models import Document
from miva.protocol.errors import NotFound
from miva.turn_rows import Claim


@dataclass(frozen=True, slots=True)
class Facts:
    """As they were when they were read: a document may be read in the meantime, a guest sign in."""

    owner_id: UUID
    documents: Sequence[Document]
    """In the order in which they were named."""
    recent: Sequence[dict[str, str]]


def facts_of(claim: Claim) -> Facts:
    """The facts as they are now; raises NotFound where the turn is gone, or all that it is about."""
    owner_id, documents = turn_rows.asker_and_documents(claim.turn_id)
    if not documents and turn_rows.was_about_documents(claim.turn_id):
        raise NotFound("What this question is about was deleted before its turn came. Send the file and ask again.")
    return Facts(owner_id, documents, history.recent(claim.conversation_id))
