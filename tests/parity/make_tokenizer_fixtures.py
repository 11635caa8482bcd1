"""Writes tests/fixtures/tokenizer/: small tokenizers of every published pre-tokenizer form, trained with the `tokenizers`
package, and the ids that it gives to texts of many kinds.

    make_tokenizer_fixtures.py TEXT.txt...    files to train on (some MB of English are enough)
"""
import json
import pathlib
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

here = pathlib.Path(__file__).parent
out = here.parent / "fixtures" / "tokenizer"

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# As in GPT-4o: case by case, with look-ahead and options inside. No hand-written matcher knows it.
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])

# Vigor's own, see models/tokenizer/word_pattern.h.
FALCON_H1 = (r" ?\\[A-Za-z]+|(?i:'s|'t|'re|'ve|'m|'ll|'d)| ?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]|\s*[\r\n]+|\s+(?!\S)"
             r"|\s+")

pre = pre_tokenizers
raw_bytes = pre.ByteLevel(add_prefix_space=False, use_regex=False)
forms = {
    "gpt2": (None, pre.ByteLevel(add_prefix_space=False)),
    "llama3": (None, pre.Sequence([pre.Split(Regex(LLAMA3), "isolated"), raw_bytes])),
    "qwen2": (normalizers.NFC(), pre.Sequence([pre.Split(Regex(QWEN2), "isolated"), raw_bytes])),
    "falcon_h1": (None, pre.Sequence([pre.Punctuation("isolated"), pre.Digits(individual_digits=True),
                                      pre.Split(Regex(GPT2), "isolated"), raw_bytes])),
    # Digits and Split see the byte alphabet here, not the text.
    "falcon": (None, pre.Sequence([pre.Punctuation("contiguous"), pre.ByteLevel(add_prefix_space=False),
                                   pre.Digits(individual_digits=False), pre.Split(Regex("[0-9][0-9][0-9]"), "isolated")])),
    "o200k": (None, pre.Sequence([pre.Split(Regex(O200K), "removed", invert=True), raw_bytes])),
    "odd": (normalizers.Sequence([normalizers.NFC()]), pre.Sequence([
        pre.Split("-", "merged_with_next"), pre.Split(Regex(r"\s+"), "merged_with_previous"),
        pre.Split(Regex(r"[aeiou]+"), "contiguous"), pre.Split("\t", "removed"), pre.ByteLevel(add_prefix_space=True)])),
}
marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

texts = [
    "", " ", "a", "Once upon a time, there was a little girl named Lily.", "Hello  world   !", "\n", "\n\n\n", " \n \n x", "\t\tindent",
    "line one\r\nline two\r\n\r\nline four\r", "trailing spaces   ", "   leading", "a\u00a0b\u2003c\u3000d\u0085e\u2028f",
    "I'm he's they'RE we'Ve I'LL you'd can'T 'tis 'Twas rock'n'roll ''s ' s 'x O'Reilly's \u2019s '\u017f",
    "0 1 12 123 1234 12345678 3.14159 1,000,000 0x1F 1e-9 \u00bd \u00b2 \u0661\u0662\u0663 \u2167 \u4e09\u5341 x1y22z333",
    "def f(x, *args):\n    return {k: v**2 for k, v in x.items() if v != 0}  # comment\n\n\nclass A(B): pass\n",
    "int main() { std::vector<int> v{1, 2, 3}; return v[0] += 1 << 3 ? ~v[1] : -1; } // end\n#include <x.h>\n",
    "\\begin{equation}\n\\frac{a_1^2}{\\sqrt{b+\\alpha}} \\le \\sum_{i=1}^{n} x_i \\\\ \\text{if } $x \\in \\mathbb{R}$\n\\end{equation}",
    "<html><body class=\"a-b c\">&amp; &lt;p&gt;</body></html> https://example.org/a/b?c=d&e=f#g user@example.com",
    "Gr\u00fc\u00dfe aus M\u00fcnchen, \u00e7a va? \u00bfQu\u00e9 tal? \u0141\u00f3d\u017a \u010de\u0161tina \u0131stanbul \u0130stanbul",
    "e\u0301 a\u0308 o\u0302\u0323 \u212b \u2126 \ufb01 n\u0303o q\u0307\u0323 \u1e9b\u0323 \u0344",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u0628\u0650\u0633\u0652\u0645\u0650",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u3053\u3093\u306b\u3061\u306f\u4e16\u754c\u3002\uc548\ub155\ud558\uc138\uc694 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e \u09ac\u09be\u0982\u09b2\u09be \u0ba4\u0bae\u0bbf\u0bb4\u0bcd \u1019\u103c\u1014\u103a\u1019\u102c \u0f56\u0f7c\u0f51\u0f0b",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f 1\ufe0f\u20e3 \U0001f44d\U0001f3fd a\u200db \u200bzero\u200cwidth\ufeff",
    "\x00\x01\x02\x07\x08\x0b\x0c\x1b[31mred\x1b[0m\x7f\x80\x9f\xad", "!!! ??? ... --- === ~~~ ``` \"'\"'\" (((]]] @#$%^&*_+|\\/<>,.;:",
    "\u00ab\u201cquoted\u201d\u00bb \u2013 \u2014 \u2026 \u3010x\u3011 \u061d \u2e43 \u166d \u20ac5 \u00a37 \u00a5 \u00a9\u00ae\u2122 \u2200x\u2203y \u2192 \u2211",
    "a-b-c --x-- tab\tand\ttab aeiou strength queue -", "x" * 200, "ab" * 150 + "!" * 70 + " " * 90 + "\n" * 60 + "9" * 50, "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "text<|endoftext|>text", " <|im_end|> <|im_end|>", "<|im_end<|im_end|>|>",
    "lstrip   <L>x", "rstrip<R>   x", "both \n<LR>\t x<LR> <LR>", "word <W> no<W> <W>s <W>. _<W> \u00e9<W>", "e\u0301<N\u00e9>x <Ne\u0301> <n\u00e9>", "<L><R> <L>  <W>",
    "<x><xy><xyz><xyzw>", "\ufffd \ufffd\ufffd", "\U0010ffff \ue000 \ufdd0 \U000e0041",
]


