"""From a TOML document and an environment to the configuration that the daemon uses.

`load` is the way in. pydantic is imported inside it, and only when a section that pydantic reads has changed:
importing this package is cheap, and so is loading again after an edit of a project.
"""

from __future__ import annotations

from donmai_daemon.settings.loading import Loaded, load
from donmai_daemon.settings.redaction import redacted_values

__all__ = ["Loaded", "load", "redacted_values"]
