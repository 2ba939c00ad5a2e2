"""A running witness for stories: real memory, real keys, real HTTP on loopback."""

import threading
import time
from pathlib import Path

from ledger import cosignature, keys, memory, note, policy, witness
from orchestrator import service


class Served:
    """A witness of one log behind HTTP, in a thread, until `stop`."""

    def __init__(self, where: Path, name: str, log: note.Verifier) -> None:
        self.signer = cosignature.Signer(name=f"witness.test/{name}", key=keys.SigningKey.generate())
        keeper = witness.Witness(memory.Memory(where), [self.signer], {log.name: [log]})
        self._server = service.server(service.application(keeper))
        self._socket = service.listen("127.0.0.1", 0)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    @property
    def entry(self) -> policy.Witness:
        """What a policy says of it."""
        url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        return policy.Witness(verifier=self.signer.verifier, url=url)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.should_exit = True
            self._thread.join()
            self._socket.close()
