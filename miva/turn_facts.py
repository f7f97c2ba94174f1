"""What the engine is told beside a question: whose it is, what it is about, what was said before. It blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from miva import history, turn_rows
from miva.models import Document
from miva.turn_rows import Claim


@dataclass(frozen=True, slots=True)
class Facts:
    """As they were when they were read: a document may be read in the meantime, a guest sign in."""

    owner_id: UUID
    documents: Sequence[Document]
    """In the order in which they were named."""
    recent: Sequence[dict[str, str]]


def facts_of(claim: Claim) -> Facts:
    """The facts as they are now; raises NotFound where the turn is gone."""
    return Facts(*turn_rows.asker_and_documents(claim.turn_id), history.recent(claim.conversation_id))
