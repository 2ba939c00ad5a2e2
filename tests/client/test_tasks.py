"""The tasks: their public data, what a holder may bring, and models that learn it."""

import dataclasses
import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch

from client import errors, seeds, task, taskkinds, taskplan, testset, training
from client.data import files
from client.tasks import catalogue, digits, table, text
from exchange import blocks, unixfs
from exchange import errors as exchange_errors
from orchestrator import config
from orchestrator import errors as orchestrator_errors

NAMES = tuple(name for name in taskkinds.KINDS if name != "flower")  # whose data are the app's: test_flower_runs.py
OWN = (
    "task=table",
    "task.source=own",
    "task.columns=[age,pressure]",
    "task.label=class",
    "task.classes=[well,ill]",
    "task.centre=[50,120]",
    "task.spread=[20,25]",
)


def planned(name: str) -> taskplan.TaskPlan:
    return config.compose(
        [f"task={name}", "task.holders=4", "task.alpha=1", "rule.byzantine=0", "attack=none"]
    ).plan.task


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"synthetic", "transformer"}])
def test_public_data_are_split_without_loss_or_overlap(name: str) -> None:
    """All that is not in the test set falls to the holders, each example once; the test set is that of any seed."""
    made = catalogue.load(planned(name), seed=0)
    shards = [made.shard(number) for number in range(4)]
    test = made.test()
    every = torch.cat([test.inputs, *(shard.inputs for shard in shards)])
    other = catalogue.load(planned(name), seed=5)
    assert torch.equal(other.test().inputs, test.inputs)
    others = torch.cat([test.inputs, *(other.shard(number).inputs for number in range(4))])
    assert len(every) == len(others)
    assert torch.equal(every.flatten(1).sum(1).sort()[0], others.flatten(1).sum(1).sort()[0])
    assert len(other.shard(0)) != len(shards[0])
    assert [made.size(number) for number in range(4)] == [len(shard) for shard in shards]
    for ask in (made.shard, made.size):
        with pytest.raises(errors.TaskError, match=f"{name} has holders 0 to 3 in this run, got 4"):
            ask(4)


def test_drawn_examples_are_a_holders_own() -> None:
    """As many as asked for, other ones for each holder and seed, the same again when asked again; the test set is fixed."""
    made, other = (catalogue.load(planned("synthetic"), seed=seed) for seed in (0, 5))
    shards = [made.shard(number) for number in range(4)]
    assert [len(shard) for shard in shards] == [made.size(number) for number in range(4)] == [100] * 4
    assert torch.equal(made.shard(2).inputs, shards[2].inputs)
    assert torch.equal(made.test().inputs, other.test().inputs)
    for same in (shards[3].inputs, other.shard(2).inputs, made.test().inputs[:100]):
        assert not torch.equal(shards[2].inputs, same)
    for ask in (made.shard, made.size):
        with pytest.raises(errors.TaskError, match="synthetic has holders 0 to 3 in this run, got 4"):
            ask(4)


def test_drawn_sizes_and_classes_are_as_unequal_as_asked() -> None:
    """With a skew of 1 the logarithms of 400 sizes spread by about 1 around the median; with alpha 0.01 one class rules."""
    settings = dataclasses.replace(planned("synthetic"), holders=400, skew=1.0, alpha=0.01, features=2)
    made = catalogue.load(settings, seed=0)
    logs = np.log([made.size(number) for number in range(400)])
    assert logs.std() == pytest.approx(1.0, abs=0.1)
    assert np.median(logs) == pytest.approx(np.log(100), abs=0.15)
    assert [len(made.shard(number)) for number in range(5)] == [made.size(number) for number in range(5)]
    ruled = [int(torch.bincount(made.shard(number).labels).max()) / made.size(number) for number in range(40)]
    assert np.median(ruled) > 0.9


def test_the_network_of_mcmahan_has_its_parameters() -> None:
    """1,663,370, as the paper says: 832 and 51,264 in the convolutions, 1,606,144 and 5,130 in the layers."""
    for name in ("images", "synthetic"):
        settings = dataclasses.replace(planned(name), channels=32, hidden=512)
        sizes = [p.numel() for p in catalogue.load(settings, seed=0).model().parameters()]
        assert sum(sizes) == 832 + 51_264 + 1_606_144 + 5_130 == 1_663_370
    with pytest.raises(errors.PlanError, match=r"task\.features is 64 with task\.channels=1: expected 784"):
        dataclasses.replace(planned("synthetic"), channels=1, features=64)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "transformer"])  # test_networks.py
