"""Writes tests/fixtures/chat_templates.json: chat templates of the common forms, and what transformers makes of them.

The templates are our own, written in the forms that published ones have; the last ones are one line each, for single
features of the language.
"""
import json
import pathlib

from transformers.utils.chat_template_utils import render_jinja_template

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

CHATML = """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

DEFAULT_SYSTEM = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson }}
    {%- endfor %}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou answer in one sentence.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- for call in message.tool_calls %}
            {{- call.name }}
        {%- endfor %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

HEADERS = """{{- bos_token }}
{%- if not date is defined %}
    {%- set date = "26 Jul 2024" %}
{%- endif %}

{#- The system message has a place of its own. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today: " ~ date ~ "\\n\\n" + system_message + "<|eot_id|>" }}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

LOOPED_HEADERS = """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

# A system text before all, then turns with marks, an end token behind answers but not behind the last one.
FALCON = """{{bos_token}}
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- for message in messages -%}
    {%- if message.role == 'assistant' -%}
        {{- '<|im_start|>assistant\\n' + message.content -}}
        {%- if not loop.last -%}{{- '<|im_end|>\\n' -}}{%- else -%}{{- eos_token -}}{%- endif -%}
    {%- elif message.role in ['user', 'tool'] -%}
        {{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

ALTERNATING = """{% if messages[0]['role'] == 'system' %}
    {% set loop_messages = messages[1:] %}
    {% set system_message = messages[0]['content'].strip() + '\\n\\n' %}
{% else %}
    {% set loop_messages = messages %}
    {% set system_message = '' %}
{% endif %}
{{ bos_token }}
{% for message in loop_messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Roles must alternate user/assistant') }}
    {% endif %}
    {% if loop.index0 == 0 %}
        {% set content = system_message + message['content'] %}
    {% else %}
        {% set content = message['content'] %}
    {% endif %}
    {% if message['role'] == 'user' %}
        {{ '[INST] ' + content.strip() + ' [/INST]' }}
    {% elif message['role'] == 'assistant' %}
        {{ ' ' + content.strip() + ' ' + eos_token }}
    {% endif %}
{% endfor %}
"""

THINKING = """{%- set ns = namespace(later=true, last_query=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.later and message.role == "user" and not(message.content.startswith('<r>') and message.content.endswith('</r>')) %}
        {%- set ns.later = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
    {%- set thought = '' %}
    {%- if message.thought is defined and message.thought is not none %}
        {%- set thought = message.thought %}
    {%- elif '</think>' in content %}
        {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {%- if message.role == "assistant" and loop.index0 > ns.last_query and (loop.last or (not loop.last and thought)) %}
        {{- '<|' + message.role + '|>\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
    {%- else %}
        {{- '<|' + message.role + '|>\\n' + content }}
    {%- endif %}
    {{- '\\n' if not loop.last else eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""

FEATURES = [
    "a\n  {% if true %}  \n b \n  {% endif %}  \n c\n",
    "a\n  {%+ if true +%}  \n b \n  {%- endif -%}  \n c\n\n",
    "a  {# comment #}  b\n {# on a line #}\nc {#- close -#} d\n  {#+ x +#}\ne",
    "  {{ 'x' }}  \n\n  {{- 'y' -}}  \n z\n",
    "{% for m in messages %}\n{{ m.role }}\n{% endfor %}\n",
    "\r\nline\r{{ 1 }}\r\n",
    "{{ 'it''s' }}{{ \"tab\\t\\x41\\u00e9\\U0001f600\\q\\'\" }}{{ 'two' \"strings\" }}{{ 'line\nbreak' }}",
    "{{ 1 + 2 * 3 - 4 // 3 % 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 // -2 }} {{ -3 }} {{ +3 }} {{ 2 - -1 }}",
    "{{ 1 ~ 'a' ~ none ~ true ~ nothing }}|{{ none }}|{{ true }}|{{ nothing }}|",
    "{{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 == 2 if false else 'b' < 'c' }} {{ 'a' in 'cat' }} {{ 'a' not in ['b'] }}",
    "{{ not true or true }} {{ not (true or true) }} {{ '' or 'second' }} {{ 'first' and 'second' }} {{ [] or 0 }}",
    "{{ true == 1 }} {{ none == nothing }} {{ none == none }} {{ nothing == nothing2 }} {{ 'a' == 1 }} {{ [1] == 'a' }}",
    "{{ messages | length }} {{ messages[0].content | length }} {{ messages[-1]['role'] }} {{ messages[9] }}|",
    "{% for m in messages[1:] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.length }}{{ loop.first }}{{ loop.last }} {% endfor %}",
    "{% for m in messages %}{{ loop.previtem.role if not loop.first else 'none' }}>{{ loop.nextitem.role if not loop.last else loop.nextitem }} {% endfor %}",
    "{% for m in messages[5:] %}x{% else %}empty{% endfor %}{% for m in nothing %}x{% else %}undefined{% endfor %}",
    "{% for m in messages[:-1] %}{{ m.role }} {% endfor %}|{% for m in messages[-2:] %}{{ m.role }} {% endfor %}|{% for m in messages[2:0:-1] %}{{ m.role }} {% endfor %}|{% for m in messages[-9:9] %}{{ m.role }}{% endfor %}|{% for m in messages[9::-1] %}{{ m.role }}{% endfor %}|{% for m in messages[-9::-1] %}{{ m.role }}{% endfor %}",
    "{% set x = 1 %}{% for m in messages %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=1) %}{% for m in messages %}{% set ns.x = ns.x + loop.index %}{% endfor %}{{ ns.x }}{{ ns.y }}",
    "{% if false %}a{% elif messages[0].role == 'x' %}b{% elif true %}c{% else %}d{% endif %}",
    "{% for a in [1, 2] %}{% for b in ['x', 'y',] %}{{ a }}{{ b }}{{ loop.index }} {% endfor %}{{ loop.index }}{% endfor %}",
    "{{ '  \u00a0 x \u3000\n' | trim }}|{{ ' x '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ ' x'.lstrip() }}|{{ 'x\u00e9\u00e9'.rstrip('\u00e9') }}|{{ 'ab' | trim('b') }}|",
    "{{ 'a,b,,c'.split(',') | join('-') }} {{ 'abc'.split('b')[-1] }} {{ 'aXbX'.replace('X', 'yy') }} {{ 'abc'.startswith('ab') }} {{ 'abc'.endswith('') }}",
    "{{ [1, 'a', true] | join(', ') }} {{ ['a', 'b'] | first }}{{ ('a', 'b') | last }} {{ nothing | default('d') }} {{ '' | default('d', true) }} {{ '' | default('d') }}|{{ 3 | string | length }}",
    "{{ messages[0].get('role') }} {{ messages[0].get('no') }} {{ messages[0].get('no', 'other') }} {{ {'a': 'b'}['a'] }} {{ {'a': 1}.a }} {{ 'role' in messages[0] }}",
    "{{ nothing is defined }} {{ messages is defined }} {{ none is none }} {{ tools is none }} {{ 'a' is string }} {{ 1 is number }} {{ true is boolean }} {{ messages is iterable }} {{ messages is mapping }} {{ messages[0] is mapping }} {{ 'a' is not string }} {{ 1 is integer }} {{ true is true }} {{ 0 is false }} {{ 'abc' is sequence }}",
    "{{ 'a' if true }}{{ 'b' if false }}{{ 'c' if false else 'd' if true else 'e' }}{{ ('x' if 1 else 'y') + 'z' }}",
    "{{ undefined_function() }}",
    "{{ nothing.attribute }}",
    "{{ 'a' + nothing }}",
    "{{ 'a' + 1 }}",
    "{{ raise_exception('no such role') }}",
    "{% for m in messages %}",
    "{% endif %}",
    "{{ 'a' ",
    "{{ 1 // 0 }}",
    "{% set n = [{'role': 'system', 'content': 'S'}] + messages %}{{ n | length }}{{ n[0].content }}",
    "{{ 'x' * 3 if false else 2 * 3 }}{{ not 'a' == 'b' }}{{ 1 + 2 ~ 'a' }}",
]

U, A, S = "user", "assistant", "system"
CONVERSATIONS = [
    [(U, "Hello!")],
    [(S, "  Be brief.\n"), (U, "What is 2 + 2?")],
    [(U, " one \n"), (A, "\n two"), (U, "drei \U0001f600 'quoted' \\n <|im_end|>")],
    [(S, "s"), (U, "a"), (A, "<think>\nhm\n</think>\n\nb"), (U, "c"), (A, "<think>\nso\n</think>\n\nd")],
    [(A, "begins"), (U, "")],
]


def render(template, messages, add_generation_prompt):
    try:
        rendered, _ = render_jinja_template(conversations=[messages], chat_template=template,
                                            add_generation_prompt=add_generation_prompt, **TOKENS)
        return rendered[0]
    except Exception:
        return None


conversations = [[{"role": role, "content": content} for role, content in turns] for turns in CONVERSATIONS]
templates = {"chatml": CHATML, "default_system": DEFAULT_SYSTEM, "headers": HEADERS, "looped_headers": LOOPED_HEADERS,
             "falcon": FALCON, "alternating": ALTERNATING, "thinking": THINKING}
result = {"tokens": TOKENS, "conversations": conversations, "templates": []}
for name, source in templates.items():
    result["templates"].append({"name": name, "source": source, "rendered": [
        [render(source, messages, add) for add in (False, True)] for messages in conversations]})
for i, source in enumerate(FEATURES):
    result["templates"].append({"name": f"feature {i}", "source": source,
                                "rendered": [None, None, None, [render(source, conversations[3], True)] * 2]})
path = pathlib.Path(__file__).parent.parent / "fixtures" / "chat_templates.json"
path.write_text(json.dumps(result, ensure_ascii=True, indent=1) + "\n")
