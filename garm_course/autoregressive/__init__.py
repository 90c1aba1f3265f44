"""Autoregressive models: an exact likelihood, as a product of conditionals."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "base": "Autoregressive",
        "images": "ImageModel PixelModel",
        "sequences": "SequenceModel",
        "clips": "ClipModel FirstFrames earlier_frames",
        "made": "FVSBN MADE MaskedLinear made_degrees made_masks",
        "nade": "NADE nade_log_prob nade_params",
        "pixelrnn": (
            "DiagonalBiLSTM DiagonalBiLSTMLayer PixelGRU RowLSTM lstm_cell sequence_nll shift_right skew unskew"
        ),
        "pixelcnn": "GatedPixelCNN PixelCNN down_shift gated_activation",
        "pixelcnnpp": "PixelCNNPP",
        "photo_pixelcnnpp": "PhotoPixelCNNPP",
        "transformer": "CharTransformer PixelTransformer",
        "ngram": "NGram",
        "lstm": "TokenLSTM",
        "wavenet": "WaveNet",
        "video": "FramePixelCNN Match",
        "code_prior": "CodeTransformer",
        "guidance": "Guided",
        "sliding": "Sliding",
        "masked_codes": "MaskedCodeModel masked_loss",
    },
)
