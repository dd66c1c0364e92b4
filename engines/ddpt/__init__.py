"""DDPT: discriminative dual prompt tuning (the first stage of RASALoRE), a weakly supervised lesion finder.

Learns from slice labels alone whether a slice shows a lesion; where the network looked when it said so is the heatmap
and, cut, the pseudo-mask. Read settings.py, backbone.py, network.py, losses.py, maps.py, training.py, engine.py.
"""

from engines.card import Card

CARD = Card(
    key="ddpt",
    title="DDPT",
    paper="Sharma et al., RASALoRE: Region Aware Spatial Attention with Location-based Random Embeddings, BMVC 2025 "
    "(stage 1); after Xing et al., Dual Modality Prompt Tuning for Vision-Language Pre-Trained Model, IEEE TMM 2023",
    dims="2D",
    supervision="Slice labels (shows a lesion or not); no masks",
    inputs=("FLAIR",),
    load="engines.ddpt.engine:Ddpt",
    settings="engines.ddpt.settings:Settings",
)
