"""What an installed package of the toys would bring: entry points; nothing of medray is touched."""

from pathlib import Path

POINTS = {
    "medray.formats": ("spots = toyspots.format:Spots",),
    "medray.models": ("spotnet = toyspots.net:SpotNet",),
    "medray.modalities": ("spots = toyspots.modality:SpotsModality",),
    "medray.tasks": ("weigh = toyspots.task:Weigh",),
    "medray.baselines": ("meanweight = toyspots.task:MeanWeight",),
    "medray.objectives": ("mirrored = toyspots.objective:Mirrored",),
    "medray.transforms": ("near = toyspots.transform:Near",),
}


def plug(folder: Path) -> list[str]:
    """Write the package's metadata; returns where Python has to look."""
    metadata = folder / "toyspots-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toyspots\nVersion: 1.0\n")
    groups = (f"[{group}]\n" + "\n".join(lines) for group, lines in POINTS.items())
    (metadata / "entry_points.txt").write_text("\n".join(groups) + "\n")
    return [str(folder), str(Path(__file__).parent)]
