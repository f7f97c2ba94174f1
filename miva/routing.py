"""The addresses of sockets. Any other is refused with 404."""

from __future__ import annotations

from miva.consumers import ChatConsumer
from miva.middleware import Application, IdentityMiddleware, Receive, Scope, Send, refuse

CHAT_PATHS = frozenset({"/ws/chat/", "/ws/chat"})

chat: Application = IdentityMiddleware(ChatConsumer.as_asgi())


async def socket_application(scope: Scope, receive: Receive, send: Send) -> None:
    """Brings a socket to the chat, or refuses it."""
    path = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))
    if path in CHAT_PATHS:
        await chat(scope, receive, send)
    else:
        await refuse(receive, send, scope, 404, "There is no socket at this address. The chat is at /ws/chat/.")
