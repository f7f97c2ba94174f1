"""What follows a sign-in, a sign-out or a changed account: a guest's things move, and open sockets are told."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import transaction
from django.db.models.signals import post_delete, post_save, pre_delete
from django.dispatch import receiver
from django.http import HttpRequest
from rest_framework.authtoken.models import Token

from miva import identity
from miva.hub import hub, owner_topic
from miva.models import Owner, User

CHECK = {"kind": "check"}
"""Asks an owner's sockets to look whether their login still holds."""


def tell_sockets(owner_id: UUID) -> None:
    """Asks the sockets of an owner, in this and other processes, to look whether their login still holds."""
    hub.tell_from_anywhere(owner_topic(owner_id), CHECK)


def tell_after(request: HttpRequest | None, owner_id: UUID) -> None:
    """`tell_sockets` once the answer has left, so that a page that comes back at once has its new cookie already.

    `miva.api.middleware.SocketNewsMiddleware` does it; without a request (a script) it is done at the next commit.
    """
    if request is None:
        transaction.on_commit(lambda: tell_sockets(owner_id))
        return
    waiting: set[UUID] = request.__dict__.setdefault("miva_sockets_to_tell", set())
    waiting.add(owner_id)


@receiver(user_logged_in)
def bring_the_guests_things(request: HttpRequest | None, user: User, **_: Any) -> None:
    """Moves what the browser's guest had to the account that it signed in to."""
    session = getattr(request, "session", None)
    guest_id = session.pop(identity.GUEST_KEY, None) if session is not None else None
    if guest_id is None:
        return
    moved = identity.move_guest(guest_id, user)
    if moved is not None:
        tell_after(request, moved)


@receiver(user_logged_out)
def end_the_sockets_of_a_session(request: HttpRequest | None, user: User | None, **_: Any) -> None:
    """Signing out ends one session; the account's sockets look whether it was theirs."""
    if isinstance(user, User):
        tell_after(request, identity.owner_of_user(user).pk)


@receiver(post_save, sender=User)
def look_at_a_changed_account(
    instance: User, created: bool, update_fields: Collection[str] | None, raw: bool, **_: Any
) -> None:
    """A new password ends the lasting token (sessions and JWTs end by themselves); any change makes sockets look."""
    if created or raw or set(update_fields or ()) == {"last_login"}:
        return
    # Set by set_password alone: None when Django only hashes the same password anew.
    if instance._password is not None:  # type: ignore[attr-defined]
        Token.objects.filter(user=instance).delete()
    _tell_at_commit(instance)


@receiver(pre_delete, sender=User)
def look_at_a_deleted_account(instance: User, **_: Any) -> None:
    """The sockets of an account that goes close."""
    _tell_at_commit(instance)


@receiver(post_delete, sender=Token)
def look_at_a_revoked_token(instance: Token, **_: Any) -> None:
    """The sockets that came with a token which is no more close."""
    _tell_at_commit(instance.user)


def _tell_at_commit(user: User) -> None:
    owner_id = Owner.objects.filter(user=user).values_list("pk", flat=True).first()
    if owner_id is not None:
        transaction.on_commit(lambda: tell_sockets(owner_id))
