#!/usr/bin/env python3
"""The chunk tokenizer in plain Python, written for clarity, and the fixture that the C++ one is tested against.

    python3 tests/parity/chunk_reference.py            # rewrites tests/fixtures/chunk_tokenizer.json
"""
import collections
import json
import pathlib

UNKNOWN = "<UNK>"
TRIGRAMS = frozenset(
    "the and ing ion tio for tha ter hat his ere ent her was you are not but can all whi one our out whe hav thi wit"
    .split())


def chunk_length(text, p):
    if p + 3 > len(text):
        return min(2, len(text) - p)
    common = text[p:p + 3] in TRIGRAMS
    after_space = p > 0 and text[p - 1] == " "
    before_space = p + 3 < len(text) and text[p + 3] == " "
    return 3 if common or after_space or before_space else 2


def chunks(document):
    text = document.lower()
    p = 0
    while p < len(text):
        yield text[p:p + chunk_length(text, p)]
        p += chunk_length(text, p)


def build(documents, max_size=0, min_count=1):
    """The chunks by id; id 0 is the unknown token, max_size counts it too."""
    counts = collections.Counter(chunk for document in documents for chunk in chunks(document))
    kept = sorted((-count, chunk) for chunk, count in counts.items() if count >= min_count)
    vocabulary = [UNKNOWN] + [chunk for _, chunk in kept]
    return vocabulary[:max_size] if max_size else vocabulary


def encode(vocabulary, document):
    ids_of = {chunk: i for i, chunk in enumerate(vocabulary)}
    text = document.lower()
    ids, p = [], 0
    while p < len(text):
        length = chunk_length(text, p)
        while length > 0 and text[p:p + length] not in ids_of:
            length -= 1
        ids.append(ids_of[text[p:p + length]] if length else 0)
        p += max(length, 1)
    return ids


def decode(vocabulary, ids):
    return "".join(vocabulary[i] if 0 <= i < len(vocabulary) else UNKNOWN for i in ids)


DOCUMENTS = [
    "Once upon a time, there was a little fox. The fox was not alone: all of her friends came out to play.",
    "Hello! What is your name? My name is Mia, and I have one thing to tell you.",
    "THIS TEXT IS IN CAPITALS, WITH THE WORDS THAT EVERYONE KNOWS.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ÄÖÜ ẞ ß ﬁ",
    "Voix ambiguë d'un cœur qui, au zéphyr, préfère les jattes de kiwis. ÇÉÈÊ ŒUVRE",
    # Final sigma: at the end of a word, before punctuation, before an apostrophe, alone, twice, after a combining mark.
    "ΟΔΥΣΣΕΥΣ ΚΑΙ ΠΗΝΕΛΟΠΗ. Ο ΣΟΦΟΣ, Ο ΛΟΓΟΣ! Σ ΑΣ' ΑΣ'Α ΑΣΣ ΆΣ Α\u0301Σ 1Σ Σ1",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ὀδυσσεύς.",
    "İSTANBUL'DA IŞIK VE İĞNE; ILIK DİYARBAKIR. Ⅷ Ⓐ",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. ЁЖИК ЇЖАК",
    "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。",
    "いろはにほへと ちりぬるを カタカナ　ＦＵＬＬＷＩＤＴＨ 한국어 문장입니다.",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले विष्णुवतार भगवान श्रीराम",
    "𐐀𐐁𐐂 DESERET, 𝐌𝐀𝐓𝐇, Ꭰ Ა Ა",
    "Emoji 😀 😀😀 👩‍👩‍👧‍👦 family 🏳️‍🌈 flag 🇩🇪🇫🇷 👍🏽 thumbs ❤️",
    "tabs\tand\t\ttabs; no-break\u00a0space; thin\u2009space; line\r\nends\rold\n\n\nnew   three  spaces ",
    " ", "a", "ab", "abc", "the", " the", "the ", "", "\n", "ÀÉ", "xyz w",
]

# Texts that no vocabulary was built from: prefixes, unknown code points, texts that end in the middle of a chunk.
PROBES = [
    "once upon a tim", "user: tell me", "hello", "q", "qzx", "ωσ", "ΣΑΣ", "日本", "the quick brown fox jumps over 13 lazy dogs",
    "☃☃☃ snowman", "a\u0000b", "\u200b\ufeff", "mañana", "I\u0307İi", "don't \"quote\" (me) -- ever...",
]

# Bytes that are not UTF-8: stray, cut off, overlong, surrogate and out-of-range forms.
INVALID = [
    b"a\x80b", b"\xff\xfe", b"\xc3", b"ab\xe2\x82", b"\xe2\x82a", b"\xf0\x9f\x98", b"\xf0\x9fx", b"\xc0\xaf", b"\xe0\x80\xaf",
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xce\xa3\x80 ok", b"\xe2(\xa1",
]


def main():
    vocabularies = []
    for max_size, min_count in [(0, 1), (100, 1), (0, 3), (2, 1), (60, 2)]:
        vocabulary = build(DOCUMENTS, max_size, min_count)
        vocabularies.append({
            "max_size": max_size,
            "min_count": min_count,
            "chunks": vocabulary,
            "ids": [encode(vocabulary, text) for text in DOCUMENTS + PROBES],
            "invalid_ids": [encode(vocabulary, data.decode("utf-8", errors="replace")) for data in INVALID],
        })
    for text in DOCUMENTS:  # a vocabulary without a cap loses nothing but the case
        assert decode(build(DOCUMENTS), encode(build(DOCUMENTS), text)) == text.lower()
    fixture = {
        "documents": DOCUMENTS,
        "probes": PROBES,
        "lower": [text.lower() for text in DOCUMENTS],
        "invalid": [data.hex() for data in INVALID],
        "invalid_text": [data.decode("utf-8", errors="replace") for data in INVALID],
        "vocabularies": vocabularies,
    }
    path = pathlib.Path(__file__).parent.parent / "fixtures" / "chunk_tokenizer.json"
    path.write_text(json.dumps(fixture, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
