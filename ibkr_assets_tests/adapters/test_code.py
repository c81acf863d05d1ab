"""The hash of the code: another byte anywhere is another hash, and a commit is found however git keeps it."""

from __future__ import annotations

from pathlib import Path

from ibkr_assets.adapters.code import PACKAGE, code_sha256, git_commit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_every_byte_and_every_name_counts_and_nothing_but_python_does(tmp_path: Path) -> None:
    write(tmp_path / "a.py", "x = 1\n")
    write(tmp_path / "b" / "c.py", "y = 2\n")
    first = code_sha256(tmp_path)
    write(tmp_path / "b" / "__pycache__" / "c.pyc", "compiled")
    assert code_sha256(tmp_path) == first
    write(tmp_path / "b" / "c.py", "y = 3\n")
    changed = code_sha256(tmp_path)
    (tmp_path / "b" / "c.py").rename(tmp_path / "b" / "d.py")
    assert len({first, changed, code_sha256(tmp_path)}) == 3


def test_the_platforms_own_hash_is_that_of_its_package() -> None:
    assert code_sha256() == code_sha256(PACKAGE)
    assert len(code_sha256()) == 64


def test_a_commit_is_found_on_a_branch_packed_and_detached(tmp_path: Path) -> None:
    for name in ("none", "loose", "packed", "detached", "unborn"):
        (tmp_path / name).mkdir()
    for name in ("loose", "packed", "unborn"):
        write(tmp_path / name / ".git" / "HEAD", "ref: refs/heads/main\n")
    write(tmp_path / "loose" / ".git" / "refs" / "heads" / "main", COMMIT + "\n")
    write(tmp_path / "packed" / ".git" / "packed-refs", f"# pack-refs with: peeled\n{COMMIT} refs/heads/main\n")
    write(tmp_path / "detached" / ".git" / "HEAD", COMMIT + "\n")
    found = {path.name: git_commit(path) for path in tmp_path.iterdir()}
    assert found == {"none": None, "loose": COMMIT, "packed": COMMIT, "detached": COMMIT, "unborn": None}
