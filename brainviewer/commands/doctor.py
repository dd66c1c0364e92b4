"""`brainviewer doctor`: what works on this machine, and the remedy for what does not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

MARKS = {"ok": "[green]ok[/]      ", "warning": "[yellow]warning[/] ", "failed": "[red]FAILED[/]  "}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print facts for scripts.")] = False) -> None:
    """Check this machine and say how to mend what fails."""
    import platform

    from rich.console import Console
    from rich.markup import escape

    import brainviewer
    from brainviewer.doctor import examine

    about = f"BrainViewer {brainviewer.__version__}, Python {platform.python_version()}, {platform.platform()}"
    console = Console(quiet=as_json, highlight=False, soft_wrap=True)
    console.print(about)
    checks = []
    for check in examine():
        checks.append(check)
        console.print(f"{MARKS[check.status]} {check.subject:8} {escape(check.finding)}")
        if check.remedy:
            console.print(f"{'':18} -> {escape(check.remedy)}")
    failed = sum(check.status == "failed" for check in checks)
    if as_json:
        typer.echo(json.dumps({"about": about, "healthy": not failed, "checks": [asdict(c) for c in checks]}, indent=2))
    elif failed:
        console.print(f"{failed} essential {'thing does' if failed == 1 else 'things do'} not work.")
    else:
        console.print("Everything essential works.")
    raise typer.Exit(1 if failed else 0)
