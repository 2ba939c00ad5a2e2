"""The journal of a command that publishes beside the run: as the run does, with its second key and the witnesses it asks."""

import logging

from ledger import keys, policy
from orchestrator import config, errors, folder, journal, recall

logger = logging.getLogger(__name__)


def opened(where: folder.RunFolder, key: keys.SigningKey) -> journal.Journal:
    """The run's log, whose checkpoints are signed and cosigned as those of its rounds are.

    The witnesses are those of the policy that `config.yaml` of the run names. Where that cannot be read nobody is asked, which
    is a warning, as a lacking cosignature is.

    Args:
        where: the run folder, which holds a run.
        key: the coordinator's.

    Raises:
        FolderError, KeyFileError, LedgerError: a file of it or the log is damaged, or the key is not the one that counts.

    Reference: docs/protocol.md P5, P18.
    """
    return journal.Journal(where.ledger, key, _witnesses(where), where.second_key())


def _witnesses(where: folder.RunFolder) -> policy.Policy | None:
    try:
        named = config.witnesses_in(where.config)
        return None if named is None else recall.read_policy(named)
    except (errors.ConfigError, errors.FolderError) as error:
        logger.warning("no witness is asked: %s", error)
        return None
