from __future__ import annotations

import pytest

from mqtt_core.codec import (
    AuthPacket,
    DisconnectPacket,
    Properties,
    ProtocolError,
    PublishPacket,
    check_auth,
    check_disconnect,
    check_publish_by_client,
)

FROM_BOTH = {0x00, 0x80, 0x81, 0x82, 0x83, 0x90, *range(0x93, 0x9A)}
FROM_CLIENT = FROM_BOTH | {0x04}
FROM_SERVER = FROM_BOTH | {0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, *range(0x9A, 0xA3)}


def refused(check, *args) -> bool:
    try:
        check(*args)
    except ProtocolError as error:
        if error.reason_code != 0x82:
            raise
        return True
    return False


@pytest.mark.spec("MQTT-3.14.2-1", version="5.0")
def test_disconnect_codes_belong_to_their_sender():
    for code in range(256):
        assert refused(check_disconnect, DisconnectPacket(code), False) == (code not in FROM_CLIENT)
        assert refused(check_disconnect, DisconnectPacket(code), True) == (code not in FROM_SERVER)


@pytest.mark.spec("MQTT-3.14.2-2", version="5.0")
def test_only_a_client_changes_the_expiry_when_it_goes():
    packet = DisconnectPacket(0, Properties(session_expiry_interval=0))
    assert refused(check_disconnect, packet, True)
    assert not refused(check_disconnect, packet, False)


@pytest.mark.spec("MQTT-3.15.2-1", version="5.0")
def test_auth_codes_belong_to_their_sender():
    for code in range(256):
        assert refused(check_auth, AuthPacket(code), False) == (code not in {0x18, 0x19})
        assert refused(check_auth, AuthPacket(code), True) == (code not in {0x00, 0x18})


@pytest.mark.spec("MQTT-3.3.4-6", version="5.0")
def test_a_client_names_no_subscription_in_a_publish():
    assert refused(check_publish_by_client, PublishPacket("t", properties=Properties(subscription_identifiers=(1,))))
    assert not refused(check_publish_by_client, PublishPacket("t", properties=Properties(topic_alias=1)))
