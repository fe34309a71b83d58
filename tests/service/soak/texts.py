"""Texts with their expected shouts, built from grapheme clusters with known upper case."""

import itertools
import random

# Extended grapheme clusters that do not combine with their neighbours, with Unicode's simple upper-case mapping of each.
CLUSTERS = {character: character.upper() for character in "abcdefghijklmnopqrstuvwxyz 0123456789.,!?"} | {
    "é": "É",
    "e\u0301": "E\u0301",
    "я": "Я",
    "ß": "ß",
    "ﬁ": "ﬁ",
    "ÿ": "Ÿ",
    "<": "<",
    "&": "&",
    '"': '"',
    "\\": "\\",
    "\n": "\n",
    "日": "日",
    "🇩🇪": "🇩🇪",
    "👨‍👩‍👧": "👨‍👩‍👧",
    "👍🏽": "👍🏽",
}
PLAIN = list("abcdefghijklmnopqrstuvwxyz     ")


def with_shout(clusters):
    """Returns the text of the clusters, and its shout."""
    return "".join(clusters), "".join(CLUSTERS[cluster] for cluster in reversed(clusters))


class Texts:
    """A random mix of texts, reproducible by its seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.numbers = itertools.count()
        self.known = [self.distinct() for _ in range(50)]

    def distinct(self, length=40, clusters=PLAIN):
        return with_shout([*str(next(self.numbers)), " ", *self.random.choices(clusters, k=length)])

    def distinct_any(self):
        return self.distinct(60, list(CLUSTERS))

    def repeated(self):
        return self.random.choice(self.known)

    def large(self):
        return self.distinct(48_000)

    @staticmethod
    def empty():
        return "", ""
