"""The fixed words of DDPT as CLIP's token ids, so that no tokenizer has to be fetched.

Computed once with OpenAI's byte-pair table (bpe_simple_vocab_16e6.txt.gz, SHA-256 924691ac...).
"""

from __future__ import annotations

from dataclasses import dataclass

START, END = 49406, 49407
A, PHOTO, OF, BRAIN, STOP = 320, 1125, 539, 4812, 269
HEALTHY, UNHEALTHY, NO, TUMOR, TUMOUR = 3782, 30994, 871, 22616, 45129

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ClassTexts:
    """Token ids of the two class texts, healthy first.

    written: whole sentences. words: what comes after the learned vectors; starts and ends are added there.
    """

    written: tuple[Ids, Ids]
    words: tuple[Ids, Ids]
    start: int = START
    end: int = END


def _photo(*word: int) -> Ids:
    """Ids of "a photo of a WORD brain."."""
    return (START, A, PHOTO, OF, A, *word, BRAIN, STOP, END)


HEALTH = ClassTexts((_photo(HEALTHY), _photo(UNHEALTHY)), ((HEALTHY,), (UNHEALTHY,)))
# The words of the published figure; its maps were made with the British spelling alone (README, deviations).
TUMOUR_WORDS = ClassTexts((_photo(NO, TUMOR), _photo(TUMOR)), ((NO, TUMOR), (TUMOR,)))
TEXTS = {"health": HEALTH, "tumor": TUMOUR_WORDS}
PUBLISHED_MAP_TEXT = _photo(TUMOUR)
