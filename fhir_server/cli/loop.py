"""The event loop of a process that serves: it gives each listener its own TLS, where uvicorn has one for all.

``docs/decisions`` says why, in its record on client certificates.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, cast

from fhir_server.cli.listening import contexts
from fhir_server.rest.patience import PATIENCE
from fhir_server.settings import Settings

if sys.platform == "win32":
    from asyncio import SelectorEventLoop as _Loop
else:
    from uvloop import Loop as _Loop


class Loop(_Loop):
    """Looks up the TLS of a listener by its port, in the settings of this process."""

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], *args: Any, **kwargs: Any
    ) -> asyncio.Server:
        """Listen on the socket ``sock``."""
        port = kwargs["sock"].getsockname()[1]
        context = contexts(Settings.from_environment()).get(port)
        if context is not None:
            kwargs |= {"ssl": context, "ssl_handshake_timeout": PATIENCE}
        return cast("asyncio.Server", await super().create_server(protocol_factory, *args, **kwargs))
