"""Every field of the beat, on the bytes that are sent; every way an answer can be wrong."""

from __future__ import annotations

import hashlib
import json

import pytest

from donmai_daemon.model.admission import AdmissionReport
from donmai_daemon.model.condition import Condition
from donmai_daemon.model.config import Admission, Config, Project
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.mutation import Ack
from donmai_daemon.model.wire import Beat, BeatAnswer, HostStatus, Load, read_beat_answer

EMPTY = AdmissionReport("enumerated", (), ())
CONFIG = Config(
    admission=Admission("enumerated"),
    projects={
        "b": Project("b", True, ("https://X.test/b.git", "https://x.test/a")),
        "a": Project("a", False, ("ssh://x.test/off",)),
        "c": Project("c", True, ()),
    },
)


def sent(**changes: object) -> JsonObject:
    """A beat as it arrives: composed, marshalled, parsed again."""
    fields: dict[str, object] = {
        "status": "idle",
        "active_count": 0,
        "max_sessions": 8,
        "report": EMPTY,
        "full_report": False,
        "seq": 1,
    }
    beat = Beat(**(fields | changes))  # type: ignore[arg-type] # keyword by keyword, checked by the tests themselves
    parsed: JsonObject = json.loads(json.dumps(beat.to_json()))
    return parsed


def test_zero_is_sent_as_zero() -> None:
    """No capacity and nothing running are numbers, not absences."""
    body = sent(max_sessions=0, active_count=0, active_interactive_count=0)
    assert (body["maxSessions"], body["activeCount"], body["activeInteractiveCount"]) == (0, 0, 0)


@pytest.mark.parametrize("status", ["idle", "busy", "draining"])
def test_status_is_sent_as_it_is(status: str) -> None:
    """The dispatch status is one of three words."""
    assert sent(status=status)["status"] == status


def test_no_signal_is_no_field() -> None:
    """Without a dispatch signal, the field is left out."""
    assert "status" not in sent(status=None)


def test_failed_load_sample_is_left_out() -> None:
    """A sample that failed is absent; load averages are absent where the system has none."""
    body = sent(load=None)
    assert "load" not in body
    assert "loadAverage" not in body
    assert "loadAverage" not in sent(load=Load(1.0, 2.0, None))
    assert sent(load=Load(1.0, 2.0, (0.5, 0.25, 0.0)))["loadAverage"] == {"one": 0.5, "five": 0.25, "fifteen": 0.0}


def test_hash_is_in_every_beat_and_lists_only_in_full_ones() -> None:
    """Every beat carries the hash; a full report carries lists too, empty ones as []."""
    assert sent()["allowlistHash"] == EMPTY.digest
    assert "allowlist" not in sent()
    full = sent(full_report=True)
    assert (full["allowlist"], full["enabledProjectIds"], full["projectAdmissionMode"]) == ([], [], "enumerated")


def test_full_report_names_repositories_of_disabled_projects_too() -> None:
    """The allowlist is every repository in the file, sorted; the enabled ids are apart from it."""
    full = sent(report=AdmissionReport.of(CONFIG), full_report=True)
    assert full["allowlist"] == [
        {"id": "a", "repository": "ssh://x.test/off"},
        {"id": "b", "repository": "https://X.test/b.git"},
        {"id": "b", "repository": "https://x.test/a"},
    ]
    assert full["enabledProjectIds"] == ["b", "c"]


def test_hash_is_byte_for_byte_that_of_the_wire() -> None:
    """The digest is SHA-256 over the layout that the reference daemon uses."""
    layout = (
        b"mode\0enumerated\0\0"
        b"enabled\0b\0c\0\0\0"
        b"entries\0"
        b"a\0ssh://x.test/off\0\0"
        b"b\0https://X.test/b.git\0\0"
        b"b\0https://x.test/a\0\0"
    )
    assert AdmissionReport.of(CONFIG).digest == hashlib.sha256(layout).hexdigest()
    assert EMPTY.digest == hashlib.sha256(b"mode\0enumerated\0\0enabled\0\0\0entries\0").hexdigest()


def test_hash_sees_mode_enabled_and_repositories() -> None:
    """Each of the three alone changes the digest."""
    base = AdmissionReport("enumerated", ("a",), (("a", "u"),)).digest
    assert base != AdmissionReport("all-routed", ("a",), (("a", "u"),)).digest
    assert base != AdmissionReport("enumerated", (), (("a", "u"),)).digest
    assert base != AdmissionReport("enumerated", ("a",), ()).digest


