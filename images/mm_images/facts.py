"""What the images are made of: `images.toml` and the command names of `pyproject.toml`, typed."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mm_cluster.failure import Failure
from mm_cluster.places import PROJECT

_TAPE_PATTERN = "shared/data/*.gz"


@dataclass(frozen=True)
class ImageFacts:
    """One image: package folders, lock file, and commands as {name: "module:function"}."""

    name: str
    packages: tuple[Path, ...]
    lock: Path
    entrypoint: str
    commands: Mapping[str, str]
    carries_tape: bool

    @property
    def repository(self) -> str:
        """The image's name without a tag, as a pod spec has it."""
        return f"market-maker/{self.name}"


@dataclass(frozen=True)
class Facts:
    """All images and what they share; `version` is the distribution's."""

    base_packages: tuple[str, ...]
    base_registry_image: str
    byte_code_only: tuple[str, ...]
    user: int
    home: str
    environment: Mapping[str, str]
    version: str
    images: Mapping[str, ImageFacts]


@cache
def facts() -> Facts:
    """Read both files once."""
    table = tomllib.loads((PROJECT / "images" / "images.toml").read_text())
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    images = {
        name: ImageFacts(
            name=name,
            packages=tuple(PROJECT / folder for folder in image["packages"]),
            lock=PROJECT / image["lock"],
            entrypoint=image["entrypoint"],
            commands={command: project["scripts"][command] for command in image["commands"]},
            carries_tape=image.get("tape", False),
        )
        for name, image in table["images"].items()
    }
    return Facts(
        base_packages=tuple(table["base"]["packages"]),
        base_registry_image=table["base"]["registry_image"],
        byte_code_only=tuple(table["dependencies"]["byte_code_only"]),
        user=table["runtime"]["user"],
        home=table["runtime"]["home"],
        environment=table["runtime"]["environment"],
        version=project["version"],
        images=images,
    )


def selected(names: list[str]) -> list[ImageFacts]:
    """The named images, or all of them."""
    unknown = sorted(set(names) - set(facts().images))
    if unknown:
        raise Failure(f"no such image: {', '.join(unknown)}; there are {', '.join(sorted(facts().images))}.")
    return [image for name, image in facts().images.items() if name in names or not names]


def tape() -> Path | None:
    """The tape that the exchange's image carries: `MM_TAPE`, else the recorded one beside the project, else none."""
    if named := os.environ.get("MM_TAPE"):
        path = Path(named).resolve()
        if not path.is_file():
            raise Failure(f"MM_TAPE={named} is no file.")
        return path
    return min(PROJECT.parent.glob(_TAPE_PATTERN), default=None)
