"""The next byte at every place of a text, by a transformer over the bytes so far: 0.25 to 126 million parameters, as told.

    task=transformer            width  96, depth  2, heads  4, context  64      0.25 M parameters
    task=transformer_medium     width 512, depth  8, heads  8, context 256     25.5  M
    task=transformer_125m       width 896, depth 13, heads 14, context 256    125.9  M

The public text is that of `client.tasks.text`; its modules are what a division by class goes by, as documents.

Reference: A. Vaswani et al., "Attention Is All You Need", 2017; A. Radford et al., "Language Models are Unsupervised Multitask
Learners" (GPT-2), 2019: normalisation before each part, initial weights, the scores by the embedding itself. No dropout.
"""

import functools

import torch
from torch import nn
from torch.nn import functional

from client import task, textplan
from client.data import schema
from client.data import text as cutting
from client.tasks import partition, text

SPREAD = 0.02
"""Standard deviation of the initial weights."""
WIDER = 4
"""Numbers between the two layers of a block, in widths."""


class Block(nn.Module):
    """Attention to the bytes so far, then a hidden layer at each of them.

    Args:
        settings: width, depth and heads.
    """

    alone = True
    """Attention to many holders' bytes side by side has no kernel."""

    def __init__(self, settings: textplan.TransformerPlan) -> None:
        super().__init__()
        width, last = settings.width, SPREAD / (2 * settings.depth) ** 0.5
        self.heads = settings.heads
        self.attention_norm = nn.LayerNorm(width)
        self.attention = _layer(width, 3 * width, SPREAD)
        self.joined = _layer(width, width, last)
        self.hidden_norm = nn.LayerNorm(width)
        self.hidden = _layer(width, WIDER * width, SPREAD)
        self.back = _layer(WIDER * width, width, last)

    def forward(self, bytes_so_far: torch.Tensor) -> torch.Tensor:
        """`(examples, bytes, width)`, of the same."""
        found = self._attended(self.attention_norm(bytes_so_far))
        after = bytes_so_far + found
        output: torch.Tensor = after + self.back(functional.gelu(self.hidden(self.hidden_norm(after))))
        return output

    def _attended(self, seen: torch.Tensor) -> torch.Tensor:
        parts = self.attention(seen).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        together = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        joined: torch.Tensor = self.joined(together.transpose(1, 2).flatten(2))
        return joined


class Bytes(nn.Module):
    """A score for each byte that may follow, at every place.

    Args:
        settings: sizes of the network.
    """

    def __init__(self, settings: textplan.TransformerPlan) -> None:
        super().__init__()
        self.embedding = nn.Embedding(text.BYTES, settings.width)
        self.place = nn.Embedding(settings.context, settings.width)
        nn.init.normal_(self.embedding.weight, std=SPREAD)
        nn.init.normal_(self.place.weight, std=SPREAD / 2)
        self.blocks = nn.Sequential(*(Block(settings) for _ in range(settings.depth)))
        self.norm = nn.LayerNorm(settings.width)

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        """Scores, `(examples, 256, bytes)`, of `window`, `(examples, bytes)` of bytes as float32."""
        seen = self.embedding(window.long()) + self.place.weight[: window.shape[1]]
        return functional.linear(self.norm(self.blocks(seen)), self.embedding.weight).transpose(1, 2)


def load(settings: textplan.TransformerPlan, *, seed: int) -> task.Task:
    """The next byte, at each of `settings.context` places.

    Args:
        settings: the sizes of the network, and how the text is cut.
        seed: the run's seed; another seed is another split of the public text.
    """
    wanted = schema.Text(window=settings.context, stride=settings.stride, every=True)

    def public() -> partition.Public:
        return _public(wanted, settings.corpus, settings.tests)

    return task.Task(
        name="transformer",
        classes=text.BYTES,
        schema=wanted,
        model=lambda: Bytes(settings),
        shard=lambda number: public().shard(number, settings, seed=seed),
        size=lambda number: public().size(number, settings, seed=seed),
        test=lambda: public().test(),
    )


def _layer(before: int, after: int, spread: float) -> nn.Linear:
    made = nn.Linear(before, after)
    nn.init.normal_(made.weight, std=spread)
    nn.init.zeros_(made.bias)
    return made


@functools.cache
def _public(wanted: schema.Text, corpus: str, tests: int) -> partition.Public:
    parts = [cutting.cut(each, wanted) for each in text.documents(corpus)]
    labels = torch.cat([part.labels for part in parts if len(part)])
    kinds = torch.cat([torch.full((len(part),), number) for number, part in enumerate(parts)])
    return partition.Public(
        inputs=torch.cat([part.inputs for part in parts if len(part)]),
        labels=labels,
        tests=min(tests, len(labels) // text.TESTED),
        kinds=kinds,
    )
