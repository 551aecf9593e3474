"""/health: the process answers. /ready: it can serve."""

from __future__ import annotations

import logging
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from fhir_server.storage.protocol import Store, StoreError

_LOG: Final = logging.getLogger(__name__)

PATHS: Final = ("/health", "/ready")
"""What holds no data, and is answered to whoever asks."""

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> dict[str, str]:
    """Say that the process is alive; nothing else is looked at."""
    return {"status": "pass"}


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """Say whether the store can serve: 200 with its warnings, or 503."""
    store: Store = request.app.state.store
    try:
        warnings = await store.healthy()
    except StoreError as error:
        _LOG.warning("not ready: %s", error)
        return JSONResponse({"status": "fail"}, status_code=503, headers={"Retry-After": "1"})
    return JSONResponse({"status": "warn" if warnings else "pass", "warnings": list(warnings)})
