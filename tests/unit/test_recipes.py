"""Recipes: what a file may say, what an ELF file needs, and a layer that is the same bytes whenever its tree is."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from minirun.errors import MinirunError
from minirun.images.blobs import Blobs
from minirun.images.rootfs import debian, elf, layer, libraries, lock, make
from minirun.images.rootfs.recipe import recipe_from
from minirun.images.rootfs.tree import DIRECTORY, FILE, Entry, Tree
from tests.conftest import ROOT, run

GOOD = 'name = "a"\ndate = 2024-01-01T00:00:00Z\n'


@pytest.mark.parametrize(
    ("text", "pointer", "message"),
    [
        ("date = 2024-01-01T00:00:00Z", "/name", "has to be there"),
        ('name = "a"', "/date", "has to be there"),
        ('name = "a"\ndate = 2024-01-01', "/date", "with its zone"),
        (GOOD + "nonsense = 1", "/nonsense", "not known"),
        (GOOD + 'compression = "lzma"', "/compression", "gzip zstd none"),
        (GOOD + "[busybox]\n[host]", "/", "not both"),
        (GOOD + "files = 1", "/files", "a table"),
        (GOOD + "[files]\na = 1", "/files/a", "a string"),
        (GOOD + '[files]\n"../a" = "b"', "/files/../a", "a path from the root"),
        (GOOD + '[files]\n"/a" = "b"', "/files//a", "a path from the root"),
        (GOOD + '[modes]\na = "9"', "/modes/a", "not to be read"),
        (GOOD + '[modes]\na = "17777"', "/modes/a", "not to be read"),
        (GOOD + '[owners]\na = "root"', "/owners/a", "not to be read"),
        (GOOD + '[config]\nCmd = "sh"', "/config/Cmd", "a list"),
        (GOOD + '[config]\nShell = "sh"', "/config/Shell", "not known"),
        (GOOD + "[busybox]\nsuite = 'x'", "/busybox/suite", "not known"),
    ],
)
def test_a_mistake_in_a_recipe_is_named(text, pointer, message):
    with pytest.raises(MinirunError) as caught:
        recipe_from(tomllib.loads(text), "r.toml", "")
    assert caught.value.config == "r.toml"
    assert any(where == pointer and message in said for where, said in caught.value.problems), caught.value.problems


def test_the_recipes_that_come_with_minirun_are_right():
    assert make.known() == ["busybox", "debian", "host"]
    for name in make.known():
        recipe = make.read(name)
        assert recipe.kind == name and recipe.description and recipe.date > 0
        assert (ROOT / "rootfs" / f"{name}.toml").read_text() == Path(recipe.file).read_text()


def test_the_recipe_in_the_documents_is_right():
    text = (ROOT / "docs" / "images.md").read_text().partition("```toml\n")[2].partition("```")[0]
    recipe = recipe_from(tomllib.loads(text), "docs", "")
    assert (recipe.name, recipe.kind, recipe.owners) == ("hello:1", "host", {"srv": (1000, 1000)})


@pytest.mark.parametrize(("word", "date"), [("", 5), ("1700000000", 1700000000), ("yesterday", None), ("-1", None)])
def test_the_date_is_the_recipes_or_given(word, date, monkeypatch):
    recipe = recipe_from(tomllib.loads(GOOD), "r", "")
    recipe.date = 5
    monkeypatch.setenv("SOURCE_DATE_EPOCH", word)
    if date is None:
        with pytest.raises(MinirunError, match="SOURCE_DATE_EPOCH"):
            make.date_of(recipe)
    else:
        assert make.date_of(recipe) == date


def test_a_recipe_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(MinirunError, match="there is no recipe 'bsybox'") as caught:
        make.read("bsybox")
    assert "busybox debian host" in caught.value.hint
    with pytest.raises(MinirunError, match="No such file"):
        make.read("./bsybox", "/")


# -- the tree and the layer


def sample() -> Tree:
    tree = Tree()
    tree.link("sbin", "usr/bin")
    tree.text("sbin/tool", "#!/bin/sh\n", 0o755)
    shared = Entry(kind=FILE, mode=0o600, content=b"twice", size=5, date=5_000_000_000, uid=3, gid=4)
    tree.put("z", shared)
    tree.put("a/first", shared)
    tree.text("a/" + "long" * 60, "by pax")
    tree.put("c", Entry(kind=FILE, mode=0o644, attributes={"security.capability": b"\x01\xff\0"}))
    tree.directory("tmp", 0o1777)
    return tree


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_layer_is_the_same_bytes_twice(compression, tmp_path):
    blobs = Blobs(str(tmp_path))
    first = layer.write(sample(), blobs, 1_700_000_000, compression)
    other = Tree()
    other.entries = dict(reversed(sample().entries.items()))
    assert layer.write(other, blobs, 1_700_000_000, compression)[0] == first[0]
    assert blobs.has(first[0].digest, first[0].size)
    assert not list(Path(blobs.ingest).iterdir())


def test_what_a_layer_holds(tmp_path):
    blobs = Blobs(str(tmp_path))
    blob, _ = layer.write(sample(), blobs, 1_700_000_000, "gzip")
    with tarfile.open(blobs.path(blob.digest)) as archive:
        found = {member.name: member for member in archive}
    assert list(found) == sorted(found, key=lambda name: name.split("/"))
    assert found["usr/bin/tool"].mode == 0o755 and found["usr"].isdir()  # below the link, where it points
    assert found["z"].islnk() and found["z"].linkname == "a/first"
    assert (found["a/first"].mtime, found["a/first"].uid, found["a/first"].gid) == (1_700_000_000, 3, 4)
    assert found["tmp"].mode == 0o1777
    assert (
        found["c"].pax_headers["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape") == b"\x01\xff\0"
    )
    assert not any(member.uname or member.gname for member in found.values())


def test_links_that_go_round_are_refused():
    tree = Tree()
    tree.link("a", "b")
    tree.link("b", "/a")
    with pytest.raises(MinirunError, match="circle"):
        tree.text("a/x", "")
    tree.directory("d")
    with pytest.raises(MinirunError, match="a directory is there"):
        tree.text("d", "")


def test_patterns_take_out_what_is_below_too():
    tree = Tree()
    for path in ("var/log/apt/x", "var/log/y", "etc/passwd", "etc/passwd-", "debootstrap/a"):
        tree.text(path, "")
    tree.drop(["etc/*-", "debootstrap"])
    assert [path for path in tree.entries if path.startswith(("etc", "deb"))] == ["etc", "etc/passwd"]


# -- ELF


@pytest.mark.parametrize("program", ["/bin/bash", "/usr/bin/python3", "/usr/bin/git", "/bin/busybox", "/usr/bin/perl"])
def test_libraries_are_those_that_the_loader_takes(program):
    """ldd(1) asks the loader itself."""
    if not Path(program).exists():
        pytest.skip(f"no {program}")
    said = run("ldd", program, env={"LC_ALL": "C"}).stdout
    wanted = {re.split(r" => |\s+\(", line.strip())[-2] for line in said.splitlines() if "/" in line}
    assert {str(Path(path).resolve()) for path in libraries.Finder().needed_by(program)} == {
        str(Path(path).resolve()) for path in wanted
    }


@pytest.mark.needs("compiler")
def test_a_library_is_found_beside_who_needs_it(tmp_path):
    """DT_RUNPATH with $ORIGIN; and one that is nowhere has a name in the error."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "a.c").write_text("int ours(void) { return 7; }\n")
    (tmp_path / "m.c").write_text("int ours(void); int main(void) { return ours(); }\n")
    library = tmp_path / "lib" / "libours.so"
    assert run("cc", "-shared", "-fPIC", "-o", library, tmp_path / "a.c").returncode == 0
    program = tmp_path / "program"
    words = ["-L", tmp_path / "lib", "-lours", "-Wl,-rpath,$ORIGIN/lib"]
    assert run("cc", "-o", program, tmp_path / "m.c", *words).returncode == 0
    assert str(library) in libraries.Finder().needed_by(str(program))
    library.unlink()
    with pytest.raises(MinirunError, match=r"cannot find the library libours.so: .*program needs it"):
        libraries.Finder().needed_by(str(program))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_broken_elf_file_is_refused_or_read(data):
    image = bytearray(Path(shutil.which("true") or "/bin/true").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        image[data.draw(st.integers(4, 2000))] = data.draw(st.integers(0, 255))
    try:
        elf.parse(bytes(image[: data.draw(st.integers(0, len(image)))]))
    except elf.BadElf:
        pass


# -- Debian


def test_a_lock_says_what_is_another():
    status = (
        "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\nPackage: b\nStatus: deinstall\n"
    )
    lists = f"Package: a\nArchitecture: amd64\nVersion: 1\nSHA256: {'0' * 64}\n"
    rows = lock.rows(status.splitlines(), [lists.splitlines()])
    assert rows == [("a", "amd64", "1", "0" * 64)]
    assert not lock.differences(rows, rows)
    other = [("a", "amd64", "2", "0" * 64), ("b", "all", "1", "1" * 64)]
    assert lock.differences(rows, other) == ["a is 1, not 2", "b is not installed"]
    assert "b is not in the lock" in lock.differences(other, rows)


def test_a_lock_is_read_as_it_was_written(tmp_path):
    rows = [("a", "amd64", "1", "0" * 64)]
    (tmp_path / "l").write_text(lock.text(rows, "said"))
    assert lock.read(str(tmp_path / "l")) == rows
    (tmp_path / "l").write_text("a amd64 1\n")
    with pytest.raises(MinirunError, match="cannot read the lock"):
        lock.read(str(tmp_path / "l"))


def test_the_lock_that_comes_with_minirun_is_one():
    rows = lock.read(f"{debian.LOCKS}/debian-bookworm-amd64.lock")
    assert len(rows) > 80 and {row[1] for row in rows} == {"all", "amd64"}
    assert len({row[3] for row in rows}) == len(rows)
    assert debian.check(rows, "bookworm", {}, locked=True).endswith("debian-bookworm-amd64.lock")
    assert debian.check(rows[1:], "bookworm", {}, locked=False) == ""
    with pytest.raises(MinirunError, match="is not installed"):
        debian.check(rows[1:], "bookworm", {}, locked=True)


def test_where_apt_has_a_suite_is_where_it_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(debian, "SOURCES", str(tmp_path / "sources.list"))
    (tmp_path / "sources.list").write_text(
        "deb [arch=amd64 signed-by=/k] http://m.example/debian stone main contrib # x\n"
        "deb-src http://m.example/debian stone main\n"
    )
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "s.sources").write_text(
        "Types: deb\nURIs: http://m.example/security\nSuites: stone-security\nComponents: main\n\n"
        "Types: deb\nURIs: http://other.example/x\nSuites: stone-updates\nComponents: main\nEnabled: no\n"
    )
    assert debian.sources("stone", {}) == [
        "deb http://m.example/debian stone main", "deb http://m.example/security stone-security main",
    ]  # fmt: skip
    assert debian.sources("sand", {}) == []


def test_the_order_of_tar_is_the_order_of_bytes(tmp_path):
    tree = Tree()
    for name in ("é", "z", "a"):
        tree.text(name, "")
    blob, _ = layer.write(tree, Blobs(str(tmp_path)), 0, "none")
    with tarfile.open(fileobj=io.BytesIO(Path(Blobs(str(tmp_path)).path(blob.digest)).read_bytes())) as archive:
        assert archive.getnames() == ["a", "z", "é"]
    assert tree.entries["a"].kind == FILE != DIRECTORY
