"""Networks. One file each, loaded lazily."""

from typing import TYPE_CHECKING

from medray.registry import Registry

if TYPE_CHECKING:
    from medray.models.base import Network

MODELS: "Registry[Network]" = Registry(
    "medray.models",
    {
        "unet": "medray.models.image.unet:UNet",
        "segnet": "medray.models.image.segnet:SegNet",
        "resnet": "medray.models.image.resnet:ResNet",
        "cnn": "medray.models.image.cnn:Cnn",
        "lstm": "medray.models.sequence.lstm:Lstm",
        "attention_lstm": "medray.models.sequence.attention_lstm:AttentionLstm",
        "transformer": "medray.models.sequence.transformer:Transformer",
        "seq_cnn": "medray.models.sequence.seq_cnn:SeqCnn",
        "mlp": "medray.models.table.mlp:Mlp",
        "fusion": "medray.models.table.fusion:Fusion",
    },
)
