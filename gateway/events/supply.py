"""Facts of links: the supply of keys, and stocks kept in step with the peer's."""

from dataclasses import dataclass

from gateway.events.bus import Event


@dataclass(frozen=True, slots=True)
class OutageNoted(Event):
    """A kind of work failed; while it lasts, each failure is told.

    Attributes:
        link: Whose work it is.
        work: Which one, told apart from all others.
        word: What begins the word of its lines.
        fault: How it failed, in one word.
        text: How it failed, in one line.
        is_first: Whether it worked before.
        is_usual: Whether it is no reason for a warning: an empty KME.
    """

    link: str
    work: str
    word: str
    fault: str
    text: str
    is_first: bool
    is_usual: bool


@dataclass(frozen=True, slots=True)
class OutageOver(Event):
    """A kind of work that failed is done again.

    Attributes:
        link: Whose work it is.
        work: Which one, told apart from all others.
        word: What begins the word of its lines.
        text: What works again.
    """

    link: str
    work: str
    word: str
    text: str


@dataclass(frozen=True, slots=True)
class KMEsDisagree(Event):
    """The peer cannot use keys that were drawn here: its KME gave it others.

    Attributes:
        link: Their link.
        count: How many keys.
        pause: Seconds until more are drawn.
    """

    link: str
    count: int
    pause: float


@dataclass(frozen=True, slots=True)
class KeysRefused(Event):
    """Keys of a KME were not taken into stock.

    Attributes:
        link: Their link.
        count: How many.
        named: The first of them, each with its reason.
        more: How many more there are.
        reasons: Of all of them, sorted.
    """

    link: str
    count: int
    named: str
    more: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeysGivenUp(Event):
    """The peer no longer holds keys that are unused here; they are retired.

    Attributes:
        link: Their link.
        count: How many.
    """

    link: str
    count: int


@dataclass(frozen=True, slots=True)
class KeysForbidden(Event):
    """The peer may not use keys any more; they are retired.

    Attributes:
        link: Their link.
        count: How many.
    """

    link: str
    count: int


@dataclass(frozen=True, slots=True)
class StoreIsOld(Event):
    """The key store is an old copy: the peer has used keys that are unused here.

    Attributes:
        link: Their link.
        count: How many others were retired for it.
    """

    link: str
    count: int


@dataclass(frozen=True, slots=True)
class StockLevelChanged(Event):
    """A stock became low or empty, or is well again.

    Attributes:
        link: Whose stock.
        alarm: ``ok``, ``low`` or ``empty``.
        text: How many keys there are.
    """

    link: str
    alarm: str
    text: str


@dataclass(frozen=True, slots=True)
class LinkFailed(Event):
    """A link cannot give keys as it is configured.

    Attributes:
        link: Its name.
        why: Why.
    """

    link: str
    why: str


@dataclass(frozen=True, slots=True)
class StoreUnmaintained(Event):
    """The key store could not do what is due with time.

    Attributes:
        why: Why.
    """

    why: str
