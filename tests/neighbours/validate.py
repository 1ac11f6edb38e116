"""The public validator of RO-Crates, without a network. Runs in `.venv-neighbours`: `validate.py CRATE LEVEL CACHE`.

The words of RO-Crate come from the package `rocrate`; the validator believes that it has fetched them. Prints a JSON
list of what is wrong, each with the level and the name of the check; `rocrate` reads the crate too.
"""

# mypy: ignore-errors

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import requests
import rocrate
from rocrate.rocrate import ROCrate
from rocrate_validator import services
from rocrate_validator.models import ValidationSettings
from rocrate_validator.utils.http import HttpRequester

WORDS = "https://w3id.org/ro/crate/1.1/context"


class Shelf(requests.adapters.BaseAdapter):
    """Answers every request with the words."""

    def send(self, request, **_):
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = 200, request.url, request
        answer.headers["Content-Type"] = "application/ld+json"
        data = (Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_bytes()
        answer.raw = requests.packages.urllib3.HTTPResponse(io.BytesIO(data), headers=answer.headers, status=200,
                                                            preload_content=False)  # fmt: skip
        return answer

    def close(self):
        pass


def main() -> None:
    crate, level, cache = sys.argv[1:]
    requester = HttpRequester.initialize_cache(cache_path=cache)
    requester.session.mount("https://w3id.org/", Shelf())
    assert json.loads(requester.get(WORDS).content)["@id"] == WORDS
    settings = ValidationSettings(
        rocrate_uri=crate, profile_identifier="process-run-crate", requirement_severity=level, cache_path=cache,
        offline=True,
    )  # fmt: skip
    found = services.validate(settings)
    assert found.executed_checks
    issues = [
        {"level": one.severity.name, "check": one.check.identifier, "message": one.message} for one in found.issues
    ]
    print(json.dumps({"passed": found.passed(), "issues": issues, "entities": len(ROCrate(crate).get_entities())}))


if __name__ == "__main__":
    main()
