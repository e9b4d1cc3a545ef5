"""The admission report: what work this machine takes, and the digest that lets a beat say it in 64 characters."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from donmai_daemon.model.config import AdmissionMode, Config
from donmai_daemon.model.json import Json


@dataclass(frozen=True)
class AdmissionReport:
    """Mode, sorted ids of the enabled projects, and `(project id, repository as written)` of every project, sorted.

    Repositories of disabled projects are part of it; a project without repositories adds no entry.
    """

    mode: AdmissionMode
    enabled_ids: tuple[str, ...]
    entries: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, config: Config) -> AdmissionReport:
        entries = sorted(
            (project.id, repository) for project in config.projects.values() for repository in project.repositories
        )
        return cls(config.admission.mode, tuple(config.enabled_project_ids), tuple(entries))

    @cached_property
    def digest(self) -> str:
        """`allowlistHash`: SHA-256 hex; the byte layout is fixed by the wire and shared with the reference daemon."""
        sha = hashlib.sha256()
        sha.update(b"mode\0" + self.mode.encode() + b"\0\0")
        sha.update(b"enabled\0" + b"".join(i.encode() + b"\0" for i in self.enabled_ids) + b"\0\0")
        sha.update(b"entries\0")
        for project_id, repository in self.entries:
            sha.update(project_id.encode() + b"\0" + repository.encode() + b"\0\0")
        return sha.hexdigest()

    def allowlist_json(self) -> list[Json]:
        """`allowlist` of a beat, `daemonProjects` of a registration."""
        return [{"id": project_id, "repository": repository} for project_id, repository in self.entries]
