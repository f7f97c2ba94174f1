#!/usr/bin/env python
"""The command line of the project: `python manage.py help` lists the commands."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "epsilon.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as why:
        raise SystemExit(
            "Django is not installed for this Python. Run `make run`, or: pip install -r requirements_websocket.txt"
        ) from why
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
