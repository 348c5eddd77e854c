"""Splits English text into the word pieces that BERT's vocabulary knows.

J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", NAACL 2019; the greedy longest match is that of Y. Wu et al., arXiv 1609.08144. Lower case, accents
dropped, every punctuation mark by itself.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

PADDING: Final = "[PAD]"
UNKNOWN: Final = "[UNK]"
FIRST: Final = "[CLS]"
LAST: Final = "[SEP]"
_WORD_CHARACTERS_MAX: Final = 100


class WordPieces:
    """A vocabulary."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """Take the pieces in the order of their numbers; those inside words begin with ``##``.

        Raises:
            ValueError: A special piece is missing.
        """
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}
        for piece in (PADDING, UNKNOWN, FIRST, LAST):
            if piece not in self._numbers:
                raise ValueError(f"the vocabulary has no {piece}")

    def encode(self, text: str, *, length: int) -> list[int]:
        """Return exactly ``length`` numbers: the text's beginning between the special pieces, padded."""
        pieces = [number for word in _split_words(text) for number in self._encode_word(word)]
        numbers = [self._numbers[FIRST], *pieces[: length - 2], self._numbers[LAST]]
        return numbers + [self.padding] * (length - len(numbers))

    @property
    def padding(self) -> int:
        """The number of the padding."""
        return self._numbers[PADDING]

    def _encode_word(self, word: str) -> list[int]:
        numbers: list[int] = []
        start = 0
        while start < len(word):
            if len(word) > _WORD_CHARACTERS_MAX:
                return [self._numbers[UNKNOWN]]
            for end in range(len(word), start, -1):
                number = self._numbers.get(("##" if start else "") + word[start:end])
                if number is not None:
                    numbers.append(number)
                    start = end
                    break
            else:
                return [self._numbers[UNKNOWN]]
        return numbers


def _split_words(text: str) -> Iterator[str]:
    word = ""
    for character in unicodedata.normalize("NFD", text.lower()):
        if unicodedata.category(character) == "Mn":
            continue
        if character.isspace() or _is_punctuation(character):
            if word:
                yield word
            word = ""
            if not character.isspace():
                yield character
        else:
            word += character
    if word:
        yield word


def _is_punctuation(character: str) -> bool:
    # As BERT does it: all marks of ASCII, though some of them are symbols to Unicode.
    is_ascii_mark = character.isascii() and not character.isalnum() and character.isprintable()
    return is_ascii_mark or unicodedata.category(character).startswith("P")
