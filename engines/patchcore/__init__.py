"""PatchCore: how far each place of a slice is from anything seen in healthy slices (Roth et al. 2022).

The plain baseline: no training, a memory of healthy features and the distance to the nearest of them. Read
settings.py, engine.py and engines/blocks/place_memory.py.
"""

from engines.card import Card

CARD = Card(
    key="patchcore",
    title="PatchCore",
    paper="Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022 (arXiv 2106.08265)",
    dims="2D",
    supervision="Normal volumes or pictures only; nothing is trained",
    inputs=("T1", "MR2D"),
    load="engines.patchcore.engine:PatchCore",
    settings="engines.patchcore.settings:Settings",
)
