"""python -m engines list | detect | train | bench: the engines without the viewer."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engines import catalog, model_package
from engines.contract import Trainable
from engines.errors import BadInput, KnownError
from engines.terminal import progress


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 known trouble told in one line, 2 wrong usage."""
    chosen = _parser().parse_args(arguments)
    try:
        facts = chosen.work(chosen)
    except KnownError as error:
        print(f"engines: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("engines: Stopped.", file=sys.stderr)  # noqa: T201
        return 1
    lines = [json.dumps(facts, indent=1, default=str)] if chosen.json else _lines(facts)
    print("\n".join(lines))  # noqa: T201
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engines", description=__doc__)
    commands = parser.add_subparsers(required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print facts as JSON")
    runs = argparse.ArgumentParser(add_help=False)
    runs.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")

    one = commands.add_parser("list", parents=[common], help="the engines at hand")
    one.set_defaults(work=_list)
    one = commands.add_parser("detect", parents=[common, runs], help="run a model on a NIfTI, PNG or JPEG file")
    one.add_argument("volume", type=Path)
    one.add_argument("--model", type=Path, required=True, help="model folder")
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(work=_detect)
    one = commands.add_parser("train", parents=[common, runs], help="train an engine on a cohort")
    one.add_argument("engine")
    one.add_argument("cohort", type=Path)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    one.add_argument("--resume", action="store_true", help="go on with an interrupted training")
    one.set_defaults(work=_train)
    one = commands.add_parser("bench", parents=[common, runs], help="time a model on a volume, or an engine's parts")
    one.add_argument("volume", type=Path, help="volume for --model, or the key of an engine that can time its parts")
    one.add_argument("--model", type=Path)
    one.add_argument("--repeat", type=int, default=3)
    one.set_defaults(work=_bench)
    return parser


def _lines(facts: Any) -> list[str]:
    rows = facts if isinstance(facts, list) else [facts]
    return ["\n".join(f"{name}: {value}" for name, value in row.items()) + "\n" for row in rows]


def _list(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    return [asdict(card) for card in catalog.cards().values()]


def _detect(chosen: argparse.Namespace) -> dict[str, Any]:
    from engines import results
    from engines.files import read_volume

    card = model_package.read_card(chosen.model)
    volume = read_volume(chosen.volume, card.modality)
    with progress() as report:
        result = catalog.create(card.engine, chosen.model, chosen.device).detect(volume, report)
    results.write(chosen.out, result, volume)
    facts = results.summary(result, volume)
    shown = ("engine", "score", "score_percentile", "threshold", "mask_ml", "highest_slice")
    return {"out": chosen.out, **{name: facts[name] for name in shown}, "seconds": result.provenance.seconds}


def _train(chosen: argparse.Namespace) -> dict[str, Any]:
    from engines import setting_values
    from engines.samples import read_cohort

    settings = setting_values.parse(catalog.settings_class(chosen.engine), chosen.settings)
    cohort = read_cohort(chosen.cohort)
    engine = catalog.engine_class(chosen.engine)
    if not isinstance(engine, Trainable):
        raise BadInput(f"The engine '{chosen.engine}' cannot be trained.")
    with progress() as report:
        model = engine.fit(cohort, chosen.out, settings, device=chosen.device, resume=chosen.resume, report=report)
    card = model_package.verify(model)
    return {"model": model, "engine": card.engine, "digest": card.digest, "seconds": card.seconds}


def _bench(chosen: argparse.Namespace) -> dict[str, Any] | list[dict[str, Any]]:
    from engines.files import read_volume

    if chosen.model is None:
        parts: list[dict[str, Any]] = catalog.bench(str(chosen.volume))(chosen.device)
        return parts
    card = model_package.read_card(chosen.model)
    volume = read_volume(chosen.volume, card.modality)
    started = time.perf_counter()
    engine = catalog.create(card.engine, chosen.model, chosen.device)
    loading = time.perf_counter() - started
    runs, result = [], None
    for _ in range(max(1, chosen.repeat)):
        started = time.perf_counter()
        result = engine.detect(volume)
        runs.append(time.perf_counter() - started)
    assert result is not None
    return {
        "engine": card.engine,
        "shape": volume.shape,
        "device": result.provenance.device,
        "precision": result.provenance.precision,
        "load_s": round(loading, 3),
        "first_s": round(runs[0], 3),
        "best_s": round(min(runs), 3),
        **_memory(result.provenance.device),
    }


def _memory(device: str) -> dict[str, int]:
    from engines import device as devices

    found = {"peak_mb": devices.peak_mb(devices.choose("cpu"))}
    if "cuda" in device.lower():
        found["gpu_peak_mb"] = devices.peak_mb(devices.choose("cuda"))
    return found


if __name__ == "__main__":
    sys.exit(main())
