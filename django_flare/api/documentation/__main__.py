"""Write `openapi.json` anew: `python -m django_flare.api.documentation`, with DJANGO_SETTINGS_MODULE set."""

from __future__ import annotations

import json
from pathlib import Path

import django

if __name__ == "__main__":
    django.setup()
    from django_flare.api.documentation.generator import generate

    path = Path(__file__).parent.parent / "openapi.json"
    path.write_text(json.dumps(generate(), indent=1) + "\n", encoding="utf-8")
