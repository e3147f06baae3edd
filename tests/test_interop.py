"""tools/interop: the table that it prints, on made-up rows."""
import sys

from nibble import ROOT

sys.path.insert(0, str(ROOT / "tools"))
from interop.__main__ import counts  # noqa: E402
from interop.common import Place, Row, Seen  # noqa: E402
from interop.table import cell, lines  # noqa: E402


def row(target, family, passed=True, scheme="w4g128", consumer="onnxruntime", **seen):
    return Row("", "", passed, place=Place(target, scheme, family, consumer), seen=Seen(**seen) if seen else None)


ROWS = [row("onnx", "tales", logits=2e-5, kl=1e-10, flavour="onnx:nbits"),
        row("onnx", "tales", scheme="w8", logits=3e-6, kl=4e-10, flavour="onnx:nbits"),
        row("onnx", "moe"),
        row("onnx:int8-qdq", "tales", logits=.31, ratio=1.014, flavour="onnx:int8-qdq"),
        row("onnx:int8-qdq", "moe", passed=False, logits=.2, ratio=1.2, flavour="onnx:int8-qdq"),
        row("gguf:f32", "tales", consumer="gguf", words="the same weights", flavour="gguf:f32"),
        row("gguf:q8_0", "tales", consumer="gguf", words="the same weights", flavour="gguf:q8_0"),
        row("onnx", "tales", consumer="OpenVINO", logits=0., kl=0., flavour="onnx:nbits"),
        Row("golden family", "", True)]


def test_the_table_has_a_line_each_flavour_and_consumer():
    assert lines(ROWS, ["tales", "moe"]) == [
        ("onnx", "onnxruntime", ["nbits"], ("2e-5 / 4e-10", "refused")),
        ("onnx", "onnxruntime", ["int8-qdq"], ("3e-1 / ×1.01", "FAILED")),
        ("onnx", "OpenVINO", ["nbits"], ("0 / 0", "")),
        ("gguf", "gguf", ["f32", "q8_0"], ("the same weights", ""))]


def test_a_place_with_a_refusal_beside_what_was_written():
    assert cell([ROWS[0], row("onnx", "tales")]) == "2e-5 / 1e-10, refused"


def test_what_is_skipped_neither_passed_nor_failed():
    assert counts([Row("a", "", True), Row("b", "", False), Row("c", "", False, skipped=True)]) == (1, 1)
