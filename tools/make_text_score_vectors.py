"""make_text_score_vectors.py: writes tests/text_scores.json, 1,000 random pairs of texts and what sacrebleu makes of
them, each alone and all together. Needs a Python with sacrebleu."""
import json
import pathlib
import random

import sacrebleu

TESTS = pathlib.Path(__file__).resolve().parent.parent / "tests"
PIECES = ["the", "cat", "sat", "on", "Mat", "isn't", "U.S.", "e.g.", "3.14", "1,000,000", "10-12", "well-known", "a,b",
          "x.", ".5", "5.", ",", ".", "-", "--", "...", "!", "?", ";", ":", "(", ")", "[ok]", "{}", "\"", "'", "`", "&",
          "&amp;", "&quot;", "&lt;b&gt;", "<skipped>", "/", "@", "#1", "$5", "50%", "a_b", "^", "~", "|", "\\", "+",
          "=", "naïve", "Ünïcödé", "été", "ﬁ", "ß", "привет", "мир,", "москва-2", "γειά", "שלום", "مرحبا", "١٢٣",
          "नमस्ते", "你好", "世界。", "、", "「引用」", "한국어", "日本語", "½", "²", "Ⅳ", "€5", "£", "©", "→", "∑", "±",
          "😀", "👩‍🚀", "🇫🇷", "é", "«oui»", "“so”", "–", "—", "…", "¿qué?", "·", "‰", "§1", "№5"]
SPACES = [" "] * 12 + ["", "  ", "\t", " ", "　", " ", ""]


def text(rand, words):
    return "".join(word + rand.choice(SPACES) for word in words)


def pairs(count=1000, seed=1):
    """-> texts and references, the latter with some words changed, left out, or added."""
    rand = random.Random(seed)
    out = []
    for _ in range(count):
        words = rand.choices(PIECES, k=rand.randrange(1, 14))
        other = [rand.choice(PIECES) if rand.random() < .2 else w for w in words if rand.random() < .9]
        out.append((text(rand, words), text(rand, other + rand.choices(PIECES, k=rand.randrange(3)))))
    return out + [("", "a"), ("a", ""), (" ", " "), ("same text here .", "same text here .")]


def scores(texts, references):
    """-> BLEU by both cuts, and chrF; `references`: lists as long as texts."""
    return [sacrebleu.corpus_bleu(texts, references, tokenize="13a", force=True).score,
            sacrebleu.corpus_bleu(texts, references, tokenize="intl", force=True).score,
            sacrebleu.corpus_chrf(texts, references).score]


def main():
    both = pairs()
    texts, references = [t for t, _ in both], [r for _, r in both]
    out = {
        "order": ["bleu 13a", "bleu intl", "chrf"],
        "pairs": both,
        "each": [scores([t], [[r]]) for t, r in both],
        "all": scores(texts, [references]),
        # The second references are the first ones of the next texts.
        "two_references": scores(texts, [references, references[1:] + references[:1]]),
    }
    (TESTS / "text_scores.json").write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
