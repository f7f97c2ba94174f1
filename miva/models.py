"""What is stored: people, the owners they speak as, and what belongs to those owners."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone


class AccountManager(UserManager["User"]):
    """Finds people by e-mail without regard to case; `createsuperuser` asks for the e-mail first."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username or "")


class User(AbstractUser):
    """A person with an account: the e-mail identifies, the username is the name that others see."""

    username = models.CharField(
        max_length=150,
        unique=True,
        # No "@": at the login, where either may be written, a username can then never read as someone's e-mail.
        validators=[RegexValidator(r"^[\w.+-]+\Z", "Use letters, digits and . + - _ only.")],
        error_messages={"unique": "This username is taken."},
    )
    email = models.EmailField(unique=True)
    email_verified = models.BooleanField(default=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["username"]
    objects: ClassVar[AccountManager] = AccountManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_any_case"),
            models.UniqueConstraint(Lower("username"), name="user_username_any_case"),
        ]

    def __str__(self) -> str:
        return self.username


class Owner(models.Model):
    """Whoever conversations and documents belong to: an account, a guest's browser, or the one public guest."""

    class Kind(models.TextChoices):
        ACCOUNT = "account"
        GUEST = "guest"
        PUBLIC = "public"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    user = models.OneToOneField(User, null=True, blank=True, on_delete=models.CASCADE, related_name="owner")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="account", user__isnull=False) | models.Q(~models.Q(kind="account"), user=None),
                name="owner_account_has_user",
            ),
            models.UniqueConstraint(fields=["kind"], condition=models.Q(kind="public"), name="owner_one_public_guest"),
        ]

    def __str__(self) -> str:
        return str(self.user) if self.user_id else f"{self.kind} {self.id}"


class Conversation(models.Model):
    """A thread of questions and answers; `label` is the client's name for it, unique within its owner."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(Owner, on_delete=models.CASCADE, related_name="conversations")
    label = models.CharField(max_length=255)
    plain_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    """The `unique_id` of the plain dialect, which belongs to whoever used it first (it reaches the engine as it is)."""
    title = models.CharField(max_length=200, blank=True)
    head = models.PositiveBigIntegerField(default=0)
    """The highest event number (`seq`) given out in this conversation."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated_at"]
        constraints = [models.UniqueConstraint(fields=["owner", "label"], name="conversation_label_of_owner")]

    def __str__(self) -> str:
        return self.title or self.label


class Turn(models.Model):
    """One question of a miva.v1 client and what became of it; `client_id` makes asking again harmless."""

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(Owner, on_delete=models.CASCADE, related_name="turns")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns", db_index=False)
    client_id = models.CharField(max_length=255)
    accepted_seq = models.PositiveBigIntegerField(default=0)
    message = models.TextField()
    documents: models.ManyToManyField[Document, Document] = models.ManyToManyField("Document", blank=True)
    options = models.JSONField(null=True, blank=True)
    """What the client chose for the engine; null for a dialect that knows no options (query, HTTP)."""
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    attempt = models.PositiveSmallIntegerField(default=0)
    """How often the engine was asked so far."""
    worker = models.CharField(max_length=32, blank=True, default="")
    """The process that asks the engine."""
    lease_until = models.DateTimeField(null=True, blank=True)
    """When another process may take the turn, by the database's clock, which is the same for all of them."""
    cancel_asked = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["accepted_seq"]
        constraints = [models.UniqueConstraint(fields=["owner", "client_id"], name="turn_client_id_of_owner")]
        indexes = [
            models.Index(fields=["state", "conversation"], name="turn_state_of_conversation"),
            models.Index(fields=["conversation", "accepted_seq"], name="turn_order_in_conversation"),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.id}"


class LogEvent(models.Model):
    """One event of a conversation as clients of miva.v1 see it; `seq` counts 1, 2, 3 … within the conversation.

    Rows are many and short-lived, so there are no more indexes and checks than one: a conversation's deletion takes
    its turns and its log alike, and no turn is deleted without it.
    """

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="log", db_index=False)
    seq = models.PositiveBigIntegerField()
    turn = models.ForeignKey(Turn, on_delete=models.DO_NOTHING, related_name="log", db_index=False, db_constraint=False)
    attempt = models.PositiveSmallIntegerField()
    body = models.TextField()
    """The event as `protocol/stored.py` writes it."""
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation", "seq"], name="log_seq_of_conversation")]

    def __str__(self) -> str:
        return f"{self.seq}: {self.body[:60]}"


class Message(models.Model):
    """One side of an exchange that is over: what was asked, or what was answered. A question that failed or was stopped
    has no answer behind it."""

    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False)
    turn = models.ForeignKey(Turn, null=True, blank=True, on_delete=models.CASCADE, related_name="messages")
    role = models.CharField(max_length=9, choices=Role.choices)
    content = models.TextField(blank=True)
    files = models.JSONField(default=list, blank=True)
    """Names of the files that came with a question."""
    sources = models.JSONField(default=list, blank=True)
    """[{document, name, page, quote}] behind an answer."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    """Of a question when it was asked, of an answer when it was whole."""

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["conversation", "id"], name="message_order_in_conversation")]

    def __str__(self) -> str:
        return f"{self.role}: {self.content[:60]}"


class Document(models.Model):
    """A file of an owner. Its text is kept once per content (`miva/documents`), its ownership here."""

    class Status(models.TextChoices):
        RECEIVING = "receiving"
        READING = "reading"
        INDEXING = "indexing"
        READY = "ready"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(Owner, on_delete=models.CASCADE, related_name="documents")
    name = models.CharField(max_length=255)
    media_type = models.CharField(max_length=100, blank=True)
    upload_id = models.CharField(max_length=255, blank=True, default="")
    """The client's own name for the file, under which it may go on with sending it; unique within its owner."""
    sha256 = models.CharField(max_length=64, db_index=True, blank=True)
    """Empty while it is not known."""
    text_name = models.CharField(max_length=255, blank=True)
    """Where the text is kept in the storage; for a file that a password opened this name holds a keyed hash."""
    content_id = models.CharField(max_length=64, db_index=True, blank=True)
    """What the engine knows the text as: the SHA-256 of the file, or of `text_name` where a password opened it, so that
    somebody who has the locked file alone does not reach its text."""
    size = models.PositiveBigIntegerField()
    pages = models.PositiveIntegerField(null=True, blank=True)
    characters = models.PositiveBigIntegerField(null=True, blank=True)
    chunks = models.PositiveIntegerField(null=True, blank=True)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.READING)
    error = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True, default="", db_default="")
    """Why it failed, in words for a person; empty where the sentence of the code in `error` says it all."""
    worker = models.CharField(max_length=32, blank=True, default="")
    """The process that reads the file."""
    lease_until = models.DateTimeField(null=True, blank=True)
    """When another process may read it instead; of a file that is still being received, or waits for its password, when
    its bytes are let go. By the database's clock."""
    attempt = models.PositiveSmallIntegerField(default=0)
    """How many processes have begun to read it."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "upload_id"], condition=~models.Q(upload_id=""), name="document_upload_id_of_owner"
            )
        ]
        indexes = [
            models.Index(fields=["owner", "sha256"]),
            models.Index(fields=["status", "lease_until"], name="document_unready"),
        ]

    def __str__(self) -> str:
        return self.name
