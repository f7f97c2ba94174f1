"""The HTTP addresses of the app."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import views as auth_views
from django.urls import URLPattern, path, re_path
from django.views.generic import RedirectView

from miva.api.views import accounts, conversations, documents, health, pages

_NAME = r"(?P<name>(?s:.+))"
"""A conversation's id or label, which may hold anything."""

urlpatterns: list[URLPattern] = [
    path("", pages.chat, name="chat"),
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}icon.svg")),  # for pages that name none
    path("accounts/signup/", pages.SignUpPage.as_view(), name="signup"),
    path("accounts/login/", pages.SignInPage.as_view(), name="login"),
    path("accounts/logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("accounts/verify/<str:token>/", pages.verify, name="verify"),
    path("accounts/password_reset/", pages.ResetPage.as_view(), name="password_reset"),
    path("accounts/password_reset/done/", pages.ResetDonePage.as_view(), name="password_reset_done"),
    path("accounts/reset/<uidb64>/<token>/", pages.ResetConfirmPage.as_view(), name="password_reset_confirm"),
    path("accounts/reset/done/", pages.ResetCompletePage.as_view(), name="password_reset_complete"),
    # With and without the last slash: a redirect would lose the body of a POST.
    re_path(r"^api/signup/?$", accounts.SignupView.as_view()),
    re_path(r"^api/login/?$", accounts.LoginView.as_view()),
    re_path(r"^api/token/refresh/?$", accounts.RefreshView.as_view()),
    re_path(r"^api/upload/?$", documents.UploadView.as_view()),
    re_path(r"^api/document/?$", documents.DocumentsView.as_view()),
    re_path(r"^api/document/(?P<document_id>[^/]+)/?$", documents.DocumentView.as_view()),
    re_path(rf"^api/session/{_NAME}/messages/?$", conversations.MessagesView.as_view()),
    re_path(rf"^api/session/{_NAME}/events/?$", conversations.events),
    re_path(rf"^api/session/{_NAME}/ask/?$", conversations.ask),
    re_path(rf"^api/session/{_NAME}/cancel/?$", conversations.cancel),
    re_path(r"^api/health/?$", health.health),
    re_path(r"^api/health/live/?$", health.live),
]
