"""bitsandbytes in transformers, loaded in the file's type, since in another BLOOM's LayerNorm meets inputs of that one and
weights of the file's."""
import bitsandbytes
import torch

from interop.exported import rows
from interop.logits import difference, load_in_transformers, logits_of

NOISE = 1e-3  # float32, the order of sums
KINDS = [("", "bitsandbytes:nf4"), ("", "bitsandbytes:nf4-double"), ("", "bitsandbytes:fp4"),
         ("", "bitsandbytes:fp4-double"), ("w4g128", "bitsandbytes")]
FAMILIES = ["qwen3", "phi3", "gemma", "gpt2"]


def misread(width):
    """Whether rows of so many columns come back wrong from bitsandbytes' own four bits: 0.50 on CPUs with AVX-512, where they
    are not whole blocks of 64."""
    rows = torch.linspace(-1, 1, 64 * width).view(64, width)
    back = bitsandbytes.functional.dequantize_4bit(*bitsandbytes.functional.quantize_4bit(rows, quant_type="nf4"))
    return (back - rows).abs().max().item() > .2  # two levels are at most .31 apart


def by_codes(linear):
    """The weight that the codes and scales of its state say: levels times absmax, block by block (arXiv 2305.14314), in the
    state's type."""
    state, packed = linear.weight.quant_state, linear.weight.data.flatten()
    codes = torch.stack([packed >> 4, packed & 15], 1).flatten().long()
    return (state.code[codes].view(-1, state.blocksize) * state.absmax[:, None]).view(state.shape).to(state.dtype).float()


def logits_in_float32(model, texts, linears, weight_of):
    """With these linears' weights as weight_of(linear) gives them."""
    for m in linears:
        weight, bias = weight_of(m), None if m.bias is None else m.bias.float()
        m.forward = lambda x, w=weight, b=bias: torch.nn.functional.linear(x, w, b)
    for values in (*model.parameters(), *model.buffers()):
        if values.is_floating_point():
            values.data = values.data.float()
    return logits_of(model, texts)


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
    wrong = f"without {misplaced[0]}" if misplaced else None
    linears = [m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    if any(misread(m.in_features) for m in linears):
        return logits_in_float32(model, texts, linears, by_codes), wrong, "yes; misread by bitsandbytes' kernel here"
    packed = logits_of(model, texts)
    model = model.dequantize()
    if (far := difference(packed, logits_of(model, texts))) > NOISE:
        wrong = f"packed, {far:.1e} from dequantized"
    return logits_of(model.float(), texts), wrong, "yes, dequantized and packed"


def by_definition(linear, x):
    """LLM.int8() (arXiv 2208.07339) in float32: inputs rounded to int8, a scale a row, but for the columns that hold a value
    from the threshold on, which are multiplied as they are."""
    state, a = linear.state, x.reshape(-1, x.shape[-1]).half().float()
    weight = int8_weight(linear)
    outliers = a.abs() >= state.threshold
    columns, kept = outliers.any(0), a.masked_fill(outliers, 0)
    scale = kept.abs().amax(1, keepdim=True)
    codes = (kept * (127 / scale)).round().masked_fill(columns, 0)
    y = codes * scale / 127 @ weight.T + a[:, columns] @ weight[:, columns].T
    return y if linear.bias is None else y + linear.bias.float()


def int8_weight(linear):
    return linear.state.CB.float() * linear.state.SCB.float()[:, None] / 127


def int8_logits(folder, texts):
    """Of the integers and scales as bitsandbytes has loaded them, in float32.

    What its model says itself is .06 to .2 standard deviations off, for it rounds the inputs of linears to int8: that is the
    method, and small differences of inputs move whole codes. So each of its products is held, as it runs, against the
    definition on the same inputs: within a unit in the last place, at the largest value, of the type that it gives or of
    float16, in which it reads inputs (and 1 / 127^2 is 6.200124e-05 to it, 2e-5 too much)."""
    model, misplaced = load_in_transformers(folder, "auto")
    linears = [m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear8bitLt)]
    units = []

    def watch(linear, inputs, output):
        wanted = by_definition(linear, inputs[0]).reshape(output.shape)
        far = (output.float() - wanted).abs().max() / wanted.abs().max()
        units.append(far.item() / max(torch.finfo(t).eps for t in (output.dtype, torch.half)))
    hooks = [m.register_forward_hook(watch) for m in linears]
    rounded = logits_of(model, texts)
    for hook in hooks:
        hook.remove()
    exact = logits_in_float32(model, texts, linears, int8_weight)
    wrong = f"without {misplaced[0]}" if misplaced else None
    if not units or max(units) > 1:
        wrong = f"a product {max(units, default=0):.1f} units from its definition"
    return exact, wrong, f"yes; inputs rounded: {difference(rounded, exact):.1e} off"


def check():
    yield from rows(KINDS, FAMILIES, "", "bitsandbytes:nf4", logits, NOISE, "bitsandbytes")
    yield from rows([("w8", "bitsandbytes"), ("", "bitsandbytes:int8")], [], "", "", int8_logits, NOISE, "bitsandbytes")
