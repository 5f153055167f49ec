"""``apply_chat_template``: messages of ``{"role", "content"}`` to one prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

BOS = "{{ bos_token }}"
# The template that transformers 4.37 takes for tokenizers without one; published InternLM2
# checkpoints that have one put `BOS` in front.
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def render_chat(
    template: str,
    messages: Sequence[Any],
    add_generation_prompt: bool,
    special_tokens_map: dict[str, Any],
) -> str:
    """Render ``messages``: the ChatML form right here, other templates with jinja2.

    Raises ``ImportError`` when another template meets a machine without jinja2, and
    ``ValueError`` for a message without role or content.
    """
    if _normalized(template) not in (CHATML, BOS + CHATML):
        return _jinja_renderer(template)(
            messages=messages, add_generation_prompt=add_generation_prompt, **special_tokens_map
        )
    text = special_tokens_map.get("bos_token", "") if template.startswith(BOS) else ""
    for message in messages:
        try:
            role, content = message["role"], message["content"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"messages: expected 'role' and 'content', got {message!r}") from error
        text += f"<|im_start|>{role}\n{content}<|im_end|>\n"
    return text + ("<|im_start|>assistant\n" if add_generation_prompt else "")


def _normalized(template: str) -> str:
    """Line breaks inside jinja strings are written as such or escaped; both mean the same."""
    return template.replace("\\n", "\n")


def _jinja_renderer(template: str) -> Callable[..., str]:
    try:
        from jinja2.exceptions import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise ImportError(
            "chat_template: only the ChatML form is built in; other templates need jinja2"
        ) from error

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    render: Callable[..., str] = environment.from_string(template).render
    return render
