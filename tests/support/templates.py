"""Chat templates of well-known models, cut to what tests need."""

from __future__ import annotations

CHATML = """{% for message in messages %}{% if loop.first and message.role != 'system' %}\
{{ '<|im_start|>system\\nYou are small<|im_end|>\\n' }}{% endif %}\
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
LLAMA3 = """{{ '<|begin|>' }}{% for message in messages %}\
{{ '<|header|>' + message.role + '<|end_header|>\\n\\n' + message.content | trim + '<|eot|>' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|header|>assistant<|end_header|>\\n\\n' }}\
{% endif %}"""
GLM4 = """[gMASK]<sop>{% if tools %}<|system|>{{ '\\n' }}{{ tools | tojson }}{% endif %}\
{% for message in messages %}<|{{ 'observation' if message.role == 'tool' else message.role }}|>\
{{ message.metadata or '' }}{{ '\\n' + message.content }}{% endfor %}\
{% if add_generation_prompt %}<|assistant|>{{ '\\n<think></think>' if enable_thinking is false }}\
{% endif %}"""

REASONER = """{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}\
{{ message.content.split('</think>')[-1].lstrip() if message.role == 'assistant' \
else message.content }}{{ '<|im_end|>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"""

CHANNELS = """<|start|>system<|message|>You are small<|end|>{% for message in messages %}\
{% if message.role == 'assistant' %}\
{{ '<|start|>assistant<|channel|>final<|message|>' + message.content }}\
{{ '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}\
{% else %}{{ '<|start|>' + message.role + '<|message|>' + message.content + '<|end|>' }}{% endif %}\
{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"""
CHANNEL_TOKENS = (
    *("<|endoftext|>", "<|start|>", "<|end|>", "<|channel|>", "<|message|>"),
    *("<|return|>", "<|call|>"),
)
"""What gpt-oss writes: a past reply ends with another token than the last, and has one channel."""
