"""The calls with which documents are sent, listed and deleted."""

from __future__ import annotations

import time
from typing import Any, ClassVar
from uuid import UUID

from asgiref.sync import async_to_sync
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from miva import document_rows, library
from miva.api import fields, uploads
from miva.api.authentication import SignedIn, speaker
from miva.models import Document
from miva.protocol.errors import NotFound

LONGEST_UPLOAD_ID = 255
LONGEST_PDF_PASSWORD = 1024


class _UploadView(APIView):
    is_utf8_wanted: ClassVar[bool]

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Bounds the form first: already the CSRF check reads it."""
        uploads.prepare(request)
        return super().initialize_request(request, *args, **kwargs)

    def post(self, request: Request) -> Response:
        """201 with the document, once it can be asked about."""
        began = time.perf_counter()
        data = fields.members(request)
        password = fields.optional_text(data, "password", LONGEST_PDF_PASSWORD)
        upload_id = fields.optional_text(data, "id", LONGEST_UPLOAD_ID)
        received = uploads.received_file(request, is_utf8_wanted=self.is_utf8_wanted)
        document = async_to_sync(library.add)(
            speaker(request).owner_id, received, password=password or None, upload_id=upload_id or None
        )
        answer = {
            "document_id": str(document.pk),
            "filename": document.name,
            "status": "processed",
            "pages": document.pages,
            "total_chunks": document.chunks or 0,
            "processing_time": f"{time.perf_counter() - began:.2f}s",
        }
        return Response(answer, status=201)


class UploadView(_UploadView):
    """`POST /api/upload/`, for accounts: a PDF, or a text file in any encoding."""

    permission_classes = (SignedIn,)
    is_utf8_wanted = False


class DocumentsView(_UploadView):
    """`GET` and `POST /api/document/`, for guests too: a PDF, or a text file in UTF-8."""

    is_utf8_wanted = True

    def get(self, request: Request) -> Response:
        """The owner's documents, newest first."""
        return Response([_listed(document) for document in Document.objects.filter(owner_id=speaker(request).owner_id)])


class DocumentView(APIView):
    """`DELETE /api/document/<id>/`."""

    def delete(self, request: Request, document_id: str) -> Response:
        """204; raises NotFound for what is not the owner's."""
        try:
            wanted = UUID(document_id)
        except ValueError as why:
            raise NotFound() from why
        async_to_sync(library.forget)(speaker(request).owner_id, wanted)
        return Response(status=204)


def _listed(document: Document) -> dict[str, Any]:
    """A document as the socket describes it, with the names that the upload's answer uses."""
    return document_rows.described(document) | {
        "document_id": str(document.pk),
        "filename": document.name,
        "total_chunks": document.chunks or 0,
        "size": document.size,
        "created_at": document.created_at,
    }