def build(name, normalizer, splitter, files):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, splitter, decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=1000, special_tokens=marks, show_progress=False,
                                  initial_alphabet=pre.ByteLevel.alphabet())
    lines = [line for file in files for line in pathlib.Path(file).read_text(encoding="utf-8").split("\n")]
    tokenizer.train_from_iterator(lines + 20 * texts, trainer)
    tokenizer.add_tokens([
        AddedToken("<L>", lstrip=True), AddedToken("<R>", rstrip=True), AddedToken("<LR>", lstrip=True, rstrip=True),
        AddedToken("<W>", single_word=True), AddedToken("<N\u00e9>", normalized=True), AddedToken("<n\u00e9>", normalized=False),
        "<x>", "<xy>", AddedToken("<xyz>", normalized=False)])
    tokenizer.add_special_tokens([AddedToken("<xyzw>", special=True), "\u3010x\u3011"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
    saved = json.loads(tokenizer.to_str())
    if name == "llama3":  # words that are tokens as a whole skip merging; without the last merges that is another result
        saved["model"]["ignore_merges"] = True
        saved["model"]["merges"] = saved["model"]["merges"][:-100]
    if name in ("gpt2", "falcon"):  # the older form
        saved["model"]["merges"] = [" ".join(pair) for pair in saved["model"]["merges"]]
    return json.dumps(saved, ensure_ascii=name == "qwen2", separators=(",", ":"))


for name, (normalizer, splitter) in forms.items():
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    text = build(name, normalizer, splitter, sys.argv[1:])
    (folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")
    tokenizer = Tokenizer.from_str(text)
    ids = [tokenizer.encode(each, add_special_tokens=False).ids for each in texts]
    (folder / "ids.json").write_text(json.dumps(ids, separators=(",", ":")).replace("],[", "],\n[") + "\n")
# Training: the merges that the package finds in the texts above (without those that hold special tokens).
corpus = [text for text in texts if not any(mark in text for mark in marks)]
trained = {}
for name, regex in {"gpt2": GPT2, "llama3": LLAMA3, "qwen2": QWEN2, "falcon_h1": FALCON_H1}.items():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre.Sequence([pre.Split(Regex(regex), "isolated"), raw_bytes])
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=700, min_frequency=2, special_tokens=marks,
                                  show_progress=False, initial_alphabet=pre.ByteLevel.alphabet()))
    trained[name] = {"regex": regex, "merges": [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]],
                     "vocab": tokenizer.get_vocab()}
(out / "trained.json").write_text(json.dumps(trained, separators=(",", ":")) + "\n")
(out / "texts.json").write_text(json.dumps(texts, indent=0) + "\n")
