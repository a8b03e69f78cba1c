"""usage: peer_openvino.py MODEL_DIRECTORY float32|bfloat16 TEXTS.json MODEL.onnx"""

import sys

import openvino
import padded
import peer

PRECISIONS = {"float32": openvino.Type.f32, "bfloat16": openvino.Type.bf16}


def main(directory, dtype, texts_file, exported):
    compiled = openvino.Core().compile_model(exported, "CPU", {
        openvino.properties.hint.inference_precision(): PRECISIONS[dtype],
        openvino.properties.hint.performance_mode():
            openvino.properties.hint.PerformanceMode.LATENCY})
    request = compiled.create_infer_request()
    peer.serve(padded.encoder(directory, lambda inputs: request.infer(inputs)[0]), texts_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
