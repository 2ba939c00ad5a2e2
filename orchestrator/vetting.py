"""What a strategy may take of a Flower client's reply: everything else is named, with its reason, and left out.

A reply is one ArrayRecord, exactly the model's arrays with finite numbers, and one MetricRecord with the number of examples.
What the client says of its examples weighs only the round's metrics, and no client's count weighs more there than CAP times
the median of the round.

    code              what is left out
    client-error      update    the client replied with an error
    not-asked         update    a node that was sent nothing, or has replied before
    reply-records     update    not one ArrayRecord and one MetricRecord
    reply-examples    update    no number of examples above zero
    tensors-...       update    arrays of other names, shapes, types or sizes (exchange.errors)
    off-lattice       update    a number that is not finite
    reply-metrics     metrics   not finite, or of other names than most have
"""

import collections
import dataclasses
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch

from aggregation import errors as aggregation_errors
from client import arrays
from exchange import errors as exchange_errors
from orchestrator import errors

CAP = 2
MOST = sys.float_info.max


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Something of a reply that was left out.

    Attributes:
        round: of the strategy, from 1.
        phase: of the round.
        node: Flower's number of the client.
        part: the whole reply, or only what it says of metrics.
        code: the reason, short; the table above has them all.
        reason: for people.
    """

    round: int
    phase: Literal["train", "evaluate"]
    node: int
    part: Literal["update", "metrics"]
    code: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vetted:
    """A reply that can be used.

    Attributes:
        node: Flower's number of the client.
        update: what the client's training changed, float64 `(dim,)`; empty in a phase of evaluation.
        others: its arrays that are no part of the flat vector.
        examples: as it declared them.
        content: of the message.
        metrics: name of its MetricRecord.
    """

    node: int
    update: torch.Tensor
    others: Mapping[str, np.ndarray]
    examples: int | float
    content: Any
    metrics: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What the replies of a round are measured against.

    Attributes:
        layout: of the arrays that were sent.
        weights: theirs, float64 `(dim,)`.
    """

    layout: arrays.Layout
    weights: torch.Tensor

    @classmethod
    def of(cls, record: Any) -> Self:  # noqa: ANN401  an ArrayRecord of Flower's
        """The model of the arrays in a record of our own.

        Raises:
            TensorsError: an array that is no plain numbers, or is empty.
            LatticeError: a number is not finite.
        """
        layout = arrays.layout(record)
        return cls(layout=layout, weights=arrays.flat(arrays.read(record, layout), layout))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One phase of a round.

    Attributes:
        number: from 1.
        phase: of the round.
        asked: nodes that were sent a message.
        counted: name of the metric that holds the number of examples.
        model: that was sent; None in a phase of evaluation, where no arrays come back.
    """

    number: int
    phase: Literal["train", "evaluate"]
    asked: frozenset[int]
    counted: str
    model: Model | None = None

    def dropped(self, node: int, code: str, reason: str, part: Literal["update", "metrics"] = "update") -> Dropped:
        """Something of a reply of this phase, left out."""
        return Dropped(round=self.number, phase=self.phase, node=node, part=part, code=code, reason=reason[:400])


def vet(replies: Iterable[Any], of: Round) -> tuple[list[Vetted], list[Dropped]]:
    """The replies that can be used, ascending by node, and what was left out.

    Args:
        replies: Flower's messages; nothing is believed of them but their node, which is the transport's word.
        of: what they reply to.
    """
    kept: dict[int, Vetted] = {}
    out: list[Dropped] = []
    for reply in replies:
        node = reply.metadata.src_node_id
        try:
            kept[node] = _vetted(node, reply, of, of.asked - kept.keys())
        except (errors.ReplyError, exchange_errors.TensorsError, aggregation_errors.LatticeError) as error:
            out.append(of.dropped(node, error.code, str(error)))
    return [kept[node] for node in sorted(kept)], out


def metrics(kept: Sequence[Vetted], of: Round) -> tuple[list[Any], list[Dropped]]:
    """The contents whose metrics can be averaged, with their counts capped, and what was left out.

    Args:
        kept: as `vet` gives them.
        of: what they reply to.
    """
    forms = {each.node: _form(each.content[each.metrics]) for each in kept}
    usual = collections.Counter(form for form in forms.values() if form is not None).most_common(1)
    cap = CAP * statistics.median_low([each.examples for each in kept]) if kept else 0
    contents, out = [], []
    for each in kept:
        if not usual or forms[each.node] != usual[0][0]:
            names = sorted(each.content[each.metrics])
            reason = f"metrics {str(names)[:200]}: expected finite numbers under the names that most clients have"
            out.append(of.dropped(each.node, "reply-metrics", reason, part="metrics"))
            continue
        content = type(each.content)(dict(each.content))
        counted = min(each.examples, cap)
        content[each.metrics] = type(each.content[each.metrics])(
            dict(each.content[each.metrics]) | {of.counted: counted}
        )
        contents.append(content)
    return contents, out


def _vetted(node: int, reply: Any, of: Round, waited_for: frozenset[int]) -> Vetted:  # noqa: ANN401  a message of Flower's
    if node not in waited_for:
        raise errors.ReplyError("not-asked", f"node {node} was sent no message that this could reply to")
    if reply.has_error():
        raise errors.ReplyError("client-error", str(reply.error.reason))
    content = reply.content
    found, measured = list(content.array_records.values()), list(content.metric_records)
    if len(measured) != 1 or (of.model is not None and len(found) != 1):
        message = f"{len(found)} ArrayRecords and {len(measured)} MetricRecords"
        raise errors.ReplyError("reply-records", f"{message}: expected one of each")
    examples = content[measured[0]].get(of.counted)
    if isinstance(examples, bool) or not isinstance(examples, int | float) or not 0 < examples <= MOST:
        message = f"{of.counted} is {str(examples)[:80]}"
        raise errors.ReplyError("reply-examples", f"{message}: expected a number of examples above 0")
    update, others = torch.empty(0), {}
    if of.model is not None:
        read = arrays.read(found[0], of.model.layout)
        update = arrays.flat(read, of.model.layout) - of.model.weights
        if not bool(update.isfinite().all()):
            raise errors.ReplyError("off-lattice", "an update that is longer than a double can say")
        others = {spec.name: read[spec.name] for spec in of.model.layout.others}
    return Vetted(node=node, update=update, others=others, examples=examples, content=content, metrics=measured[0])


def _form(record: Mapping[str, Any]) -> tuple[tuple[str, int], ...] | None:
    """Names and lengths of metrics, a single number's length being -1; None if one is not finite."""
    values = [each if isinstance(each, list) else [each] for each in record.values()]
    if not all(-MOST <= number <= MOST for numbers in values for number in numbers):
        return None
    return tuple(sorted((name, len(each) if isinstance(each, list) else -1) for name, each in record.items()))
