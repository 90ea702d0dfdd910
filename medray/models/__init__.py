"""Networks. One file each, loaded lazily."""

from typing import TYPE_CHECKING, Any

from medray.registry import Registry

if TYPE_CHECKING:
    from medray.models.base import ModelOptions, Network

MODELS: "Registry[Network]" = Registry(
    "medray.models",
    {
        "unet": "medray.models.image.unet:UNet",
        "segnet": "medray.models.image.segnet:SegNet",
        "resnet": "medray.models.image.resnet:ResNet",
        "cnn": "medray.models.image.cnn:Cnn",
        "centernet": "medray.models.image.centernet:CenterNet",
        "dcgan": "medray.models.image.dcgan:Dcgan",
        "lstm": "medray.models.sequence.lstm:Lstm",
        "attention_lstm": "medray.models.sequence.attention_lstm:AttentionLstm",
        "transformer": "medray.models.sequence.transformer:Transformer",
        "seq_cnn": "medray.models.sequence.seq_cnn:SeqCnn",
        "cnn1d": "medray.models.signal.cnn1d:Cnn1d",
        "resnet1d": "medray.models.signal.resnet1d:ResNet1d",
        "bilstm": "medray.models.signal.bilstm:BiLstm",
        "signal-transformer": "medray.models.signal.transformer:SignalTransformer",
        "notation-lstm": "medray.models.notation.lstm:NotationLstm",
        "notation-autoencoder": "medray.models.notation.autoencoder:NotationAutoencoder",
        "notation-gan": "medray.models.notation.autoencoder:NotationGan",
        "mlp": "medray.models.table.mlp:Mlp",
        "fusion": "medray.models.table.fusion:Fusion",
        "tarnet": "medray.models.table.tarnet:Tarnet",
        "ehr-rnn": "medray.models.ehr.recurrent:RecordRnn",
        "ehr-transformer": "medray.models.ehr.transformer:RecordTransformer",
        "unet1d": "medray.models.signal.unet1d:UNet1d",
        "signal-autoencoder": "medray.models.signal.autoencoder:SignalAutoencoder",
        "signal-forecaster": "medray.models.signal.forecaster:SignalForecaster",
        "message-passing": "medray.models.molecule.message_passing:MessagePassing",
        "dmpnn": "medray.models.molecule.dmpnn:Dmpnn",
        "fingerprint-mlp": "medray.models.molecule.fingerprint_mlp:FingerprintMlp",
        "bilstm-crf": "medray.models.text.bilstm_crf:BilstmCrf",
        "relation-cnn": "medray.models.text.relation_cnn:RelationCnn",
        "relation-wide-deep": "medray.models.text.relation_wide_deep:RelationWideDeep",
        "word-selector": "medray.models.text.word_selector:WordSelector",
        "pointer-generator": "medray.models.text.pointer_generator:PointerGenerator",
        "linear-crf": "medray.models.text.linear_crf:LinearCrf",
        "ngram-linear": "medray.models.text.ngrams:NgramLinear",
        "text-cnn": "medray.models.text.text_cnn:TextCnn",
        "attention-pooling": "medray.models.slide.attention_pooling:AttentionPooling",
        "dual-encoder": "medray.models.pair.dual_encoder:DualEncoder",
    },
)


def model_options(model: dict[str, Any], **planned: Any) -> "ModelOptions":
    """The checked options of `model`: its `name` and the network's own, as in a job file.

    Args:
        model: as in a job file.
        planned: what the plan says; taken where the network has such an option (its `planned`)
            and the job is silent.
    """
    rest = dict(model)
    kind = MODELS.get(rest.pop("name"))
    asked = {name: value for name, value in planned.items() if name in kind.Options.planned}
    return kind.Options.model_validate(asked | rest)
