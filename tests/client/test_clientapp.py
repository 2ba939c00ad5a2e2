"""Whatever a ClientApp does, what comes of it is a reply or a reason; and nobody waits for nodes that never come."""

from pathlib import Path

import pytest

from client import apps, clientapp, errors, flower_compat

APP = """
from flwr import app as flwr_app, clientapp
{made} = clientapp.ClientApp()

@{made}.train()
def train(message, context):
    {body}
"""


def load(folder: Path, body: str) -> clientapp.clientapp.ClientApp:
    (folder / "app.py").write_text(APP.format(made="made", body=body))
    name = f"{folder / 'app.py'}:made"
    return clientapp.load(name, apps.digest(apps.find(name)))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", "it replied NoneType, expected a Message"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise ValueError('of theirs')", "ValueError: of theirs"),
    ],
)
def test_an_app_that_gives_no_reply_is_refused_with_a_reason(tmp_path: Path, body: str, said: str) -> None:
    """One bad node ends no run."""
    made = load(tmp_path, body)
    flower_compat.transport(1)
    message = clientapp.app.Message(clientapp.app.RecordDict(), 2, "train")
    flower_compat.transport(1, message, "m")
    context = clientapp.app.Context(1, 2, {}, clientapp.app.RecordDict(), {})
    with pytest.raises(errors.RefusalError, match=said) as caught:
        clientapp.ask(made, message, context)
    assert caught.value.code == "app-failed"


def test_what_is_no_client_app_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("made = 7\n")
    name = f"{tmp_path / 'app.py'}:made"
    with pytest.raises(errors.AppError, match="is of type int, expected a flwr ClientApp"):
        clientapp.load(name, apps.digest(apps.find(name)))


def test_an_import_that_finds_our_package_says_so(tmp_path: Path) -> None:
    """The app's own client.py cannot be imported by name: ours comes first."""
    (tmp_path / "client.py").write_text("net = 1\n")
    (tmp_path / "there.py").write_text("from client import net\nmade = net\n")
    name = f"{tmp_path / 'there.py'}:made"
    with pytest.raises(errors.AppError, match="client is a package of folkmoot, which comes first: rename"):
        apps.load(name, apps.digest(apps.find(name)))


def test_a_strategy_that_waits_for_more_nodes_is_told_that_none_will_come() -> None:
    roll = clientapp.Roll(2)
    for _ in range(3):
        for _ in range(clientapp.Roll.MOST):
            assert len(roll.call()) == 2
        roll.answer()
    for _ in range(clientapp.Roll.MOST):
        roll.call()
    with pytest.raises(errors.AppError, match="waits for more nodes than the 2"):
        roll.call()