def test_a_model_learns_its_task(name: str) -> None:
    """One holder with a quarter of the data does better than naming the greatest class; inputs have the schema's shape."""
    settings = dataclasses.replace(planned(name), alpha=1000.0, epochs={"text": 1, "images": 6}.get(name, 3))
    made = catalogue.load(settings, seed=0)
    examples, test = made.shard(0), made.test()
    assert examples.inputs.shape[1:] == made.schema.shape
    start = training.initial(made, seed=0)
    model = training.FlatModel(made.model(), torch.device("cpu"))
    batches = seeds.generator(0, round_number=1, member="a", purpose="batches")
    trained = start + training.train(model, start, examples, settings, batches).delta
    judged = training.evaluate(model, trained, test)
    greatest = int(torch.bincount(test.labels).max()) / len(test)
    assert judged.correct / judged.total > min(0.85, 1.4 * greatest)


def test_a_holders_table_of_digits_is_the_digits(tmp_path: Path) -> None:
    """The public images, written as a table of pixels from 0 to 16, are read back as the very same tensors."""
    made = catalogue.load(planned("digits"), seed=0)
    known = digits.public()
    raw = (known.inputs * 16).to(torch.int64).numpy()
    header = ",".join([*digits.SCHEMA.columns, "digit"])
    rows = np.concatenate([raw, known.labels.numpy()[:, None]], axis=1)
    np.savetxt(tmp_path / "mine.csv", rows, fmt="%d", delimiter=",", header=header, comments="")
    np.savez(tmp_path / "mine.npz", inputs=raw.reshape(-1, 8, 8), labels=known.labels.numpy())
    for name in ("mine.csv", "mine.npz"):
        found = files.read(tmp_path / name, made)
        assert torch.equal(found.inputs, known.inputs)
        assert torch.equal(found.labels, known.labels)
    np.savez(tmp_path / "bright.npz", inputs=np.full((1, 64), 17), labels=[3])
    with pytest.raises(errors.DataError, match=r"row 1, column 'pixel_0_0': got 17, expected a number from 0 to 16"):
        files.read(tmp_path / "bright.npz", made)


def test_a_built_in_table_is_scaled_by_its_own_constants() -> None:
    """Each column of the whole public table has mean 0 and standard deviation 1; none of it comes from a holder."""
    for source, columns in taskplan.BUILT_IN.items():
        wanted, public = table.built_in(source)
        assert len(wanted.columns) == columns
        assert public.inputs.double().mean(0).abs().max() < 1e-6
        assert (public.inputs.double().std(0, correction=0) - 1).abs().max() < 1e-5


def test_an_own_table_is_scaled_by_the_plan(tmp_path: Path) -> None:
    """Two holders with other data: the same value is the same input."""
    made = own(tmp_path)
    (tmp_path / "a.csv").write_text("age,pressure,class\n70,145,ill\n")
    (tmp_path / "b.csv").write_text("age,pressure,class\n70,145,ill\n1,1,well\n900,2,ill\n")
    first, second = (files.read(tmp_path / name, made).inputs for name in ("a.csv", "b.csv"))
    assert first.tolist() == [[1.0, 1.0]]
    assert torch.equal(second[:1], first)


def own(folder: Path) -> task.Task:
    (folder / "test.csv").write_text("pressure,age,class\n120,50,well\n145,30,ill\n")
    chosen = config.compose([*OWN, f"task.test={folder / 'test.csv'}", "pool=remote", "rule.byzantine=0"])
    return catalogue.load(chosen.plan.task, seed=0)


def test_an_own_table_has_no_public_rows(tmp_path: Path) -> None:
    """Nobody can simulate it: holders bring their data."""
    made = own(tmp_path)
    assert made.own
    for ask in (made.test, lambda: made.shard(0)):
        with pytest.raises(errors.TaskError, match=r"task\.source=own has no public rows: holders bring theirs"):
            ask()
    with pytest.raises(orchestrator_errors.ConfigError, match="choose pool=remote, where holders bring theirs"):
        config.compose([*OWN, f"task.test={tmp_path / 'test.csv'}", "pool=inprocess"])


def test_a_coordinators_own_test_set(tmp_path: Path) -> None:
    """The plan names the bytes, the store holds them, and they are the examples that were in the file."""
    made = own(tmp_path)
    chosen = config.compose([*OWN, f"task.test={tmp_path / 'test.csv'}", "pool=remote", "rule.byzantine=0"])
    store = blocks.BlockStore(tmp_path / "store")
    assert chosen.plan.task.test == str(store.put(chosen.test)) == made.test_file
    found = testset.load(made, store)
    assert found.inputs.tolist() == [[0.0, 0.0], [-1.0, 1.0]]
    assert found.labels.tolist() == [0, 1]
    assert config.compose(["task=table"]).test == b""


