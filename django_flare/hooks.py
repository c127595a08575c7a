"""Lists of callables that upper layers and projects fill at start-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

header_providers: list[Callable[[], dict[str, Any]]] = []
"""Each is called when a job is created; what it returns is merged into the row's `headers`.

Values must be JSON-able. A provider that raises is logged and left out.
"""
