"""Prompts of the templates, and the methods of a conversation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from internvl_native.conversation import (
    Conversation,
    SeparatorStyle,
    conv_templates,
    get_conv_template,
    register_conv_template,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "prompts.json").read_text())


def test_default_system_messages() -> None:
    assert {name: get_conv_template(name).system_message for name in conv_templates} == (
        GOLDEN["defaults"]
    )


def test_prompts() -> None:
    for record in GOLDEN["prompts"]:
        conversation = get_conv_template(record["template"])
        if record["system_message"] is not None:
            conversation.system_message = record["system_message"]
        for question, answer in record["history"]:
            conversation.append_message(conversation.roles[0], question)
            conversation.append_message(conversation.roles[1], answer)
        conversation.append_message(conversation.roles[0], record["question"])
        conversation.append_message(conversation.roles[1], None)
        assert conversation.get_prompt() == record["prompt"], record
        assert conversation.sep == record["sep"]
        assert conversation.sep.strip() == record["sep_stripped"]
        assert list(conversation.roles) == record["roles"]


def test_templates_do_not_share_messages() -> None:
    first = get_conv_template("internlm2-chat")
    first.append_message(first.roles[0], "hello")
    first.set_system_message("other")
    second = get_conv_template("internlm2-chat")
    assert second.messages == []
    assert second.system_message == GOLDEN["defaults"]["internlm2-chat"]
    copied = first.copy()
    copied.update_last_message("changed")
    assert first.messages == [[first.roles[0], "hello"]]


def test_braces_in_a_system_message_are_text() -> None:
    conversation = get_conv_template("Hermes-2")
    conversation.set_system_message("{a} {0}")
    assert conversation.get_prompt() == "<|im_start|>system\n{a} {0}<|im_end|>"


def test_views() -> None:
    conversation = Conversation(name="mine", system_message="sys")
    for i, message in enumerate(["q1", "a1", "q2", None]):
        conversation.append_message(conversation.roles[i % 2], message)
    assert conversation.to_gradio_chatbot() == [["q1", "a1"], ["q2", None]]
    assert conversation.to_openai_api_messages() == [
        {"role": "system", "content": "sys"},
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": "a1"},
        {"role": "user", "content": "q2"},
    ]
    assert conversation.dict()["template_name"] == "mine"
    assert conversation.dict()["messages"] == conversation.messages


def test_attributes() -> None:
    assert get_conv_template("internvl_zh").sep_style == SeparatorStyle.INTERNVL_ZH
    assert get_conv_template("Hermes-2").stop_str == "<|endoftext|>"
    assert get_conv_template("internlm2-chat").stop_token_ids is None


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"internlm2-chat, Hermes-2, .*got 'vicuna'"):
        get_conv_template("vicuna")
    broken = Conversation(name="x", sep_style="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sep_style: expected a SeparatorStyle"):
        broken.get_prompt()


def test_templates_of_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("internvl_native.conversation.conv_templates", dict(conv_templates))
    own = Conversation(name="own", system_template="{system_message}", roles=("Q", "A"), sep="|")
    register_conv_template(own)
    mine = get_conv_template("own")
    mine.append_message(mine.roles[0], "x")
    assert (mine.get_prompt(), own.messages) == ("|Qx|", [])
    with pytest.raises(ValueError, match=r"template: expected a name that is not taken.*'own'"):
        register_conv_template(own)
    register_conv_template(Conversation(name="own", sep="#"), override=True)
    assert get_conv_template("own").sep == "#"
    with pytest.raises(TypeError, match="template: expected a Conversation, got str"):
        register_conv_template("own")  # type: ignore[arg-type]
