"""Carries out a Dockerfile's steps where there is no Docker: each stage is a Debian root in a folder.

Known are FROM, RUN, COPY, ENV, USER, WORKDIR, ENTRYPOINT and CMD, in the form in which our Dockerfile has
them. An image's contents are thus tested; what `debian:12-slim` holds, and Docker's own isolation, are not.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from tests.site import run

DEBIAN = re.compile("debian:12-slim")
# What a machine needs to reach Debian, PyPI and npm, whatever stands in between.
CERTIFICATES = "/borrowed.crt"
FROM_HERE = {
    "/etc/resolv.conf": "/etc/resolv.conf",
    "/etc/hosts": "/etc/hosts",
    "/etc/pip.conf": "/etc/pip.conf",
    # Not where Debian's own are: a package would put them there.
    "/etc/ssl/certs/ca-certificates.crt": CERTIFICATES,
}


@dataclass
class Image:
    """What a stage has made."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def make_debian(root: Path) -> None:
    """A plain Debian 12, as small as it can be."""
    done = run("mmdebstrap", "--variant=minbase", "bookworm", root)
    assert done.returncode == 0, done.stderr


def read_steps(dockerfile: Path) -> list[tuple[str, str]]:
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def build(dockerfile: Path, debian: Path, folder: Path) -> dict[str, Image]:
    """Carry out all stages, each in a folder of its own below `folder`."""
    images: dict[str, Image] = {}
    context = dockerfile.parent
    for word, rest in read_steps(dockerfile):
        if word == "FROM":
            source, _, name = rest.split()
            start = Image(debian) if DEBIAN.fullmatch(source) else images[source]
            image = images[name] = Image(folder / name, dict(start.environment), start.user, start.folder)
            copied = run("cp", "-a", "--reflink=auto", start.root, image.root)
            assert copied.returncode == 0, copied.stderr
        elif word == "RUN":
            run_step(image, rest)
        elif word == "COPY":
            copy_step(image, rest, images, context)
        elif word == "ENV":
            image.environment |= dict(pair.split("=", 1) for pair in rest.split())
        elif word == "USER":
            image.user = rest
        elif word == "WORKDIR":
            image.folder = rest
            (image.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        elif word == "CMD":
            image.command = json.loads(rest)
        else:
            raise AssertionError(f"the Dockerfile has a step that is not known here: {word}")
    return images


@contextmanager
def borrowed(image: Image) -> Iterator[None]:
    """What this machine reaches registries by is in the image too, for as long as the block lasts."""
    lent = {
        source: inside(image, target)
        for source, target in FROM_HERE.items()
        if Path(source).exists() and not inside(image, target).exists()
    }
    for source, target in lent.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    try:
        yield
    finally:
        for target in lent.values():
            target.unlink(missing_ok=True)


def borrowed_environment() -> dict[str, str]:
    """This machine's variables that say how registries are reached."""
    kept = {key: value for key, value in os.environ.items() if re.search("CERT|CA_BUNDLE|(?i:proxy)", key)}
    return {key: CERTIFICATES if value.endswith(".crt") else value for key, value in kept.items()}


def run_step(image: Image, line: str) -> None:
    fixed = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    environment = {**fixed, **borrowed_environment(), **image.environment}
    shell = ["chroot", image.root, "/bin/sh", "-c", f"cd {image.folder} && {line}"]
    mounts = 'mount -t proc proc "$0/proc"; mount --bind /dev "$0/dev"; exec "$@"'
    with borrowed(image):
        done = run("unshare", "-m", "sh", "-c", mounts, image.root, *shell, env=environment)
    assert done.returncode == 0, f"RUN {line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def inside(image: Image, path: str) -> Path:
    return image.root / path.lstrip("/")


def copy_step(image: Image, rest: str, images: dict[str, Image], context: Path) -> None:
    if rest.startswith("--from="):
        name, source, target = rest.removeprefix("--from=").split()
        done = run("cp", "-a", inside(images[name], source), inside(image, target))
        assert done.returncode == 0, done.stderr
        return
    assert rest == ". .", rest
    for path in files_of(context):
        target = inside(image, image.folder) / path.relative_to(context)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def files_of(context: Path) -> list[Path]:
    """The files that .dockerignore lets through: nothing, then what `!` names, without what follows."""
    lines = (context / ".dockerignore").read_text().split()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    kept_out = [line for line in lines if not line.startswith(("!", "*"))] + ["**/__pycache__"]
    found = []
    for name in let_in:
        path = context / name
        assert path.exists(), f".dockerignore names {name}, which is not there"
        found += [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return [path for path in found if not is_kept_out(str(path.relative_to(context)), kept_out)]


def is_kept_out(path: str, patterns: list[str]) -> bool:
    return "__pycache__" in path or any(
        path == p or path.startswith(f"{p}/") or fnmatch(path, p) for p in patterns
    )
