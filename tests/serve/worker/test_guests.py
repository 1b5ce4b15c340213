from __future__ import annotations

import pytest

from glmcli.errors import UsageError
from glmcli.serve.worker.guests import Guests, allowed_blocks, own_address, told_blocks


def test_the_controller_and_what_is_allowed_are_guests_and_nobody_else():
    guests = Guests("127.0.0.1", allowed_blocks(["10.0.0.0/24", "fd00::7", "192.0.2.9"]))
    guests.look_up()
    for address in ("127.0.0.1", "10.0.0.255", "fd00::7", "192.0.2.9", "::ffff:10.0.0.3"):
        assert guests.is_guest(address), address
    for address in ("127.0.0.2", "10.0.1.0", "fd00::8", "::ffff:10.0.1.3", "", "evil.example"):
        assert not guests.is_guest(address), address


def test_a_name_is_looked_up_and_one_that_is_lost_keeps_its_addresses():
    guests = Guests("localhost")
    assert not guests.is_guest("127.0.0.1")
    guests.look_up()
    assert guests.is_guest("127.0.0.1") or guests.is_guest("::1")
    unknown = Guests("no-such-host.invalid")
    unknown.look_up()
    assert unknown.blocks == ()


def test_a_zone_of_an_address_changes_nothing():
    assert Guests("x.invalid", allowed_blocks(["fe80::1"])).is_guest("fe80::1%eth0")


@pytest.mark.parametrize("text", ["", "host.example", "10.0.0", "10.0.0.0/40", "10.0.0.1:80", "*"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(UsageError, match="--allow takes an address") as caught:
        allowed_blocks([text])
    assert "10.0.0.0/24" in caught.value.hint


def test_addresses_are_told_as_they_were_given():
    texts = ["10.0.0.7", "10.0.0.0/24", "fd00::/8"]
    assert told_blocks(allowed_blocks(texts)) == "10.0.0.7, 10.0.0.0/24, fd00::/8"


def test_the_own_address_is_the_one_from_which_another_is_reached():
    assert own_address("127.0.0.1", 21001) == "127.0.0.1"
    assert own_address("no-such-host.invalid", 21001) == ""
