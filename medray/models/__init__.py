"""Networks. One file each, loaded lazily."""

from typing import TYPE_CHECKING

from medray.registry import Registry

if TYPE_CHECKING:
    from medray.models.base import Network

MODELS: "Registry[Network]" = Registry(
    "medray.models",
    {
        "unet": "medray.models.unet:UNet",
        "segnet": "medray.models.segnet:SegNet",
        "resnet": "medray.models.resnet:ResNet",
        "cnn": "medray.models.cnn:Cnn",
        "lstm": "medray.models.lstm:Lstm",
        "attention_lstm": "medray.models.attention_lstm:AttentionLstm",
        "transformer": "medray.models.transformer:Transformer",
        "seq_cnn": "medray.models.seq_cnn:SeqCnn",
        "mlp": "medray.models.mlp:Mlp",
        "fusion": "medray.models.fusion:Fusion",
    },
)
