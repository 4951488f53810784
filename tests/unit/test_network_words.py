"""Published ports, addresses, resolv.conf and hosts files: what has no kernel in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from minirun.errors import MinirunError
from minirun.network import hosts, ports
from minirun.network.address import Subnet, ip_text, parse_ip, subnet
from minirun.network.leases import Lease
from minirun.network.ports import Port
from minirun.network.resolver import resolv_conf


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("80", [("", 0, 80, "tcp")]),
        ("8080:80", [("", 8080, 80, "tcp")]),
        (":80", [("", 0, 80, "tcp")]),
        ("0:80", [("", 0, 80, "tcp")]),
        ("53:53/udp", [("", 53, 53, "udp")]),
        ("127.0.0.1:8080:80", [("127.0.0.1", 8080, 80, "tcp")]),
        ("127.0.0.1::80", [("127.0.0.1", 0, 80, "tcp")]),
        ("[::1]:8080:80/tcp", [("::1", 8080, 80, "tcp")]),
        ("[::1]::80", [("::1", 0, 80, "tcp")]),
        ("8000-8001:80-81", [("", 8000, 80, "tcp"), ("", 8001, 81, "tcp")]),
        ("80-81", [("", 0, 80, "tcp"), ("", 0, 81, "tcp")]),
    ],
)
def test_published_ports(text: str, wanted: list[tuple[str, int, int, str]]) -> None:
    assert [each.astuple() for each in ports.parse(text)] == wanted


@pytest.mark.parametrize(
    "text",
    ["", "x", "0", "65536", "80:", "80/sctp", "1:2:3:4", "300.0.0.1:1:2", "::1:80:80", "[::1:80:80", "[::1]80:80",
     "9-8", "8000-8002:80-81", "-80", "8080:80-", "+8", "٨", "1" * 5000],
)  # fmt: skip
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(MinirunError) as caught:
        ports.parse(text)
    assert caught.value.exit_code == 2 and caught.value.hint


@given(st.text(max_size=30))
def test_no_word_does_more_than_be_refused(text: str) -> None:
    try:
        assert all(isinstance(each, Port) for each in ports.parse(text))
    except MinirunError:
        pass
    assert subnet(text) is None or isinstance(subnet(text), Subnet)


@given(st.integers(0, 2**32 - 1), st.integers(0, 32), st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_subnets_are_as_ipaddress_has_them(one: int, bits: int, other: int, more: int) -> None:
    import ipaddress

    ours = [subnet(f"{ip_text(number.to_bytes(4, 'big'))}/{size}") for number, size in ((one, bits), (other, more))]
    theirs = [ipaddress.ip_network((number, size), strict=False) for number, size in ((one, bits), (other, more))]
    assert list(map(str, ours)) == list(map(str, theirs))
    assert ours[0] and ours[1] and ours[0].overlaps(ours[1]) == theirs[0].overlaps(theirs[1])
    assert ours[0].holds(other.to_bytes(4, "big")) == (ipaddress.ip_address(other) in theirs[0])


def test_addresses() -> None:
    assert parse_ip("fd00::1") == b"\xfd" + bytes(14) + b"\x01" and parse_ip("1.2.3") is None
    assert str(subnet("fd00::5/64")) == "fd00::/64" and subnet("10.0.0.0/33") is None and subnet("10.0.0.0") is None


HOST = (
    "# made by dhcp\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver ::1\n"
    "search a.example b.example\noptions edns0\n"
)


def test_resolv_conf() -> None:
    assert resolv_conf(HOST, own=True) == "nameserver 192.0.2.53\nsearch a.example b.example\noptions edns0\n"
    assert "127.0.0.53" in resolv_conf(HOST, own=False)
    given = resolv_conf(HOST, own=True, dns=["127.0.0.1"], search=["."], options=["ndots:2"])
    assert given == "nameserver 127.0.0.1\noptions ndots:2\n"
    assert resolv_conf("nameserver 127.0.0.1\n", own=True) == ""


def lease(container: str, name: str, ip: str, network: str = "n", **more: Any) -> Lease:
    return Lease(key=ip, network=network, container=container, name=name, ip=f"{ip}/24", **more)


def test_a_containers_own_line_comes_first() -> None:
    lines = hosts.lines_for(
        "b" * 64, [lease("a" * 64, "one", "10.0.0.2", aliases=["x"]), lease("b" * 64, "two", "10.0.0.3")]
    )
    assert lines == ["10.0.0.3\tbbbbbbbbbbbb two", "10.0.0.2\taaaaaaaaaaaa one x"]


def test_the_marked_part_is_replaced_and_nothing_else() -> None:
    first = hosts.replaced("a\nb", ["1"])
    assert first == "a\nb\n# minirun: begin\n1\n# minirun: end\n"
    assert hosts.replaced(first + "c\n", ["2", "3"]) == "a\nb\n# minirun: begin\n2\n3\n# minirun: end\nc\n"
    assert hosts.replaced("a\n# minirun: begin\nevil\n", ["1"]) == "a\n# minirun: begin\n1\n# minirun: end\n"


@given(st.text(max_size=200), st.text(max_size=200))
def test_rewriting_twice_is_rewriting_once(before: str, after: str) -> None:
    text = f"{before}\n# minirun: begin\n{after}"
    assert hosts.replaced(hosts.replaced(text, ["x"]), ["y"]) == hosts.replaced(text, ["y"])


def test_what_a_container_does_to_its_hosts_file(tmp_path: Path) -> None:
    """It can write to it: too much, no marks, bytes that are no text, or our marks in the wrong order."""
    folder = tmp_path / "containers" / "c"
    folder.mkdir(parents=True)
    path = folder / "hosts"
    for content in (b"\xff\xfe\n", b"# minirun: end\n# minirun: begin\n", b"", b"10.0.0.1 x"):
        path.write_bytes(content)
        hosts.rewrite(str(tmp_path), "c", ["10.0.0.9\tgood"])
        assert b"10.0.0.9\tgood" in path.read_bytes() and path.read_bytes().startswith(
            content.split(b"# minirun: begin")[0]
        )
        hosts.rewrite(str(tmp_path), "c", [])
        assert b"good" not in path.read_bytes()
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    hosts.rewrite(str(tmp_path), "c", ["10.0.0.9\tgood"])
    assert path.stat().st_size == 1 << 40
    path.unlink()
    (tmp_path / "other").write_text("kept")
    path.symlink_to(tmp_path / "other")
    hosts.rewrite(str(tmp_path), "c", ["10.0.0.9\tgood"], make=True)
    assert (tmp_path / "other").read_text() == "kept"
    path.unlink()
    hosts.rewrite(str(tmp_path), "c", ["10.0.0.9\tgood"])
    assert not path.exists()
