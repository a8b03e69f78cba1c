"""usage: peer_onnxruntime.py MODEL_DIRECTORY float32|int8 TEXTS.json MODEL.onnx

float32: BERT's operators fused by ONNX Runtime's own optimizer. int8: that, quantized dynamically.
"""

import json
import sys
from pathlib import Path

import onnx
import onnxruntime
import padded
import peer
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer


def fused(exported, directory):
    target = exported.with_suffix(".fused.onnx")
    if not target.exists():
        config = json.loads((Path(directory) / "config.json").read_text())
        model = optimizer.optimize_model(str(exported), model_type="bert", opt_level=0,
                                         num_heads=config["num_attention_heads"],
                                         hidden_size=config["hidden_size"])
        model.save_model_to_file(str(target))
    return target


def quantized(file):
    target = file.with_suffix(".int8.onnx")
    if not target.exists():
        quantize_dynamic(file, target, weight_type=QuantType.QInt8, per_channel=True,
                         extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
    return target


def main(directory, dtype, texts_file, exported):
    file = fused(Path(exported), directory)
    if dtype == "int8":
        file = quantized(file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    peer.serve(padded.encoder(directory, lambda inputs: session.run(None, inputs)[0]), texts_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
