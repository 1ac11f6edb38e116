import socket
from typing import Any

import pytest

from executor.engine.addresses import checked, named_hosts
from executor.errors import SourceUnreachable

REFUSED = (
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1%1", "ff02::1",
    "fd00:ec2::254", "fd20:ce::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "2002:7f00:1::1",
    "64:ff9b::a9fe:a9fe", "2001:0:7f00:1::1",
)  # fmt: skip
FINE = ("93.184.216.34", "10.0.0.7", "192.168.1.2", "172.16.3.4", "2606:2800:220:1::1", "fd12::7", "::ffff:10.0.0.7")


class Network:
    """A resolver that answers in turn, and connections that are only noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, ...]) -> None:
        self.answers, self.asked, self.connected = list(answers), 0, list[str]()
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)
        monkeypatch.setattr(socket, "create_connection", self._connect)

    def _resolve(self, host: str, port: int, **_: Any) -> list[Any]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [(None, None, None, "", (address, port)) for address in answer]

    def _connect(self, place: tuple[str, int], _: float | None = None) -> socket.socket:
        self.connected.append(place[0])
        if place[0] == "192.0.2.1":
            raise ConnectionRefusedError
        return socket.socket()


@pytest.mark.parametrize("address", REFUSED)
def test_this_machine_and_its_cloud_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(monkeypatch, (address,))
    with pytest.raises(SourceUnreachable, match="an address of this machine or its cloud") as caught:
        checked(frozenset(), loopback=False)(("data.example.org", 443))
    assert caught.value.advice == "if it may be asked, name data.example.org in EXECUTOR_SOURCE_HOSTS"
    assert network.connected == []


@pytest.mark.parametrize("address", FINE)
def test_other_machines_are_asked_private_ones_too(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(monkeypatch, (address,))
    checked(frozenset(), loopback=False)(("data.example.org", 443)).close()
    assert network.connected == [address]


def test_hosts_that_were_named_are_asked_wherever_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(monkeypatch, ("127.0.0.1",))
    checked(named_hosts(" Data.example.org, other"), loopback=False)(("data.EXAMPLE.org", 443)).close()
    assert network.connected == ["127.0.0.1"]
    with pytest.raises(SourceUnreachable):
        checked(named_hosts("example.org"), loopback=False)(("data.example.org", 443))


def test_where_loopback_is_allowed_clouds_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(monkeypatch, ("::1",), ("169.254.169.254",))
    checked(frozenset(), loopback=True)(("localhost", 443)).close()
    with pytest.raises(SourceUnreachable):
        checked(frozenset(), loopback=True)(("metadata", 443))
    assert network.connected == ["::1"]


def test_a_name_that_changes_its_address_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(monkeypatch, ("93.184.216.34",), ("127.0.0.1",))
    checked(frozenset(), loopback=False)(("rebound.example.org", 443)).close()
    assert (network.asked, network.connected) == (1, ["93.184.216.34"])


def test_of_several_addresses_only_harmless_ones_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(monkeypatch, ("127.0.0.1", "192.0.2.1", "93.184.216.34"))
    checked(frozenset(), loopback=False)(("data.example.org", 443)).close()
    assert network.connected == ["192.0.2.1", "93.184.216.34"]


def test_when_none_answers_the_last_problem_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Network(monkeypatch, ("192.0.2.1",))
    with pytest.raises(ConnectionRefusedError):
        checked(frozenset(), loopback=False)(("data.example.org", 443))
