"""A store that cannot write now is asked again, a while: another process may hold it, or a backup."""

from __future__ import annotations

import asyncio
from typing import Final

from fhir_server.interactions.exchange import Request, Response
from fhir_server.outcome import Unavailable
from fhir_server.service import Service

PATIENCE: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 30.0)
"""Seconds to wait before the store is asked again."""


async def patiently(service: Service, request: Request) -> Response:
    """Perform a request. Raises what refuses it; ``Unavailable`` once there is no more patience."""
    for seconds in PATIENCE:
        try:
            return await service.perform(request)
        except Unavailable:
            await asyncio.sleep(seconds)
    return await service.perform(request)
