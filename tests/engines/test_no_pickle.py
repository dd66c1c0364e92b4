"""No code hides in data: neither room reads pickles, evaluates strings or lets YAML build objects."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
NAMES = {"eval", "exec", "compile", "__import__"}
CALLS = {
    "torch.jit.load", "torch.hub.load", "torch.save", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load", "pandas.read_pickle", "os.system",
}  # fmt: skip
# Only with the safe choice, said aloud.
SAFE_WITH = {
    **dict.fromkeys(("np.load", "np.save", "numpy.load", "numpy.save"), ("allow_pickle", "False")),
    "torch.load": ("weights_only", "True"),
}
# Messages between our own processes over private pipes; nothing from a file or the network gets there.
OWN_PROCESSES = "brainviewer/jobs/"


def forbidden(source: str, pickles: bool = False) -> list[str]:
    """What a source text does that could run code from data."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(node.module or "")
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            said = [(word.arg, ast.unparse(word.value)) for word in node.keywords]
            if called in NAMES | CALLS or (called in SAFE_WITH and SAFE_WITH[called] not in said):
                found.append(called)
    return [one for one in found if not (pickles and one.split(".")[0] in MODULES)]


SOURCES = [
    path for room in ("engines", "brainviewer", "installer") for path in sorted((REPOSITORY / room).rglob("*.py"))
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_file_runs_no_code_from_data(path: Path) -> None:
    own = path.relative_to(REPOSITORY).as_posix().startswith(OWN_PROCESSES)
    assert forbidden(path.read_text(encoding="utf-8"), pickles=own) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "eval('1')",
        "import torch\ntorch.load('m')",
        "torch.load('m', weights_only=False)",
        "np.load(p, allow_pickle=True)",
        "np.load(p)",
        "yaml.load(text)",
        "def f():\n    exec(code)",
    ],
)
def test_forbidden_things_are_noticed(source: str) -> None:
    assert forbidden(source)


def test_harmless_namesakes_are_let_through() -> None:
    assert forbidden("app.exec()\nmodel.eval()\nre.compile('x')\njson.load(f)\nnp.load(p, allow_pickle=False)") == []
    assert forbidden("torch.load('m', map_location='cpu', weights_only=True)") == []
