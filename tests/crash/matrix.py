"""Every operation, every step, every delivery."""

from __future__ import annotations

from dataclasses import dataclass

from tests.crash.wire import DELIVERIES, Delivery

from donmai_daemon.model.json import JsonObject

START = """\
# of the machine's owner   \n[machine]
name = "crash"   # stays

[projects.old]   # theirs
repositories = ["https://git.test/old.git"]

[projects.off]
repositories = ["https://git.test/off.git"]
enabled = false

[model_access.workloads.qa]
auth_order = ["byok"]
"""

URL = "https://git.test/new.git"
POLICY: JsonObject = {"matrix": {"anthropic": {"byok": {"allowed": False}}}}
POLICIES = '\n[model_access.workloads.qa]\nauth_order = ["byok"]\n'
NEW = f'\n[projects.new]\nrepositories = ["{URL}"]\n'
OLD = '\n[projects.old]   # theirs\nrepositories = ["https://git.test/old.git"]\n'


@dataclass(frozen=True)
class Story:
    """Mutations in order, the error each must end with (None: applied), and the file they must lead to."""

    mutations: tuple[tuple[str, JsonObject, str | None], ...]
    after: str
    edits: bool = True
    """Whether the file is replaced; otherwise only steps of the host lane are passed."""


STORIES: dict[str, Story] = {
    "project.add": Story(
        (("project.add", {"id": "new", "repository": URL}, None),), START.replace(POLICIES, NEW + POLICIES)
    ),
    "project.remove": Story((("project.remove", {"id": "old"}, None),), START.replace(OLD, "")),
    "project.enable": Story((("project.enable", {"id": "off"}, None),), START.replace("enabled = false\n", "")),
    "project.disable": Story(
        (("project.disable", {"id": "old"}, None),),
        START.replace('old.git"]\n', 'old.git"]\nenabled = false\n'),
    ),
    "modelAccess.set": Story(
        (("modelAccess.set", {"policy": POLICY}, None),),
        START + "\n[model_access.default.matrix.anthropic]\nbyok = { allowed = false }\n",
    ),
    "modelAccess.clear": Story(
        (("modelAccess.clear", {"workload": "qa"}, None),),
        START.replace(POLICIES, ""),
    ),
    "add, remove, add": Story(
        (
            ("project.add", {"id": "new", "repository": URL}, None),
            ("project.remove", {"id": "old"}, None),
            ("project.remove", {"id": "new"}, None),
            ("project.add", {"id": "new", "repository": URL}, None),
        ),
        START.replace(OLD, "").replace(POLICIES, NEW + POLICIES),
    ),
    "pool.deleted": Story((("pool.deleted", {"poolId": "p1"}, None),), START, edits=False),
    "session.kill": Story((("session.kill", {"sessionId": "s1"}, "session not known"),), START, edits=False),
}

BOTH = (
    ("beat.composed", 1), ("beat.answered", 1), ("journal.accept.begin", 1), ("journal.accept.commit", 1),
    ("journal.accept.committed", 1), ("beat.recorded", 1),
)  # fmt: skip
AFTER = (
    ("beat.composed", 2), ("beat.answered", 2), ("journal.accept.begin", 2), ("journal.accept.commit", 2),
    ("journal.accept.committed", 2), ("beat.recorded", 2),
)  # fmt: skip
FILE = (
    ("applier.decided", 1), ("journal.plan.begin", 1), ("journal.plan.commit", 1), ("journal.plan.committed", 1),
    ("applier.planned", 1), ("file.part_written", 1), ("file.temporary_named", 1), ("file.compared", 1),
    ("file.swapped", 1), ("file.inspected", 1), ("file.directory_synced", 1), ("applier.replaced", 1),
    ("journal.settle_plan.begin", 1), ("journal.settle_plan.commit", 1), ("journal.settle_plan.committed", 1),
    ("applier.settled", 1),
)  # fmt: skip
LATER = (("kept.released", 1), ("journal.drop_plan.begin", 1), ("journal.drop_plan.committed", 1))
HOST = (("journal.settle.begin", 1), ("journal.settle.commit", 1), ("journal.settle.committed", 1))

Case = tuple[str, str, int, Delivery]


def cases() -> list[Case]:
    """The whole matrix: story, step, how often the step must come, delivery."""
    return [
        (name, point, count, delivery)
        for name, story in STORIES.items()
        for point, count in (*BOTH, *((*FILE, *AFTER, *LATER) if story.edits else (*HOST, *AFTER)))
        for delivery in DELIVERIES
    ]


def everyday_cases() -> list[Case]:
    """Two of five, so that each story, each step and each delivery is met, in each pairing of two of them nearly."""
    return [case for number, case in enumerate(cases()) if number % 5 in {0, 3}]
