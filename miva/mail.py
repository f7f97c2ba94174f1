"""Mails, sent in the background: no caller waits for a mail server or hears of its failures."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.core.mail import EmailMessage
from django.db import transaction

logger = logging.getLogger("miva.mail")

MOST_WAITING = 500
"""Mails beyond this many are dropped, and logged, so that a mail server that hangs costs no memory without end."""

_senders = ThreadPoolExecutor(max_workers=2, thread_name_prefix="mail")
_free = threading.BoundedSemaphore(MOST_WAITING)


def send_later(subject: str, body: str, to: str) -> None:
    """Sends a text mail once the running transaction is committed; failures are logged (without the address)."""
    message = EmailMessage(" ".join(subject.split()), body, to=[to])
    transaction.on_commit(lambda: _queue(message.send))


def _queue(send: Callable[[], int]) -> None:
    if not _free.acquire(blocking=False):
        logger.error("A mail was dropped: %d are waiting for the mail server already", MOST_WAITING)
        return
    _senders.submit(_send, send)


def _send(send: Callable[[], int]) -> None:
    try:
        send()
    except Exception:  # whatever a mail server, a resolver or a template of the site's own may raise
        logger.exception("A mail could not be sent; see EMAIL_URL")
    finally:
        _free.release()
