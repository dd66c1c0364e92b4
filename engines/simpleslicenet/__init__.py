"""SimpleSliceNet: how likely is each place of a slice, after features of an image network (Zhang and Mohsenzadeh).

A conditional normalising flow learns the features of healthy slices; the heatmap is how unlikely a place is. Stage 0
(Encoder-Decoder Contrast) can adapt the image network first. Read settings.py, flow.py, losses.py, contrast.py,
training.py, inference.py, engine.py.
"""

from engines.card import Card

CARD = Card(
    key="simpleslicenet",
    title="SimpleSliceNet",
    paper="Zhang and Mohsenzadeh, Efficient Slice Anomaly Detection Network for 3D Brain MRI Volume, "
    "PLOS Digital Health 2025 (arXiv 2408.15958)",
    dims="2D+3D",
    supervision="Normal volumes or pictures only; synthetic anomalies in feature space",
    inputs=("T1", "MR2D"),
    load="engines.simpleslicenet.engine:SimpleSliceNet",
    settings="engines.simpleslicenet.settings:Settings",
)