def test_other_bytes_are_no_test_set(tmp_path: Path) -> None:
    """Missing, another CID, another shape, a label of no class, a value that is not finite."""
    made = own(tmp_path)
    with pytest.raises(exchange_errors.BlockMissingError):
        testset.load(made, blocks.BlockStore(tmp_path / "empty"))
    with pytest.raises(errors.TaskError, match=r"test set has CID bafk.*, expected bafk"):
        testset.decode(b"other", made.test_file, made, (2,))
    ok = torch.zeros(1, 2)
    for inputs, label, sentence in (
        (ok, 2, "expected finite inputs, and labels from 0 to 1"),
        (ok, -1, "expected finite inputs, and labels from 0 to 1"),
        (ok * torch.nan, 0, "expected finite inputs"),
        (torch.zeros(1, 3), 0, "shape"),
    ):
        file = testset.encode(task.Examples(inputs=inputs, labels=torch.tensor([label])))
        with pytest.raises(errors.TaskError, match=sentence):
            testset.decode(file, str(unixfs.of(file)), made, (2,))
    for junk in (b"", b"\xff" * 8, bytes(200)):
        with pytest.raises(errors.TaskError, match="test set"):
            testset.decode(junk, str(unixfs.of(junk)), made, (2,))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("task=table", "task.source=none"), "task.source is 'none', expected one of: breast_cancer, iris, wine, own"),
        (
            ("task=table", "task.columns=[age]"),
            "task.source is 'breast_cancer', which has its columns and its test set",
        ),
        (("task=table", "task.label=x"), "which has its columns and its test set: expected none beside it"),
        (
            (*OWN, "task.columns=[age,age]"),
            r"task.columns and label are \['age', 'age', 'class'\], expected different names",
        ),
        ((*OWN, "task.label=age"), "task.columns and label are"),
        ((*OWN, "task.classes=[well]"), "task has 2 columns and 1 classes, expected at least 1 and 2"),
        ((*OWN, "task.centre=[1]"), r"task.centre is \[1.0\], expected a finite number for each of the 2 columns"),
        ((*OWN, "task.spread=[1,0]"), "task.spread has 0.0, expected numbers above 0"),
        ((*OWN, "task.spread=[1,nan]"), r"task.spread is \[1.0, nan\], expected a finite number"),
        (OWN, "task.test is '', expected the CID of the public test set: in a configuration, task.test=FILE"),
        ((*OWN, "task.test=none.csv"), "none.csv: there is no such file or folder"),
        (("task=images", "task.classes=[cat,dog]"), "task.test is '', expected the CID"),
        (("task=images", "task.classes=[cat,cat]"), r"task.classes are \['cat', 'cat'\], expected different names"),
        (("task=text", "task.window=0"), "task.window is 0, expected 1 to 1024"),
        (("task=digits", "task.window=3"), "there is no key 'task.window'"),
    ],
)
def test_a_task_that_cannot_be_is_one_clear_sentence(overrides: tuple[str, ...], sentence: str) -> None:
    """Before anything is founded."""
    with pytest.raises(orchestrator_errors.ConfigError, match=sentence):
        config.compose(overrides)


def test_another_public_text_is_refused_by_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python of another version has another text: its owner trains on own files, and gets no wrong test set."""
    settings = planned("text")
    assert settings.corpus == text.corpus()
    elsewhere = dataclasses.replace(settings, corpus="0" * 64)
    made = catalogue.load(elsewhere, seed=0)
    with pytest.raises(errors.TaskError, match=r"the public text of this Python has digest .*, that of the plan 0000"):
        made.test()
    for name in text.MODULES:
        shutil.copy(Path(sysconfig.get_path("stdlib")) / f"{name}.py", tmp_path)
    assert len(files.read(tmp_path, made)) > 1000


def test_the_digest_covers_the_code_that_reads_a_holders_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each module of client.data that makes examples is in it: another text of one is another task."""
    before = catalogue.digest(planned("digits"))
    original = catalogue._source
    package = Path(files.__file__).parent
    assert {f"client.data.{each.stem}" for each in package.glob("*.py")} - {
        "client.data.__init__",
        "client.data.card",
    } == {*catalogue.READING}
    for name in catalogue.READING:
        monkeypatch.setattr(catalogue, "_source", lambda each, name=name: original(each) + "#" * (each == name))
        assert catalogue.digest(planned("digits")) != before
