"""The calls with which a program signs up, signs in and renews its token."""

from __future__ import annotations

from django.contrib.auth import login
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from miva import accounts
from miva.api import fields
from miva.api.authentication import carries_csrf_token, session_lives
from miva.protocol.errors import BadField

LONGEST_NAME = 254
LONGEST_TOKEN = 4096


def site_of(request: HttpRequest) -> str:
    """This server's root URL as the caller knows it (its host was checked against ALLOWED_HOSTS)."""
    return request.build_absolute_uri("/")


def address_of(request: HttpRequest) -> str:
    """The caller's network address; a server behind a proxy is told it by the proxy (`--proxy-headers`)."""
    address: str = request.META.get("REMOTE_ADDR") or ""
    return address


class SignupView(APIView):
    """`POST /api/signup/` `{email, username, password}`."""

    authentication_classes = ()

    def post(self, request: Request) -> Response:
        """201 `{email, username}`, whether or not the address was taken already."""
        data = fields.members(request)
        email = fields.text(data, "email", LONGEST_NAME).strip()
        username = fields.text(data, "username", LONGEST_NAME).strip()
        password = fields.text(data, "password", accounts.LONGEST_PASSWORD)
        http = request._request
        accounts.sign_up(email, username, password, address=address_of(http), site=site_of(http))
        return Response({"email": email, "username": username}, status=201)


class LoginView(APIView):
    """`POST /api/login/` `{username or email, password}`."""

    authentication_classes = ()

    def post(self, request: Request) -> Response:
        """`{"token", "access", "refresh"}`. A page that proves its cookie with a CSRF token is signed in as well."""
        data = fields.members(request)
        name = fields.optional_text(data, "username", LONGEST_NAME) or fields.optional_text(data, "email", LONGEST_NAME)
        if not name:
            raise BadField("Send your e-mail address or your username as “email” or “username”.", field="username")
        password = fields.text(data, "password", accounts.LONGEST_PASSWORD)
        http = request._request
        user = accounts.check_password(name, password, address=address_of(http))
        if session_lives(http) and carries_csrf_token(http):
            login(http, user)
        return Response(accounts.tokens_of(user))


class RefreshView(APIView):
    """`POST /api/token/refresh/` `{refresh}`."""

    authentication_classes = ()

    def post(self, request: Request) -> Response:
        """`{"access", "refresh"}`; each refresh token works once."""
        return Response(accounts.renewed_tokens(fields.text(fields.members(request), "refresh", LONGEST_TOKEN)))
