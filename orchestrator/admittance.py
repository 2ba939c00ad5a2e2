"""Whose folder a `folkmoot join` uses, and in which run: from what was said on the command line, or from the folder itself."""

import sys
from dataclasses import dataclass
from pathlib import Path

from client import clauses, home, invitation, policy
from client import errors as client_errors
from ledger import errors as ledger_errors
from ledger import fields, keys
from orchestrator import errors

_HINT = "name an --invite, or a --name with its --run, or the --folder of a run that was joined before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the command line says of the holder.

    Attributes:
        invite: an invitation, the file that holds it, or `-` for standard input.
        name: that a registered key is expected under.
        run: hex eid of the run, with `name`.
        key: file of the registered key.
        folder: of the holder.
    """

    invite: str | None = None
    name: str | None = None
    run: str | None = None
    key: Path | None = None
    folder: Path | None = None


def found(url: str, claim: Claim) -> tuple[home.Home, home.Membership]:
    """The holder's folder, and whose it is; an invitation or a key that was given is in it.

    Raises:
        ConfigError: too little was said, or too much, or the invitation is none.
        HomeError: the folder is another member's, or busy.
        KeyFileError: the key cannot be used.
    """
    invited = None if claim.invite is None else _invitation(claim.invite)
    if invited is not None and (claim.name or claim.run or claim.key):
        raise errors.ConfigError(
            "an invitation says name and run already, and makes a key: leave out --name, --run, --key"
        )
    if (claim.name is None) != (claim.run is None) or (claim.key is not None and claim.name is None):
        raise errors.ConfigError("--name and --run belong together, and --key to them")
    if invited is not None:
        whose = home.Membership(run=invited.run, name=invited.name, url=url)
    elif claim.name is not None and claim.run is not None:
        whose = _named(url, claim.name, claim.run)
    else:
        return _known(url, claim.folder)
    place = home.Home(root=claim.folder or Path(f"folkmoot-{whose.name}"))
    with place.held():
        place.bind(whose)
        if invited is not None:
            place.keep_invitation(invited)
        if claim.key is not None:
            place.adopt(keys.SigningKey.load(claim.key))
    return place, whose


def read_policy(path: Path) -> policy.Policy:
    """The policy in a file.

    Raises:
        ConfigError: it cannot be read, or is none; the message names the line.
    """
    try:
        with path.open("rb") as file:
            return policy.Policy.parse(file.read(clauses.LIMIT + 1))
    except (OSError, client_errors.PolicyError) as error:
        raise errors.ConfigError(f"{path}: {error}") from error


def threads(count: int | None) -> None:
    """Nothing; so many threads train, or as many as torch takes by itself."""
    if count is not None:
        import torch  # noqa: PLC0415

        torch.set_num_threads(count)


def _known(url: str, folder: Path | None) -> tuple[home.Home, home.Membership]:
    """The folder that was named, or the only one here, and whose it is."""
    if folder is None:
        here = sorted(path.parent for path in Path().glob("folkmoot-*/member.json"))
        if len(here) != 1:
            said = (
                f"there are {len(here)} holders' folders here ({', '.join(map(str, here[:5]))})"
                if here
                else "no folder here"
            )
            raise errors.ConfigError(f"{said}: {_HINT}")
        folder = here[0]
    place = home.Home(root=folder)
    whose = place.membership()
    if whose is None:
        raise errors.ConfigError(f"{folder} is nobody's yet: {_HINT}")
    return place, home.Membership(run=whose.run, name=whose.name, url=url)


def _invitation(said: str) -> invitation.Invitation:
    try:
        if said == "-":
            return invitation.Invitation.parse(sys.stdin.readline())
        # Also where it does not begin so: what may be a secret is no name of a file, to be repeated.
        if invitation.PREFIX in said:
            return invitation.Invitation.parse(said)
        if not Path(said).exists():
            message = f"--invite: there is no file {said[:200]}, and an invitation begins with {invitation.PREFIX}"
            raise errors.ConfigError(message)
        return invitation.Invitation.parse(keys.read_private(Path(said)).decode(errors="replace"))
    except ledger_errors.KeyFileError as error:
        raise errors.ConfigError(f"--invite: {error}: chmod 600 it") from error
    except (OSError, client_errors.InvitationError) as error:
        raise errors.ConfigError(f"--invite: {error}") from error


def _named(url: str, name: str, run: str) -> home.Membership:
    try:
        return home.Membership(run=fields.read_hex64(run), name=fields.read_name(name), url=url)
    except ledger_errors.StatementError as error:
        raise errors.ConfigError(f"--name or --run: {error}") from error
