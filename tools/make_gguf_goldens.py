"""The golden models as GGUF files, by llama.cpp's own converter: make_gguf_goldens.py LLAMA_CPP GOLDEN OUT [NAME...]

LLAMA_CPP is a source tree of llama.cpp, GOLDEN shared/models/golden. The folders have no tokenizer,
so the converter is given none to write. Needs a Python with torch, transformers and gguf; models
that the converter does not take are named with its reason. Then, with the built program:

    tools/compare_gguf_goldens.py GOLDEN OUT
"""
import json
import os
import subprocess
import sys

ONE = """
import json, sys
root, src, out, changes = sys.argv[1:5]
sys.path[:0] = [root, root + '/gguf-py']
from conversion import base, gemma
import convert_hf_to_gguf as c
find = c.get_model_class
def get_model_class(*args, **kwargs):
    found = find(*args, **kwargs)
    found.set_vocab = lambda self: None
    return found
c.get_model_class = get_model_class
load = base.ModelBase.load_hparams
base.ModelBase.load_hparams = staticmethod(lambda *args, **kwargs: {**load(*args, **kwargs), **json.loads(changes)})
# It cuts the embedding to the tokenizer's length, which it would read here.
def modify_tensors(self, data, name, bid):
    data = data + 1 if name.endswith('norm.weight') else data
    yield from base.TextModel.modify_tensors(self, data, name, bid)
gemma.Gemma3Model.modify_tensors = modify_tensors
sys.argv = ['x', src, '--outfile', out, '--outtype', 'f32']
c.main()
"""


# Fields that the converter looks for under older names, and what it would misread: Falcon's classes
# ignore num_kv_heads where multi_query is set.
CHANGES = {
    "falcon-7b-style": {"num_kv_heads": 1},
    "gpt-neox": {"rotary_pct": 0.25},
    "gpt-neox-sequential": {"rotary_pct": 0.25},
    "gpt2": {"n_ctx": 256},
    "mpt": {"architectures": ["MPTForCausalLM"]},
}


def main():
    root, golden, out = sys.argv[1:4]
    names = sys.argv[4:] or sorted(n for n in os.listdir(golden) if os.path.isdir(f"{golden}/{n}"))
    os.makedirs(out, exist_ok=True)
    for name in names:
        done = subprocess.run([sys.executable, "-c", ONE, root, f"{golden}/{name}", f"{out}/{name}.gguf",
                               json.dumps(CHANGES.get(name, {}))], capture_output=True, text=True)
        last = done.stderr.strip().splitlines()[-1:] if done.returncode else ["ok"]
        print(f"{name:22} {last[0] if last else done.returncode}", flush=True)


if __name__ == "__main__":
    main()
