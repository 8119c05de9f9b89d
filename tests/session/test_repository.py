"""How a report names the repository of its claims: never with a password, never by a folder of this machine."""

import subprocess
from pathlib import Path

import pytest

from ilr.session.repository import address_of, commit_of, path_within, web_address


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://git.example.org/group/ilr.git", "https://git.example.org/group/ilr"),
        ("http://git.example.org:8080/ilr/", "https://git.example.org:8080/ilr"),
        ("https://name:secret@git.example.org/group/ilr.git", "https://git.example.org/group/ilr"),
        ("git@git.example.org:group/ilr.git", "https://git.example.org/group/ilr"),
        ("ssh://git@git.example.org/group/ilr", "https://git.example.org/group/ilr"),
        ("ssh://git@git.example.org:2222/group/ilr", "https://git.example.org/group/ilr"),
        ("/home/somebody/ilr", ""),
        ("file:///home/somebody/ilr", ""),
        ("https://", ""),
        ("", ""),
    ],
)
def test_a_remote_on_the_web_has_a_page(remote: str, address: str) -> None:
    assert web_address(remote) == address


def git(folder: Path, *command: str) -> None:
    named = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    subprocess.run(["git", *named, *command], cwd=folder, check=True, capture_output=True)


def test_a_folder_of_a_repository(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    assert (path_within(inner), address_of(inner)) == ("inner/", "")
    assert commit_of(inner).endswith(" (clean)")
    git(tmp_path, "remote", "add", "origin", "git@git.example.org:group/ilr.git")
    (inner / "new").write_text("")
    assert address_of(inner) == "https://git.example.org/group/ilr"
    assert commit_of(inner).endswith(" (with uncommitted changes)")


def test_outside_a_repository_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert (path_within(tmp_path), address_of(tmp_path), commit_of(tmp_path)) == ("", "", "")
