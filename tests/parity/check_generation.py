"""Compares `vigor generate --chat` with transformers' generate(): chat template, prefill, caches, repetition penalty and
several end tokens, with a small Falcon-H1 of random weights and a tokenizer of tests/fixtures/. Greedy, in float32.

    check_generation.py --vigor build/release/vigor
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import torch
from transformers import FalconH1Config, FalconH1ForCausalLM, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

parser = argparse.ArgumentParser()
parser.add_argument("--vigor", required=True)
vigor = parser.parse_args().vigor

fixtures = pathlib.Path(__file__).parent.parent / "fixtures"
templates = {entry["name"]: entry["source"] for entry in json.loads((fixtures / "chat_templates.json").read_text())["templates"]}
tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(fixtures / "tokenizer" / "falcon_h1" / "tokenizer.json"),
                                    eos_token="<|endoftext|>")
END_IDS = [tokenizer.convert_tokens_to_ids(token) for token in ("<|endoftext|>", "<|im_end|>")]
SYSTEM, QUESTION, NEW_TOKENS = "Be brief.", "Where do whales sleep?", 60

BYTES = {letter: byte for byte, letter in bytes_to_unicode().items()}


def decode(ids):
    """The text without special tokens. tokenizer.decode() reads added tokens in the byte alphabet too, "\u00e9" as a lone byte."""
    added = tokenizer.added_tokens_decoder
    return b"".join((b"" if added[i].special else added[i].content.encode()) if i in added else
                    bytes(BYTES[letter] for letter in tokenizer.convert_ids_to_tokens(i)) for i in ids).decode(errors="replace")


failures = 0
for seed, template in enumerate(["chatml", "default_system", "falcon"]):
    tokenizer.chat_template = templates[template]
    torch.manual_seed(seed)
    model = FalconH1ForCausalLM(FalconH1Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, mamba_d_ssm=64, mamba_n_heads=4, mamba_d_head=16, mamba_d_state=16, mamba_n_groups=1,
        mamba_chunk_size=16, max_position_embeddings=2048, eos_token_id=END_IDS, bos_token_id=None, pad_token_id=0,
        tie_word_embeddings=False, initializer_range=0.3)).float().eval()
    text = tokenizer.apply_chat_template([{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}],
                                         add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        for penalty in (1.0, 1.3):
            with torch.no_grad():
                out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False,
                                     repetition_penalty=penalty)[0, ids.shape[1]:].tolist()
            while out and out[-1] in END_IDS:
                out.pop()
            expected = decode(out)
            answer = json.loads(subprocess.run(
                [vigor, "generate", "--model", folder, "--chat", "--system", SYSTEM, "--prompt", QUESTION, "--greedy",
                 "--repetition-penalty", str(penalty), "--max-new-tokens", str(NEW_TOKENS), "--prefill-chunk", "16", "--json"],
                check=True, capture_output=True, text=True).stdout)
            same = answer["text"] == expected and answer["tokens"] == len(out) and answer["prompt_tokens"] == ids.shape[1]
            failures += not same
            print(f"{template}, repetition penalty {penalty}: {len(out)} tokens, {'equal' if same else 'DIFFERENT'}")
            if not same:
                print(f"  transformers: {expected!r}\n  vigor:        {answer['text']!r}")
raise SystemExit(failures)
