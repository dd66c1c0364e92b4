"""RASALoRE: region-aware spatial attention with location-based random embeddings (Sharma et al., BMVC 2025).

Stage 2 of two: a small network learns to outline lesions from coarse masks that came from slice labels alone (DDPT's,
or the look of lesions, appearance.py). Read settings.py, network.py, folded.py, losses.py, slices.py,
pseudo_targets.py, training.py, inference.py, engine.py.
"""

from engines.card import Card

CARD = Card(
    key="rasalore",
    title="RASALoRE",
    paper="Sharma et al., RASALoRE: Region Aware Spatial Attention with Location-based Random Embeddings for Weakly "
    "Supervised Anomaly Detection in Brain MRI Scans, BMVC 2025",
    dims="2D",
    supervision="Slice labels (shows a lesion or not); no masks",
    inputs=("FLAIR",),
    load="engines.rasalore.engine:RasaLoreEngine",
    settings="engines.rasalore.settings:Settings",
)
