"""The reason codes are protocol: they stand on the ledger."""

from exchange import errors


def test_every_refusal_has_its_own_code() -> None:
    """No two kinds of refusal share a reason code, and no code ever changes: an old ledger must keep its meaning."""
    pending, found = [errors.ExchangeError], {}
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        found[kind.__name__] = kind.code
    assert found == {
        "ExchangeError": "exchange",
        "CidError": "bad-cid",
        "CarError": "bad-car",
        "StoreError": "store",
        "BlockMissingError": "block-missing",
        "BlockCorruptError": "block-corrupt",
        "TooLargeError": "too-large",
        "QuotaError": "quota",
        "BusyError": "busy",
        "ReadOnlyError": "read-only",
        "PeerError": "peer",
        "SealError": "seal-garbage",
        "KeyTextError": "seal-key",
        "RecipientError": "seal-recipient",
        "ContextError": "seal-context",
        "TensorsError": "tensors-garbage",
        "TensorNamesError": "tensors-names",
        "TensorShapeError": "tensors-shape",
        "TensorDtypeError": "tensors-dtype",
        "TensorContextError": "tensors-context",
    }
    assert len(set(found.values())) == len(found)
