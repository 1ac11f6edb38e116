import json
from typing import Any, ClassVar

import pytest
import yaml

from executor.spec.docs import PAGE, SCHEMA, main, page, schema, stale
from executor.spec.file import load_spec, spec_text
from executor.spec.model import ORDER
from executor.spec.notation import core_scalar
from tests.unit.spec.bad import table
from tests.unit.spec.golden import FOLDER, observed

CAUGHT_BY_AN_EDITOR = {
    "unknown_field", "version_two", "name_missing", "name_list", "image_mapping", "image_missing", "code_text",
    "code_misspelt", "data_list", "data_text", "data_unknown", "command_text", "command_empty_list", "command_nested",
    "params_list", "seed_missing", "seed_text", "seed_negative", "seed_too_wide", "gpu_text", "gpu_without_type",
    "gpu_no_count", "cpu_threads_zero", "cpu_isa_unknown", "cpu_misspelt", "env_list", "env_nested", "network_text",
    "workdir_unknown", "determinism_unknown", "tier_unknown", "outputs_text_for_list", "outputs_unknown",
    "metrics_text", "pids_few", "resources_unknown", "labels_list", "labels_nested", "commit_short", "data_md5",
}  # fmt: skip


class Editor(yaml.SafeLoader):
    """Reads YAML 1.2 as editors do, without our rule that text fields stay text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]


def _value(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> object:
    try:
        return core_scalar(node.value) if node.style is None else node.value
    except ValueError:
        return float(node.value.replace(".inf", "inf"))


Editor.add_constructor("tag:yaml.org,2002:str", _value)


def as_read(text: str | bytes) -> Any:
    return yaml.load(text, Loader=Editor)


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


def test_the_generated_files_are_what_the_model_says() -> None:
    assert stale() == []
    assert main(["--check"]) == 0


def test_a_stale_file_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("executor.spec.docs.page", lambda: "another page")
    assert main(["--check"]) == 1
    assert capsys.readouterr().err.startswith("docs/spec.md is not what the model says")


def test_the_page_names_every_field_and_every_golden_hash() -> None:
    assert all(f"| `{name}` |" in page() for name in ORDER)
    assert all(vector["spec_hash"] in PAGE.read_text() for vector in observed().values())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_golden_specs_fit_the_schema(path: Any, validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(as_read(path.read_bytes()))] == []


@pytest.mark.parametrize("name", ["full", "minimal", "nested_params", "wide_integers"])
def test_written_specs_fit_the_schema(name: str, validator: Any) -> None:
    assert validator.is_valid(as_read(spec_text(load_spec(FOLDER / f"{name}.yaml"))))


def test_a_draft_fits_the_schema(validator: Any) -> None:
    draft = "{version: 1, name: x, image: torch:2, code: {branch: main}, data: {d: {source: x}}, command: [x], seed: 1}"
    assert validator.is_valid(as_read(draft))


@pytest.mark.parametrize("bad", [bad for bad in table() if bad.name in CAUGHT_BY_AN_EDITOR], ids=lambda bad: bad.name)
def test_an_editor_sees_mistakes_of_shape(bad: Any, validator: Any) -> None:
    assert not validator.is_valid(as_read(bad.text))


def test_every_property_is_described() -> None:
    text = json.loads(SCHEMA.read_text())
    assert list(text["properties"]) == list(ORDER)
    assert all(found["description"] for found in text["properties"].values())
