"""IterMask3D: iterative mask refinement in 3D brain MRI (Liang et al., Medical Image Analysis 2026).

A U-Net that has seen healthy brains only fills masked tissue from its surroundings and the volume's edges. The mask
starts as the whole brain and shrinks to what cannot be filled well. Read settings.py, preparation.py, network.py,
masking.py, training.py, threshold.py, shrinking.py, engine.py.
"""

from engines.card import Card

CARD = Card(
    key="itermask3d",
    title="IterMask3D",
    paper="Liang et al., IterMask3D: Unsupervised anomaly detection and segmentation with test-time iterative mask "
    "refinement in 3D brain MRI, Medical Image Analysis 107(A):103763, 2026",
    dims="3D",
    supervision="Healthy volumes only",
    inputs=("T1",),
    load="engines.itermask3d.engine:IterMask3d",
    settings="engines.itermask3d.settings:Settings",
)
