"""What a page shows of volumes: predicted against true ones, in millilitres."""

from medray.tasks.section import Figure, Rows


def volume_figures(cases: Rows) -> list[Figure]:
    """Predicted volumes against true ones, and Bland-Altman's plot; nothing of pictures.

    Args:
        cases: rows of scores of masks; see medray.tasks.metrics.segmentation.
    """
    points: dict[str, tuple[list[float], list[float]]] = {}
    for row in cases:
        pair = row.get("predicted_ml"), row.get("actual_ml")
        if row["status"] != "absent" and pair[0] is not None and pair[1] is not None:
            predicted, actual = points.setdefault(row["class"], ([], []))
            predicted.append(pair[0])
            actual.append(pair[1])
    if not points:
        return []
    pairs = {"labels": ("truth, ml", "prediction, ml"), "points": points}
    apart = {"labels": ("mean of both, ml", "prediction less truth, ml"), "points": points}
    return [
        Figure("paired", "Volume of each case", pairs),
        Figure("agreement", "Volumes: Bland-Altman", apart),
    ]
