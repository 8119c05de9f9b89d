"""The repository that claims are kept in, as a report names it: commit, paths in it, where others find it."""

import re
import subprocess
from pathlib import Path

_OVER_SSH = re.compile(r"(?:ssh://)?git@([\w.-]+)(?::\d+/|[:/])(.+)")


def commit_of(folder: Path) -> str:
    """The commit of the folder, and whether the work tree differs from it; empty outside a repository."""
    try:
        commit = _output(folder, "rev-parse", "HEAD")
        changed = _output(folder, "status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit} ({'with uncommitted changes' if changed else 'clean'})"


def path_within(folder: Path) -> str:
    """The folder's path in its repository, with a slash at its end; empty at its top, and outside one."""
    try:
        return _output(folder, "rev-parse", "--show-prefix")
    except (OSError, subprocess.CalledProcessError):
        return ""


def address_of(folder: Path) -> str:
    """The page of the repository, made from its remote `origin`; empty where that is a folder, or there is none."""
    try:
        return web_address(_output(folder, "remote", "get-url", "origin"))
    except (OSError, subprocess.CalledProcessError):
        return ""


def web_address(remote: str) -> str:
    """The page of a remote, without whatever name or password it is reached with; empty where it is none of the web.

    >>> web_address("git@example.org:group/project.git")
    'https://example.org/group/project'
    >>> web_address("../project")
    ''
    """
    if over_ssh := _OVER_SSH.fullmatch(remote):
        host, path = over_ssh.groups()
    elif remote.startswith(("https://", "http://")):
        host, _, path = remote.partition("://")[2].partition("/")
        host = host.rpartition("@")[2]
    else:
        return ""
    path = path.strip("/").removesuffix(".git")
    return f"https://{host}/{path}" if host and path else ""


def _output(folder: Path, *command: str) -> str:
    return subprocess.run(("git", *command), cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
