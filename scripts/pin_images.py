"""Pin every image that this repository takes from elsewhere by its digest.

A tag can be moved, a digest cannot. ``python scripts/pin_images.py`` asks the registries for the digest of each image that
has none and writes it beside the tag, in the Dockerfile and the Compose files. ``--all`` asks again for every image: the
update of the base images. ``--check`` asks nobody; it lists the images without a digest, and fails when there is one.
It needs only Docker and the standard library, because CI calls it before anything is installed.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
FILES = ("Dockerfile", "docker-compose*.yaml")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# `ARG SOME_IMAGE=…` of the Dockerfile, and `image: …` of a service, unless a variable names it.
_IMAGE = re.compile(r"^(?:ARG \w+_IMAGE=| +image: +)(?P<image>[^\s$@]+)(?:@(?P<digest>\S+))?[ ]*$", re.MULTILINE)


@dataclass(frozen=True)
class Image:
    """An image as a file names it, and where: ``digest`` is empty when the file has only the tag."""

    file: Path
    line: int
    name: str
    digest: str


def images(folder: Path) -> Iterator[Image]:
    """Every image that the files of ``folder`` take from a registry."""
    for path in sorted(path for pattern in FILES for path in folder.glob(pattern)):
        text = path.read_text()
        for found in _IMAGE.finditer(text):
            yield Image(path, text.count("\n", 0, found.start()) + 1, found["image"], found["digest"] or "")


def pin(folder: Path, digest_of: Callable[[str], str], *, again: bool) -> list[str]:
    """Write digests into the files, and say what changed. With ``again`` also where there is one."""
    digests: dict[str, str] = {}
    changes = []
    for image in list(images(folder)):
        if image.digest and not again:
            continue
        if image.name not in digests:
            digests[image.name] = digest_of(image.name)
        lines = image.file.read_text().splitlines(keepends=True)
        old = f"{image.name}@{image.digest}" if image.digest else image.name
        new = f"{image.name}@{digests[image.name]}"
        if old != new:
            lines[image.line - 1] = lines[image.line - 1].replace(old, new)
            image.file.write_text("".join(lines))
            changes.append(f"{image.file.name}:{image.line}: {new}")
    return changes


def registry_digest(image: str) -> str:
    """The digest to which a tag points now.

    Raises:
        SystemExit: Docker cannot ask the registry, or the answer is no digest.
    """
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    digest = done.stdout.strip()
    if done.returncode or not DIGEST.fullmatch(digest):
        raise SystemExit(f"{image}: no digest. `{' '.join(command)}` said: {(done.stderr or done.stdout).strip()}")
    return digest


def main(arguments: list[str] | None = None, folder: Path = PROJECT) -> int:
    """The command; gives its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--all", action="store_true", help="ask again for images that have a digest")
    chosen.add_argument("--check", action="store_true", help="only list the images without a digest")
    options = parser.parse_args(arguments)
    if options.check:
        loose = [image for image in images(folder) if not DIGEST.fullmatch(image.digest)]
        for image in loose:
            print(f"{image.file.name}:{image.line}: {image.name} has no digest; run python scripts/pin_images.py")
        return 1 if loose else 0
    print("\n".join(pin(folder, registry_digest, again=options.all)) or "Every image has its digest.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
