"""A run as an RO-Crate: the logs folder described for archives and for the next reader, after the profile Provenance Run Crate.

The folder itself becomes the crate: one file of metadata is written beside what is there, made from ``provenance.json``. Files
that lie elsewhere (recordings, exports) are named by where they are, with their sha256.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from rocrate.model import ContextEntity, Entity, File
from rocrate.rocrate import ROCrate

from lussac import __version__
from lussac.pipeline.recorded import PARAMS_FILE, Recorded
from lussac.provenance import RECORD
from lussac.store import write_atomically

FILE = "ro-crate-metadata.json"
VERSION = "1.1"
"""Of RO-Crate, which the profiles are made for."""
TERMS = "https://w3id.org/ro/terms/workflow-run"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
ENGINE, WORKFLOW_RUN, ENGINE_RUN = "#lussac", "#run", "#execution"
COMPLETED, FAILED = "http://schema.org/CompletedActionStatus", "http://schema.org/FailedActionStatus"
IMAGES = {"sif": f"{TERMS}#SIFImage"}
LICENCE = "The licence of the data is not recorded: ask those who recorded them."


def write_crate(logs_folder: Path) -> Path:
    """Describe a finished run as an RO-Crate.

    Parameters
    ----------
    logs_folder
        Of the run.

    Returns
    -------
    Path
        The file that was written, in that folder.

    Raises
    ------
    InputError
        It has no record of a run that came to its end.
    """
    run = Recorded.read(logs_folder)
    target = run.folder / FILE
    text = json.dumps(_Crate(run, ROCrate(version=VERSION)).described(), indent=2, ensure_ascii=False)
    write_atomically(target, text + "\n")
    return target


@dataclass(frozen=True)
class _Crate:
    """A crate that is being filled."""

    run: Recorded
    crate: ROCrate

    @property
    def record(self) -> Mapping[str, Any]:
        return self.run.record

    def described(self) -> dict[str, Any]:
        """Return the metadata."""
        self._root()
        tools = [self._tool(number, facts) for number, facts in enumerate(self._parts, 1)]
        self.workflow["hasPart"] = [self.crate.dereference(name) for name in sorted({tool.id for tool in tools})]
        self.workflow["step"] = [
            self._new("HowToStep", f"{PARAMS_FILE}#{number}", position=str(number), name=_title(facts), workExample=tool)
            for number, (facts, tool) in enumerate(zip(self._parts, tools, strict=True), 1)
        ]
        actions = [self._action(facts, tool) for facts, tool in zip(self._parts, tools, strict=True)]
        controls = [
            self._new("ControlAction", f"#control-{number}", name=f"control of {_title(facts)}", instrument=step, object=action)
            for number, (facts, step, action) in enumerate(zip(self._parts, self.workflow["step"], actions, strict=True), 1)
        ]
        whole = self._whole()
        period = {"startTime": self.record["started"], "endTime": self.record["ended"]}
        execution = {"instrument": self.engine, "object": controls, "result": whole, "actionStatus": {"@id": COMPLETED}}
        self._new("OrganizeAction", ENGINE_RUN, name=f"Lussac {self.record['run']}", **execution, **period)
        self.crate.root_dataset["mentions"] = [whole, *actions]
        generated: dict[str, Any] = self.crate.metadata.generate()
        return generated

    @cached_property
    def _parts(self) -> list[Mapping[str, Any]]:
        """What was run, in its order."""
        return [*self.record["sorters"], *self.record["steps"]]

    @cached_property
    def engine(self) -> Entity:
        """Lussac, which read the workflow and ran it."""
        return self._new("SoftwareApplication", ENGINE, name="Lussac", softwareVersion=self.record["software"]["lussac"])

    @cached_property
    def workflow(self) -> Entity:
        """The params.json, as it was run."""
        language = {"name": "params.json of Lussac", "version": __version__, "alternateName": "Lussac"}
        kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
        return self.crate.add(
            File(
                self.crate,
                self.run.folder / PARAMS_FILE,
                PARAMS_FILE,
                properties={
                    "@type": kinds,
                    "name": "the params of the run",
                    "sha256": self.record["params"]["sha256"],
                    "encodingFormat": "application/json",
                    "programmingLanguage": self._new("ComputerLanguage", "#params", **language),
                },
            )
        )

    def _root(self) -> None:
        crate, record = self.crate, self.record
        crate.name = f"Spike sorting of {Path(record['params']['file']).parent.name}"
        crate.description = (
            f"A run of Lussac {record['software']['lussac']}: spike sorters and their merging into single neurons."
        )
        crate.datePublished = datetime.fromisoformat(record["ended"])
        crate.license = self._new("CreativeWork", "#licence", name="Not recorded", description=LICENCE)
        crate.metadata.extra_contexts.append(f"{TERMS}/context")
        profiles = [self._new("CreativeWork", name, name=title, version=number) for name, (title, number) in PROFILES.items()]
        crate.root_dataset["conformsTo"] = profiles
        crate.mainEntity = self.workflow
        self._file({"path": str(self.run.folder / RECORD), "name": "the record that this crate is made from"})

    def _whole(self) -> Entity:
        """Return the run as one action: from the inputs to what is left at the end."""
        results = [entity for facts in self.record["steps"][-1:] for entity in self._files(facts.get("outputs", ()))]
        return self._new(
            "CreateAction",
            WORKFLOW_RUN,
            name=f"run {self.record['run']}",
            instrument=self.workflow,
            object=[*self._files(self.record["inputs"])],
            result=results,
            startTime=self.record["started"],
            endTime=self.record["ended"],
            actionStatus={"@id": COMPLETED},
            **self._in_image(self.record["software"]["image"]),
        )

    def _in_image(self, image: Mapping[str, Any] | str | None) -> dict[str, Any]:
        """Return what an action says about the image that it ran in; nothing where no hash of that is known."""
        if isinstance(image, Mapping) and image["rootfs"].startswith(("sha256:", "sif:")):
            return {"containerImage": self._image(image)}
        return {}

    def _action(self, facts: Mapping[str, Any], tool: Entity) -> Entity:
        """Return one sorter or step that was run."""
        failed = facts["outcome"] in ("failed", "interrupted")
        more = self._in_image(facts.get("image"))
        more |= {"startTime": facts["started"], "endTime": facts["ended"]} if "started" in facts else {}
        more |= {"error": facts["message"]} if failed else {}
        return self._new(
            "CreateAction",
            f"#{facts['key'][:16]}-{_title(facts)}",
            name=_title(facts),
            description=f"{facts['outcome']}, content key {facts['key']}",
            instrument=tool,
            object=[self._parameter(facts, name, value) for name, value in _parameters(facts).items()],
            result=self._files(facts.get("outputs", ())),
            actionStatus={"@id": FAILED if failed else COMPLETED},
            **more,
        )

    def _tool(self, number: int, facts: Mapping[str, Any]) -> Entity:
        """Return the program of a sorter or a module."""
        if "sorter" in facts:
            version = facts.get("versions", {}).get("sorter") or "unknown"
            return self._new("SoftwareApplication", f"#sorter-{facts['sorter']}", name=facts["sorter"], softwareVersion=version)
        name = f"#module-{facts['module']}"
        version = f"{self.record['software']['lussac']}, module version {facts['version']}"
        return self._new("SoftwareApplication", name, name=facts["module"], softwareVersion=version, position=number)

    def _image(self, image: Mapping[str, Any]) -> Entity:
        """Return an image that something ran in, by the hash of its contents."""
        name, _, _digest = image["requested"].partition("@")
        repository, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "latest")
        host, _, rest = repository.partition("/")
        registry, repository = (host, rest) if "." in host or ":" in host else ("docker.io", repository)
        sha = (image["sif"] or {}).get("sha256") or (image["manifest"] or image["config"] or image["rootfs"]).removeprefix(
            "sha256:"
        )
        return self._new(
            "ContainerImage",
            f"#image-{image['rootfs'].rpartition(':')[2][:16]}",
            additionalType={"@id": IMAGES.get(image["source"], f"{TERMS}#DockerImage")},
            registry=registry,
            name=repository,
            tag=tag,
            sha256=sha,
            identifier=image["rootfs"],
        )

    def _parameter(self, facts: Mapping[str, Any], name: str, value: object) -> Entity:
        text = value if isinstance(value, str) else json.dumps(value)
        return self._new("PropertyValue", f"#{facts['key'][:16]}-{_title(facts)}-{name}", name=name, value=text)

    def _files(self, many: Iterable[Mapping[str, Any]]) -> list[Entity]:
        return [self._file(facts) for facts in many]

    def _file(self, facts: Mapping[str, Any]) -> Entity:
        """Return a file: by its path in the crate, or by where it lies."""
        path = self.run.path(facts["path"])
        inside = path.is_relative_to(self.run.folder)
        name = path.relative_to(self.run.folder).as_posix() if inside else path.as_uri()
        if known := self.crate.dereference(name):
            return known
        properties = {"name": facts.get("name", path.name)}
        properties |= {"sha256": facts["sha256"]} if "sha256" in facts else {}
        properties |= {"contentSize": str(facts["size"])} if "size" in facts else {}
        return self.crate.add(File(self.crate, path if inside else name, name if inside else None, properties=properties))

    def _new(self, kind: str, identifier: str, /, **properties: Any) -> Entity:  # noqa: ANN401 - values of a graph
        """Return a thing that is no file; the same for the same identifier."""
        if known := self.crate.dereference(identifier):
            return known
        entity = self.crate.add(ContextEntity(self.crate, identifier, properties={"@type": kind}))
        for key, value in properties.items():
            entity[key] = value
        return entity


def _title(facts: Mapping[str, Any]) -> str:
    return str(facts.get("label") or facts["name"])


def _parameters(facts: Mapping[str, Any]) -> dict[str, Any]:
    return dict(facts.get("parameters") or facts.get("params") or {})
