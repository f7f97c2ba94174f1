"""Who is speaking: the one place that turns a cookie, a token or nothing into an owner, and can say when it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import import_module
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.db import IntegrityError, transaction
from django.utils.crypto import constant_time_compare
from rest_framework.authtoken.models import Token
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import AuthenticationFailed, TokenError

from miva.models import Conversation, Document, Owner, Turn, User
from miva.protocol.errors import Unauthenticated

GUEST_KEY = "miva_guest"
"""The session's entry that holds a guest's owner id."""

SessionStore: type[SessionBase] = import_module(settings.SESSION_ENGINE).SessionStore


@dataclass(frozen=True, slots=True)
class Speaker:
    """One caller, as known at the moment of asking."""

    owner_id: UUID
    kind: Owner.Kind
    name: str
    user_id: int | None = None
    session_key: str | None = None
    token: str | None = None
    ends_at: float | None = None
    """Unix time at which a JWT access token ends."""

    @property
    def is_guest(self) -> bool:
        return self.kind != Owner.Kind.ACCOUNT

    def counted_as(self, address: str | None) -> str:
        """The name under which the limits count a caller; the public guest is many people, each with an address."""
        return f"address:{address or 'local'}" if self.kind == Owner.Kind.PUBLIC else str(self.owner_id)


def speaker_of_token(token: str) -> Speaker:
    """The account behind a DRF token or a JWT access token; raises Unauthenticated for any other text."""
    if not (token.isascii() and token.isprintable()):
        raise Unauthenticated("This token is not known. Please sign in again.")
    if token.count(".") == 2:
        try:
            authentication = JWTAuthentication()
            valid = authentication.get_validated_token(token.encode("utf-8", "replace"))
            user = authentication.get_user(valid)
            assert isinstance(user, User)
        except (TokenError, AuthenticationFailed) as why:
            raise Unauthenticated("This token is not valid any more. Please sign in again.") from why
        return _account(user, token=token, ends_at=float(valid["exp"]))
    try:
        row = Token.objects.select_related("user").get(key=token, user__is_active=True)
    except Token.DoesNotExist as why:
        raise Unauthenticated("This token is not known. Please sign in again.") from why
    return _account(row.user, token=token)


def speaker_of_session(session: SessionBase) -> Speaker | None:
    """The account or guest whose browser holds this session; None where no such session is kept.

    A live session without an account makes its browser a guest, who gets an owner at the first call.
    """
    session.keys()  # reads it: a session that ended, or never was, then has no key any more
    if not session.session_key:
        return None
    user = user_of_session(session)
    if user is not None:
        return _account(user, session_key=session.session_key)
    return _nameless(guest_owner(session), "Guest", session.session_key)


def user_of_session(session: SessionBase) -> User | None:
    """The signed-in person of a session, unless the password changed or the account was closed since."""
    if session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return None
    user = User.objects.filter(pk=session.get(SESSION_KEY, ""), is_active=True).first()
    if user is None or not constant_time_compare(session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
        return None
    return user


def public_speaker() -> Speaker:
    """The one public guest, for callers with neither cookie nor token; raises Unauthenticated where they may not."""
    if not settings.MIVA_ANONYMOUS:
        raise Unauthenticated()
    owner, _ = Owner.objects.get_or_create(kind=Owner.Kind.PUBLIC)
    return _nameless(owner, "Public guest")


def still_valid(speaker: Speaker) -> bool:
    """Whether what a caller showed when they came would still let them in, as the same owner."""
    try:
        if speaker.token is not None:
            return speaker_of_token(speaker.token).owner_id == speaker.owner_id
        if speaker.session_key is None:
            return True
        now = speaker_of_session(SessionStore(speaker.session_key))
    except Unauthenticated:
        return False
    return now is not None and now.owner_id == speaker.owner_id


def seconds_left(speaker: Speaker) -> float | None:
    """Seconds until a caller's token ends by itself; None where it has no end of its own."""
    return None if speaker.ends_at is None else max(0.0, speaker.ends_at - time.time())


def owner_of_user(user: User) -> Owner:
    """The owner an account speaks as, made at its first use."""
    owner, _ = Owner.objects.get_or_create(user=user, defaults={"kind": Owner.Kind.ACCOUNT})
    return owner


def guest_owner(session: SessionBase) -> Owner:
    """The owner of a guest's browser; made and remembered in the session (which is saved) where there is none yet.

    Raises Unauthenticated where people without an account may not chat.
    """
    if not settings.MIVA_ANONYMOUS:
        raise Unauthenticated()
    if promise_guest(session):
        session.save()
    owner, _ = Owner.objects.get_or_create(pk=UUID(session[GUEST_KEY]), defaults={"kind": Owner.Kind.GUEST})
    return owner


def promise_guest(session: SessionBase) -> bool:
    """Gives a session the id of the guest it will be, without storing an owner yet; False where it had one.

    A page that is only looked at (by a monitor, a robot) so leaves no owner behind, and a page that opens its socket
    and sends a file at the same moment is one and the same guest in both.
    """
    if session.get(GUEST_KEY):
        return False
    session[GUEST_KEY] = str(uuid4())
    return True


def move_guest(guest_id: UUID | str, user: User) -> UUID | None:
    """Gives everything of a guest to an account, in one transaction; returns the guest's id, None where none was there.

    A conversation's label, or a question's id, that the account uses already is kept apart by the guest's id; a file's
    is given up.
    """
    with transaction.atomic():
        # In the order in which the event log locks: conversations by their ids, then what hangs on them.
        list(
            Conversation.objects.select_for_update()
            .filter(owner_id=UUID(str(guest_id)))
            .order_by("pk")
            .values_list("pk")
        )
        guest = Owner.objects.select_for_update().filter(pk=guest_id, kind=Owner.Kind.GUEST).first()
        if guest is None:
            return None
        account = owner_of_user(user)
        taken = set(account.conversations.values_list("label", flat=True))
        for conversation in Conversation.objects.filter(owner=guest, label__in=taken):
            conversation.label = f"{conversation.label[:210]}~{guest.pk}"
            conversation.save(update_fields=["label"])
        asked = set(account.turns.values_list("client_id", flat=True))
        for turn in Turn.objects.filter(owner=guest, client_id__in=asked):
            turn.client_id = f"{turn.client_id[:210]}~{guest.pk}"
            turn.save(update_fields=["client_id"])
        sent = account.documents.exclude(upload_id="").values_list("upload_id", flat=True)
        Document.objects.filter(owner=guest, upload_id__in=list(sent)).update(upload_id="")
        Conversation.objects.filter(owner=guest).update(owner=account)
        Turn.objects.filter(owner=guest).update(owner=account)
        Document.objects.filter(owner=guest).update(owner=account)
        guest_pk: UUID = guest.pk
        guest.delete()
        return guest_pk


def _account(user: User, **credential: str | float | None) -> Speaker:
    try:
        owner = owner_of_user(user)
    except IntegrityError as why:  # the account was deleted in between
        raise Unauthenticated() from why
    return Speaker(owner.pk, Owner.Kind.ACCOUNT, user.username, user_id=user.pk, **credential)  # type: ignore[arg-type]


def _nameless(owner: Owner, name: str, session_key: str | None = None) -> Speaker:
    return Speaker(owner.pk, Owner.Kind(owner.kind), name, session_key=session_key)
