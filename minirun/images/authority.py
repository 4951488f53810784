"""What stands in Authorization for one repository, and how it is renewed when the registry refuses it."""

from __future__ import annotations

import threading

from minirun.images import credentials, refusals, token
from minirun.images.refusals import Asked, Trouble
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from minirun.images.credentials import Credentials
    from minirun.images.dial import Dial


class Who(Record):
    """Where to look for who we are: ``given`` on the command line, or a file, or the usual ones of ``env``."""

    env: Mapping[str, str] = {}
    authfile: str = ""
    given: Credentials | None = None

    def find(self, registry: str, repository: str) -> Credentials | None:
        return self.given or credentials.find(registry, repository, self.env, self.authfile)


class Authority:
    """For any number of threads: whoever is refused first asks for a new token, the others take it."""

    def __init__(self, who: Who, registry: str, repository: str, scopes: list[str]) -> None:
        self.who, self.registry, self.repository, self.scopes = who, registry, repository, scopes
        self.header = ""  # "": nobody has asked yet, or we are nobody in particular
        self.lock = threading.Lock()
        self.looked = False
        self.found: Credentials | None = None

    @property
    def known(self) -> bool:
        """Had we a name and a password?"""
        return self.found is not None

    def renew(
        self, dial: Dial, base: str, wanted: Sequence[tuple[str, Mapping[str, str]]], used: str, *, aim: str,
        rest: Callable[[int], None],
    ) -> None:  # fmt: skip
        """Answer a challenge, unless another thread has since ``used`` was sent."""
        with self.lock:
            if self.header != used:
                return
            if not self.looked:
                self.found, self.looked = self.who.find(self.registry, self.repository), True
            bearer = next((words for scheme, words in wanted if scheme == "bearer" and words.get("realm")), None)
            if bearer is not None:
                self.header = "Bearer " + self.new_token(dial, base, bearer, aim, rest)
            elif self.found and self.found.user and any(scheme == "basic" for scheme, _ in wanted):
                self.header = self.found.basic()

    def new_token(self, dial: Dial, base: str, bearer: Mapping[str, str], aim: str, rest: Callable[[int], None]) -> str:
        """For all that we are about, and what this challenge asks for besides."""
        own = {scope.rpartition(":")[0] for scope in self.scopes}
        extra = [word for word in bearer.get("scope", "").split(" ") if word and word.rpartition(":")[0] not in own]
        scopes = [*self.scopes, *extra]
        for attempt in range(1, dial.manner.attempts + 1):
            try:
                return token.fetch(dial, bearer, scopes, self.found, base=base, aim=aim)[0]
            except Trouble as trouble:
                if not trouble.passing or attempt == dial.manner.attempts:
                    raise refusals.of_trouble(trouble, Asked(method="GET", url=bearer["realm"], aim=aim)) from trouble
            rest(attempt)
        raise AssertionError("unreachable")
