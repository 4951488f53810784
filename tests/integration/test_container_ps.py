"""``container ps top stats prune``: what is shown of containers, in docker's columns."""

from __future__ import annotations

import json

import pytest

from tests.integration.shop import IMAGE, Shop

pytestmark = pytest.mark.needs("root", "busybox")
NONE = ("--net", "none")


@pytest.fixture
def three(shop: Shop) -> list[str]:
    """One that runs, one that ended with 3, one that was never started; their ids."""
    runs = shop.background("sleep", "100", name="runs", flags=("--label", "kind=web"))
    shop("run", "--name", "ended", "--label", "kind", *NONE, IMAGE, "sh", "-c", "echo x > /file; exit 3")
    made = shop.out("create", "--name", "made", *NONE, IMAGE, "a-rather-long-command", "with", "words")
    ended = shop.out("ps", "-aq", "--no-trunc", "--filter", "name=ended")
    return [runs, ended, made]


def names(text: str) -> list[str]:
    return [line.split()[-1] for line in text.splitlines()[1:]]


def test_the_table(shop: Shop, three: list[str]) -> None:
    table = shop.out("ps", "-a")
    assert table.splitlines()[0].split("   ")[0] == "CONTAINER ID"
    assert names(table) == ["made", "ended", "runs"], "newest first"
    lines = {line.split()[-1]: line for line in table.splitlines()[1:]}
    assert "Up " in lines["runs"] and "Exited (3)" in lines["ended"] and "Created" in lines["made"]
    assert lines["runs"].startswith(three[0][:12]) and "busybox:latest" in lines["runs"]
    assert '"a-rather-long-comma…"' in lines["made"]
    assert '"a-rather-long-command with words"' in shop.out("ps", "-a", "--no-trunc")
    assert names(shop.out("ps")) == ["runs"]


def test_which_are_shown(shop: Shop, three: list[str]) -> None:
    assert shop.out("ps", "-q") == three[0][:12]
    assert shop.out("ps", "-ql", "--no-trunc") == three[2]
    assert shop.out("ps", "-q", "-n", "2", "--no-trunc").split() == [three[2], three[1]]
    for words, wanted in (
        (["status=created"], ["made"]), (["exited=3"], ["ended"]), (["label=kind"], ["runs"]),
        (["label=kind=web"], ["runs"]), (["name=run", "name=mad"], ["runs"]), (["network=none"], ["runs"]),
        (["ancestor=busybox"], ["runs"]), ([f"before={three[2]}", "status=running"], ["runs"]), (["since=made"], []),
    ):  # fmt: skip
        flags = [flag for word in words for flag in ("--filter", word)]
        assert names(shop.out("ps", *flags)) == wanted, words
    done = shop("ps", "--filter", "colour=red")
    assert done.returncode == 2 and "colour" in done.stderr


def test_json(shop: Shop, three: list[str]) -> None:
    rows = [json.loads(line) for line in shop.out("ps", "-a", "-s", "--format", "json").splitlines()]
    assert [row["ID"] for row in rows] == three[::-1]
    ended = rows[1]
    assert (ended["State"], ended["ExitCode"], ended["Names"]) == ("exited", 3, "ended")
    assert "kind=" in ended["Labels"].split(","), "beside the image's own"
    assert ended["Size"] != "0B" and ended["Networks"] == "none"


def test_templates(shop: Shop, three: list[str]) -> None:
    assert shop.out("ps", "--format", "{{.Names}}:{{.ID}}:{{.State}}") == f"runs:{three[0][:12]}:running"
    assert shop.out("ps", "--format", "{{.ID}}", "--no-trunc") == three[0]
    lines = shop.out("ps", "-a", "--format", r"table {{.Names}}\t{{.ID}}\t{{.Size}}").splitlines()
    assert lines[0].split("  ")[0] == "NAMES" and "CONTAINER ID" in lines[0] and len(lines) == 4
    assert shop.out("inspect", "-f", "{{.State.Running}} {{.State.FinishedAt}}", "runs") == "true 0001-01-01T00:00:00Z"


def test_inspect_has_what_scripts_ask(shop: Shop) -> None:
    flags = ("-v", "/tmp:/t:ro", "--tmpfs", "/x:ro", "--cpus", "1.5", "--security-opt", "no-new-privileges")
    shop.out("create", "--name", "asked", *NONE, *flags, IMAGE, "true")
    fields = "{{.HostConfig.Binds}} {{.HostConfig.Tmpfs}} {{.HostConfig.NanoCpus}} {{.HostConfig.SecurityOpt}}"
    said = '["/tmp:/t:ro"] {"/x":"ro"} 1500000000 ["no-new-privileges"]'
    assert shop.out("inspect", "-f", fields, "asked") == said


def test_top_and_stats(shop: Shop, three: list[str]) -> None:
    lines = shop.out("top", "runs").splitlines()
    assert len(lines) == 2 and lines[1].endswith("sleep 100")
    assert shop.out("top", "runs", "-o", "pid,args").splitlines()[1].split()[1:] == ["sleep", "100"]
    assert shop("top", "made").returncode == 1
    found = json.loads(shop.out("stats", "--no-stream", "--interval", "0.1", "--format", "json"))
    assert found["id"] == "runs"
    table = shop.out("stats", "--no-stream", "--interval", "0.1").splitlines()
    assert table[0].split()[:2] == ["NAME", "STATUS"] and table[0].index("STATUS") == table[1].index("running")
    assert shop("stats", "--no-stream", "ended").returncode != 0


def test_prune_takes_what_does_not_run(shop: Shop, three: list[str]) -> None:
    assert shop.out("prune", "-f", "--filter", "label=kind") == three[1]
    assert shop.out("prune", "-f", "--filter", "until=1h") == ""
    done = shop("prune", input="n\n")
    assert (done.returncode, done.stdout) == (1, "") and "nobody said yes" in done.stderr
    assert shop.out("prune", input="y\n").split()[-1] == three[2]
    assert names(shop.out("ps", "-a")) == ["runs"]
