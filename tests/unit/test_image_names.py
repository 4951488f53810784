"""Names of images, platforms, amounts, and what --change changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from minirun.cli import amounts
from minirun.errors import MinirunError
from minirun.images import platform
from minirun.images.instructions import apply
from minirun.images.media import Descriptor
from minirun.images.reference import DEFAULT_REGISTRY, familiar, is_digest, is_id, parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "name", "short"),
    [
        ("busybox", "DEFAULT/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "DEFAULT/library/busybox:1.36", "busybox:1.36"),
        ("a/b", "DEFAULT/a/b:latest", "a/b:latest"),
        ("DEFAULT/busybox", "DEFAULT/library/busybox:latest", "busybox:latest"),
        ("index.DEFAULT/library/busybox", "DEFAULT/library/busybox:latest", "busybox:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("x.example/a/b/c", "x.example/a/b/c:latest", "x.example/a/b/c:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ("Upper/x", "Upper/x:latest", "Upper/x:latest"),
        (f"busybox@{DIGEST}", f"DEFAULT/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"DEFAULT/library/busybox:1@{DIGEST}", f"busybox:1@{DIGEST}"),
        ("a.b__c---d:T_.-x", "DEFAULT/library/a.b__c---d:T_.-x", "a.b__c---d:T_.-x"),
        ("host:5000", "DEFAULT/library/host:5000", "host:5000"),
    ],
)
def test_names(text: str, name: str, short: str) -> None:
    found = parse(text.replace("DEFAULT", DEFAULT_REGISTRY))
    assert found.name == name.replace("DEFAULT", DEFAULT_REGISTRY)
    assert found.familiar == short == familiar(found.name)
    assert parse(found.familiar) == found == parse(found.name)


@pytest.mark.parametrize(
    "text",
    ["", "/", "a/", "/a", "a//b", "A", "a/B", "a..b", "a___b", "-a", "a-", "a_", ".a", "a:", "a:-x", "a:" + "x" * 129,
     "a@", "a@sha256:12", "a@md5:" + "a" * 32, "a b", "a\n", "a:b\n", "é", "a/é", "x.example:port/a",
     "x.example:123456/a", "-x.example/a", "x..example/a",
     "[::1/a", "[x]/a", "a" * 256, "b" * 64, "..", "a/../b", "a:b:c", "a@b@c", "http://a/b"],
)  # fmt: skip
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(MinirunError, match="is not the name of an image"):
        parse(text)


@given(st.text(alphabet="aB0._-/:@[]é\n ", max_size=40))
def test_any_text_is_a_name_that_stays_or_an_error(text: str) -> None:
    try:
        found = parse(text)
    except MinirunError:
        return
    assert parse(found.name) == found and parse(found.familiar) == found
    assert ".." not in found.name.split("/") and "\n" not in found.name


def test_digests_and_ids() -> None:
    assert is_digest(DIGEST) and is_digest("sha512:" + "0" * 128)
    assert not any(
        map(is_digest, ("sha256:" + "A" * 64, "sha256:" + "a" * 63, "a" * 64, "", "sha256:" + "a" * 63 + "\n"))
    )
    assert is_id("abc") and is_id(DIGEST) and not is_id("") and not is_id("xyz") and not is_id("a" * 65)


@pytest.mark.parametrize(
    ("wanted", "has", "best"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/amd64/v3"], None),
        ("linux/amd64/v3", ["linux/amd64"], "linux/amd64"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], "linux/arm/v6"),
        ("linux/arm/v6", ["linux/arm/v7"], None),
        ("linux/arm64", ["linux/arm64/v8"], "linux/arm64/v8"),
        ("linux/aarch64", ["linux/arm64"], "linux/arm64"),
        ("linux/amd64", ["windows/amd64"], None),
        ("linux/amd64", [""], ""),
    ],
)
def test_platforms(wanted: str, has: list[str], best: str | None) -> None:
    def described(text: str) -> Descriptor:
        return Descriptor(mediaType="", digest=text, size=0, platform=platform.parse(text).to_json() if text else {})

    found = platform.choose([described(text) for text in has], platform.parse(wanted))
    assert (found[0].digest if found else None) == best


@pytest.mark.parametrize("text", ["a/b/c/d", "linux/", "linux/a b", "../x", "linux/é"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(MinirunError):
        platform.parse(text)


@pytest.mark.parametrize(
    ("line", "before", "after"),
    [
        ('CMD ["a", "b"]', {}, {"Cmd": ["a", "b"]}),
        ("cmd a b", {}, {"Cmd": ["/bin/sh", "-c", "a b"]}),
        ("CMD a", {"Shell": ["/bin/ash", "-c"]}, {"Cmd": ["/bin/ash", "-c", "a"]}),
        ('ENTRYPOINT ["a"]', {"Cmd": ["b"]}, {"Entrypoint": ["a"], "Cmd": None}),
        ("ENV A=1 B='2 3'", {"Env": ["A=0", "C=4"]}, {"Env": ["A=1", "C=4", "B=2 3"]}),
        ("ENV A 1 2", {}, {"Env": ["A=1 2"]}),
        ("EXPOSE 80 53/udp 8000-8001", {"ExposedPorts": {"1/tcp": {}}},
         {"ExposedPorts": {"1/tcp": {}, "80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}}}),
        ('LABEL a="b c"', {"Labels": {"d": "e"}}, {"Labels": {"d": "e", "a": "b c"}}),
        ("USER 1:2", {}, {"User": "1:2"}),
        ("WORKDIR /a/../b", {}, {"WorkingDir": "/b"}),
        ("WORKDIR c", {"WorkingDir": "/a"}, {"WorkingDir": "/a/c"}),
        ('VOLUME ["/a", "/b"]', {}, {"Volumes": {"/a": {}, "/b": {}}}),
        ("STOPSIGNAL SIGINT", {}, {"StopSignal": "SIGINT"}),
        ("ONBUILD RUN x", {}, {"OnBuild": ["RUN x"]}),
        ("HEALTHCHECK NONE", {}, {"Healthcheck": {"Test": ["NONE"]}}),
    ],
)  # fmt: skip
def test_changes(line: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert apply(before, [line]) == after


def test_changes_see_those_before_them() -> None:
    assert apply({}, ["ENV A=1", "ENV B=2", "ENTRYPOINT x", "CMD y"]) == {
        "Env": ["A=1", "B=2"], "Entrypoint": ["/bin/sh", "-c", "x"], "Cmd": ["/bin/sh", "-c", "y"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    ["RUN x", "COPY a b", "FROM x", "", "CMD", "ENV", "ENV A", "EXPOSE 0", "EXPOSE x", "EXPOSE 80/icmp", "EXPOSE 9-8",
     "USER a b", "VOLUME a", "CMD [1]", "ENV A='", "ENV =x", "HEALTHCHECK CMD x", "LABEL a"],
)  # fmt: skip
def test_what_is_no_change(line: str) -> None:
    with pytest.raises(MinirunError, match="cannot make the change"):
        apply({}, [line])


def test_amounts_as_docker_writes_them() -> None:
    assert [amounts.size(count) for count in (0, 999, 1000, 4_430_000, 117_000_000, 1_500_000_000, 999_900)] == [
        "0B", "999B", "1kB", "4.43MB", "117MB", "1.5GB", "1000kB",
    ]  # fmt: skip
    hour, day = 3600, 86400
    times = (0, 1, 59, 60, 119, 150, hour, 5 * hour, 47 * hour, 3 * day, 20 * day, 100 * day, 1000 * day)
    assert [amounts.duration(seconds) for seconds in times] == [
        "Less than a second", "1 second", "59 seconds", "About a minute", "About a minute", "2 minutes",
        "About an hour", "5 hours", "47 hours", "3 days", "2 weeks", "3 months", "2 years",
    ]  # fmt: skip
    assert amounts.ago(0, 100) == "N/A" and amounts.ago(200, 100) == "Less than a second ago"
