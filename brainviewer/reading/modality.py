"""Guess the contrast of a series: "T1", "T2", "FLAIR", "PD", "CT", "CXR", or "" where nothing tells."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORDS = re.compile(r"[a-z0-9*]+")
_LOCALIZERS = {"loc", "localizer", "localiser", "scout", "survey", "3plane"}
_NOT_A_CONTRAST = _LOCALIZERS | {"dwi", "adc", "dti", "swi", "bold", "asl"}
_LABELS = {"seg", "mask", "label", "labels", "dseg", "probseg", "lesion", "roi", "aseg", "dlmuse"}
_TOKENS = {
    "T1": {"t1", "t1w", "t1n", "t1c", "t1ce", "t1gd", "t1wi", "mprage", "mp2rage", "spgr", "fspgr", "bravo"},
    "FLAIR": {"flair", "t2flair", "t2f", "flairw", "darkfluid"},
    "T2": {"t2", "t2w", "t2wi", "t2tse", "t2fse"},
    "PD": {"pd", "pdw", "pdwi"},
    "CT": {"ct", "cta", "ncct", "cect"},
    "CXR": {"cxr", "chestxray"},
}
_BY_TOKEN = {token: word for word, tokens in _TOKENS.items() for token in tokens}

# Milliseconds that separate the contrasts of spin echo at 1.5 and 3 T.
SHORT_ECHO, LONG_ECHO = 30.0, 70.0
SHORT_REPETITION, LONG_REPETITION = 1000.0, 1800.0
FLUID_INVERSION = (1500.0, 3200.0)


@dataclass(frozen=True, slots=True)
class MrTiming:
    """How an MR series was acquired; times in ms, 0 where unknown. sequence: SE, GR, IR, EP ..."""

    echo: float = 0.0
    repetition: float = 0.0
    inversion: float = 0.0
    sequence: str = ""


def from_file_name(name: str) -> str:
    """Contrast from a file name such as sub-01_T1w.nii.gz; the last word that tells wins, as BIDS has it."""
    words = _WORDS.findall(name.lower())
    if _LABELS & set(words):
        return ""
    found = [_BY_TOKEN[word] for word in words if word in _BY_TOKEN]
    return found[-1] if found else ""


def from_mr_header(description: str, protocol: str, timing: MrTiming) -> str:
    """Contrast of an MR series: the description first, then the protocol, then the physics."""
    for text in (description, protocol):
        words = set(_WORDS.findall(text.lower()))
        if _NOT_A_CONTRAST & words or re.search(r"t2\s?(\*|star)|perf", text.lower()):
            return ""
        if word := _from_text(text.lower()):
            return word
    return _from_timing(timing)


def _from_text(text: str) -> str:
    t1 = bool(re.search(r"(?<![a-z0-9])t1|t1w|axt1|mp2?rage|f?spgr|bravo|tfl3d", text))
    t2 = bool(re.search(r"(?<![a-z0-9])t2|t2w|axt2", text))
    fluid_nulled = bool(re.search(r"flair|dark[\s_-]?fl|tirm.*dark", text))
    if fluid_nulled:
        # GE's "T1 FLAIR" nulls fluid too, but its contrast is T1.
        return "T1" if t1 and not t2 else "FLAIR"
    if t1 != t2:
        return "T1" if t1 else "T2"
    return "PD" if not t1 and re.search(r"(?<![a-z0-9])pd(?![a-z])|pdw|proton", text) else ""


def _from_timing(timing: MrTiming) -> str:
    if "EP" in timing.sequence or timing.echo <= 0 or timing.repetition <= 0:
        return ""
    if FLUID_INVERSION[0] <= timing.inversion <= FLUID_INVERSION[1] and timing.echo > LONG_ECHO:
        return "FLAIR"
    if "SE" not in timing.sequence:
        return "T1" if 600 <= timing.inversion <= 1300 and timing.echo < SHORT_ECHO else ""
    if timing.echo <= SHORT_ECHO:
        if timing.repetition < SHORT_REPETITION:
            return "T1"
        return "PD" if timing.repetition > LONG_REPETITION else ""
    return "T2" if timing.echo > LONG_ECHO and timing.repetition > LONG_REPETITION else ""


def from_radiograph(modality: str, *texts: str) -> str:
    """The word "CT" for CT, "CXR" for a radiograph whose body part, view or description says chest."""
    if modality == "CT":
        return "CT"
    chest = any(re.search(r"chest|thorax|lung|cxr", text.lower()) for text in texts)
    return "CXR" if modality in {"CR", "DX", "RG"} and chest else ""
