"""The kinds of a plan's task, by name."""

from collections.abc import Mapping

from client import codeplan, taskplan, textplan

KINDS: Mapping[str, type[taskplan.TaskPlan]] = {
    "digits": taskplan.DigitsPlan,
    "flower": codeplan.FlowerPlan,
    "images": taskplan.ImagesPlan,
    "synthetic": taskplan.SyntheticPlan,
    "table": taskplan.TablePlan,
    "text": textplan.TextPlan,
    "transformer": textplan.TransformerPlan,
}
