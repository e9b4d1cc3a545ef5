"""Routes of people with an API key: mutations, hosts, keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from donmai_daemon.clock import parse_rfc3339
from donmai_daemon.model.json import Json, JsonObject, text_or_none
from donmai_daemon.platform.conditions import Absent, RequestRefused
from donmai_daemon.platform.http.answers import (
    CANCELLED,
    HOSTS,
    MUTATION_ANSWER,
    MUTATION_TRAIL,
    MUTATIONS,
    NEW_KEY,
    NOT_CANCELLED,
)
from donmai_daemon.platform.http.bodies import CREATE_KEY, ENQUEUE, text
from donmai_daemon.platform.http.credentials import Credentials
from donmai_daemon.platform.http.endpoint import Call, Endpoint, Reply
from donmai_daemon.platform.http.paging import LIMIT, MAX_LISTED, read_limit
from donmai_daemon.platform.http.schema import check
from donmai_daemon.platform.http.views import host_view, key_view, mutation_view, transition_view
from donmai_daemon.platform.records.keys import Role
from donmai_daemon.platform.service.hosts import Hosts
from donmai_daemon.platform.service.keys import CHANGERS, READERS, Keys, require
from donmai_daemon.platform.service.mutations import Mutations

_LISTED = 100


class AdminRoutes:
    """What an operator asks of the platform."""

    def __init__(self, credentials: Credentials, mutations: Mutations, hosts: Hosts, keys: Keys) -> None:
        self._credentials = credentials
        self._mutations = mutations
        self._hosts = hosts
        self._keys = keys

    def endpoints(self) -> Sequence[Endpoint]:
        one = "/api/daemon/mutations/{mutationId}"
        return (
            Endpoint(
                method="POST",
                path="/api/daemon/mutations",
                operation="enqueueMutation",
                handler=self.enqueue,
                summary="Queue a change of one machine's configuration",
                credential="key",
                body=ENQUEUE,
                status=201,
                answer=MUTATION_ANSWER,
                refusals=(403, 404),
            ),
            Endpoint(
                method="GET",
                path="/api/daemon/mutations",
                operation="listMutations",
                handler=self.list_mutations,
                summary="The changes of one machine, newest first",
                credential="key",
                query={"workerHostId": text(least=1) | {"required": True}, "limit": LIMIT},
                answer=MUTATIONS,
                refusals=(400, 403, 404),
            ),
            Endpoint(
                method="GET",
                path=one,
                operation="findMutation",
                handler=self.find,
                summary="One change and every transition of it",
                credential="key",
                answer=MUTATION_TRAIL,
                refusals=(403, 404),
            ),
            Endpoint(
                method="DELETE",
                path=one,
                operation="cancelMutation",
                handler=self.cancel,
                summary="Take back a change that was not delivered",
                credential="key",
                answer=CANCELLED,
                refusals=(403, 404, 409),
                conflict=NOT_CANCELLED,
            ),
            Endpoint(
                method="POST",
                path=f"{one}/undo",
                operation="undoMutation",
                handler=self.undo,
                summary="Queue the operation that takes an applied change back",
                credential="key",
                status=201,
                answer=MUTATION_ANSWER,
                refusals=(403, 404, 409),
            ),
            Endpoint(
                method="GET",
                path="/api/daemon/hosts",
                operation="listHosts",
                handler=self.list_hosts,
                summary="The machines of the key's organisation, by id",
                credential="key",
                query={"after": text(), "limit": LIMIT},
                answer=HOSTS,
                refusals=(400, 403),
            ),
            Endpoint(
                method="POST",
                path="/api/org/{orgId}/keys",
                operation="createKey",
                handler=self.create_key,
                summary="Make a key; its text is in this answer and nowhere else",
                credential="key",
                body=CREATE_KEY,
                status=201,
                answer=NEW_KEY,
                refusals=(403, 404),
            ),
        )

    async def enqueue(self, call: Call) -> Reply:
        key = await self._credentials.key(call)
        require(key, CHANGERS)
        body = call.body()
        check(ENQUEUE, body)
        mutation = await self._mutations.enqueue(
            key, str(body["workerHostId"]), str(body["op"]), cast("JsonObject", body["params"]), _not_before(body)
        )
        return Reply({"mutation": mutation_view(mutation)}, 201)

    async def list_mutations(self, call: Call) -> Reply:
        key = await self._credentials.key(call)
        require(key, READERS)
        host_id = call.query.get("workerHostId", "")
        if not host_id:
            raise RequestRefused("workerHostId", "is required")
        limit = read_limit(call, _LISTED)
        mutations: list[Json] = [mutation_view(m) for m in await self._mutations.recent(key, host_id, limit)]
        return Reply({"mutations": mutations})

    async def cancel(self, call: Call) -> Reply:
        key = await self._credentials.key(call)
        await self._mutations.cancel(key, call.path["mutationId"])
        return Reply({"cancelled": True})

    async def find(self, call: Call) -> Reply:
        key = await self._credentials.key(call)
        mutation, transitions = await self._mutations.find(key, call.path["mutationId"])
        trail: list[Json] = [transition_view(transition) for transition in transitions]
        return Reply({"mutation": mutation_view(mutation), "trail": trail})

    async def undo(self, call: Call) -> Reply:
        key = await self._credentials.key(call)
        mutation = await self._mutations.undo(key, call.path["mutationId"])
        return Reply({"mutation": mutation_view(mutation)}, 201)

    async def list_hosts(self, call: Call) -> Reply:
        key = await self._credentials.key(call)
        require(key, READERS)
        limit = read_limit(call, MAX_LISTED) if "limit" in call.query else None
        views = await self._hosts.all(key.org_id, call.query.get("after", ""), limit)
        hosts: list[Json] = [host_view(view) for view in views]
        return Reply({"hosts": hosts})

    async def create_key(self, call: Call) -> Reply:
        key = await self._credentials.key(call)
        if call.path["orgId"] != key.org_id:
            raise Absent("no such organisation")
        require(key, CHANGERS)
        body = call.body()
        check(CREATE_KEY, body)
        made = await self._keys.create(key.org_id, cast("Role", body["role"]), text_or_none(body, "name"), key.id)
        return Reply({"key": key_view(made.record) | {"fullKey": made.text.reveal()}}, 201)


def _not_before(body: JsonObject) -> datetime | None:
    text = text_or_none(body, "notBefore")
    if text is None:
        return None
    moment = parse_rfc3339(text)
    if moment is None:
        raise RequestRefused("notBefore", "is not an RFC 3339 time")
    return moment
