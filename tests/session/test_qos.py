"""Both halves of the QoS 1 and 2 handshakes, as facts about identifiers (no bytes are sent here)."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings

from mqtt_core.codec import ProtocolError
from mqtt_core.session import (
    ABSENT,
    IncomingFlow,
    Message,
    Outgoing,
    OutgoingFlow,
    Qos1State,
    Qos2State,
    Released,
)
from mqtt_core.testing.machines import IncomingFlowMachine, OutgoingFlowMachine

QOS1_FRAME = b"\x32\x06\x00\x01t\x00\x09x"
QOS2_FRAME = b"\x34\x06\x00\x01t\x00\x09x"


def out(qos, sequence=1):
    return Outgoing(Message("t", b"x", qos, sequence=sequence), qos, False)


def flow_with(*entries, limit=10):
    flow = OutgoingFlow(limit)
    for entry in entries:
        flow.send(entry)
    return flow


# -- sender ---------------------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-4.3.2-1", "MQTT-4.3.2-3", version="5.0")
@pytest.mark.spec("MQTT-4.3.2-1", version="3.1.1")
def test_a_qos_1_message_keeps_its_identifier_until_puback():
    message = out(1)
    flow = flow_with(message)
    assert flow.state(1) is Qos1State.AWAITING_PUBACK
    assert flow.inflight == {1: message}
    assert flow.on_puback(1) is message
    assert flow.inflight == {}
    assert flow.state(1) is None


@pytest.mark.spec("MQTT-4.3.3-1", "MQTT-4.3.3-3", "MQTT-4.3.3-5", version="5.0")
@pytest.mark.spec("MQTT-4.3.3-1", version="3.1.1")
def test_a_qos_2_message_waits_for_pubrec_and_its_release_for_pubcomp():
    message = out(2, sequence=44)
    flow = flow_with(message)
    assert flow.state(1) is Qos2State.AWAITING_PUBREC
    assert flow.on_pubrec(1) is message
    assert flow.state(1) is Qos2State.AWAITING_PUBCOMP
    released = flow.on_pubcomp(1)
    assert isinstance(released, Released)
    assert released.sequence == 44
    assert flow.state(1) is None


@pytest.mark.parametrize(
    "frame, state", [(QOS1_FRAME, Qos1State.AWAITING_PUBACK), (QOS2_FRAME, Qos2State.AWAITING_PUBREC)]
)
def test_a_frame_that_passed_through_is_an_in_flight_record_like_a_message(frame, state):
    flow = OutgoingFlow(10)
    flow.inflight[9] = frame
    assert flow.state(9) is state
    if state is Qos1State.AWAITING_PUBACK:
        assert flow.on_puback(9) is frame
    else:
        assert flow.on_pubrec(9, sequence=5) is frame
        released = flow.on_pubcomp(9)
        assert isinstance(released, Released)
        assert released.sequence == 5
    assert flow.inflight == {}


def test_a_second_pubrec_finds_the_release_already_under_way():
    flow = flow_with(out(2))
    flow.on_pubrec(1)
    first = flow.inflight[1]
    assert flow.on_pubrec(1) is first
    assert flow.inflight == {1: first}


@pytest.mark.spec("MQTT-4.4.0-2", version="5.0")
def test_a_refused_qos_2_message_is_over_and_its_identifier_free():
    message = out(2)
    flow = flow_with(message)
    assert flow.on_pubrec_refused(1) is message
    assert flow.inflight == {}


@pytest.mark.parametrize("verb", ["on_puback", "on_pubrec", "on_pubrec_refused", "on_pubcomp", "forget"])
def test_an_acknowledgement_for_an_unknown_identifier_changes_nothing(verb):
    flow = flow_with(out(1))
    assert getattr(flow, verb)(8) is ABSENT
    assert list(flow.inflight) == [1]


@pytest.mark.parametrize(
    "entry, verbs",
    [
        (out(1), ["on_pubrec", "on_pubrec_refused", "on_pubcomp"]),
        (out(2), ["on_puback", "on_pubcomp"]),
        (Released(3), ["on_puback", "on_pubrec_refused"]),
        (None, ["on_puback", "on_pubrec", "on_pubrec_refused", "on_pubcomp"]),
        (QOS1_FRAME, ["on_pubrec", "on_pubrec_refused", "on_pubcomp"]),
        (QOS2_FRAME, ["on_puback", "on_pubcomp"]),
    ],
    ids=["qos1", "qos2", "released", "reserved", "qos1 frame", "qos2 frame"],
)
def test_an_acknowledgement_of_the_wrong_kind_is_a_protocol_error_and_changes_nothing(entry, verbs):
    for verb in verbs:
        flow = OutgoingFlow(10)
        flow.inflight[4] = entry
        with pytest.raises(ProtocolError) as caught:
            getattr(flow, verb)(4)
        assert caught.value.reason_code == 0x82
        assert flow.inflight == {4: entry}


@pytest.mark.spec("MQTT-4.9.0-1", "MQTT-4.9.0-2", version="5.0")
def test_every_message_in_flight_uses_one_unit_of_quota_until_its_last_acknowledgement():
    flow = flow_with(out(1), out(2), out(2), limit=3)
    assert flow.room() == 0
    flow.on_puback(1)
    assert flow.room() == 1
    flow.on_pubrec(2)
    assert flow.room() == 1
    flow.on_pubcomp(2)
    assert flow.room() == 2
    flow.on_pubrec_refused(3)
    assert flow.room() == 3


def test_an_identifier_reserved_for_subscribing_uses_no_quota():
    flow = OutgoingFlow(1)
    reserved = flow.reserve()
    assert flow.room() == 1
    assert flow.state(reserved) is None
    assert flow.unreserve(reserved)
    assert flow.room() == 1
    assert flow.inflight == {}


def test_only_a_reserved_identifier_can_be_unreserved():
    flow = flow_with(out(1), limit=5)
    assert not flow.unreserve(1)
    assert not flow.unreserve(2)
    assert flow.limit == 5
    assert list(flow.inflight) == [1]


# -- resuming -------------------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-4.4.0-1", "MQTT-4.3.3-6", version="5.0")
@pytest.mark.spec("MQTT-4.4.0-1", version="3.1.1")
def test_a_resume_repeats_releases_at_once_and_messages_in_the_order_of_first_sending():
    flow = flow_with(out(1), out(2), out(1), out(2))
    flow.on_pubrec(4)
    flow.on_pubrec(2)
    assert flow.start_resume() == [4, 2]
    assert [flow.next_resend(), flow.next_resend(), flow.next_resend()] == [1, 3, 0]
    assert flow.resend is None


@pytest.mark.spec("MQTT-4.9.0-2", version="5.0")
def test_what_is_resent_waits_for_quota_like_everything_else():
    flow = flow_with(out(1), out(1), out(1))
    flow.limit = 2
    flow.start_resume()
    assert flow.room() == 2
    flow.next_resend()
    assert flow.room() == 1
    flow.next_resend()
    assert flow.room() == 0


def test_an_order_of_resending_survives_identifiers_that_wrap():
    flow = OutgoingFlow(10)
    flow.ids.last = 65_534
    for _ in range(3):
        flow.send(out(1))
    flow.start_resume()
    assert [flow.next_resend() for _ in range(3)] == [65_535, 1, 2]


@pytest.mark.parametrize(
    "qos, verb", [(1, "on_puback"), (2, "on_pubrec"), (2, "on_pubrec_refused"), (1, "forget"), (2, "forget")]
)
def test_what_is_settled_before_it_was_resent_is_not_resent(qos, verb):
    flow = flow_with(out(qos), out(qos))
    flow.start_resume()
    getattr(flow, verb)(2)
    assert flow.next_resend() == 1
    assert flow.resend is None
    assert flow.next_resend() == 0


@pytest.mark.parametrize(
    "qos, verb", [(1, "on_puback"), (2, "on_pubrec"), (2, "on_pubrec_refused"), (1, "forget"), (2, "forget")]
)
def test_settling_the_last_waiting_message_ends_the_resend(qos, verb):
    flow = flow_with(out(qos))
    flow.start_resume()
    getattr(flow, verb)(1)
    assert flow.resend is None
    assert flow.next_resend() == 0


def test_nothing_in_flight_means_nothing_to_resend():
    flow = OutgoingFlow(10)
    flow.reserve()
    assert flow.start_resume() == []
    assert flow.resend is None


# -- receiver -------------------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-4.3.3-10", "MQTT-4.3.3-12", version="5.0")
@pytest.mark.spec("MQTT-4.3.3-2", version="3.1.1")
def test_a_repeated_identifier_is_a_repetition_until_pubrel_and_new_after_it():
    flow = IncomingFlow()
    assert flow.on_publish(7)
    assert flow.state(7) is Qos2State.AWAITING_PUBREL
    assert not flow.on_publish(7)
    assert flow.on_pubrel(7)
    assert flow.state(7) is None
    assert flow.on_publish(7)


def test_a_pubrel_for_an_unknown_identifier_is_known_as_such():
    flow = IncomingFlow()
    flow.on_publish(7)
    assert not flow.on_pubrel(8)
    assert list(flow.received) == [7]


def test_what_an_earlier_connection_left_open_occupies_nothing_of_a_new_one():
    flow = IncomingFlow()
    flow.on_publish(1)
    flow.on_publish(2)
    assert flow.occupied() == 2
    flow.start_connection()
    assert flow.occupied() == 0
    flow.on_publish(3)
    assert flow.occupied() == 1
    assert not flow.on_publish(1)
    assert flow.occupied() == 2
    flow.on_pubrel(2)
    assert flow.occupied() == 2
    flow.on_pubrel(1)
    assert flow.occupied() == 1
    assert list(flow.received) == [3]


TestOutgoingFlow = OutgoingFlowMachine.TestCase
TestOutgoingFlow.settings = settings(max_examples=60, stateful_step_count=40)
TestIncomingFlow = IncomingFlowMachine.TestCase
TestIncomingFlow.settings = settings(max_examples=30, stateful_step_count=30)


def test_a_run_of_frames_gets_the_identifiers_they_would_get_one_by_one():
    rng = random.Random(7)
    for _ in range(200):
        one, many = OutgoingFlow(65535), OutgoingFlow(65535)
        one.ids.last = many.ids.last = rng.choice([0, 5, 65533])
        for packet_id in rng.sample([1, 2, 3, 6, 7, 8, 65534, 65535], 4):
            one.send(b"\x32", packet_id)
            many.send(b"\x32", packet_id)
        frames = [bytes([0x32, number]) for number in range(6)]
        wanted = [rng.randint(1, 9) for _ in frames] if rng.random() < 0.7 else []
        expected = [one.send(frame, wanted[k] if wanted else 0) for k, frame in enumerate(frames)]
        assert many.send_run(frames, wanted) == expected
        assert list(many.inflight.items()) == list(one.inflight.items())
        assert many.ids.last == one.ids.last
