"""bitsandbytes in transformers. Its int8 rounds the activations too, which nibble's reading does not; loaded in the
file's type, since in another BLOOM's LayerNorm meets inputs of that one and weights of the file's."""
from interop.exported import as_it_is, rows
from interop.logits import difference, load_in_transformers, logits_of

NOISE = 1e-3       # float32, the order of sums
ROUNDED = 2.5e-1   # activations of 8 bits by row
KINDS = [("", "bitsandbytes:nf4"), ("", "bitsandbytes:nf4-double"), ("", "bitsandbytes:fp4"),
         ("", "bitsandbytes:fp4-double"), ("w4g128", "bitsandbytes")]
FAMILIES = ["qwen3", "phi3", "gemma", "gpt2"]


def logits(folder, texts):
    """Of the weights as bitsandbytes dequantizes them, in float32.

    As loaded, the model computes in the type of the file, bfloat16 in most: norms and embeddings keep it, since
    transformers 5.23 sends everything named `weight` through bitsandbytes' deserializer, which casts nothing. The
    kernels of four bits are therefore held, in that type, against the dequantized model's linears.

    On CPUs with AVX512_BF16 a first pass packs all codes anew, for a kernel with scales in bfloat16, and transformers'
    dequantize() then reads them as if they were not: there bitsandbytes is told not to, and computes as elsewhere."""
    model, misplaced = load_in_transformers(folder, "auto")
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    packed = logits_of(model, texts)
    model = model.dequantize()
    wrong = f"without {misplaced[0]}" if misplaced else None
    if (far := difference(packed, logits_of(model, texts))) > NOISE:
        wrong = f"packed, {far:.1e} from dequantized"
    return logits_of(model.float(), texts), wrong, "yes, dequantized and packed"


def check():
    yield from rows(KINDS, FAMILIES, "", "bitsandbytes:nf4", logits, NOISE)
    yield from rows([("w8", "bitsandbytes"), ("", "bitsandbytes:int8")], [], "", "", as_it_is("auto"), ROUNDED)
