"""Writes a BERT directory as ONNX: the file that the ONNX Runtime and OpenVINO peers load.

usage: export_onnx.py MODEL_DIRECTORY OUTPUT.onnx

Runs in the Python of the reference (torch, transformers), with `onnx` in PYTHONPATH.
"""

import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402  (after the environment is set)
import transformers  # noqa: E402


class LastHiddenState(torch.nn.Module):
    def __init__(self, directory):
        super().__init__()
        self.model = transformers.AutoModel.from_pretrained(directory, attn_implementation="eager")

    def forward(self, input_ids, attention_mask, token_type_ids):
        output = self.model(input_ids=input_ids, attention_mask=attention_mask,
                            token_type_ids=token_type_ids)
        return output.last_hidden_state


def main(directory, target):
    names = ["input_ids", "attention_mask", "token_type_ids"]
    ids = torch.ones(2, 8, dtype=torch.int64)
    axes = {name: {0: "texts", 1: "tokens"} for name in [*names, "last_hidden_state"]}
    torch.onnx.export(LastHiddenState(directory).eval(), (ids, ids, 0 * ids), target, dynamo=False,
                      input_names=names, output_names=["last_hidden_state"], dynamic_axes=axes,
                      opset_version=17)


if __name__ == "__main__":
    main(*sys.argv[1:])
