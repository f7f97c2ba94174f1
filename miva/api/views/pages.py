"""The pages that the server renders: the chat, and those of an account."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe
from django.views.defaults import server_error
from django.views.generic import FormView

from miva import accounts, database_away, identity
from miva.api.forms import ResetForm, SignInForm, SignUpForm
from miva.protocol.errors import MivaError

from .accounts import address_of, site_of


@require_safe
@never_cache
def chat(request: HttpRequest) -> HttpResponse:
    """The chat. Where guests may chat, a visitor without an account gets a session cookie and is one from now on."""
    if identity.user_of_session(request.session) is None:
        if not settings.MIVA_ANONYMOUS:
            return redirect("login")
        identity.promise_guest(request.session)
    request.session.modified = True  # a browser that comes back stays who it is: the cookie's weeks begin anew
    get_token(request)  # sets the cookie that the page's own calls prove themselves with
    return render(request, "miva/chat.html", {"hello": json.dumps(_hello(request))})


def _hello(request: HttpRequest) -> dict[str, Any]:
    """Who is speaking and the server's bounds, as in a socket's `hello`: for the page before, or without, a socket."""
    user = identity.user_of_session(request.session)
    limits = {"max_file": settings.MIVA_MAX_FILE_BYTES, "max_message": settings.MIVA_MAX_MESSAGE}
    return {"user": {"name": user.username if user else "Guest", "guest": user is None}, "limits": limits}


def failed(request: HttpRequest) -> HttpResponse:
    """Django's handler of errors that no view foresaw; a database that is away is none of ours, and passes."""
    if isinstance(sys.exc_info()[1], database_away.UNREACHABLE):
        return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": "5"})
    return server_error(request)


@method_decorator([never_cache, sensitive_post_parameters("password")], name="dispatch")
class SignUpPage(FormView):  # type: ignore[type-arg]
    """Makes an account; what it says does not depend on whether the address has one already."""

    template_name = "registration/signup.html"
    form_class = SignUpForm

    def form_valid(self, form: Form) -> HttpResponse:
        """Shows what to do next, or the form again with what is wrong."""
        assert isinstance(form, SignUpForm)
        if not form.save(address=address_of(self.request), site=site_of(self.request)):
            return self.form_invalid(form)
        return render(self.request, "registration/signup_done.html", {"email": form.cleaned_data["email"]})


class SignInPage(auth_views.LoginView):
    """Signs in with e-mail or username."""

    form_class = SignInForm
    redirect_authenticated_user = True


class ResetPage(auth_views.PasswordResetView):
    """Asks for a mail with a link that sets a new password."""

    form_class = ResetForm
    template_name = "registration/reset.html"
    email_template_name = "registration/email_reset.txt"

    def get_form_kwargs(self) -> dict[str, Any]:
        """What the form is made with, the caller's address included."""
        return {**super().get_form_kwargs(), "address": address_of(self.request)}


class ResetDonePage(auth_views.PasswordResetDoneView):
    """Says that a mail is on its way, if there is an account."""

    template_name = "registration/reset_done.html"


class ResetConfirmPage(auth_views.PasswordResetConfirmView):
    """Sets a new password; whoever could read the mail has the mailbox, so the address counts as verified."""

    template_name = "registration/reset_confirm.html"

    def form_valid(self, form: Any) -> HttpResponse:
        """Saves the password."""
        form.user.email_verified = True
        return super().form_valid(form)


class ResetCompletePage(auth_views.PasswordResetCompleteView):
    """Says that the new password is set."""

    template_name = "registration/reset_complete.html"


@require_safe
@never_cache
def verify(request: HttpRequest, token: str) -> HttpResponseBase:
    """The link of a verification mail."""
    try:
        user = accounts.verify(token)
    except MivaError as why:
        return render(request, "registration/verify_failed.html", {"reason": why.message}, status=why.http_status)
    messages.success(request, f"Thank you: {user.email} is confirmed.")
    return redirect("chat" if request.user.is_authenticated else "login")
