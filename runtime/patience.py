"""For how long a process looks for news before it goes to sleep: a decision, in numbers alone.

Going to sleep and being woken costs a process, and the processor it runs on, more than most of what brrrd does for one
request: tens to hundreds of microseconds where the processor is a virtual one. A process that has just sent something
on will often hear of it within less than that, so it looks for a moment first, as KVM does for halted guests
(`halt_poll_ns`). Whether that pays is told from how it went before, one `Patience` for each kind of waiting.

Asked by `runtime.looking` and `runtime.lookout`, which look. A leaf module: it imports nothing else of brrrd. It must
never look at a clock itself.
"""

LOOK_SECONDS = 0.000_3
"""How long one look takes at most."""
CHEAP_SECONDS = 0.000_05
"""The same while many requests are under way: about as much of the processor as going to sleep and being woken takes.
More would make none of them faster that counts, since most of their time they wait for each other."""
FEW = 4
"""More requests than that are many."""
PROMISING_SECONDS = 0.001
"""A wait that was no longer, although nobody looked, might be shorter than `LOOK_SECONDS` if somebody did: both sides'
wake-ups are part of it."""
MOST_SKIPPED = 255
"""So many waits at most go by after a look in vain until the next look."""
CROWDED_SECONDS = 0.000_2
"""Whoever looked in vain, and gave the processor away for so long at once meanwhile, shares it with somebody who has
work to do. Then looking is worse than sleeping: the kernel prefers who wakes up to who gave way. The processes that one
request passes through keep each other's processors for less than that at once, slow statements for somewhat more
(`runtime.interrupts`)."""
CROWD_SECONDS = 0.005
"""For so long nobody looks after that; for twice as long each time that it happens again soon, up to the most."""
MOST_CROWD_SECONDS = 0.8


def longest_look(cores: int) -> float:
    """Return for how many seconds to look at most in a process that may use so many cores.

    With one core, what is waited for cannot happen meanwhile.
    """
    return LOOK_SECONDS if cores > 1 else 0.0


class Patience:
    """What is known of one kind of waiting. Times are seconds of the monotonic clock."""

    __slots__ = (
        "_began",
        "_crowd_seconds",
        "_crowded_until",
        "_given",
        "_last",
        "_longest",
        "_penalty",
        "_skip",
        "_until",
    )

    def __init__(self, longest: float) -> None:
        """`longest`: seconds of one look at most; 0: never look."""
        self._longest = longest
        self._began = self._until = 0.0
        self._given = 0.0
        """Seconds for which others had the processor during this look, the most at once."""
        self._last = PROMISING_SECONDS * 2
        """Seconds that the last wait took."""
        self._penalty = 0
        """How many waits go by without a look after the next one in vain, about."""
        self._skip = 0
        self._crowd_seconds = CROWD_SECONDS
        self._crowded_until = 0.0

    def __repr__(self) -> str:
        return f"<Patience, last wait {self._last * 1e6:.0f} us, {self._skip} of {self._penalty} to skip>"

    def begins(self, now: float, under_way: int = 0) -> float:
        """A wait begins, with so many requests under way; return until when to look for its end.

        Not later than `now`: sleep at once.
        """
        self._began = now
        self._given = 0.0
        if self._last > PROMISING_SECONDS or now < self._crowded_until:
            self._until = now
        elif self._skip:
            self._skip -= 1
            self._until = now
        else:
            self._until = now + (self._longest if under_way <= FEW else min(self._longest, CHEAP_SECONDS))
        return self._until

    def gave_way(self, since: float, now: float) -> None:
        """Others had the opportunity to run from `since` to `now`, in the midst of a look."""
        self._given = max(self._given, now - since)

    def ends(self, now: float) -> None:
        """The wait is over: what was waited for is here."""
        self._last = now - self._began
        if self._until > self._began:
            if now <= self._until:
                self._penalty = 0
            else:
                self._skip = self._penalty = min(self._penalty * 2 + 1, MOST_SKIPPED)
                if self._given > CROWDED_SECONDS:
                    again = now - self._crowded_until < self._crowd_seconds
                    self._crowd_seconds = min(self._crowd_seconds * 2, MOST_CROWD_SECONDS) if again else CROWD_SECONDS
                    self._crowded_until = now + self._crowd_seconds
