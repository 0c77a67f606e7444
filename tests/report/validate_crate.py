"""Hold a crate against a profile with rocrate-validator, without network: ``python validate_crate.py CRATE PROFILE``.

Runs in the validator's own environment. The vocabularies that the crate names by their address are put together here, from the
terms of schema.org that the library `rocrate` carries and those of the profiles.
"""

import email.message
import io
import json
import sys
import urllib.request
import urllib.response
from importlib import resources

import rdflib._networking
import rdflib.parser  # noqa: F401 - takes over urlopen
from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester

TERMS = "https://w3id.org/ro/terms/workflow-run"
OWN = ("containerImage", "registry", "tag", "ContainerImage", "DockerImage", "SIFImage")
OTHERS = {
    "File": "http://schema.org/MediaObject",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
}


def vocabularies() -> dict[str, dict[str, object]]:
    """Return the contexts by a part of their address."""
    terms = json.loads(resources.files("rocrate").joinpath("data/schema.jsonld").read_text(encoding="utf-8"))["@graph"]
    names = {term["@id"].rpartition(":")[2].rpartition("/")[2] for term in terms}
    schema = {name: f"http://schema.org/{name}" for name in sorted(names)}
    return {"/crate/1.1": {"@context": schema | OTHERS}, TERMS: {"@context": {name: f"{TERMS}#{name}" for name in OWN}}}


CONTEXTS = vocabularies()


def answered(request: object, *_args: object, **_options: object) -> urllib.response.addinfourl:
    """Stand for the network."""
    address = request if isinstance(request, str) else request.full_url
    body = next(context for part, context in CONTEXTS.items() if part in address)
    headers = email.message.Message()
    headers["Content-Type"] = "application/ld+json"
    return urllib.response.addinfourl(io.BytesIO(json.dumps(body).encode()), headers, address, 200)


class Answer:
    """What the validator's own client returns."""

    def __init__(self, address: str) -> None:
        self.headers = {"Content-Type": "application/ld+json"}
        self.status_code, self.url = 200, address
        self.body = next(context for part, context in CONTEXTS.items() if part in address)
        self.text = json.dumps(self.body)

    def json(self) -> dict[str, object]:
        """Return the document."""
        return self.body

    def raise_for_status(self) -> None:
        """Raise nothing."""


def main(crate: str, profile: str) -> int:
    """Print what is wrong; return 1 if anything is."""
    for module in list(sys.modules.values()):
        for name in ("urlopen", "_urlopen"):
            if module.__name__.split(".")[0] in ("urllib", "rdflib") and hasattr(module, name):
                setattr(module, name, answered)
    HttpRequester.get = lambda _self, address, **_options: Answer(address)
    settings = services.ValidationSettings(
        rocrate_uri=crate, profile_identifier=profile, requirement_severity=models.Severity.REQUIRED
    )
    issues = services.validate(settings).get_issues()
    for issue in issues:
        sys.stdout.write(f"{issue.check.identifier} {issue.message}\n")
    return 1 if issues else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
