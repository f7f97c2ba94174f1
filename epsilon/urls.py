"""The addresses of the HTTP side: all of them belong to the app, but for Django's admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

handler500 = "miva.api.views.pages.failed"
urlpatterns = [path("admin/", admin.site.urls), path("", include("miva.urls"))]
