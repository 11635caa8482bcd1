"""Compares the ids of `vigor tokenize` with those of the `tokenizers` package.

    check_tokenizer.py VIGOR TOKENIZER TEXT...    the program, a tokenizer.json or the folder of one, files

Files are cut at line ends into texts of about 200 KB, because the package takes ever longer for longer ones. Bytes that
are not UTF-8 are replaced on both sides. Ids, and the text they decode to, must be equal.
"""
import json
import pathlib
import subprocess
import sys

from tokenizers import Tokenizer

PIECE = 200_000
program, path, *files = sys.argv[1:]
path = pathlib.Path(path)
tokenizer = Tokenizer.from_file(str(path / "tokenizer.json" if path.is_dir() else path))


def pieces(data):
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin + PIECE) + 1 or len(data)
        yield data[begin:end]
        begin = end


def vigor(text, *options):
    call = [program, "tokenize", "--tokenizer", str(path), "--json", *options]
    return json.loads(subprocess.run(call, input=text, capture_output=True, check=True).stdout)


failures = 0
for file in files:
    count = different = 0
    for piece in pieces(pathlib.Path(file).read_bytes()):
        expected = tokenizer.encode(piece.decode("utf-8", errors="replace"), add_special_tokens=False).ids
        found = vigor(piece)
        count += len(expected)
        same_text = vigor(json.dumps(expected).encode(), "--decode") == tokenizer.decode(expected, skip_special_tokens=False)
        if found == expected and same_text:
            continue
        different += 1
        first = next((i for i, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]), min(len(found), len(expected)))
        print(f"{file}: at token {first} of a text: {found[first:first + 8]}, not {expected[first:first + 8]}; decoded "
              f"{'alike' if same_text else 'otherwise'}", flush=True)
    failures += different
    print(f"{'equal' if different == 0 else 'DIFFERENT'}  {count:>9} ids  {file}", flush=True)
sys.exit(1 if failures else 0)
