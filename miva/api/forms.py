"""The forms of the account pages: the same rules as the API's calls, in the words of `miva.accounts`."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm, PasswordResetForm
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string

from miva import accounts, mail
from miva.models import User
from miva.protocol.errors import MivaError

from .views.accounts import LONGEST_NAME, address_of


class SignInForm(AuthenticationForm):
    """E-mail or username, and the password; attempts are limited."""

    error_messages = {
        "invalid_login": "The name or the password is wrong.",
        "inactive": "The name or the password is wrong.",
    }

    def __init__(self, request: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        name = forms.CharField(label="E-mail or username", max_length=LONGEST_NAME)
        name.widget.attrs.update(autocomplete="username", autofocus=True)
        self.fields["username"] = name
        self.fields["password"].max_length = accounts.LONGEST_PASSWORD  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Finds the account; raises ValidationError in the words of `accounts.check_password`."""
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if name and password:
            address = address_of(self.request) if self.request else ""
            try:
                self.user_cache = accounts.check_password(name, password[: accounts.LONGEST_PASSWORD], address=address)
            except MivaError as why:
                raise ValidationError(why.message) from why
            self.confirm_login_allowed(self.user_cache)
        return self.cleaned_data


class AdminSignInForm(SignInForm, AdminAuthenticationForm):
    """The admin's sign-in, with the same limits."""


class _FirstFieldFocused(forms.Form):
    """Puts the cursor into its first field, or after a mistake into the first that is wrong."""

    def get_context(self) -> dict[str, Any]:
        """What the form is drawn with."""
        first = next((name for name in self.fields if self.is_bound and name in self.errors), next(iter(self.fields)))
        self.fields[first].widget.attrs["autofocus"] = True
        return super().get_context()


class SignUpForm(_FirstFieldFocused):
    """E-mail, username and password of a new account."""

    email = forms.EmailField(
        label="E-mail", max_length=LONGEST_NAME, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )
    username = forms.CharField(
        max_length=150, help_text="What others see.", widget=forms.TextInput(attrs={"autocomplete": "username"})
    )
    password = forms.CharField(
        max_length=accounts.LONGEST_PASSWORD,
        strip=False,
        help_text="At least 8 characters; not a common word, and not only digits.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def save(self, *, address: str, site: str) -> bool:
        """Signs up; False, with the reason shown beside its field, where that cannot be."""
        try:
            accounts.sign_up(**self.cleaned_data, address=address, site=site)
        except MivaError as why:
            self.add_error(why.field if why.field in self.fields else None, why.message)
            return False
        return True


class ResetForm(PasswordResetForm):
    """Asks for a link that sets a new password; says the same, as fast, for every address."""

    def __init__(self, *args: Any, address: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._address = address

    def clean(self) -> dict[str, Any] | None:
        """Counts the attempt; raises ValidationError where there were too many."""
        if self._address:
            try:
                accounts.RESETS_OF_ADDRESS.take(self._address)
            except MivaError as why:
                raise ValidationError(why.message) from why
        return super().clean()

    def send_mail(self, *given: Any, **_: Any) -> None:
        """Sends the mail in the background, and not too many to one mailbox."""
        _, template, context, _, to_email = given
        if accounts.MAILS_TO_ADDRESS.allows(to_email.casefold()):
            mail.send_later("Set a new password", render_to_string(template, context), to_email)

    def get_users(self, email: str) -> Any:
        """The active accounts with this address, in any case."""
        return User.objects.filter(email__iexact=email, is_active=True)
