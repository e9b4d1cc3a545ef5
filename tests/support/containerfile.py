"""Builds and runs what a Containerfile describes, with chroot and namespaces in place of a container engine.

Knows the instructions that our recipes use, and refuses any other. Every base image is the same minimal Debian. Takes root.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_THIS_MACHINES = ("PIP_CERT", "PIP_INDEX_URL", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""Where packages come from is the building machine's matter, as with any engine."""


@dataclass
class Image:
    """A root file system, and how it is meant to be run."""

    root: Path
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    user: str = "root"
    directory: str = "/"
    volumes: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)


def build(recipe: Path, context: Path, base: Path, place: Path) -> Image:
    """Carry out `recipe` in `place`; the last stage's image. `base` is an archive, `context` what COPY copies from."""
    stages: dict[str, Image] = {}
    image = Image(place)
    for word, rest in _instructions(recipe.read_text()):
        if word == "FROM":
            name = rest.split(" AS ")[-1] if " AS " in rest else str(len(stages))
            image = stages[name] = Image(place / name)
            image.root.mkdir(parents=True)
            subprocess.run(["tar", "-C", str(image.root), "-xf", str(base)], check=True)
        elif word == "RUN":
            _in_chroot(image, rest)
        elif word == "COPY":
            _copy(image, shlex.split(rest), context, stages)
        elif word == "ENV":
            name, value = rest.split("=", 1)
            image.environ[name] = value
        elif word == "WORKDIR":
            image.directory = rest
            (image.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "USER":
            image.user = rest
        elif word == "VOLUME":
            image.volumes.append(rest)
        elif word == "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        elif word == "CMD":
            image.command = json.loads(rest)
        elif word == "HEALTHCHECK":
            image.healthcheck = json.loads(rest.split("CMD", 1)[1])
        else:
            assert word == "STOPSIGNAL", f"{word} is not known here"
            assert rest == "SIGTERM"
    return image


@contextmanager
def running(image: Image, environ: Mapping[str, str], volumes: Path, out: Path) -> Iterator[Container]:
    """The image as a container: root file system read-only but for /tmp and its volumes, a network of its own."""
    mounts = []
    for number, volume in enumerate(image.volumes):
        own = volumes / str(number)
        subprocess.run(["cp", "-a", str(image.root / volume.lstrip("/")), str(own)], check=True)
        mounts.append(f"mount --bind {own} {image.root}{volume}")
    script = "\n".join(
        [
            "set -e",
            f"mount --bind {image.root} {image.root}",
            f"mount -o remount,bind,ro {image.root}",
            f"mount -t proc proc {image.root}/proc",
            f"mount -t tmpfs -o mode=1777 tmpfs {image.root}/tmp",
            f"mount --rbind /dev {image.root}/dev",
            *mounts,
            "ip link set lo up",
            f"exec {shlex.join(_entering(image, environ, [*image.entrypoint, *image.command]))}",
        ]
    )
    isolation = ("unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child")
    with out.open("wb") as file:
        process = subprocess.Popen([*isolation, "sh", "-c", script], stdout=file, stderr=file)
    try:
        yield Container(image, environ, process)
    finally:
        process.kill()
        process.wait()


@dataclass
class Container:
    """A running image."""

    image: Image
    environ: Mapping[str, str]
    process: subprocess.Popen[bytes]

    @property
    def first(self) -> int:
        """The container's process 1, as this machine numbers it; 0 while there is none."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def exec(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Another process in it, as its own user."""
        enter = ("nsenter", "--target", str(self.first), "--mount", "--pid", "--net", "--uts", "--ipc", "--")
        return subprocess.run(
            [*enter, *_entering(self.image, self.environ, argv)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def _entering(image: Image, environ: Mapping[str, str], argv: Sequence[str]) -> list[str]:
    variables = [f"{name}={value}" for name, value in (image.environ | dict(environ)).items()]
    command = f"cd {shlex.quote(image.directory)} && exec {shlex.join(argv)}"
    uid, gid = _ids(image)
    place = ("/usr/sbin/chroot", f"--userspec={uid}:{gid}", "--groups=", str(image.root))
    return [*place, "/usr/bin/env", "-i", *variables, "/bin/sh", "-c", command]


def _ids(image: Image) -> tuple[str, str]:
    for line in (image.root / "etc/passwd").read_text().splitlines():
        name, _, uid, gid, *_ = line.split(":")
        if name == image.user:
            return uid, gid
    raise AssertionError(f"no user {image.user} in the image")


def _in_chroot(image: Image, command: str) -> None:
    own = {name: os.environ[name] for name in _THIS_MACHINES if name in os.environ}
    root = image.root
    script = "\n".join(
        [
            "set -e",
            f"mount -t proc proc {root}/proc",
            f"mount --rbind /dev {root}/dev",
            f"mount -t tmpfs tmpfs {root}/var/cache/apt",
            f"for file in /etc/resolv.conf /etc/hosts; do touch {root}$file; mount --bind $file {root}$file; done",
            *(
                f"touch {root}/tmp/trusted.crt; mount --bind {shlex.quote(path)} {root}/tmp/trusted.crt"
                for path in {value for name, value in own.items() if name.endswith(("CERT", "FILE"))}
            ),
            f"exec chroot {root} /bin/sh -c {shlex.quote(command)}",
        ]
    )
    trusted = {
        name: "/tmp/trusted.crt" if name.endswith(("CERT", "FILE")) else value for name, value in own.items()
    }
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=image.environ | trusted | {"DEBIAN_FRONTEND": "noninteractive"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"RUN {command}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"


def _copy(image: Image, words: list[str], context: Path, stages: Mapping[str, Image]) -> None:
    source = context
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].root
    *names, target = words
    place = image.root / target.lstrip("/")
    for name in names:
        for found in sorted(source.glob(name.lstrip("/"))):
            if found.is_dir():
                shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(found, place)


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, rest = line.split(None, 1)
        yield word, " ".join(rest.split())
