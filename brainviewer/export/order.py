"""What one export call works with; parts that several formats share are made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from brainviewer.export.deidentify import Deidentifier
from brainviewer.study.material import Material, Source
from engines import BadInput, Report, silent

if TYPE_CHECKING:
    from brainviewer.export.dicom_source import Images


@dataclass(eq=False)
class Order:
    """One run to be exported.

    deidentifier: None leaves the patient's identity in the DICOM objects, where a hospital system needs it.
    document: makes the report as PDF; None where no report can be made.
    warnings: what the user must hear about the export.
    """

    material: Material
    deidentifier: Deidentifier | None = None
    document: Callable[[], bytes] | None = None
    report: Report = silent
    warnings: list[str] = field(default_factory=list)

    def name(self, suffix: str) -> str:
        """A file name that holds nothing about the patient."""
        return f"{self.material.engine}_{suffix}"

    @property
    def source(self) -> Source:
        """The scan; raises BadInput where it is not at hand."""
        if self.material.source is None:
            raise BadInput("This format needs the scan itself.", "Name it with --study.")
        return self.material.source

    def uid(self, value: str) -> str:
        """An identifier of the scan as it may leave the house."""
        return value if self.deidentifier is None else self.deidentifier.uid(value)

    @cached_property
    def images(self) -> Images:
        """The DICOM images the objects refer to; generated where the scan is none."""
        from brainviewer.export import dicom_source

        return dicom_source.images(self)

    @cached_property
    def segmentation(self) -> Any:
        """The mask as a DICOM segmentation, which the structured report refers to."""
        from brainviewer.export.dicom_seg import binary

        return binary(self)
