"""A worker made of the real FastChat's own classes around a scripted model; no torch.

    python fastchat_worker.py CONTROLLER PORT MODEL TEMPLATE

The model repeats the user's last words, one word a message. `pause` in the prompt makes it slow,
`fault` makes it fail as a full GPU does, `die` ends the process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from types import SimpleNamespace

import uvicorn
from fastchat.conversation import get_conv_template
from fastchat.serve import base_model_worker
from fastchat.serve.base_model_worker import BaseModelWorker


class ScriptedWorker(BaseModelWorker):
    def make_conv_template(self, conv_template=None, model_path=None):
        return get_conv_template(conv_template)

    def generate_stream_gate(self, params):
        words = params["prompt"].rsplit("<|im_start|>user\n", 1)[-1].split("<|im_end|>")[0].split()
        limit = int(params.get("max_new_tokens", 256))
        size = len(params["prompt"].split())
        text = ""
        for index, word in enumerate(words[:limit]):
            text += word + " "
            yield record(text, size, index)
            if word == "pause":
                time.sleep(0.05)
            if word == "fault":
                error = "**BUSY.**\n\n(CUDA out of memory. Tried to allocate 2.00 GiB.)"
                yield json.dumps({"text": error, "error_code": 50002}).encode() + b"\0"
                return
            if word == "die":
                os._exit(1)
        yield record(text, size, len(words), "length" if limit < len(words) else "stop")


def record(text: str, size: int, index: int, reason: str | None = None) -> bytes:
    usage = {"prompt_tokens": size, "completion_tokens": index, "total_tokens": size + index}
    fields = {"text": text, "error_code": 0, "usage": usage, "finish_reason": reason}
    return json.dumps(fields).encode() + b"\0"


def main() -> None:
    controller, port, model, template = sys.argv[1:]
    address = f"http://127.0.0.1:{port}"
    worker = ScriptedWorker(controller, address, model, model, [model], 2, conv_template=template)
    worker.tokenizer = lambda prompt: SimpleNamespace(input_ids=prompt.split())
    worker.context_len = 512
    worker.init_heart_beat()
    uvicorn.run(base_model_worker.app, host="127.0.0.1", port=int(port), log_level="error")


if __name__ == "__main__":
    main()
