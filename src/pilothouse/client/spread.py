"""How spans of time spread, in buckets that are fixed before anything is measured.

A bucket is at most 1/64 of its value wide, from a microsecond to an hour, so a percentile is right to two digits
whatever comes, adding costs an addition, and spreads of several loads can be summed.
"""

from collections.abc import Iterator

FINE = 6
"""Each power of two has 2**FINE buckets."""
LONGEST = 3_600_000_000
_STEPS = 1 << FINE


def bucket_of(micros: int) -> int:
    shift = max(0, micros.bit_length() - FINE - 1)
    return (shift << FINE) + (micros >> shift)


def upper_of(bucket: int) -> int:
    """The largest number of microseconds that falls into the bucket."""
    if bucket < 2 * _STEPS:
        return bucket
    shift = (bucket >> FINE) - 1
    return ((((bucket & (_STEPS - 1)) | _STEPS) + 1) << shift) - 1


class TimeSpread:
    """`count` spans, their sum, and the least and largest; seconds everywhere."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.least = 0.0
        self.largest = 0.0
        self._buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        self.least = seconds if not self.count else min(self.least, seconds)
        self.largest = max(self.largest, seconds)
        self.count += 1
        self.total += seconds
        bucket = bucket_of(min(max(0, round(seconds * 1e6)), LONGEST))
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def percentile(self, share: float) -> float:
        """The span below which this share (0 to 1) lies; 0 when there are none."""
        wanted, seen = share * self.count, 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(upper_of(bucket) / 1e6, self.largest)
        return self.largest

    def __iter__(self) -> Iterator[tuple[float, int]]:
        """(seconds at most, how many) of each bucket that is not empty, shortest first."""
        for bucket in sorted(self._buckets):
            yield upper_of(bucket) / 1e6, self._buckets[bucket]
