"""Compares the ids of `vigor tokenize` with those of the `tokenizers` package, each file as one text.

    check_tokenizer.py VIGOR TOKENIZER TEXT...    the program, a tokenizer.json or the folder of one, files

Bytes that are not UTF-8 are replaced on both sides. Also prints the speed of the package in the same run.
"""
import json
import pathlib
import subprocess
import sys
import time

from tokenizers import Tokenizer

program, path, *files = sys.argv[1:]
path = pathlib.Path(path)
tokenizer = Tokenizer.from_file(str(path / "tokenizer.json" if path.is_dir() else path))
failures = 0
for file in files:
    data = pathlib.Path(file).read_bytes()
    text = data.decode("utf-8", errors="replace")
    begin = time.perf_counter()
    expected = tokenizer.encode(text, add_special_tokens=False).ids
    seconds = time.perf_counter() - begin
    answer = subprocess.run([program, "tokenize", "--tokenizer", str(path), "--json"], input=data, capture_output=True, check=True)
    found = json.loads(answer.stdout)
    equal = found == expected
    failures += not equal
    where = ""
    if not equal:
        first = next((i for i, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]), min(len(found), len(expected)))
        where = f"; first difference at token {first}: {found[first:first + 8]} and {expected[first:first + 8]}"
    print(f"{'equal' if equal else 'DIFFERENT'}  {len(expected):>9} ids  package {len(data) / seconds / 1e6:5.1f} MB/s  {file}{where}", flush=True)
    decoded = subprocess.run([program, "tokenize", "--tokenizer", str(path), "--json", "--decode"], input=answer.stdout,
                             capture_output=True, check=True)
    if json.loads(decoded.stdout) != tokenizer.decode(expected, skip_special_tokens=False):
        failures += 1
        print(f"DIFFERENT when decoded  {file}")
sys.exit(1 if failures else 0)