def test_an_ack_is_in_one_list_only() -> None:
    """Applied ids and failures are apart, and empty lists are not sent."""
    body = sent(acks=(Ack("m1", None), Ack("m2", "no such thing")))
    assert body["appliedMutations"] == ["m1"]
    assert body["mutationFailures"] == [{"id": "m2", "error": "no such thing"}]
    assert "mutationFailures" not in sent(acks=(Ack("m1", None),))
    assert "appliedMutations" not in sent()


def test_conditions_are_sent_while_true() -> None:
    """Conditions carry code, severity, message and since; with none, the field is left out."""
    condition = Condition("clock_skew", "warning", "late", "2026-11-24T06:00:00.000Z")
    assert sent(conditions=(condition,))["conditions"] == [
        {"code": "clock_skew", "severity": "warning", "message": "late", "since": "2026-11-24T06:00:00.000Z"}
    ]
    assert "conditions" not in sent()


def test_sequence_and_config_digest_are_sent() -> None:
    """The beat's number and the file's digest go along."""
    body = sent(seq=7, config_digest="ab")
    assert (body["seq"], body["configDigest"]) == (7, "ab")


@pytest.mark.parametrize(
    "payload", [None, [], "ok", 3, {}, {"acknowledged": False}, {"acknowledged": "true"}, {"acknowledged": 1}]
)
def test_anything_but_an_acknowledgement_is_refused(payload: Json) -> None:
    """Only a JSON object that says acknowledged: true is an accepted beat."""
    assert isinstance(read_beat_answer(payload), str)


def accepted(**fields: Json) -> BeatAnswer:
    answer = read_beat_answer({"acknowledged": True, **fields})
    assert isinstance(answer, BeatAnswer)
    return answer


def test_one_bad_element_does_not_sink_the_others() -> None:
    """Mutations that cannot be named are left out and reported; those beside them are read."""
    answer = accepted(
        pendingMutations=[
            {"id": "m1", "op": "project.add", "params": {"id": "a"}, "requestedAt": "t", "requestedBy": "me"},
            {"op": "project.add"},
            "nonsense",
            {"id": 7, "op": "x"},
            {"id": "", "op": "x"},
            {"id": "m2", "op": "project.remove", "params": {"id": "a"}, "colour": "blue"},
        ]
    )
    assert [mutation.id for mutation in answer.mutations] == ["m1", "m2"]
    assert answer.mutations[0].requested_by == "me"
    assert len(answer.ignored) == 5


def test_mutation_with_an_id_is_kept_whatever_else_is_wrong() -> None:
    """With an id, a wrong op or wrong params can be settled as failed, so the element is not lost."""
    (mutation,) = accepted(pendingMutations=[{"id": "m", "op": 3, "params": "x"}]).mutations
    assert (mutation.id, mutation.op, mutation.params) == ("m", "", {})


def test_unknown_fields_are_counted_never_fatal() -> None:
    """A field this version does not know is named for the log and changes nothing."""
    assert accepted(novelty=1).ignored == ("unknown field 'novelty'",)


@pytest.mark.parametrize("listed", ["x", 3, {"id": "m"}])
def test_list_of_the_wrong_type_is_no_list(listed: Json) -> None:
    """Mutations that do not come as a list are none."""
    assert accepted(pendingMutations=listed).mutations == ()


def test_host_status_is_read_with_its_hints() -> None:
    """Status, recommended action and candidate pools are kept; what is malformed counts as absent."""
    answer = accepted(
        hostStatus={"status": "pool_paused", "recommendedAction": "wait", "candidatePoolIds": ["p", 3]}
    )
    assert answer.host_status == HostStatus("pool_paused", "wait", ("p",))
    assert accepted(hostStatus="ok").host_status is None
    assert accepted(hostStatus={"status": 1}).host_status is None
    assert accepted().host_status is None


def test_any_pool_value_blocks_and_unknown_values_do_nothing() -> None:
    """Every pool_* value stops claiming, ok does not, and other words are not known."""
    assert HostStatus("pool_frozen").blocks_claiming
    assert HostStatus("pool_frozen").known
    assert not HostStatus("ok").blocks_claiming
    assert not HostStatus("sunny").known


def test_held_beats_must_be_offered_in_so_many_words() -> None:
    """Only heldBeats: true is an offer to hold beats."""
    assert accepted(heldBeats=True).held_beats
    assert not accepted(heldBeats="yes").held_beats
    assert not accepted().held_beats
