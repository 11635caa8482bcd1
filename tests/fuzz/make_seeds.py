"""Writes tests/fuzz/seeds/: small valid inputs for the fuzz targets, from tests/fixtures/ and from the lists below."""
import json
import math
import pathlib
import zipfile

here = pathlib.Path(__file__).parent
files = here.parent / "fixtures" / "files"


def put(loader, name, content):
    path = here / "seeds" / loader / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def safetensors(header, data):
    text = json.dumps(header, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + data


put("safetensors", "reference", (files / "reference.safetensors").read_bytes())
put("safetensors", "none", safetensors({}, b""))
put("safetensors", "one", safetensors({"w": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}}, bytes(8)))

put("safetensors_index", "two", json.dumps(
    {"metadata": {"total_size": 16}, "weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}))
put("safetensors_index", "one", '{"weight_map":{"a":"a.safetensors"}}')

for name in ["state_dict.bin", "dtypes.bin", "training_checkpoint.bin"]:
    put("torch_zip", name, (files / name).read_bytes())
for path in sorted(files.glob("*.bin")):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            put("pickle", path.stem, archive.read(f"{path.stem}/data.pkl"))
# One tensor of six floats, whose only storage is the one that the target provides.
put("pickle", "one_tensor", b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
    b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89"
    b"ccollections\nOrderedDict\n)RtRs.")

vocabulary = ["<UNK>", "on", "ce ", "up", "a ", "t\u00eat", " "]
put("chunk_vocab", "small", json.dumps({
    "chunk_to_idx": {chunk: index for index, chunk in enumerate(vocabulary)},
    "idx_to_chunk": {str(index): chunk for index, chunk in enumerate(vocabulary)},
    "vocab_size": 8, "unk_token": "<UNK>", "unk_idx": 0}, ensure_ascii=False))

# "BYTES" stands for the 256 bytes with ids 0 to 255; text to encode may follow a zero byte.
special = {"id": 259, "content": "<|endoftext|>", "special": True, "normalized": False}
stripping = {"id": 260, "content": "<L>", "lstrip": True, "rstrip": True, "single_word": True, "normalized": True}
byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
words = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
pre_tokenizers = {
    "gpt2": {"type": "ByteLevel", "add_prefix_space": True},
    "llama3": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": False}, byte_level]},
    "regex": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": r"[a-e]+(?=x)|\d{2,}|(?:ab|a)*c"}, "behavior": "MergedWithNext"}, byte_level]},
    "falcon": {"type": "Sequence", "pretokenizers": [
        {"type": "Punctuation", "behavior": "Contiguous"}, {"type": "ByteLevel"}, {"type": "Digits", "individual_digits": True},
        {"type": "Split", "pattern": {"String": "ab"}, "behavior": "Removed"}]},
}
for name, pre_tokenizer in pre_tokenizers.items():
    merges = ["a b", "Ġ a", "Ġa b"] if name == "gpt2" else [["a", "b"], ["Ġ", "a"], ["Ġa", "b"]]
    text = json.dumps({
        "added_tokens": [special, stripping], "normalizer": {"type": "NFC"} if name == "falcon" else None,
        "pre_tokenizer": pre_tokenizer, "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "ignore_merges": name == "llama3", "vocab": "VOCAB", "merges": merges}}, ensure_ascii=False)
    text = text.replace('"VOCAB"', '{BYTES,"ab":256,"Ġa":257,"Ġab":258}')
    put("tokenizer_json", name, text + "\0It's abc ab\u0301 12345 <L> x!?<|endoftext|>\r\n  \u4f60\U0001f600")

put("documents", "lines", "Once upon a time.\nThe end.\n\nuser: t\u00eate\r\nassistant: \U0001f98a\n")
put("documents", "marked", "one<|endoftext|>two\n<|endoftext|>\nthree\n")
put("documents", "jsonl", '{"text": "Once upon a time."}\n{"id": 7, "text": "t\\u00eate \\ud83e\\udd8a"}\n\n')

# An odd first byte: the target puts a valid footer behind the ids.
put("token_cache", "ids", b"\x01" + b"".join(i.to_bytes(2, "little") for i in (0, 7, 299, 12)))
put("token_cache", "too_large_id", b"\x01" + (300).to_bytes(2, "little"))
put("token_cache", "no_footer", b"\x00\x01\x00VIGORIDS")

configs = here.parent / "fixtures" / "i3"
for case in ["pickled_prefixed", "interleaved", "low_rank", "mixed"]:
    put("model_folder", case, (configs / case / "config.json").read_bytes())
sizes = {"embed.weight": [3, 2], "pos_embed.weight": [2, 2], "ln_f.weight": [2], "ln_f.bias": [2],
         "head.weight": [3, 2], "head.bias": [3]}
for i in (0, 1):
    sizes |= {f"layers.{i}.{norm}.{part}": [2] for norm in ("ln1", "ln2") for part in ("weight", "bias")}
    sizes |= {f"layers.{i}.ffn.0.weight": [8, 2], f"layers.{i}.ffn.0.bias": [8], f"layers.{i}.ffn.2.weight": [2, 8],
              f"layers.{i}.ffn.2.bias": [2]}
sizes |= {"layers.0.hybrid.w_mix": [2], "layers.0.hybrid.A": [1, 1], "layers.0.hybrid.B": [1, 2],
          "layers.0.hybrid.C": [2, 1], "layers.0.hybrid.D": [2], "layers.1.attn.qkv.weight": [6, 2],
          "layers.1.attn.qkv.bias": [6], "layers.1.attn.out_proj.weight": [2, 2], "layers.1.attn.out_proj.bias": [2]}
config = {"architectures": ["i3Model"], "model_type": "i3", "vocab_size": 3, "d_model": 2, "n_layers": 2, "n_heads": 1,
          "max_seq_len": 2, "d_state": 1, "conv_layers": 1, "attn_layers": 1, "tokenizer_type": "chunk"}


def folder_with_zeros(config, sizes):
    header, offset = {}, 0
    for name, shape in sizes.items():
        nbytes = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + nbytes]}
        offset += nbytes
    return json.dumps(config).encode() + b"\0" + safetensors(header, bytes(offset))


put("model_folder", "with_weights", folder_with_zeros(config, sizes))

falcon_config = {
    "architectures": ["FalconH1ForCausalLM"], "model_type": "falcon_h1", "vocab_size": 3, "hidden_size": 2,
    "intermediate_size": 3, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 2,
    "max_position_embeddings": 4, "mamba_d_ssm": 4, "mamba_n_heads": 2, "mamba_d_head": 2, "mamba_n_groups": 1,
    "mamba_d_state": 1, "rope_theta": 1e11, "rope_scaling": None, "bos_token_id": None, "eos_token_id": [1, 2],
    "ssm_multipliers": [0.5, 1, 2, 1, 1], "tie_word_embeddings": True}
falcon = "model.layers.0."
falcon_sizes = {
    "model.embed_tokens.weight": [3, 2], "model.final_layernorm.weight": [2], falcon + "input_layernorm.weight": [2],
    falcon + "pre_ff_layernorm.weight": [2], falcon + "mamba.in_proj.weight": [12, 2],
    falcon + "mamba.conv1d.weight": [6, 1, 4], falcon + "mamba.conv1d.bias": [6], falcon + "mamba.dt_bias": [2],
    falcon + "mamba.A_log": [2], falcon + "mamba.D": [2], falcon + "mamba.out_proj.weight": [2, 4],
    falcon + "self_attn.q_proj.weight": [4, 2], falcon + "self_attn.k_proj.weight": [2, 2],
    falcon + "self_attn.v_proj.weight": [2, 2], falcon + "self_attn.o_proj.weight": [2, 4],
    falcon + "feed_forward.gate_proj.weight": [3, 2], falcon + "feed_forward.up_proj.weight": [3, 2],
    falcon + "feed_forward.down_proj.weight": [2, 3], "lm_head.weight": [3, 2]}
put("model_folder", "falcon_h1", folder_with_zeros(falcon_config, falcon_sizes))

put("run_config", "some", '{"model": "i3-tiny", "steps": 300, "lr": 1e-3, "data": ["a.txt:0.6"], "resume": false}')
put("run_config", "wrong", '{"stepz": 1, "lr": "fast", "batch_size": 1.5, "prompts": [1], "seed": 18446744073709551615}')

put("run_state", "state", json.dumps({
    "format": 1, "step": 500, "tokens": 512000, "best_eval_loss": 2.5, "gemm_plan": "", "data_key": "k",
    "run_config": "{}", "files": {"config.json": {"bytes": 2, "hash": "0"}}}))

for case in ["interleaved", "low_rank", "pickled_prefixed"]:
    put("config", case, (here.parent / "fixtures" / "i3" / case / "config.json").read_bytes())
for case in ["biases", "groups_tied", "head_dim_and_time_step_limit"]:
    put("config", f"falcon_h1_{case}", (here.parent / "fixtures" / "falcon_h1" / case / "config.json").read_bytes())
put("config", "falcon_h1_literals", """{"model_type": "falcon_h1", "time_step_limit": [0.0, Infinity], "eos_token_id": 11,
  "mamba_d_ssm": null, "mamba_d_head": "auto", "rope_scaling": {"rope_type": "default"}, "note": ["NaN", -Infinity],
  "time_step_min": 0.001, "rope_parameters": {"rope_theta": {"__float__": "Infinity"}}, "pad_token_id": null}""")
put("config", "falcon_h1_published", json.dumps(falcon_config))

chat = json.loads((here.parent / "fixtures" / "chat_templates.json").read_text())["templates"]
for entry in chat:
    if not entry["name"].startswith("feature"):
        put("chat_template", entry["name"], entry["source"])
features = [entry["source"] for entry in chat if entry["name"].startswith("feature") and entry["rendered"][3][0] is not None]
for part in range(4):
    put("chat_template", f"features_{part}", "\n".join(features[part::4]))
put("chat_template", "config", json.dumps(
    {"bos_token": "<s>", "eos_token": {"content": "</s>", "special": True}, "added_tokens_decoder": {"0": {"content": "<s>"}},
     "chat_template": [{"name": "default", "template": chat[0]["source"]}, {"name": "tools", "template": "{{ tools }}"}]}))

put("id_rows", "rows", "[[1, 2, 299], [0, 7, 8]]\n")
put("id_rows", "row", "[1,2,3]")
