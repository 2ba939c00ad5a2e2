"""What an aggregator works with: its folder, its service, its own copy of the log, and the run's files as it fetched them."""

import contextlib
from collections.abc import Iterator

from client import follower, home, joining, remote, turn
from exchange import blocks, places
from exchange import errors as exchange_errors
from ledger import checkpoint, source, tiled
from orchestrator import aggregator


@contextlib.contextmanager
def opened(
    place: home.Home, whose: home.Membership, tell: turn.Tell, kind: type[aggregator.Aggregator] = aggregator.Aggregator
) -> Iterator[aggregator.Aggregator]:
    """An aggregator's part in a run, its folder held until this ends.

    Args:
        place: its folder.
        whose: its name, and the run.
        tell: is told what happens.
        kind: of aggregator; another one only where a simulation wants one that is not honest.

    Raises:
        HomeError: the folder is busy, another member's, or damaged.
        ServiceError: the URL is none.
        KeyFileError: the folder's key cannot be used.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(place.held())
        place.bind(whose)
        invited = place.invited_by()
        seat = joining.Seat(
            run=whose.run,
            name=whose.name,
            key=place.key(),
            invited=None if invited is None else invited.key,
            role=aggregator.ROLE,
        )
        service = stack.enter_context(contextlib.closing(remote.Service(whose.url)))
        held = blocks.BlockStore(place.root)
        store = stack.enter_context(places.fetched(place.root, whose.url))

        def asked(data: bytes, promise: checkpoint.LogCheckpoint) -> tiled.TiledLog:
            return tiled.TiledLog(source.url(whose.url), data, promise)

        def heard(event: turn.Event) -> None:
            tell(event)
            if event.kind in ("cosigned", "disputed"):
                with contextlib.suppress(exchange_errors.StoreError):
                    held.collect(wait=0.0)

        follows = stack.enter_context(contextlib.closing(follower.Follower(whose.run, place.root, asked)))
        means = turn.Means(service=service, place=place, store=store, follows=follows)
        yield kind(means, seat, heard)
