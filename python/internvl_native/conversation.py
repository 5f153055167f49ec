"""Chat templates of the InternVL family: how turns of a conversation become one prompt.

Source: ``internvl_chat/internvl/conversation.py`` of OpenGVLab/InternVL.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from internvl_native import arguments

_SYSTEM_V1_5 = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, "  # noqa: RUF001
    "是一个有用无害的人工智能助手。"
)
_SYSTEM_V2_5 = (
    "你是书生·万象，英文名是InternVL，"  # noqa: RUF001
    "是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。"
)
_CHATML_ROLES = ("<|im_start|>user\n", "<|im_start|>assistant\n")


class SeparatorStyle(IntEnum):
    """How roles, messages and separators are joined; values as in the reference."""

    INTERNVL_ZH = 17
    MPT = 18


@dataclasses.dataclass
class Conversation:
    """One conversation: a template and its messages, each ``[role, text or None]``."""

    name: str
    system_template: str = "{system_message}"
    system_message: str = ""
    roles: tuple[str, str] = ("USER", "ASSISTANT")
    messages: list[list[str | None]] = dataclasses.field(default_factory=list)
    offset: int = 0
    sep_style: SeparatorStyle = SeparatorStyle.MPT
    sep: str = "\n"
    sep2: str | None = None
    stop_str: str | list[str] | None = None
    stop_token_ids: list[int] | None = None

    def get_prompt(self) -> str:
        """Return the prompt. An empty or missing message drops its separator too."""
        if self.sep_style == SeparatorStyle.MPT:
            prompt = self.system_template.format(system_message=self.system_message) + self.sep
            for role, message in self.messages:
                prompt += f"{role}{message}{self.sep}" if message else f"{role}"
            return prompt
        if self.sep_style == SeparatorStyle.INTERNVL_ZH:
            separators = (self.sep2 or "", self.sep)
            prompt = self.system_message + separators[0]
            for i, (role, message) in enumerate(self.messages):
                prompt += f"{role}: {message}{separators[i % 2]}" if message else f"{role}:"
            return prompt
        raise ValueError(f"sep_style: expected a SeparatorStyle, got {self.sep_style!r}")

    def set_system_message(self, system_message: str) -> None:
        """Replace the system message."""
        self.system_message = system_message

    def append_message(self, role: str, message: str | None) -> None:
        """Append a message; ``None`` leaves it open for the model to complete."""
        self.messages.append([role, message])

    def update_last_message(self, message: str | None) -> None:
        """Replace the text of the last message."""
        self.messages[-1][1] = message

    def to_gradio_chatbot(self) -> list[list[str | None]]:
        """Return ``[question, answer]`` pairs from ``offset`` on."""
        texts = [message for _, message in self.messages[self.offset :]]
        texts += [None] * (len(texts) % 2)
        return [texts[i : i + 2] for i in range(0, len(texts), 2)]

    def to_openai_api_messages(self) -> list[Mapping[str, str | None]]:
        """Return the conversation as ``{"role", "content"}`` messages; open ones left out."""
        messages: list[Mapping[str, str | None]] = [
            {"role": "system", "content": self.system_message}
        ]
        for i, (_, text) in enumerate(self.messages[self.offset :]):
            if i % 2 == 0:
                messages.append({"role": "user", "content": text})
            elif text is not None:
                messages.append({"role": "assistant", "content": text})
        return messages

    def copy(self) -> Conversation:
        """Return a conversation whose messages can grow independently."""
        return dataclasses.replace(self, messages=[list(message) for message in self.messages])

    def dict(self) -> Mapping[str, Any]:
        """Return the parts that a client displays."""
        return {
            "template_name": self.name,
            "system_message": self.system_message,
            "roles": self.roles,
            "messages": self.messages,
            "offset": self.offset,
        }


conv_templates: dict[str, Conversation] = {
    template.name: template
    for template in (
        Conversation(
            name="internlm2-chat",
            system_template="<|im_start|>system\n{system_message}",
            system_message=_SYSTEM_V1_5,
            roles=_CHATML_ROLES,
            sep="<|im_end|>",
        ),
        Conversation(
            name="Hermes-2",
            system_template="<|im_start|>system\n{system_message}",
            system_message=_SYSTEM_V1_5,
            roles=_CHATML_ROLES,
            sep="<|im_end|>",
            stop_str="<|endoftext|>",
        ),
        Conversation(
            name="phi3-chat",
            system_template="<|system|>\n{system_message}",
            system_message=_SYSTEM_V1_5,
            roles=("<|user|>\n", "<|assistant|>\n"),
            sep="<|end|>",
        ),
        Conversation(
            name="internvl_zh",
            system_template="",
            roles=("<human>", "<bot>"),
            sep_style=SeparatorStyle.INTERNVL_ZH,
            sep="</s>",
            sep2=" ",
        ),
        Conversation(
            name="internvl2_5",
            system_template="<|im_start|>system\n{system_message}",
            system_message=_SYSTEM_V2_5,
            roles=_CHATML_ROLES,
            sep="<|im_end|>\n",
        ),
    )
}


def get_conv_template(name: str) -> Conversation:
    """Return a fresh conversation of the template ``name``.

    Raises ``ValueError`` naming the known templates for an unknown one, ``TypeError`` for no str.
    """
    if arguments.text("template", name) not in conv_templates:
        known = ", ".join(conv_templates)
        raise ValueError(f"template: expected one of {known}; got {name!r}")
    return conv_templates[name].copy()


def register_conv_template(template: Conversation, override: bool = False) -> None:
    """Makes ``template`` known by its name, so that ``model.template`` can be set to that.

    Raises ``ValueError`` for a name that is taken, unless ``override``, ``TypeError`` for no
    :class:`Conversation`.
    """
    if not isinstance(template, Conversation):
        raise TypeError(f"template: expected a Conversation, got {arguments.kind(template)}")
    if template.name in conv_templates and not override:
        raise ValueError(
            f"template: expected a name that is not taken, or override=True; got {template.name!r}"
        )
    conv_templates[template.name] = template
