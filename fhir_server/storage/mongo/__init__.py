"""The engine for more than one machine: MongoDB. See ``docs/mongodb.md``."""

from fhir_server.storage.mongo.opening import holds_log
from fhir_server.storage.mongo.store import MongoStore

__all__ = ["MongoStore", "holds_log"]
