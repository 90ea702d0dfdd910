"""What can be said of all formats of text: what leaves it, and which split its documents are in."""

from pydantic import Field

from medray.formats.base import FormatOptions
from medray.formats.documents.phi.options import Phi


class DocumentOptions(FormatOptions):
    """How documents are read."""

    splits: dict[str, str] = Field(
        {},
        description="name of a file or of a folder above it → split of its documents, as "
        "`train.tsv: train`; the first that fits",
    )
    max_characters: int = Field(1_000_000, ge=1, description="refuse longer documents")
    phi: Phi = Phi()

    def split_of(self, path: str) -> str | None:
        """The split of a file's documents.

        Args:
            path: of the file below the source, with forward slashes.
        """
        parts = set(path.split("/"))
        return next((split for name, split in self.splits.items() if name in parts), None)
