"""SAGAN: spatial-aware attention GAN for semi-supervised anomaly detection (Zhang et al., MICCAI 2024).

Not the Self-Attention GAN of the same acronym. A generator learns to turn unlabeled pictures into normal ones;
what it changes is the heatmap. Read settings.py, network.py, pseudo_anomaly.py, losses.py, training.py, engine.py.
"""

from engines.card import Card

CARD = Card(
    key="sagan",
    title="SAGAN",
    paper="Zhang et al., Spatial-aware Attention GAN for Semi-supervised Anomaly Detection in Medical Image, "
    "MICCAI 2024",
    dims="2D",
    supervision="Known normal slices and unlabeled slices (some of them abnormal); no masks",
    inputs=("FLAIR", "CXR"),
    load="engines.sagan.engine:Sagan",
    settings="engines.sagan.settings:Settings",
)
