"""The JSON Schemas that editors complete designs from stand beside the designs, and are current."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from hwsim.config import design_schema, find_designs
from hwsim.model import load_model
from hwsim.parts import tables_of

ROOT = Path(__file__).parent.parent
MODELS = {
    "optimus": "optimus", "roofline": "roofline", "rv32": "mcu/rv32", "mcu": "mcu", "poetbin": "poetbin",
    "fpga-mac": "fpga_mac", "gpu": "gpu", "skynet": "skynet", "systolic": "systolic",
}  # fmt: skip


def schema_file(model: str) -> Path:
    return ROOT / "accelerators" / MODELS[model] / "design.schema.json"


@pytest.mark.parametrize("model", MODELS)
def test_the_published_schema_is_that_of_the_model(model: str) -> None:
    """Write it anew with `hwsim explain DESIGN --schema`."""
    assert json.loads(schema_file(model).read_text()) == design_schema(
        load_model(model).Design, tables_of(load_model(model))
    )


@pytest.mark.parametrize("name", ["optimus", "optimus-baseline", "i7-6900k", "titan-xp", "picorv32", "ibex", "stm32h7"])
def test_every_shipped_design_points_to_its_schema_and_keeps_it(name: str) -> None:
    path = find_designs()[name]
    assert "# yaml-language-server: $schema=design.schema.json" in path.read_text()
    values = yaml.safe_load(path.read_text())
    jsonschema.validate(values, json.loads((path.parent / "design.schema.json").read_text()))
