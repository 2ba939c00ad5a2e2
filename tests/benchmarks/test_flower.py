"""benchmarks.flower: every system is given the same bytes."""

import hashlib
import importlib.util
from pathlib import Path

import pytest
import torch

from benchmarks import flower

APP = Path(flower.SCRIPT).with_name("app.py")


@pytest.mark.parametrize(
    ("kind", "inputs", "labels", "start"),
    [
        ("cnn", "d7ceac25fbad4b3b", "e6624ec2aaad7a77", "1ad16f83fa75dd58"),
        ("logreg", "324d5e7edb2be0e9", "6850acc22fb1a546", "a02bc35110b82d97"),
    ],
)
def test_data_and_models_are_those_of_record(kind: str, inputs: str, labels: str, start: str) -> None:
    """Drawn anew on any machine, to the bit: figures of two machines, or of two years, are of the same work."""
    spec = importlib.util.spec_from_file_location("speed_app", APP)
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    drawn, classes = app.examples(kind)
    torch.manual_seed(0)
    flat = torch.cat([each.detach().reshape(-1) for each in app.network(kind).parameters()])
    found = [hashlib.sha256(each.numpy().tobytes()).hexdigest()[:16] for each in (drawn, classes, flat)]
    assert found == [inputs, labels, start]
