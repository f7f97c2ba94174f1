"""The calls about one conversation: its messages, its log as server-sent events, and a question or a stop without
a socket. `name` is the conversation's label, or its id."""

from __future__ import annotations

import asyncio

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from miva import conversation, sessions
from miva.api.asynchronous import call, caller, members
from miva.api.authentication import speaker
from miva.api.event_stream import EventStream
from miva.identity import Speaker
from miva.in_thread import in_thread
from miva.protocol import fields, v1
from miva.protocol.errors import BadField, NotFound
from miva.protocol.events import Place
from miva.protocol.requests import Ask, Cancel

LONGEST_CANCEL = 4096
"""Bytes of a request that names a turn."""
LONGEST_NUMBER = 20


class MessagesView(APIView):
    """`GET /api/session/<id or label>/messages/`."""

    def get(self, request: Request, name: str) -> Response:
        """The conversation with its messages, and the `head` behind which its events go on. Raises NotFound."""
        return Response(sessions.with_messages(sessions.find(speaker(request).owner_id, name)))


@call("GET")
async def events(request: ASGIRequest, speaker: Speaker, name: str) -> HttpResponseBase:
    """`GET /api/session/<id or label>/events/?after=N`, or with `Last-Event-ID`, which counts where there are both."""
    after = _after(request)
    found = await in_thread(sessions.find)(speaker.owner_id, name)
    stream = EventStream(speaker, caller(request, speaker), found, after)
    await stream.open()
    # "no": nginx passes on what comes at once.
    headers = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(stream.chunks(), content_type="text/event-stream", headers=headers)


@call("POST")
async def ask(request: ASGIRequest, speaker: Speaker, name: str) -> HttpResponseBase:
    """`POST /api/session/<id or label>/ask/` with the frame `ask`; answers with `accepted`, also to what was asked
    before. A label that is new begins a conversation, as on the socket."""
    data = await members(request, settings.MIVA_MAX_FRAME)
    label = await in_thread(_label)(speaker, name)
    if data.get("conversation") not in (None, name, label):
        raise BadField("The field “conversation” names another conversation than the address.", field="conversation")
    asked = v1.decode(_typed(data, "ask") | {"conversation": label}, settings.MIVA_MAX_MESSAGE)
    assert isinstance(asked, Ask)
    # Shielded: a client that goes in the middle must not stop a question halfway.
    found = await asyncio.shield(conversation.ask(speaker, asked, caller(request, speaker)))
    place = Place(found.label, str(found.turn_id), found.seq)
    return HttpResponse(v1.encode(found.accepted, place), content_type="application/json")


@call("POST")
async def cancel(request: ASGIRequest, speaker: Speaker, name: str) -> HttpResponseBase:
    """`POST /api/session/<id or label>/cancel/` with the frame `cancel`: `{"turn"}`. Raises NotFound."""
    data = await members(request, LONGEST_CANCEL)
    wanted = v1.decode(_typed(data, "cancel"), settings.MIVA_MAX_MESSAGE)
    assert isinstance(wanted, Cancel)
    found = await in_thread(sessions.find)(speaker.owner_id, name)
    if not await in_thread(sessions.has_turn)(found.pk, wanted.turn):
        raise NotFound("There is no such turn in this conversation.")
    await conversation.cancel(speaker, wanted.turn)
    return JsonResponse({"turn": wanted.turn})


def _after(request: ASGIRequest) -> int:
    """The number behind which a stream begins; 0 where none is given."""
    text = request.headers.get("Last-Event-ID") or request.GET.get("after") or "0"
    is_number = text.isascii() and text.isdigit() and len(text) < LONGEST_NUMBER
    return fields.whole({"after": int(text) if is_number else text}, "after", 0)


def _typed(data: dict[str, object], kind: str) -> dict[str, object]:
    """A request's body as the frame that the socket knows; it may leave out what the address says."""
    if data.get("type", kind) != kind:
        raise BadField(f"The field “type” must be “{kind}” here.", field="type")
    return data | {"type": kind}


def _label(speaker: Speaker, name: str) -> str:
    try:
        return sessions.find(speaker.owner_id, name).label
    except NotFound:
        return name
