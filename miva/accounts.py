"""Accounts: signing up, checking a password, tokens, and the mails that belong to them.

Rule: what a stranger is told, and how long it takes, is the same whether an address has an account or not.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.template.loader import render_to_string
from rest_framework.authtoken.models import Token
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings as jwt_settings
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from miva import mail
from miva.attempts import Limit
from miva.models import User
from miva.protocol.errors import BadField, Unauthenticated

LONGEST_PASSWORD: Final = 1024
LINK_DAYS: Final = 7
"""How long a link in a verification mail works."""

# Only attempts that fail are counted for sign-ins: whoever knows the password gives the attempt back.
PASSWORDS_OF_ACCOUNT = Limit("password-account", 10, 300)
PASSWORDS_OF_ADDRESS = Limit("password-address", 100, 300)
SIGNUPS_OF_ADDRESS = Limit("signup-address", 300, 3600)
RESETS_OF_ADDRESS = Limit("reset-address", 100, 3600)
MAILS_TO_ADDRESS = Limit("mail-address", 5, 3600)
"""Mails that strangers can make us send to one mailbox."""

_SALT = "miva.verify"


def sign_up(email: str, username: str, password: str, *, address: str, site: str) -> None:
    """Makes an account and mails its owner a link that verifies the address.

    An e-mail that is taken already gets a mail that says so instead, and the caller is told the same. `address` is the
    caller's network address, `site` this server's own root URL. Raises BadField, RateLimited.
    """
    _limit(SIGNUPS_OF_ADDRESS, address)
    user = User(email=User.objects.normalize_email(email), username=username)
    _check_fields(user, password)
    user.password = make_password(password)  # also where the address is taken: it is what takes the time
    try:
        with transaction.atomic():
            if User.objects.filter(username__iexact=username).exists():
                raise BadField("This username is taken.", field="username")
            taken = User.objects.filter(email__iexact=user.email).exists()
            if not taken:
                user.save(force_insert=True)
    except IntegrityError as why:  # somebody else was first, just now
        if User.objects.filter(username__iexact=username).exists():
            raise BadField("This username is taken.", field="username") from why
        taken = True
    if MAILS_TO_ADDRESS.allows(user.email.casefold()):
        _mail_about_signup(user, taken=taken, site=site)


def _check_fields(user: User, password: str) -> None:
    try:
        user.clean_fields(exclude=["password", "last_login"])
    except ValidationError as why:
        field, problems = next(iter(why.message_dict.items()))
        raise BadField(" ".join(problems), field=field) from why
    check_new_password(password, user)


def check_new_password(password: str, user: User | None = None) -> None:
    """Raises BadField with the reasons in words where a password is not good enough."""
    if len(password) > LONGEST_PASSWORD:
        raise BadField(f"A password may have at most {LONGEST_PASSWORD} characters.", field="password")
    try:
        validate_password(password, user)
    except ValidationError as why:
        raise BadField(" ".join(why.messages), field="password") from why


def _mail_about_signup(user: User, *, taken: bool, site: str) -> None:
    if taken:
        body = render_to_string("registration/email_taken.txt", {"site": site})
        mail.send_later("You have an account already", body, user.email)
        return
    link = f"{site}accounts/verify/{verification_token(user)}/"
    body = render_to_string("registration/email_verify.txt", {"user": user, "link": link, "days": LINK_DAYS})
    mail.send_later("Please confirm your e-mail address", body, user.email)


def verification_token(user: User) -> str:
    """What the link in a verification mail carries: signed, so that only the mailbox's reader can have it."""
    return signing.dumps([user.pk, user.email], salt=_SALT)


def verify(token: str) -> User:
    """Marks the address behind a verification link as verified; raises BadField where the link is no good."""
    try:
        user_id, email = signing.loads(token, salt=_SALT, max_age=LINK_DAYS * 86400)
    except signing.SignatureExpired as why:
        raise BadField("This link is too old. You can go on without it, or sign up again.", field="token") from why
    except signing.BadSignature as why:
        raise BadField("This link is not complete. Please copy the whole link from the mail.", field="token") from why
    user = User.objects.filter(pk=user_id, email=email).first()
    if user is None:
        raise BadField("This link belongs to an account that is no longer there.", field="token")
    if not user.email_verified:
        user.email_verified = True
        user.save(update_fields=["email_verified"])
    return user


def check_password(identifier: str, password: str, *, address: str) -> User:
    """The account whose e-mail or username (in any case) and password these are.

    Raises Unauthenticated, in the same words whatever was wrong, and RateLimited.
    """
    _limit(PASSWORDS_OF_ADDRESS, address)
    name = identifier.strip()
    user = User.objects.filter(**{"email__iexact" if "@" in name else "username__iexact": name}).first()
    subject = f"account {user.pk}" if user else f"name {name.casefold()}"
    PASSWORDS_OF_ACCOUNT.take(subject)
    if user is None:
        make_password(password)  # the time that checking a password takes
    elif user.check_password(password) and user.is_active:
        PASSWORDS_OF_ACCOUNT.give_back(subject)
        if address:
            PASSWORDS_OF_ADDRESS.give_back(address)
        return user
    raise Unauthenticated("The name or the password is wrong.")


def _limit(limit: Limit, address: str) -> None:
    """No limit where the address is not known (a Unix socket without proxy headers): all callers would share one."""
    if address:
        limit.take(address)


def tokens_of(user: User) -> dict[str, str]:
    """What a program signs in with: a lasting DRF token, a JWT access token, and the JWT that renews it."""
    lasting, _ = Token.objects.get_or_create(user=user)
    refresh = RefreshToken.for_user(user)
    return {"token": lasting.key, "access": str(refresh.access_token), "refresh": str(refresh)}


def renewed_tokens(refresh: str) -> dict[str, str]:
    """A new access token and the refresh token that follows this one, which works only once; raises Unauthenticated."""
    refusal = Unauthenticated("This refresh token is not valid any more. Please sign in again.")
    try:
        old = RefreshToken(refresh)  # type: ignore[arg-type]  # its annotation says Token, its code takes text
        user = User.objects.filter(pk=old.get(jwt_settings.USER_ID_CLAIM), is_active=True).first()
        # Read from the row: a token made before the last change of the password is worth nothing.
        if user is None or old.get(jwt_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(user.password):
            raise refusal
        with transaction.atomic():
            found: Any = old.blacklist()  # get_or_create's pair, whatever the annotation says
            if not found[1]:  # two at the same time: the other was first
                raise refusal
            new = RefreshToken.for_user(user)
    except (TokenError, ValueError) as why:
        raise refusal from why
    return {"access": str(new.access_token), "refresh": str(new)}
