"""What can be said of files with boxes."""

from typing import Literal

from pydantic import Field

from medray.spec.base import Settings

BoxLayout = Literal["voc", "coco", "yolo", "boxes-csv"]


class BoxOptions(Settings):
    """Where boxes and their images lie; None is what the layout has by custom."""

    annotations: str | dict[str, str] | None = Field(
        None,
        description="voc: folder of the XML files (Annotations); yolo: folder of the texts "
        "(labels); coco: the JSON file (annotations.json), or a file for each split by its name; "
        "boxes-csv: the table (boxes.csv)",
    )
    images: str | None = Field(
        None,
        description="folder of the images, voc: JPEGImages, yolo: images; of coco and boxes-csv "
        "the folder that their paths begin in, which is the source",
    )
    lists: str = Field("ImageSets/Main", description="voc: folder of train.txt, val.txt, test.txt")
