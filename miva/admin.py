"""Django's admin: accounts can be changed; what belongs to people is to be looked at and deleted, not edited."""

from __future__ import annotations

import contextlib
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.db import transaction
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from rest_framework.authtoken import admin as token_admin
from rest_framework.authtoken.models import TokenProxy
from rest_framework_simplejwt.token_blacklist import admin as jwt_admin
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from miva import library
from miva.api.forms import AdminSignInForm
from miva.models import Conversation, Document, Message, Owner, User
from miva.protocol.errors import NotFound

# These would show every person's tokens to whoever may look. Imported above so that they are registered by now.
assert token_admin
assert jwt_admin
for _secret in (TokenProxy, OutstandingToken, BlacklistedToken):
    admin.site.unregister(_secret)

admin.site.site_header = admin.site.site_title = "Miva"
admin.site.login_form = AdminSignInForm


class _Forgetting(admin.ModelAdmin):  # type: ignore[type-arg]
    """Deletes files and the engine's copy with the rows: `documents` says which go with a queryset of this model."""

    def documents(self, rows: QuerySet[Any]) -> QuerySet[Document]:
        """The documents that go with these rows."""
        raise NotImplementedError

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        """Deletes one row."""
        self.delete_queryset(request, type(obj)._default_manager.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Deletes rows, once the admin's own transaction is over: the library works in a thread of its own."""
        rows = queryset.model._default_manager.filter(pk__in=list(queryset.values_list("pk", flat=True)))

        def delete() -> None:
            for owner_id, document_id in list(self.documents(rows).values_list("owner_id", "pk")):
                with contextlib.suppress(NotFound):  # deleted by its owner in between
                    async_to_sync(library.forget)(owner_id, document_id)
            super(_Forgetting, self).delete_queryset(request, rows)

        transaction.on_commit(delete)


class _LookOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that the product writes."""

    def has_add_permission(self, *_: Any) -> bool:
        """Never."""
        return False

    def has_change_permission(self, *_: Any) -> bool:
        """Never."""
        return False


class AccountCreationForm(AdminUserCreationForm):  # type: ignore[type-arg]
    """A new account has an e-mail too."""

    class Meta(AdminUserCreationForm.Meta):
        model = User
        fields = ("email", "username")


@admin.register(User)
class AccountAdmin(_Forgetting, UserAdmin):  # type: ignore[type-arg]
    """Accounts: found by e-mail or username."""

    add_form = AccountCreationForm
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("email", "username", "usable_password", "password1", "password2")}),
    )
    fieldsets = (
        (None, {"fields": ("email", "email_verified", "username", "password")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")
    list_display = ("email", "username", "email_verified", "is_active", "is_staff", "date_joined")
    list_filter = ("is_active", "is_staff", "email_verified")
    search_fields = ("email", "username")
    ordering = ("email",)

    def documents(self, rows: QuerySet[User]) -> QuerySet[Document]:
        """The documents of these accounts."""
        return Document.objects.filter(owner__user__in=rows)


@admin.register(Owner)
class OwnerAdmin(_Forgetting, _LookOnly):
    """Whoever things belong to: accounts and guests."""

    list_display = ("id", "kind", "user", "conversation_count", "document_count", "created_at")
    list_filter = ("kind",)
    list_select_related = ("user",)
    search_fields = ("id", "user__email", "user__username")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Owner]:
        """Owners with their counts, in one query."""
        counts = {name: Count(f"{name}s", distinct=True) for name in ("conversation", "document")}
        rows: QuerySet[Owner] = super().get_queryset(request)
        return rows.annotate(**{f"{name}_count": count for name, count in counts.items()})

    @admin.display(description="conversations", ordering="conversation_count")
    def conversation_count(self, owner: Any) -> int:
        """Conversations of this owner."""
        count: int = owner.conversation_count
        return count

    @admin.display(description="documents", ordering="document_count")
    def document_count(self, owner: Any) -> int:
        """Documents of this owner."""
        count: int = owner.document_count
        return count

    def documents(self, rows: QuerySet[Owner]) -> QuerySet[Document]:
        """The documents of these owners."""
        return Document.objects.filter(owner__in=rows.values("pk"))


@admin.register(Conversation)
class ConversationAdmin(_LookOnly):
    """Conversations: found by title, label or owner."""

    list_display = ("__str__", "owner", "created_at", "updated_at")
    list_select_related = ("owner__user",)
    search_fields = ("id", "title", "label", "owner__user__email", "owner__user__username")
    date_hierarchy = "updated_at"


@admin.register(Message)
class MessageAdmin(_LookOnly):
    """Questions and answers: found by their words."""

    list_display = ("__str__", "role", "conversation", "created_at")
    list_filter = ("role",)
    list_select_related = ("conversation",)
    search_fields = ("content", "conversation__title", "conversation__label")
    show_full_result_count = False  # counting a large table twice for each page


@admin.register(Document)
class DocumentAdmin(_Forgetting, _LookOnly):
    """Documents: found by name, content or owner."""

    list_display = ("name", "owner", "status", "pages", "size", "created_at")
    list_filter = ("status", "media_type")
    list_select_related = ("owner__user",)
    search_fields = ("id", "name", "sha256", "owner__user__email", "owner__user__username")

    def documents(self, rows: QuerySet[Document]) -> QuerySet[Document]:
        """These documents."""
        return rows
